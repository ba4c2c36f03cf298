import numpy as np
import pytest

from alenv import data as datasets
from alenv.metrics import Reward
from alenv.regions import make_grid
from alenv.segmenters.features import cell_features
from alenv.segmenters.probes.learner import Learner


class Case:
    """A dataset with features, and regions in a fixed random order: 48 of the state split, then the train split."""

    def __init__(self, name, features):
        opened = datasets.open_dataset(name)
        self.data, self.cell, self.features = datasets.load(name), opened.cell, features
        self.grid = make_grid(self.data.images.shape[1:3], opened.region, opened.cell)
        self.cells = cell_features(self.data, self.cell, features, None)
        self.reward = Reward("miou", self.data.classes)
        rng = np.random.default_rng(0)
        state, train = (rng.permutation(self.grid.of_images(self.data.splits[s])) for s in ("state", "train"))
        self.regions = np.concatenate([state[:48], train])

    def learner(self, segmenter="linear", *batches):
        learner = Learner(self.data, self.grid, self.cell, segmenter, self.features, None)
        for regions in batches:
            learner.fit(regions)
        return learner


@pytest.fixture(scope="session")
def scenes(_places):
    return Case("scenes", "filterbank")


@pytest.fixture(scope="session")
def camvid(camvid_root, squeezenet_weights):
    return Case("camvid", "squeezenet1_0")
