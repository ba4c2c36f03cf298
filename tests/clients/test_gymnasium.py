"""Gymnasium's wrappers on single environments."""

import gymnasium as gym
import gymnasium.wrappers as wrappers
import numpy as np
import pytest

WRAPPERS = {
    "FlattenObservation": wrappers.FlattenObservation,
    "FilterObservation": lambda env: wrappers.FilterObservation(env, ["candidates", "action_mask"]),
    "FrameStackObservation": lambda env: wrappers.FrameStackObservation(env, 3),
    "TimeAwareObservation": lambda env: wrappers.TimeAwareObservation(wrappers.TimeLimit(env, 10)),
    "DelayObservation": lambda env: wrappers.DelayObservation(env, 1),
    "StickyAction": lambda env: wrappers.StickyAction(env, 0.3),
    "ClipReward": lambda env: wrappers.ClipReward(env, -1, 1),
    "NormalizeReward": wrappers.NormalizeReward,
    "RecordEpisodeStatistics": wrappers.RecordEpisodeStatistics,
    "Autoreset": wrappers.Autoreset,
    "TimeLimit": lambda env: wrappers.TimeLimit(env, 3),
    "AddRenderObservation": lambda env: wrappers.AddRenderObservation(env, render_only=False, render_key="picture"),
    "RenderCollection": wrappers.RenderCollection,
}
ON_VECTORS = {
    "NormalizeObservation": wrappers.NormalizeObservation,
    "DtypeObservation": lambda env: wrappers.DtypeObservation(env, np.float64),
    "RescaleObservation": lambda env: wrappers.RescaleObservation(env, np.float32(-1), np.float32(1)),
    "ReshapeObservation": lambda env: wrappers.ReshapeObservation(env, (1, *env.observation_space.shape)),
    "FrameStackObservation": lambda env: wrappers.FrameStackObservation(env, 3),
    "AddRenderObservation": wrappers.AddRenderObservation,
}


def play(env):
    """An episode; returns the last step."""
    obs, _ = env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(20):
        assert env.observation_space.contains(obs)
        obs, _, terminated, truncated, info = env.step(env.action_space.sample())
        if terminated or truncated:
            return obs, info
    raise AssertionError("no end")


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrappers_of_dict_observations(name, plain):
    env_id, kwargs = plain
    play(WRAPPERS[name](gym.make(env_id, render_mode="rgb_array", **kwargs)))


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("name", ON_VECTORS)
def test_wrappers_of_vectors(name, flat):
    """Most of these refuse dicts: that is what flat ids are for."""
    env_id, kwargs = flat
    play(ON_VECTORS[name](gym.make(env_id, render_mode="rgb_array", **kwargs)))


def test_videos(plain, tmp_path):
    pytest.importorskip("moviepy", reason="RecordVideo writes with moviepy")
    env_id, kwargs = plain
    env = wrappers.RecordVideo(gym.make(env_id, render_mode="rgb_array", **kwargs), str(tmp_path / "videos"))
    play(env)
    env.close()
    assert list(tmp_path.glob("videos/*.mp4"))


@pytest.mark.filterwarnings("ignore:.*You are trying to use 'human' rendering")
def test_a_window(plain, monkeypatch):
    pytest.importorskip("pygame", reason="HumanRendering draws with pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env_id, kwargs = plain
    env = gym.make(env_id, render_mode="human", **kwargs)
    play(env)
    env.close()
