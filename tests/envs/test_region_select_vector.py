"""The native batch equals Gymnasium's batch of single environments, bit for bit."""

import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode

import alenv  # noqa: F401  registers the ids

ID = "RegionSelect-v0"
SMALL = {"segmenter": "lda", "picks": 3, "candidates": 4, "budget": 6}
MODES = ("NextStep", "SameStep")


def batch(envs=3, mode="NextStep", **kwargs):
    return gym.make_vec(ID, num_envs=envs, autoreset_mode=mode, **SMALL | kwargs)


def singles(envs=3, mode="NextStep", **kwargs):
    how = {"vectorization_mode": "sync", "vector_kwargs": {"autoreset_mode": mode}}
    return gym.make_vec(ID, num_envs=envs, **how, **SMALL | kwargs)


def actions(env, steps, seed=0):
    """Random actions, of which many are those of the step before: illegal ones in a global pool."""
    drawn = np.random.default_rng(seed).integers(env.single_action_space.n, size=(steps, env.num_envs))
    drawn[1::3, 1] = drawn[::3, 1][: len(drawn[1::3])]
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
    ours, theirs = batch(mode=mode, **kwargs), singles(mode=mode, **kwargs)
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
    kwargs = {**kwargs, "envs": 2, "budget": 4}
    ours, theirs = batch(**kwargs), singles(**kwargs)
    assert data_equivalence(ours.reset(seed=3), theirs.reset(seed=3), exact=True)
    ends, _ = play_both(ours, theirs, actions(ours, 6))
    assert ends


@pytest.mark.parametrize("mode", MODES)
def test_episodes_that_fall_out_of_step(mode):
    """One repeats itself, so that its pool lasts longer than the others'; the images are few."""
    kwargs = {"region": "image", "picks": 24, "candidates": 5, "budget": 200, "pooling": "global"}
    ours, theirs = batch(2, mode, **kwargs), singles(2, mode, **kwargs)
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


def test_disabled_autoreset_is_the_callers():
    ours, theirs = (make(3, "Disabled", budget=3) for make in (batch, singles))
    ours.reset(seed=0), theirs.reset(seed=0)
    assert play_both(ours, theirs, actions(ours, 3))[0] == 3
    with pytest.raises(gym.error.ResetNeeded, match=r"episodes \[0, 1, 2\] are over"):
        ours.step(np.zeros(3, int))
    mask = np.array([True, False, True])
    again = [env.reset(seed=[7, None, 8], options={"reset_mask": mask.copy()}) for env in (ours, theirs)]
    assert data_equivalence(*again, exact=True)
    named = [env.reset(options={"reset_mask": ~mask, "initial_images": [0]}) for env in (ours, theirs)]
    assert data_equivalence(*named, exact=True)
    play_both(ours, theirs, actions(ours, 2))
    again = [env.reset(seed=9, options={"reset_mask": mask.copy()}) for env in (ours, theirs)]
    assert data_equivalence(*again, exact=True)
    assert data_equivalence(ours.step(np.ones(3, int)), theirs.step(np.ones(3, int)), exact=True)
    assert data_equivalence(ours.reset(), theirs.reset(), exact=True)


@pytest.mark.parametrize("mode", MODES)
def test_snapshots_and_pickles_go_on(mode):
    env = batch(mode=mode)
    env.reset(seed=2)
    taken = actions(env, 14)
    for action in taken[:8]:
        env.step(action)
    copies = [pickle.loads(pickle.dumps(env)), batch(mode=mode)]
    copies[1].set_state(env.get_state())
    for action in taken[8:]:
        step = env.step(action)
        for copy in copies:
            assert data_equivalence(step, copy.step(action), exact=True)
    assert [copy.np_random_seed for copy in copies] == [env.np_random_seed] * 2
    copies[1].np_random[0].random()  # of the batch and its episodes alike
    assert copies[1].get_state()["episodes"][0]["np_random"] != env.get_state()["episodes"][0]["np_random"]
    one = gym.make(ID, **SMALL).unwrapped
    state = env.get_state()
    one.set_state(state["episodes"][1] | {"arguments": state["arguments"], "data": state["data"]})
    np.testing.assert_array_equal(one.action_masks(), env.action_masks()[1])
    with pytest.raises(ValueError, match="the snapshot is of 3 environments, this batch has 2"):
        batch(2, mode).set_state(state)


def test_refused_snapshots_and_resets_change_nothing():
    env = batch(2)
    env.reset(seed=0)
    env.step(np.zeros(2, int))
    before = env.get_state()
    second = {**before["episodes"][1], "counters": (0, 9)}
    with pytest.raises(ValueError, match="the snapshot contradicts itself"):
        env.set_state({**before, "episodes": [before["episodes"][0], second]})
    for seed, options, message in [
        ([1], None, "a list of 1, but num_envs=2"),
        (0, {"initial_image": [0]}, "did you mean 'initial_images'"),
        (0, {"initial_images": ["nobody"]}, "unknown initial image"),
        (0, {"reset_mask": np.zeros(2, bool)}, "at least one True"),
    ]:
        with pytest.raises(ValueError, match=message):
            env.reset(seed=seed, options=options)
    assert data_equivalence(env.get_state(), before, exact=True)


def test_returned_arrays_are_the_callers():
    env, other = batch(2), batch(2)
    for step in range(5):
        returned = [one.step(np.ones(2, int)) if step else one.reset(seed=0) for one in (env, other)]
        assert data_equivalence(*returned, exact=True)
        for array in (*returned[0][0].values(), *returned[0][-1].values()):
            array.fill(1)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"envs": 0}, "num_envs=0: expected an integer of at least 1"),
        ({"envs": 10**9}, "num_envs=1000000000 would need"),
        ({"mode": "NextStp"}, "unknown autoreset_mode 'NextStp'; did you mean 'NextStep'"),
        ({"segmenter": "tiny"}, 'no native batch; use gym.make_vec.*, vectorization_mode="sync"'),
        ({"segmenter": "ldo"}, "unknown segmenter 'ldo'; did you mean 'lda'"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        batch(**kwargs)


def test_episodes_with_images_of_their_own_that_would_not_fit(monkeypatch):
    env = batch(8, fresh_pool=True)
    monkeypatch.setattr("alenv.memory.installed", lambda: 2**30)
    with pytest.raises(ValueError, match=r"num_envs=8 would need 1.4 GiB of memory.* use at most 5"):
        env.reset(seed=0)
    assert batch(8).reset(seed=0)


def test_before_reset():
    with pytest.raises(gym.error.ResetNeeded):
        batch().step(np.zeros(3, int))
    assert batch(mode=AutoresetMode.SAME_STEP).metadata["autoreset_mode"] is AutoresetMode.SAME_STEP


def test_a_batch_that_was_asked_for_its_fingerprint_resets():
    env = batch()
    assert env.fingerprint() == batch().unwrapped.call("fingerprint")[2]
    assert data_equivalence(env.reset(seed=3), batch().reset(seed=3), exact=True)
