"""The native batch equals Gymnasium's batch of single environments, bit for bit."""

import gymnasium as gym
import numpy as np
import pytest
from batches import MINING, MODES, actions, native, play_both, sync
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

ID = "SingleClassMine-v0"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "kwargs",
    [
        {"skip": False},
        {"observation": "cosine", "gain": "saturating", "skip": False},
        {"observation": "embedding", "look_cost": 0.3, "gain": "presence"},
        {"look_cost": 0.4, "positives": 2, "negatives": 0, "pool": "eval", "classes": "heldout"},
        {"positives": 0, "negatives": 3, "candidates": 2},
    ],
)
def test_equals_single_environments_over_several_episodes(mode, kwargs):
    ours, theirs = native(MINING, mode, 5, **kwargs), sync(MINING, mode, 5, **kwargs)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert data_equivalence(ours.reset(seed=3), theirs.reset(seed=3), exact=True)
    assert play_both(ours, theirs, actions(ours, 30))[0] >= 10
    assert data_equivalence(ours.reset(), theirs.reset(), exact=True)


@given(st.integers(0, 2**31), st.integers(1, 4), st.integers(2, 12), st.sampled_from(MODES), st.booleans())
@settings(max_examples=12, deadline=None)
def test_equals_single_environments_at_any_size(seed, envs, candidates, mode, skip):
    kwargs = {"candidates": candidates, "skip": skip}
    ours, theirs = native(MINING, mode, envs, **kwargs), sync(MINING, mode, envs, **kwargs)
    assert data_equivalence(ours.reset(seed=seed), theirs.reset(seed=seed), exact=True)
    play_both(ours, theirs, actions(ours, 9, seed))


def test_default_size_and_budget():
    """A full episode with the default arguments, more episodes than a chunk holds."""
    ours, theirs = gym.make_vec(ID, num_envs=70), SyncVectorEnv([lambda: gym.make(ID)] * 70)
    assert data_equivalence(ours.reset(seed=0), theirs.reset(seed=0), exact=True)
    for action in np.random.default_rng(0).integers(20, size=(52, 70)):
        last = ours.step(action), theirs.step(action)
        assert data_equivalence(*last, exact=True)


@pytest.mark.parametrize("observation", ["cosine", "relational", "embedding"])
@pytest.mark.parametrize("candidates", [20, 5000])
def test_refused_batches_would_not_fit(monkeypatch, observation, candidates):
    """The number that is offered instead holds at least what a step returns, and is not far below what fits."""
    monkeypatch.setattr("alenv.memory.installed", lambda: 2**30)
    kwargs = {"dataset": "mixture:20000", "candidates": candidates, "observation": observation}
    with pytest.raises(ValueError, match="num_envs=1000000 would need") as caught:
        gym.make_vec(ID, num_envs=10**6, **kwargs)
    most = int(str(caught.value).rpartition(" ")[2].replace(",", ""))
    env = gym.make_vec(ID, num_envs=most, **kwargs)
    returned = sum(space.dtype.itemsize * np.prod(space.shape) for space in env.observation_space.spaces.values())
    assert 2**30 / 200 < returned < 2**30
