"""Same seed, same bits; and nothing global is touched."""

import copy
import os
import pickle
import random

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import data_equivalence

from alenv.segmenters.probes.mlp import MlpHead

SEGMENTERS = ("linear", "lda", "mlp")


def rollout(env, actions, seed=None):
    """Take actions, after a reset if a seed is given; returns everything that came back."""
    steps = [env.reset(seed=seed)] if seed is not None else []
    return steps + [env.step(action) for action in actions]


def some_actions(count, seed=0):
    return np.random.default_rng(seed).integers(20, size=count).tolist()


def in_new_process(kwargs, state, actions):
    """Restore a snapshot in this (new) process and go on."""
    env = gym.make("alenv:RegionSelect-v0", **kwargs).unwrapped
    env.set_state(state)
    return rollout(env, actions)


@pytest.fixture
def few_steps(monkeypatch):
    """Steps of ``mlp`` are all alike: a few of them show the same."""
    monkeypatch.setattr(MlpHead, "steps", 15)


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("segmenter", SEGMENTERS)
def test_two_environments_agree_over_a_whole_episode(segmenter):
    scores = ["entropy", "balent", "difficulty_score", "distance"]
    kwargs = {"picks": 5, "budget": 10, "initial": "random:8", "segmenter": segmenter, "scores": scores}
    kwargs["pick_gains"] = segmenter != "mlp"
    first, second = (gym.make("RegionSelect-v0", **kwargs).unwrapped for _ in range(2))
    actions = some_actions(10)  # with 8 regions at the start, the labels more than double
    assert data_equivalence(rollout(first, actions, seed=3), rollout(second, actions, seed=3), exact=True)
    # a second episode on used environments, without a seed, is a pair as well, and another one
    again = [(env.reset(), rollout(env, actions)) for env in (first, second)]
    assert data_equivalence(*again, exact=True)
    assert not data_equivalence(again[0][0], first.reset(seed=3), exact=True)


def test_environments_do_not_disturb_each_other(small):
    actions = some_actions(12)
    alone = rollout(gym.make("RegionSelect-v0", **small).unwrapped, actions, seed=0)
    one, other = (gym.make("RegionSelect-v0", **small).unwrapped for _ in range(2))
    one.reset(seed=0)
    other.reset(seed=1)
    interleaved = []
    for action in actions:
        interleaved.append(one.step(action))
        other.step(0)
    assert data_equivalence(alone[1:], interleaved, exact=True)


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("segmenter", SEGMENTERS)
def test_global_state_is_untouched(small, segmenter):
    env = gym.make("RegionSelect-v0", **small, segmenter=segmenter, pick_gains=segmenter != "mlp").unwrapped
    env.reset(seed=0)
    torch.set_num_threads(2)
    random.seed(1)
    before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # noqa: NPY002
    settings = (torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled(), dict(os.environ))
    rollout(env, some_actions(12), seed=0)
    env.candidate_gains() if not env._over else None
    env.evaluate("test")
    after = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # noqa: NPY002
    assert before == after
    assert settings == (torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled(), dict(os.environ))


def test_results_do_not_depend_on_the_callers_threads(small):
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        env = gym.make("RegionSelect-v0", **small).unwrapped
        results.append(rollout(env, some_actions(12), seed=0))
    torch.set_num_threads(1)
    assert data_equivalence(*results, exact=True)


@pytest.mark.parametrize("segmenter", [*SEGMENTERS[:2], pytest.param("mlp", marks=pytest.mark.slow)])
def test_snapshot_goes_on_in_a_spawned_process(segmenter, other_process):
    """Taken in mid-round; 15 more steps, over two ends of rounds, equal the uninterrupted run bit for bit."""
    kwargs = {
        "picks": 6,
        "budget": 36,
        "segmenter": segmenter,
        "scores": ["margin", "bald"],
        "pick_gains": segmenter != "mlp",
    }
    env = gym.make("RegionSelect-v0", **kwargs).unwrapped
    rollout(env, some_actions(15), seed=5)
    state = env.get_state()
    actions = some_actions(15, seed=1)
    uninterrupted = rollout(env, actions)
    resumed = other_process.apply(in_new_process, (kwargs, state, actions))
    assert data_equivalence(uninterrupted, resumed, exact=True)


def test_snapshot_with_a_fresh_pool(small):
    kwargs = {**small, "fresh_pool": True}
    env = gym.make("RegionSelect-v0", **kwargs).unwrapped
    rollout(env, some_actions(6), seed=5)
    state = env.get_state()
    uninterrupted = rollout(env, some_actions(6, seed=1))
    used = gym.make("RegionSelect-v0", **kwargs).unwrapped
    used.reset(seed=9)
    used.set_state(state)
    assert data_equivalence(uninterrupted, rollout(used, some_actions(6, seed=1)), exact=True)


def test_a_snapshot_is_not_changed_by_going_on(small):
    env = gym.make("RegionSelect-v0", **small).unwrapped
    rollout(env, some_actions(5), seed=0)
    state = env.get_state()
    kept = copy.deepcopy(state)
    first = rollout(env, some_actions(7))
    assert data_equivalence(state, kept, exact=True)
    env.set_state(state)
    assert data_equivalence(first, rollout(env, some_actions(7)), exact=True)
    assert data_equivalence(state, kept, exact=True)


def test_snapshot_restores_the_generator(small):
    env = gym.make("RegionSelect-v0", **small).unwrapped
    env.reset(seed=0)
    state = env.get_state()
    following = env.reset()
    env.set_state(state)
    assert data_equivalence(following, env.reset(), exact=True)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_pickle_and_deepcopy_keep_the_episode(small, duplicate):
    env = gym.make("RegionSelect-v0", **small)
    env.reset(seed=0)
    rollout(env, some_actions(5))
    twin = duplicate(env)
    assert data_equivalence(rollout(env, some_actions(7)), rollout(twin, some_actions(7)), exact=True)
    assert len(pickle.dumps(env)) < 20e6  # neither images nor features


def test_pickle_before_reset(small):
    env = pickle.loads(pickle.dumps(gym.make("RegionSelect-v0", **small)))
    twin = pickle.loads(pickle.dumps(env))
    assert data_equivalence(env.reset(seed=0), twin.reset(seed=0), exact=True)


def test_pickle_after_the_end(small):
    env = gym.make("RegionSelect-v0", **small)
    rollout(env, some_actions(12), seed=0)
    twin = pickle.loads(pickle.dumps(env))
    assert not twin.unwrapped.action_masks().any()
    np.testing.assert_array_equal(twin.unwrapped.evaluate("test"), env.unwrapped.evaluate("test"))


def test_same_seed_same_candidates_for_other_policies(small):
    """Two policies with one seed meet pools that differ by at most as many regions as their labels do."""
    pools = []
    for choose in (0, 7):
        env = gym.make("RegionSelect-v0", **small).unwrapped
        env.reset(seed=0)
        for _ in range(4):
            env.step(choose)
        pools.append([set(env._current.candidates[part].tolist()) for part in env._current._candidates.shown])
    for one, other in zip(*pools, strict=True):
        assert len(one - other) <= 4
    assert pools[0] != pools[1]


def test_observations_are_fresh_arrays(small):
    env = gym.make("RegionSelect-v0", **small, scores=["entropy"]).unwrapped
    obs, info = env.reset(seed=0)
    kept = copy.deepcopy((obs, info))
    for value in obs.values():
        value[...] = 0
    env.step(0)
    twin = gym.make("RegionSelect-v0", **small, scores=["entropy"]).unwrapped
    assert data_equivalence(kept, twin.reset(seed=0), exact=True)
    env.reset(seed=0)
    twin.reset(seed=0)
    assert data_equivalence(env.step(1), twin.step(1), exact=True)


@pytest.mark.parametrize(("mode", "envs", "how"), [("sync", 2, None), ("async", 1, {"context": "spawn"})])
def test_vector_environments_equal_single_ones(small, mode, envs, how):
    vector = gym.make_vec("RegionSelect-v0", envs, mode, vector_kwargs=how, **small)
    single = [gym.make("RegionSelect-v0", **small) for _ in range(envs)]
    obs, _ = vector.reset(seed=[3, 4][:envs])
    for i, env in enumerate(single):
        assert data_equivalence({k: v[i] for k, v in obs.items()}, env.reset(seed=3 + i)[0], exact=True)
    for _ in range(5):
        obs, rewards, _, _, infos = vector.step(np.array([1, 2][:envs]))
        for i, env in enumerate(single):
            expected, reward, _, _, info = env.step(1 + i)
            assert data_equivalence({k: v[i] for k, v in obs.items()}, expected, exact=True)
            assert rewards[i] == reward
            assert infos["miou"][i] == info["miou"]
    vector.close()
