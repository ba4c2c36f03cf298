"""The native batch equals Gymnasium's batch of single environments, bit for bit."""

import gymnasium as gym
import numpy as np
import pytest
from batches import MODES, REGIONS, actions, native, play_both, sync
from gymnasium.utils.env_checker import data_equivalence

ID = "RegionSelect-v0"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "kwargs",
    [
        {"pooling": "global", "pick_gains": True},
        {"segmenter": "linear", "scores": ["entropy", "distance"], "pool": "eval", "pooling": "per_image"},
    ],
    ids=["lda", "linear"],
)
def test_equals_single_environments_over_several_episodes(mode, kwargs):
    ours, theirs = native(REGIONS, mode, **kwargs), sync(REGIONS, mode, **kwargs)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert data_equivalence(ours.reset(seed=3), theirs.reset(seed=3), exact=True)
    ends, illegal = play_both(ours, theirs, actions(ours, 14))
    assert ends >= 3
    assert illegal or kwargs.get("pooling") != "global"
    assert data_equivalence(ours.reset(), theirs.reset(), exact=True)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"observation": "ralis", "reward": "balanced"},
        {"region": "pixel", "initial": "random:50", "scores": ["bald"], "passes": 3},
        pytest.param({"segmenter": "mlp"}, marks=pytest.mark.slow),
        pytest.param({"fresh_pool": True}, marks=pytest.mark.slow),
    ],
    ids=lambda kwargs: next(iter(kwargs)),
)
def test_equals_single_environments_with_other_arguments(kwargs):
    ours, theirs = native(REGIONS, envs=2, **kwargs), sync(REGIONS, envs=2, **kwargs)
    assert data_equivalence(ours.reset(seed=3), theirs.reset(seed=3), exact=True)
    ends, _ = play_both(ours, theirs, actions(ours, 6))
    assert ends


@pytest.mark.parametrize("mode", MODES)
def test_episodes_that_fall_out_of_step(mode):
    """One repeats itself, so that its pool lasts longer than the others'; the images are few."""
    kwargs = {"region": "image", "picks": 24, "candidates": 5, "budget": 200, "pooling": "global"}
    ours, theirs = native(REGIONS, mode, 2, **kwargs), sync(REGIONS, mode, 2, **kwargs)
    obs = ours.reset(seed=0)[0]
    assert data_equivalence(obs, theirs.reset(seed=0)[0], exact=True)
    ended = np.zeros(2, bool)
    for step in range(130):
        action = obs["action_mask"].argmax(1)
        action[0] = 0 if step < 12 else action[0]
        ours_now, theirs_now = ours.step(action), theirs.step(action)
        assert data_equivalence(ours_now, theirs_now, exact=True)
        obs, ended = ours_now[0], ended | ours_now[2]
    assert ended.tolist() == [False, True]


def test_default_size_and_budget():
    """More episodes than are scored in one product, and the default arguments for two rounds."""
    ours = gym.make_vec(ID, num_envs=34, segmenter="lda")
    theirs = [gym.make(ID, segmenter="lda") for _ in (0, 33)]
    obs, _ = ours.reset(seed=5)
    for i, env in zip((0, 33), theirs, strict=True):
        assert data_equivalence({k: v[i] for k, v in obs.items()}, env.reset(seed=5 + i)[0], exact=True)
    for action in actions(ours, 49):
        obs, rewards, _, _, infos = ours.step(action)
        for i, env in zip((0, 33), theirs, strict=True):
            expected, reward, _, _, info = env.step(action[i])
            assert data_equivalence({k: v[i] for k, v in obs.items()}, expected, exact=True)
            assert (rewards[i], infos["miou"][i]) == (reward, info["miou"])


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"segmenter": "tiny"}, 'no native batch; use gym.make_vec.*, vectorization_mode="sync"'),
        ({"segmenter": "ldo"}, "unknown segmenter 'ldo'; did you mean 'lda'"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        native(REGIONS, **kwargs)


def test_episodes_with_images_of_their_own_that_would_not_fit(monkeypatch):
    env = native(REGIONS, envs=8, fresh_pool=True)
    monkeypatch.setattr("alenv.memory.installed", lambda: 2**30)
    with pytest.raises(ValueError, match=r"num_envs=8 would need 1.4 GiB of memory.* use at most 5"):
        env.reset(seed=0)
    assert native(REGIONS, envs=8).reset(seed=0)


def test_a_batch_that_was_asked_for_its_fingerprint_resets():
    env = native(REGIONS)
    assert env.fingerprint() == native(REGIONS).unwrapped.call("fingerprint")[2]
    assert data_equivalence(env.reset(seed=3), native(REGIONS).reset(seed=3), exact=True)
