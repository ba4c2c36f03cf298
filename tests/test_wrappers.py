"""JointPools: a round as one step is the same episode. The adapters: what other libraries expect."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import alenv  # noqa: F401  registers the ids
from alenv.wrappers import JointPools, RllibObs, TianshouObs

SMALL = {"picks": 4, "budget": 10, "candidates": 5}


def make(**kwargs):
    return gym.make("RegionSelect-v0", **SMALL | kwargs)


@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version")
@pytest.mark.parametrize("observation", ["compact", "ralis"])
def test_checker_finds_nothing(observation):
    check_env(JointPools(make(observation=observation, scores=["entropy", "bald"])), skip_render_check=True)


def test_a_round_in_one_step_equals_its_picks():
    joint, single = JointPools(make(scores=["margin"])), make(scores=["margin"])
    obs, first = joint.reset(seed=3)
    shown, again = single.reset(seed=3)
    assert first["miou"] == again["miou"]
    rng, over, rounds = np.random.default_rng(0), False, 0
    while not over:
        assert joint.observation_space.contains(obs)
        choices = rng.integers(5, size=4)
        there = obs["action_mask"].any(1)
        for pool in np.flatnonzero(there):
            for name in ("scores", "action_mask"):
                np.testing.assert_array_equal(obs[name][pool], shown[name])
            np.testing.assert_array_equal(obs["candidates"][pool, :, :-1], shown["candidates"][:, :-1])
            shown, reward, ended, _, last = single.step(choices[pool])
        obs, total, over, _, info = joint.step(choices)
        assert (total, over) == (reward, ended)
        assert info["labelled_regions"] == last["labelled_regions"]
        np.testing.assert_array_equal(obs["state"], shown["state"])
        rounds += 1
    assert rounds == 3
    assert info["labelled_regions"] == 10


def test_pools_past_the_budget_are_masked():
    env = JointPools(make())
    env.reset(seed=0)
    for _ in range(2):
        obs, *_ = env.step(np.zeros(4, int))
    assert obs["action_mask"].any(1).tolist() == [True, True, False, False]
    assert env.action_masks().sum() == 10
    _, _, over, _, info = env.step(np.zeros(4, int))
    assert over
    assert not info["invalid_action"]
    with pytest.raises(gym.error.ResetNeeded):
        env.step(np.zeros(4, int))


@pytest.mark.parametrize("action", [[0, 0], [0, 0, 0, 5], 3, [0.0] * 4, [True] * 4])
def test_bad_actions_are_errors(action):
    env = JointPools(make())
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"expected 4 integers, one of each pool|is not one of 0\.\."):
        env.step(action)


def test_one_pool_for_all_picks_is_refused():
    with pytest.raises(ValueError, match="use another pooling than 'global'"):
        JointPools(make(pooling="global"))


@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version")
@pytest.mark.parametrize("adapter", [TianshouObs, RllibObs])
@pytest.mark.parametrize("kwargs", [{}, {"scores": ["entropy"]}, {"pooling": "global"}])
def test_checker_accepts_the_adapters(adapter, kwargs):
    env = adapter(make(**kwargs))
    check_env(env, skip_render_check=True)
    assert gym.make(env.spec).observation_space == env.observation_space


def test_adapters_show_what_the_environment_shows():
    plain, tianshou, rllib = (
        make(pooling="global"),
        TianshouObs(make(pooling="global")),
        RllibObs(make(pooling="global")),
    )
    shown, for_tianshou, for_rllib = (env.reset(seed=2)[0] for env in (plain, tianshou, rllib))
    for _ in range(3):
        mask = shown["action_mask"]
        assert for_tianshou["mask"].dtype == bool
        np.testing.assert_array_equal(for_tianshou["mask"], mask == 1)
        np.testing.assert_array_equal(for_rllib["action_mask"], mask)
        assert for_rllib["action_mask"].dtype == for_rllib["observations"].dtype == np.float32
        for name, array in shown.items():
            np.testing.assert_array_equal(for_tianshou["obs"][name], array)
        flat = np.concatenate([shown["candidates"].ravel(), shown["state"]])
        np.testing.assert_array_equal(for_rllib["observations"], flat)
        shown, for_tianshou, for_rllib = (env.step(int(mask.argmax()))[0] for env in (plain, tianshou, rllib))
    assert (shown["action_mask"] == 0).sum() == 3
