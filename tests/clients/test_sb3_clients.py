"""Stable-Baselines3 and sb3-contrib as they come, on ids of both kinds and on the native batch."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from sb3_contrib import QRDQN, MaskablePPO
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    VecVideoRecorder,
)

from agents.sb3_vec import NativeVecEnv

ID = "SingleClassMine-v0"
SMALL = {"dataset": "mixture:1000", "budget": 6, "candidates": 5, "skip": True}
OFF = {"learning_starts": 10, "buffer_size": 100, "batch_size": 8}
ON = {"n_steps": 8, "batch_size": 8}
ALGORITHMS = {DQN: OFF, QRDQN: OFF, PPO: ON, A2C: {"n_steps": 8}, MaskablePPO: ON}


def batch(envs=4, **kwargs):
    return NativeVecEnv(ID, envs, **SMALL | kwargs)


def dummy(envs=4, **kwargs):
    return DummyVecEnv([lambda: gym.make(ID, **SMALL | kwargs)] * envs)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_algorithms_learn_on_both_kinds_of_ids(algorithm, plain, flat):
    """A model trains, and what it predicts for one observation is taken by ``step``."""
    for policy, (env_id, kwargs) in {"MultiInputPolicy": plain, "MlpPolicy": flat}.items():
        model = algorithm(policy, gym.make(env_id, **kwargs), **ALGORITHMS[algorithm], seed=0, device="cpu")
        model.learn(16)
        env = gym.make(env_id, **kwargs)
        action, _ = model.predict(env.reset(seed=0)[0])
        assert action.shape == ()
        env.step(action)


def test_make_vec_env_and_its_wrappers(plain, flat):
    """``make_vec_env`` asks every environment for ``rgb_array``."""
    for env_id, kwargs in (plain, flat):
        env = make_vec_env(env_id, n_envs=2, seed=0, env_kwargs=kwargs)
        assert is_masking_supported(env)
        wrapped = VecNormalize(VecFrameStack(env, 2)) if env_id == flat[0] else VecNormalize(env, norm_obs=False)
        wrapped.reset()
        wrapped.step(np.zeros(2, int))
        assert get_action_masks(env).shape == (2, env.action_space.n)
        assert env.render(mode="rgb_array").dtype == np.uint8
        env.close()


@pytest.mark.parametrize("make", [dummy, batch])
def test_videos(make, tmp_path):
    pytest.importorskip("moviepy", reason="VecVideoRecorder writes with moviepy")
    env = VecVideoRecorder(make(render_mode="rgb_array"), str(tmp_path), lambda step: step == 0, video_length=3)
    env.reset()
    for _ in range(4):
        env.step(np.zeros(4, int))
    env.close()
    assert list(tmp_path.glob("*.mp4"))


@pytest.mark.slow
def test_processes(plain, flat):
    for env_id, kwargs in (plain, flat):
        envs = [
            make_vec_env(f"alenv:{env_id}", 2, seed=3, env_kwargs=kwargs, vec_env_cls=kind, vec_env_kwargs=how)
            for kind, how in ((SubprocVecEnv, {"start_method": "spawn"}), (DummyVecEnv, {}))
        ]
        for obs in (env.reset() for env in envs), (env.step(np.ones(2, int))[0] for env in envs):
            assert data_equivalence(*(dict(o) if isinstance(o, dict) else o for o in obs), exact=True)
        assert data_equivalence(*(get_action_masks(env) for env in envs), exact=True)
        for env in envs:
            env.close()


def test_the_native_batch_equals_single_environments():
    ours, theirs = batch(), dummy()
    for env in (ours, theirs):
        env.seed(3)
        env.set_options({"target_class": "class_07"})
    assert data_equivalence(dict(ours.reset()), dict(theirs.reset()), exact=True)
    assert set(ours.get_attr("labelled")[0]) == set(theirs.get_attr("labelled")[0])
    ends = 0
    for action in np.random.default_rng(0).integers(6, size=(25, 4)):
        (obs, *step), (as_well, *same) = ours.step(action), theirs.step(action)
        assert data_equivalence(dict(obs), dict(as_well), exact=True)
        assert data_equivalence(step, same, exact=True)
        assert data_equivalence(ours.reset_infos, theirs.reset_infos, exact=True)
        assert data_equivalence(ours.env_method("action_masks"), theirs.env_method("action_masks"), exact=True)
        ends += sum("terminal_observation" in info for info in step[-1])
    assert ends > 8
    assert data_equivalence(dict(ours.reset()), dict(theirs.reset()), exact=True)


def test_the_native_batch_is_asked_and_shown():
    ours, theirs = batch(render_mode="rgb_array"), dummy(render_mode="rgb_array")
    assert is_masking_supported(ours)
    assert ours.metadata == theirs.metadata
    assert not ours.has_attr("no_such_thing")
    assert ours.env_is_wrapped(gym.Wrapper, indices=[0, 1]) == [False, False]
    for env in (ours, theirs):
        env.seed(0)
        env.reset()
    np.testing.assert_array_equal(ours.render(), theirs.render())
    assert data_equivalence(
        ours.env_method("candidate_gains", indices=2), theirs.env_method("candidate_gains", indices=2)
    )
    ours.set_attr("mark", 1)
    assert ours.has_attr("mark")
    assert ours.get_attr("mark", indices=[0, 3]) == [1, 1]
    with pytest.raises(ValueError, match="set in all environments"):
        ours.set_attr("mark", 2, indices=[0])
    ours.set_options([{"target_class": "class_07"}, {}, {}, {}])
    with pytest.raises(ValueError, match="the same options for all environments"):
        ours.reset()


@pytest.mark.parametrize("algorithm", [PPO, MaskablePPO])
def test_on_policy_algorithms_train_on_the_native_batch(algorithm):
    env = VecMonitor(batch(32))
    model = algorithm("MultiInputPolicy", env, n_steps=8, batch_size=64, seed=0, device="cpu")
    model.learn(512)
    assert len(model.ep_info_buffer) > 30
    assert np.isfinite([episode["r"] for episode in model.ep_info_buffer]).all()
