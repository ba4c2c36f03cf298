"""Snapshots of episodes that cannot have been: one sentence with the rule, and the environment stays as it was."""

import copy

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence

import alenv  # noqa: F401  registers the ids

REGIONS = {"picks": 4, "budget": 12, "candidates": 4, "segmenter": "lda", "initial": "none", "pooling": "global"}
MINING = {"dataset": "mixture:1000", "budget": 8, "candidates": 6, "skip": True}


def changed(value, path, new):
    """A copy of nested dicts and sequences with another value at a path."""
    if not path:
        return new
    at, rest = path[0], path[1:]
    if isinstance(value, dict):
        return {**value, at: changed(value[at], rest, new)}
    return [changed(part, rest, new) if i == at else copy.deepcopy(part) for i, part in enumerate(value)]


@pytest.fixture(scope="module")
def regions():
    """In the second round after two picks; of the first round one was illegal."""
    env = gym.make("RegionSelect-v0", **REGIONS).unwrapped
    env.reset(seed=0)
    for action in (5, 5, 7, 9, 3, 8):
        env.step(action)
    return env


@pytest.fixture(scope="module")
def mining():
    """Two images bought, and a look between."""
    env = gym.make("SingleClassMine-v0", **MINING).unwrapped
    env.reset(seed=0)
    for action in (1, 6, 2):
        env.step(action)
    return env


def assert_refused(env, state, message):
    before = env.get_state()
    with pytest.raises(ValueError, match=message):
        env.set_state(state)
    assert data_equivalence(env.get_state(), before, exact=True)


@pytest.mark.parametrize(
    ("path", "new", "message"),
    [
        (("counters",), (1, 3), "nothing is bought without a pick of a round that is over"),
        (("counters",), (3, 13), "budget=12"),
        (("counters",), (0, 6), "a round has 1 to 4 picks"),
        (("counters",), (5, 6), "a round has 1 to 4 picks"),
        (("round", "made"), 4, "a round has 1 to 4 picks|is bought without"),
        (("round", "legal"), (0,), "a legal pick takes one region"),
        (("round", "taken"), (3, 3), "a legal pick takes one region"),
        (("round", "legal"), (1, 0), "picks ascend"),
        (("round", "legal"), (0, 2), "picks ascend"),
        (("round", "taken"), (3, 99), "pick 1 was shown candidates 0 to 15, not 99"),
        (("picked",), (0, 0, 1), r"picked=\[0, 0, 1\]: no labelled region begins there"),
    ],
)
def test_regions(regions, path, new, message):
    assert_refused(regions, changed(regions.get_state(), path, new), message)


def test_a_round_that_is_over_is_not_open(regions):
    state = changed(regions.get_state(), ("round", "made"), 4)
    assert_refused(regions, changed(state, ("counters",), (1, 8)), "this round has 4 picks, and is open")


CASES = [
    (("counters",), (4, 1, 0), "every step buys, looks or wastes"),
    (("counters",), (102, 100, 0), "budget=8"),
    (("last",), (5, False), "the last step bought the last image, or none"),
    (("last",), (-1, True), "an invalid action wastes an image"),
    (("episode", 1), 10**6, "target=1000000: this class cannot be mined here"),
    (("episode", 2, 0), 10**6, "are not the seeds of this episode"),
    (("episode", 2, 3), 10**6, "an image is not in the pool, or is labelled twice"),
    (("episode", 2, 3), None, "an image is not in the pool, or is labelled twice"),
]


@pytest.mark.parametrize(("path", "new", "message"), CASES)
def test_mining(mining, path, new, message):
    state = mining.get_state()
    new = state["episode"][2][2] if new is None else new  # the other image that was bought
    assert_refused(mining, changed(state, path, new), message)
    batch = gym.make_vec("SingleClassMine-v0", num_envs=2, **MINING).unwrapped
    batch.reset(seed=0)
    for action in (1, 6, 2):
        batch.step(np.full(2, action))
    state = batch.get_state()
    if path == ("episode", 2, 3):
        new = state["episodes"][1]["episode"][2][2] if new < 10**6 else new
    assert_refused(batch, changed(state, ("episodes", 1, *path), new), message)


def test_looks_need_skip():
    env = gym.make("SingleClassMine-v0", **MINING | {"skip": False}).unwrapped
    env.reset(seed=0)
    env.step(1)
    assert_refused(env, changed(env.get_state(), ("counters",), (2, 1, 0)), "without skip=True every action buys")


def test_what_can_have_been_is_accepted(regions, mining):
    for env in (regions, mining):
        state = env.get_state()
        env.set_state(
            changed(state, ("round", "made") if env is regions else ("counters", 0), 2 if env is regions else 3)
        )
        assert data_equivalence(env.get_state(), state, exact=True)
