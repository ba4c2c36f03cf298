"""Images as bags of cells: the arithmetic by hand, and what the environment makes of it."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import SyncVectorEnv

import alenv  # noqa: F401  registers the ids
from alenv.mining.cells import Cells

ID = "SingleClassMine-v0"
RIGHT, NOTHING = np.array([1, 0], np.float32), np.zeros(2, np.float32)


@pytest.fixture(scope="module")
def kwargs(tiny):
    dataset, root, backbone = tiny
    small = {"candidates": 4, "budget": 5, "classes": "all", "skip": True, "look_cost": 0.4}
    return {"dataset": dataset, "root": root, "embeddings": backbone, "vectors": "cells", **small}


@pytest.fixture
def two():
    """One image of two cells, (2, 0) and (0, 4), with 3 and 1 pixels of class 0, which is column 2 of the labels."""
    vectors = np.array([[[2, 0], [0, 4]]], np.float32)
    return Cells(vectors, np.array([[[0, 5, 3], [7, 0, 1]]], np.uint16), np.array([2]))


def test_an_image_is_what_resembles_the_class(two):
    x, y = 2, 4 * np.exp(-8)  # cosines 1 and 0
    expected = np.array([[x, y]]) / np.hypot(x, y)
    np.testing.assert_allclose(two.look(np.array([0]), RIGHT), expected, rtol=1e-6)


def test_while_nothing_is_known_all_cells_count_alike(two):
    np.testing.assert_allclose(two.look(np.array([0]), NOTHING), [[2 / 20**0.5, 4 / 20**0.5]], rtol=1e-6)


def test_a_label_says_which_cells_show_the_class(two):
    np.testing.assert_allclose(two.learn(0, 0, RIGHT), [6 / 52**0.5, 4 / 52**0.5], rtol=1e-6)  # 3 (2, 0) + (0, 4)


def test_an_image_without_the_class_is_learned_as_it_was_seen(two):
    np.testing.assert_array_equal(two.learn(0, None, RIGHT), two.look(np.array([0]), RIGHT)[0])


def test_cells_that_show_nothing_do_no_harm():
    empty = Cells(np.zeros((1, 3, 2), np.float32), np.zeros((1, 3, 1), np.uint16), np.array([0]))
    assert np.isfinite(empty.look(np.array([0]), RIGHT)).all()


def test_what_is_small_is_found():
    """One cell of 200 shows the class: the mean of all hardly does."""
    cells = np.tile(np.array([0, 1], np.float32), (1, 200, 1))
    cells[0, 17] = RIGHT
    image = Cells(cells, np.zeros((1, 200, 1), np.uint16), np.array([0]))
    assert image.look(np.array([0]), NOTHING)[0, 0] < 0.01
    assert image.look(np.array([0]), RIGHT)[0, 0] > 0.99


def test_features_are_those_of_the_cells(kwargs):
    """The cosine to the positives, worked out anew from the masks and the cells."""
    env = gym.make(ID, **kwargs, positives=2).unwrapped
    obs, info = env.reset(seed=1)
    cells, target = env._task.cells, env._task.classes.index(info["target_class"])
    sums = [cells.counts[i, :, cells.columns[target]].astype(float) @ cells.vectors[i] for i in env.labelled[:2]]
    sought = sum(v / np.linalg.norm(v) for v in sums)
    sought /= np.linalg.norm(sought)
    seen = []
    for image in env._images:
        x = cells.vectors[image].astype(float)
        cosines = x @ sought / np.linalg.norm(x, axis=1)
        seen.append(np.exp(8 * cosines) @ x)
        seen[-1] /= np.linalg.norm(seen[-1])
    cosines = np.array(seen) @ sought
    expected = 0.5 + (cosines - cosines.mean()) / 4
    np.testing.assert_allclose(obs["candidates"][:, env.feature_names.index("positive")], expected, atol=1e-5)


@pytest.mark.parametrize("other", [{}, {"observation": "embedding", "positives": 0}, {"observation": "cosine"}])
def test_a_native_batch_equals_single_environments(kwargs, other):
    ours = gym.make_vec(ID, num_envs=3, **kwargs, **other)
    theirs = SyncVectorEnv([lambda: gym.make(ID, **kwargs, **other)] * 3)
    assert data_equivalence(ours.reset(seed=3), theirs.reset(seed=3), exact=True)
    rng, ends = np.random.default_rng(0), 0
    for _ in range(14):
        action = rng.integers(5, size=3)
        step = ours.step(action)
        assert data_equivalence(step, theirs.step(action), exact=True)
        ends += step[2].sum()
    assert ends >= 3


def test_a_snapshot_goes_on_as_the_episode_does(kwargs):
    env, other = (gym.make(ID, **kwargs).unwrapped for _ in range(2))
    env.reset(seed=2)
    for action in (0, 4, 1, 2):
        env.step(action)
    other.set_state(env.get_state())
    assert data_equivalence(other.step(3), env.step(3), exact=True)
    image = gym.make(ID, **{**kwargs, "vectors": "image"}).unwrapped
    with pytest.raises(ValueError, match="vectors"):
        image.set_state(env.get_state())
    assert image.fingerprint()["data"] != env.fingerprint()["data"]


def test_generated_images_have_no_cells():
    with pytest.raises(ValueError, match=r"vectors='cells': the images of dataset='mixture' are generated"):
        gym.make(ID, vectors="cells")
    with pytest.raises(ValueError, match="unknown vectors 'cell'; did you mean 'cells'"):
        gym.make(ID, vectors="cell")
