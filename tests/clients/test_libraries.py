"""Heavier libraries as they come; each is skipped where it is not installed."""

import os
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import pytest

pytestmark = pytest.mark.slow
ROOT = str(Path(__file__).resolve().parents[2])


def test_rl_zoo3_from_its_command_line(flat, tmp_path):
    pytest.importorskip("rl_zoo3", reason="rl_zoo3 is not installed; see the extra 'examples'")
    short = ["-n", "64", "-params", "n_steps:64", "--eval-freq", "-1", "-f", str(tmp_path)]
    command = ["-m", "rl_zoo3.train", "--algo", "ppo", "--env", flat[0], "--gym-packages", "alenv", *short]
    path = os.pathsep.join([ROOT, os.environ.get("PYTHONPATH", "")])
    subprocess.run([sys.executable, *command], check=True, env={**os.environ, "PYTHONPATH": path})
    assert list(tmp_path.glob(f"ppo/{flat[0]}_1/*.zip"))


def test_torchrl_checks_single_environments(plain):
    envs = pytest.importorskip("torchrl.envs", reason="torchrl is not installed; see the extra 'examples'")
    env_id, kwargs = plain
    env = envs.TransformedEnv(envs.GymEnv(env_id, **kwargs), envs.ActionMask())
    envs.check_env_specs(env)
    frames = env.rollout(12, break_when_any_done=False)
    assert frames["action_mask"].gather(-1, frames["action"].argmax(-1, keepdim=True)).all()


def test_torchrl_checks_the_native_batch():
    """It resets the environments itself; in ``SameStep`` it cannot store the strings in infos, whatever the batch."""
    envs = pytest.importorskip("torchrl.envs", reason="torchrl is not installed; see the extra 'examples'")
    kwargs = {"dataset": "mixture:1000", "budget": 6, "candidates": 5, "skip": True, "autoreset_mode": "Disabled"}
    batch = gym.make_vec("SingleClassMine-v0", num_envs=4, **kwargs)
    env = envs.TransformedEnv(envs.GymWrapper(batch), envs.ActionMask())
    envs.check_env_specs(env)
    frames = env.rollout(20, break_when_any_done=False)
    assert frames["action_mask"].gather(-1, frames["action"].argmax(-1, keepdim=True)).all()
    assert not frames["action_mask"].all()
    assert frames["next", "done"].sum() >= 8


def test_d3rlpy_learns_online_and_offline(flat):
    d3rlpy = pytest.importorskip("d3rlpy", reason="d3rlpy is not installed: it brings the old gym along")
    env_id, kwargs = flat
    env, quiet = gym.make(env_id, **kwargs), {"logger_adapter": d3rlpy.logging.NoopAdapterFactory()}
    replay = d3rlpy.dataset.create_fifo_replay_buffer(limit=100, env=env)
    online = d3rlpy.algos.DQNConfig(batch_size=8).create(device="cpu")
    online.fit_online(env, replay, n_steps=60, update_start_step=20, n_steps_per_epoch=60, show_progress=False, **quiet)
    offline = d3rlpy.algos.DiscreteCQLConfig(batch_size=8).create(device="cpu")
    offline.fit(replay, n_steps=10, n_steps_per_epoch=10, show_progress=False, **quiet)
    assert env.action_space.contains(int(offline.predict(env.reset(seed=0)[0][None])[0]))
