"""What comes from outside is refused in a sentence of our own, and then nothing has changed; or it plays on."""

import copy
from functools import cache

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import data_equivalence
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hostile.environments import (
    SMALL,
    hostile_arguments,
    hostile_options,
    hostile_snapshots,
    wrong,
    wrong_snapshot,
)

every = pytest.mark.parametrize("env_id", SMALL)
few = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@cache
def started(env_id):
    """One environment of each kind, in mid-episode."""
    env = gym.make(env_id, **SMALL[env_id]).unwrapped
    env.reset(seed=0)
    for _ in range(4):
        env.step(1)
    return env


@every
@few
@given(st.data())
def test_arguments(env_id, data):
    """Of the class: ``gym.make`` itself reads ``render_mode`` before the environment can."""
    chosen = {**SMALL[env_id], **data.draw(hostile_arguments(env_id))}
    assert not wrong(lambda: type(started(env_id))(**chosen))


@every
@few
@given(st.data())
def test_options(env_id, data):
    env = started(env_id)
    options, before = data.draw(hostile_options(env_id)), copy.deepcopy(env.get_state())
    accepted = []
    assert not wrong(lambda: accepted.append(env.reset(seed=3, options=options)))
    assert accepted or data_equivalence(before, env.get_state(), exact=True)


@every
def test_snapshots(env_id):
    env = started(env_id)
    every_seventh = list(hostile_snapshots(env.get_state()))[:: 7 if env_id.startswith("Single") else 23]
    assert not [(path, said) for path, state in every_seventh if (said := wrong_snapshot(env, state))]
