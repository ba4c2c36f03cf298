"""Networks on a GPU: the same bits twice, the CPU's predictions, snapshots, streaming, and memory that is too small."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from alenv import data as datasets
from alenv.arrays import to_numpy
from alenv.regions import make_grid
from alenv.segmenters.networks import frames as network_frames
from alenv.segmenters.networks import training as network_training
from alenv.segmenters.networks.learner import NetworkLearner

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch sees")
NETWORKS = {"tiny": None, "squeezenet_fpn": "random", "fpn_resnet50": "random"}


class Case:
    """Scenes with networks that are trained for few steps."""

    def __init__(self):
        opened, data = datasets.open_dataset("scenes"), datasets.load("scenes")
        self.data = replace(data, splits={**data.splits, "reward": data.splits["reward"][:20]})
        self.grid = make_grid(data.images.shape[1:3], opened.region, opened.cell)
        self.first = self.grid.of_images(data.splits["state"][:2])
        self.regions = np.random.default_rng(0).permutation(self.grid.of_images(data.splits["train"][:20]))

    def learner(self, name, *batches, device="cuda", precision="float32"):
        learner = NetworkLearner(self.data, self.grid, 8, name, NETWORKS[name], device, precision)
        for regions in batches:
            learner.fit(regions)
        return learner


@pytest.fixture(scope="module")
def case(_places):
    with pytest.MonkeyPatch.context() as patch:
        for name in NETWORKS:
            usual = network_training.TRAININGS.get(name, network_training.Training())
            patch.setitem(network_training.TRAININGS, name, replace(usual, long_steps=5))
        yield Case()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_same_bits_twice(case, name, precision, tmp_path, monkeypatch):
    """Each time trained anew: the caches are apart."""
    results = []
    for run in ("one", "two"):
        monkeypatch.setenv("ALENV_CACHE", str(tmp_path / run))
        learner = case.learner(name, case.first, case.regions[:24], precision=precision)
        probs = to_numpy(learner.predict(case.regions[30:60]).probs)
        results.append((learner.get_state(), learner.evaluate("reward"), probs))
    (one, *first), (two, *second) = results
    for key, value in one.items():
        np.testing.assert_array_equal(value, two[key], err_msg=key)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", NETWORKS)
def test_predictions_are_those_of_the_cpu(case, name):
    ids = case.regions[:40]
    gpu, cpu = (case.learner(name, device=device) for device in ("cuda", "cpu"))
    np.testing.assert_array_equal(gpu.get_state()["weights"], cpu.get_state()["weights"])
    images = case.data.splits["reward"][:4]
    seen = [(one.predict(ids).probs, one.predict(ids).embedding, one.maps(images)) for one in (gpu, cpu)]
    for a, b in zip(*seen, strict=True):
        np.testing.assert_allclose(to_numpy(a), to_numpy(b), rtol=0, atol=1e-3)
    np.testing.assert_allclose(gpu.evaluate("reward").sum(), cpu.evaluate("reward").sum())


def test_a_snapshot_goes_on_bit_for_bit(case):
    learner = case.learner("squeezenet_fpn", case.first, case.regions[:12])
    other = case.learner("squeezenet_fpn")
    other.set_state(pickle.loads(pickle.dumps(learner.get_state())))
    for one in (learner, other):
        one.fit(case.regions[12:24])
    for key, value in learner.get_state().items():
        np.testing.assert_array_equal(other.get_state()[key], value, err_msg=key)
    np.testing.assert_array_equal(other.difficulty(np.arange(2)), learner.difficulty(np.arange(2)))
    some = case.regions[:9]
    passes = [torch.stack(list(one.passes(some, np.random.default_rng(3), 3))) for one in (learner, other)]
    assert torch.equal(*passes)


def test_streamed_images_are_the_resident_ones(case, monkeypatch):
    resident = case.learner("tiny")._model.frames
    monkeypatch.setattr(network_frames, "SHARE", 2**40)
    streamed = case.learner("tiny")._model.frames
    assert resident._resident is not None
    assert streamed._resident is None
    for start in range(0, 48, 16):
        images = np.arange(start, start + 16)
        assert torch.equal(streamed.whole(images), resident.whole(images))


def test_too_small_a_memory_says_what_to_lower(case):
    model = case.learner("tiny")._model
    with pytest.raises(RuntimeError, match="lower picks, candidates or region"), model.settings():
        torch.empty(2**50, dtype=torch.uint8, device="cuda")
