"""Flat ids are the same episodes, as vectors of which the mask is the end."""

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env, data_equivalence
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported

from alenv.registration import FLAT


def test_every_id_but_the_largest_has_a_flat_one():
    assert {gym.spec(plain).id for plain in FLAT.values()} == {
        "RegionSelect-v0", "RegionSelect-CamVid-v0", "RegionSelect-CamVid-v1", "SingleClassMine-v0"
    }  # fmt: skip
    for env_id, plain in FLAT.items():
        assert gym.spec(env_id).kwargs == gym.spec(plain).kwargs
        assert gym.make(f"alenv:{env_id}").observation_space.shape[0] > 100


def test_the_vector_is_the_observation_and_ends_in_the_mask(flat):
    env_id, kwargs = flat
    env, same = gym.make(env_id, **kwargs), gym.make(FLAT[env_id], **kwargs)
    obs, _ = env.reset(seed=3)
    shown, _ = same.reset(seed=3)
    over = False
    while not over:
        assert obs.dtype == np.float32
        assert env.observation_space.contains(obs)
        parts = [shown[name].ravel() for name in ("candidates", "state", "action_mask")]
        np.testing.assert_array_equal(obs, np.concatenate(parts))
        mask = obs[-env.action_space.n :] == 1
        for masks in (get_action_masks(env), env.unwrapped.action_masks()):
            np.testing.assert_array_equal(masks, mask)
        action = int(np.flatnonzero(mask)[-1])
        obs, reward, over, _, _ = env.step(action)
        shown, as_well, *_ = same.step(action)
        assert reward == as_well
    assert is_masking_supported(env)


def test_scores_come_before_the_mask():
    kwargs = {"segmenter": "lda", "picks": 3, "candidates": 5, "budget": 6, "scores": ["entropy", "margin"]}
    obs, _ = gym.make("RegionSelect-Flat-v0", **kwargs).reset(seed=0)
    shown, _ = gym.make("RegionSelect-v0", **kwargs).reset(seed=0)
    parts = [shown[name].ravel() for name in ("candidates", "scores", "state", "action_mask")]
    np.testing.assert_array_equal(obs, np.concatenate(parts))


@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version")
def test_contracts(flat):
    env_id, kwargs = flat
    env = gym.make(env_id, **kwargs)
    check_env(env, skip_render_check=True)
    env.reset(seed=0)
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert again.spec == env.spec
    assert data_equivalence(again.reset(seed=5), env.reset(seed=5), exact=True)
    for twin in (pickle.loads(pickle.dumps(env)), copy.deepcopy(env)):
        assert data_equivalence(twin.step(1), copy.deepcopy(env).step(1), exact=True)


def test_batches(flat):
    env_id, kwargs = flat
    sync = gym.make_vec(env_id, num_envs=2, **kwargs)
    one = gym.make(env_id, **kwargs)
    obs, _ = sync.reset(seed=4)
    np.testing.assert_array_equal(obs[1], one.reset(seed=5)[0])


@pytest.mark.slow
def test_batches_of_processes(flat):
    env_id, kwargs = flat
    several = gym.make_vec(
        f"alenv:{env_id}", num_envs=2, vectorization_mode="async", vector_kwargs={"context": "spawn"}, **kwargs
    )
    try:
        assert data_equivalence(several.reset(seed=4), gym.make_vec(env_id, num_envs=2, **kwargs).reset(seed=4))
    finally:
        several.close()
