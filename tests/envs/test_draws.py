"""Keyed draws are the same numbers for ever: a change of one is another environment."""

import gymnasium as gym
import numpy as np
import pytest

import alenv  # noqa: F401  registers the ids
from alenv.envs.mining.draws import _STEP, Draw, _mix, draw

EPISODES = {0: 2937467307694268567, 1: 2360360630558964031}
"""Keys of the first episodes of two seeds, which all other draws of an episode are made of."""


def test_hash_is_splitmix64():
    """First numbers of the generator with seed 1234567, as published with other implementations."""
    published = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert [_mix((1234567 + i * _STEP) % 2**64) for i in range(1, 6)] == published


def test_draws_of_every_stream():
    """First draw, next counter, next attempt."""
    known = {
        Draw.TARGET: [721, 649, 140],
        Draw.POSITIVES: [509, 751, 484],
        Draw.NEGATIVES: [611, 960, 923],
        Draw.CANDIDATES: [682, 231, 970],
    }
    for stream in Draw:
        assert [draw(7, stream, 1000, *place) for place in ((0, 0), (1, 0), (0, 1))] == known[stream]


@pytest.mark.parametrize("seed", EPISODES)
def test_episodes_of_a_seed(seed):
    region = gym.make("RegionSelect-v0", segmenter="lda", picks=2, budget=2, initial="none").unwrapped
    mining = gym.make("SingleClassMine-v0", dataset="mixture:1000").unwrapped
    batch = gym.make_vec("SingleClassMine-v0", num_envs=2, dataset="mixture:1000").unwrapped
    for env in (region, mining, batch):
        env.reset(seed=seed)
    assert region._episode == mining._key == int(batch._key[0]) == EPISODES[seed]
    assert int(batch._key[1]) == int(np.random.default_rng(seed + 1).integers(2**62))
