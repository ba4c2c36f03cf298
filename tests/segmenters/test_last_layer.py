"""The last layer of a network as a linear head, against plain float64 algebra on the network's own maps."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from alenv import data as datasets
from alenv.data import IGNORE
from alenv.regions import make_grid
from alenv.segmenters.networks import training as network_training
from alenv.segmenters.networks.architectures import Network
from alenv.segmenters.networks.last_layer import LastLayer
from alenv.segmenters.networks.learner import NetworkLearner

CELL = 8
CHANNELS = ("leverage", "reduction", "information", "spread", "pseudo_gain", "class_gain_0")


@pytest.fixture(scope="module", autouse=True)
def _short(_places):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(network_training.TRAININGS, "tiny", replace(network_training.TRAININGS["tiny"], long_steps=12))
        yield


@pytest.fixture(scope="module")
def trained(_short):
    """A network that has learned a few regions, those, and others."""
    opened, data = datasets.open_dataset("scenes"), datasets.load("scenes")
    grid = make_grid(data.images.shape[1:3], opened.region, CELL)
    rng = np.random.default_rng(0)
    regions = rng.permutation(grid.of_images(data.splits["train"][:20]))
    learner = NetworkLearner(data, grid, CELL, "tiny", precision="float32")
    learner.fit(regions[:20])
    return learner, data, grid, regions[:20], regions[20:30]


def cells(learner, grid, regions):
    """Mean features of cells (n, cells, D), from whole maps at full resolution."""
    found = []
    for image, y, x in grid.corners(regions):
        with torch.no_grad(), learner.settings():
            features = learner._model.network.body(learner._model.frames.whole(np.array([image])))
        full = F.interpolate(features.double(), grid.size, mode="bilinear", align_corners=False)
        cut = full[..., y : y + grid.region[0], x : x + grid.region[1]]
        found.append(F.avg_pool2d(cut, CELL)[0].flatten(1).T.numpy())
    return np.stack(found)


def labels(data, grid, regions):
    """Shares of the classes in the pixels of these cells, (n, cells, C)."""
    cut = torch.from_numpy(grid.cut(data.masks, regions).astype(np.int64))
    hot = F.one_hot(cut, IGNORE + 1)[..., : len(data.classes)].movedim(-1, 1).double()
    return F.avg_pool2d(hot, CELL).flatten(2).mT.numpy()


def layer(learner):
    """Weights (C, D) and bias (C,)."""
    head = learner._model.network.head
    return head.weight.detach().double().flatten(1).numpy(), head.bias.detach().double().numpy()


def softmax(logits):
    p = np.exp(logits - logits.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def with_ones(x):
    return np.concatenate([x, np.ones((*x.shape[:-1], 1))], -1)


def test_leverage_and_gradients_are_those_of_plain_algebra(trained):
    learner, data, grid, known, others = trained
    weights, bias = layer(learner)
    x, shares = (a.reshape(-1, a.shape[-1]) for a in (cells(learner, grid, known), labels(data, grid, known)))
    scale = np.sqrt((x[shares.sum(1) > 0] ** 2).mean())
    frequency = shares.sum(0)
    weight = frequency.clip(1) ** -0.5
    weight *= frequency.sum() / (weight * frequency).sum()
    p, ones = softmax(x @ weights.T + bias), with_ones(x / scale)
    mass = shares @ weight
    blocks = [5 * np.eye(ones.shape[1]) + (ones * (mass * q * (1 - q))[:, None]).T @ ones for q in p.T]
    x = cells(learner, grid, others)
    p, ones = softmax(x @ weights.T + bias), with_ones(x / scale)
    quadratic = np.stack([np.einsum("nkd,de,nke->nk", ones, np.linalg.inv(block), ones) for block in blocks], -1)
    expected = (quadratic * p * (1 - p) * (p @ weight)[..., None]).sum(2).mean(1)
    np.testing.assert_allclose(learner.outlook(others).design().leverage(slice(None)), expected, rtol=2e-3)
    residual = p - np.eye(p.shape[-1])[p.argmax(-1)]
    gradient = np.einsum("nkc,nkd->ncd", residual, x) / x.shape[1]
    np.testing.assert_allclose(learner.gradients(others), gradient, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("bias", [True, False])
def test_size_of_features_means_nothing(bias):
    """Features ten times as large, with weights a tenth as large, say the same."""
    draw = torch.Generator().manual_seed(0)
    x, counts = torch.rand(50, 6, generator=draw), torch.eye(3)[torch.randint(3, (50,), generator=draw)]
    one, other = nn.Conv2d(6, 3, 1, bias=bias), nn.Conv2d(6, 3, 1, bias=bias)
    other.load_state_dict({**one.state_dict(), "weight": one.weight / 10})
    layers = [LastLayer(one, x, counts, 1), LastLayer(other, 10 * x, counts, 1)]
    logits = [last.head.logits(last.seen(k * x)) for last, k in zip(layers, (1, 10), strict=True)]
    torch.testing.assert_close(logits[0], one(x[..., None, None])[..., 0, 0].T.detach())
    torch.testing.assert_close(*logits)
    torch.testing.assert_close(*(last.head.information().blocks for last in layers))


def test_without_labels_only_the_penalty_is_known(trained):
    _, data, grid, *_, others = trained
    learner = NetworkLearner(data, grid, CELL, "tiny")
    leverage = learner.outlook(others).design().leverage(slice(None))
    assert leverage.shape == (10,)
    assert (leverage > 0).all()


def test_labels_that_come_later_are_known_at_once(trained):
    learner, data, grid, known, others = trained
    again = NetworkLearner(data, grid, CELL, "tiny", precision="float32")
    again.fit(known)
    before = again.outlook(others).design().leverage(slice(None))
    np.testing.assert_array_equal(before, learner.outlook(others).design().leverage(slice(None)))
    again.fit(others[:5])
    assert (again.outlook(others).design().leverage(slice(None))[:5] < before[:5]).all()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_channels_play_repeat_and_come_back(precision):
    """The same values from a snapshot in the middle of a round; in single precision whatever the network has."""
    kwargs = {"segmenter": "tiny", "precision": precision, "picks": 4, "candidates": 5, "budget": 8}
    env, other = (gym.make("RegionSelect-v0", **kwargs, scores=CHANNELS).unwrapped for _ in range(2))
    obs, _ = env.reset(seed=0)
    for _ in range(6):
        obs, *_ = env.step(int(obs["scores"][:, 0].argmax()))
    assert obs["scores"].std(0).min() > 0
    other.set_state(env.get_state())
    np.testing.assert_array_equal(other._observe()["scores"], obs["scores"])
    design = env._campaign.learner.outlook(env._current.candidates).design()
    for row in env._current.picked:
        design.pick(int(np.flatnonzero(env._current.candidates == row)[0]), 0)
    fresh = design.leverage(env._current.current)
    np.testing.assert_allclose(obs["scores"][:, 0], fresh, rtol=1e-5)


def broad(classes):
    """A network whose last layer sees 3 x 3 places."""
    return Network(nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.Conv2d(8, classes, 3, padding=1))


def test_a_broad_last_layer_is_refused():
    env = gym.make("RegionSelect-v0", segmenter=f"{__name__}:broad", scores=["entropy", "spread"])
    with pytest.raises(ValueError, match=r"score 'spread' needs a last layer of 1 x 1, and .*:broad' is a .* of 3 x 3"):
        env.reset(seed=0)
