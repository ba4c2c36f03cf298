"""Native batches, and Gymnasium's batches of single environments, which say what is right."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence

import alenv  # noqa: F401  registers the ids

MINING = ("SingleClassMine-v0", {"dataset": "mixture:1000", "budget": 6, "candidates": 5, "skip": True})
REGIONS = ("RegionSelect-v0", {"segmenter": "lda", "picks": 2, "budget": 4, "candidates": 6})
BOTH = pytest.mark.parametrize("case", [MINING, REGIONS], ids=["mining", "regions"])
MODES = ("NextStep", "SameStep")


def native(case, mode="NextStep", envs=3, **kwargs):
    return gym.make_vec(case[0], num_envs=envs, autoreset_mode=mode, **case[1] | kwargs)


def sync(case, mode="NextStep", envs=3, **kwargs):
    how = {"vectorization_mode": "sync", "vector_kwargs": {"autoreset_mode": mode}}
    return gym.make_vec(case[0], num_envs=envs, **how, **case[1] | kwargs)


def actions(env, steps, seed=0):
    """Random actions, of which many are the last one, a look, and many that of the step before, illegal if shared."""
    rng, count = np.random.default_rng(seed), env.single_action_space.n
    drawn = rng.integers(count, size=(steps, env.num_envs))
    drawn[rng.random(drawn.shape) < 0.3] = count - 1
    drawn[1::3, -1] = drawn[::3, -1][: len(drawn[1::3])]
    return drawn


def play_both(ours, theirs, taken):
    """Play the same actions in two batches, which must be equal; return how many episodes ended, and illegal picks."""
    ends = illegal = 0
    for action in taken:
        step = ours.step(action)
        assert data_equivalence(step, theirs.step(action), exact=True)
        assert ours.observation_space.contains(step[0])
        ends, illegal = ends + step[2].sum(), illegal + step[4]["invalid_action"].sum()
    return ends, illegal
