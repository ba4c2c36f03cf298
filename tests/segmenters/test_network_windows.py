"""Networks and windows of pixels: what is ranked, shown and trained on; and batches of a source domain."""

import pickle
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch

from alenv import data as datasets
from alenv.acquisition import box_mean, entropy, ripu, ripu_pixel
from alenv.data import IGNORE, from_arrays
from alenv.data.adaptation import open_source
from alenv.regions import make_windows
from alenv.segmenters.networks import training as network_training
from alenv.segmenters.networks.learner import NetworkLearner
from alenv.segmenters.networks.source import Source
from alenv.segmenters.networks.trainer import Trainer

SHORT = replace(network_training.TRAININGS["tiny"], long_steps=8, source_steps=30, window_steps=5, crop=48)
KWARGS = {
    "segmenter": "tiny", "pooling": "ranked", "region": [3, 3], "picks": 30, "candidates": 4, "budget": 60,
    "split": "dusk", "pool": "eval", "initial": "source:scenes:day",
}  # fmt: skip


class Case:
    """Streets at dusk in windows of pixels, and those by day; the splits are cut short."""

    def __init__(self):
        self.opened = datasets.open_dataset("scenes")
        data = datasets.load("scenes", None, "dusk")
        few = {name: images[:8] for name, images in data.splits.items()}
        self.data, self.grid = replace(data, splits=few), make_windows((96, 128), (3, 3))
        self.source = open_source("scenes", "day", self.opened)
        rng, per_image = np.random.default_rng(0), self.grid.per_image
        pool = rng.permutation(np.arange(few["train"][0] * per_image, (few["train"][-1] + 1) * per_image))[:400]
        apart = [region for i, region in enumerate(pool) if not np.isin(self.near(region), pool[:i]).any()]
        self.regions = np.array(apart)

    def near(self, region):
        return self.grid.overlapping(np.array([region]))

    def learner(self, *batches, data=None, source=None, **kwargs):
        learner = NetworkLearner(data or self.data, self.grid, 8, "tiny", source=source, **kwargs)
        for regions in batches:
            learner.fit(regions)
        return learner


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setitem(network_training.TRAININGS, "tiny", SHORT)


@pytest.fixture(scope="module")
def case(_places):
    return Case()


NONE = np.empty(0, np.int64)


def test_windows_are_cut_from_predictions_of_whole_images(case):
    learner, ids = case.learner(case.regions[:20]), case.regions[20:60]
    images, within = case.grid.group(ids)
    maps = learner.maps(images).numpy()
    whole = np.moveaxis(case.grid.cut(np.moveaxis(maps, 1, -1), within), -1, 1)
    np.testing.assert_allclose(learner.predict(ids).probs, whole, rtol=0, atol=1e-5)
    passes = [list(learner.map_passes(int(i), np.random.default_rng(3), 2)) for i in images]
    again = np.stack([np.concatenate([one[t].numpy() for one in passes]) for t in range(2)])
    for probs, expected in zip(learner.passes(ids, np.random.default_rng(3), 2), again, strict=True):
        cut = case.grid.cut(np.moveaxis(expected, 1, -1), within)
        np.testing.assert_allclose(probs, np.moveaxis(cut, -1, 1), rtol=0, atol=1e-4)


@pytest.mark.parametrize("recipe", ["incremental", "retrain"])
def test_a_snapshot_goes_on_bit_for_bit(case, recipe):
    kwargs = {"recipe": recipe, "source": case.source}
    learner, other = case.learner(NONE, case.regions[:12], **kwargs), case.learner(**kwargs)
    state = pickle.loads(pickle.dumps(learner.get_state()))
    assert state["fits"] == 2
    other.set_state(state)
    learner.predict(case.regions[10:40])
    for x in (other, learner):
        x.fit(case.regions[12:30])
    for name, value in learner.get_state().items():
        np.testing.assert_array_equal(other.get_state()[name], value, err_msg=name)
    np.testing.assert_array_equal(other.evaluate("reward"), learner.evaluate("reward"))
    with pytest.raises(ValueError, match="fits=14"):
        other.set_state(state | {"fits": 14})


def test_a_source_is_learned_before_the_first_label(case):
    learner, blank = case.learner(NONE, source=case.source), case.learner(NONE)
    train = case.source.masks[case.source.splits["train"]]
    assert learner.given == (train != IGNORE).sum()
    assert (learner._fits, blank._fits, len(learner.labelled)) == (1, 0, 0)
    assert (learner.get_state()["weights"] != blank.get_state()["weights"]).any()
    both = case.learner(case.regions[:12], source=case.source)  # labels at the start come after the source
    apart = case.learner(NONE, case.regions[:12], source=case.source)
    np.testing.assert_array_equal(both.get_state()["weights"], apart.get_state()["weights"])


def test_half_of_every_batch_is_of_the_source(case, monkeypatch):
    seen, loss = [], Trainer._loss

    def spied(self, frames, known, crops, rng):
        seen.append((isinstance(known, Source), len(crops[0]), known.crops(*crops)))
        return loss(self, frames, known, crops, rng)

    monkeypatch.setattr(Trainer, "_loss", spied)
    monkeypatch.setattr(NetworkLearner, "_train_long", NetworkLearner._train_from_start)
    case.learner(NONE, case.regions[:12], source=case.source)
    assert [(of_source, count) for of_source, count, _ in seen[:30]] == [(True, 4)] * 30
    assert [(of_source, count) for of_source, count, _ in seen[30:]] == [(False, 2), (True, 2)] * 5
    masks = case.source.masks[case.source.splits["train"]]
    for of_source, _, labels in seen:
        assert (labels == IGNORE).any() != of_source
        assert of_source or (labels != IGNORE).any()
    shares = np.bincount(np.concatenate([labels.ravel() for of_source, _, labels in seen if of_source]), minlength=12)
    expected = np.bincount(masks.ravel(), minlength=12)
    np.testing.assert_allclose(shares / shares.sum(), expected / expected.sum(), atol=0.05)


def test_the_loss_is_that_of_both_domains(case):
    """The sum of two means, so that few labels of the target weigh as much as all of the source."""
    trainer = case.learner(NONE, case.regions[:12], source=case.source)._trainer
    values, steps = [], []
    trainer._loss = lambda frames, known, crops, rng: torch.tensor(0.25 if isinstance(known, Source) else 1.0)

    class Spy:
        def step(self, value, rate):
            steps.append(float(value))

    crops = network_training.crops(np.random.default_rng(0), case.grid, case.regions[:2], 48)
    values.append(trainer.step(crops, 4, Spy(), 0.1, np.random.default_rng(0)))
    assert steps == values == [1.25]


def test_classes_of_another_source_are_those_of_the_target(case, monkeypatch):
    """Its labels are given as they are, by the names of their classes; what has no name here is ignored."""
    names = ("dragon", *case.opened.classes[::-1])
    masks = (12 - case.source.masks[:40]).astype(np.uint8)
    masks[:, :8] = 0
    splits = dict(zip(("state", "train", "reward", "eval", "test"), np.arange(40).reshape(5, 8), strict=True))
    other = from_arrays(case.source.images[:40], masks, names, splits)
    monkeypatch.setattr(datasets, "open_dataset", lambda name: other)
    monkeypatch.setattr(datasets, "read", lambda name, opened, split: opened.load(opened.split_tables[0]))
    source = Source(open_source("renamed", None, case.opened), torch.device("cpu"))
    images, ys, xs = source.draw(np.random.default_rng(0), 6, 200)
    labels = source.crops(images, ys, xs)
    assert (labels[:, :8] == IGNORE).all()
    np.testing.assert_array_equal(labels[:, 8:], case.source.masks[images[:, None, None], ys[:, 8:, None], xs[:, None]])
    assert source.given == 8 * 88 * 128


def test_labels_that_were_not_bought_are_not_read(case):
    bought = np.zeros(case.data.masks.shape, bool)
    for image, y, x in case.grid.corners(case.regions[:20]):
        bought[image, y : y + 3, x : x + 3] = True
    noise = np.random.default_rng(0).integers(12, size=bought.shape, dtype=np.uint8)
    blind = replace(case.data, masks=np.where(bought, case.data.masks, noise))
    batches = NONE, case.regions[:12], case.regions[12:20]
    one, two = (case.learner(*batches, data=data, source=case.source).get_state() for data in (case.data, blind))
    np.testing.assert_array_equal(one["weights"], two["weights"])
    lied = replace(case.source, masks=case.source.masks[::-1])
    assert (case.learner(*batches, source=lied).get_state()["weights"] != one["weights"]).any()


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("ripu_pixel", "entropy")]


@pytest.mark.parametrize("score", ["ripu", *SLOW])
def test_candidates_are_the_best_of_all_images(case, one_after_the_other, score):
    """Compared with brute force: the largest value of all windows that overlap no pick, again and again."""
    env = gym.make("RegionSelect-v0", **KWARGS, scores=[score, "image"]).unwrapped
    env.reset(seed=0)
    for _ in range(2):
        campaign, grid = env._campaign, env._campaign.grid
        made = {
            "ripu": ripu,
            "ripu_pixel": ripu_pixel,
            "entropy": lambda probs: torch.from_numpy(box_mean(entropy(probs).numpy(), 1)),
        }[score]
        maps = {}
        for image, is_open in campaign.pool.open_maps():
            values = grid.inner(made(campaign.learner.maps(np.array([image]))).numpy()[0])
            maps[image] = np.where(is_open.reshape(grid.shape), values, -np.inf)
        expected = one_after_the_other(maps, campaign.pool, 120)
        values = np.concatenate([maps[image].ravel() for image in sorted(maps)])
        first = grid.per_image * min(maps)
        assert len(np.unique(values[np.array(expected) - first])) == 120  # no ties
        np.testing.assert_array_equal(env._current.candidates, sorted(expected))
        shown = env.observe_round()["scores"][0, :, 0]
        np.testing.assert_allclose(shown, values[env._current.candidates - first], rtol=1e-3, atol=1e-6)
        env.step_round(np.arange(30))
