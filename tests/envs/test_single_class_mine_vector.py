"""The native batch equals Gymnasium's batch of single environments, bit for bit."""

import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

import alenv  # noqa: F401  registers the ids

ID = "SingleClassMine-v0"
SMALL = {"dataset": "mixture:1000", "budget": 6, "candidates": 5}
MODES = ("NextStep", "SameStep")


def batch(envs=5, mode="NextStep", **kwargs):
    return gym.make_vec(ID, num_envs=envs, autoreset_mode=mode, **{**SMALL, **kwargs})


def singles(envs=5, mode="NextStep", **kwargs):
    makers = [lambda: gym.make(ID, **{**SMALL, **kwargs}) for _ in range(envs)]
    return SyncVectorEnv(makers, autoreset_mode=AutoresetMode(mode))


def actions(env, steps, seed=0):
    """Random actions, of which many look at others, so that episodes fall out of step."""
    rng, count = np.random.default_rng(seed), env.single_action_space.n
    drawn = rng.integers(count, size=(steps, env.num_envs))
    return np.where(rng.random(drawn.shape) < 0.3, count - 1, drawn)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"observation": "cosine", "gain": "saturating"},
        {"observation": "embedding", "skip": True, "look_cost": 0.3, "gain": "presence"},
        {"skip": True, "look_cost": 0.4, "positives": 2, "negatives": 0, "pool": "eval", "classes": "heldout"},
        {"positives": 0, "negatives": 3, "candidates": 2},
    ],
)
def test_equals_single_environments_over_several_episodes(mode, kwargs):
    ours, theirs = batch(mode=mode, **kwargs), singles(mode=mode, **kwargs)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert data_equivalence(ours.reset(seed=3), theirs.reset(seed=3), exact=True)
    ends = 0
    for action in actions(ours, 30):
        step = ours.step(action)
        assert data_equivalence(step, theirs.step(action), exact=True)
        assert ours.observation_space.contains(step[0])
        ends += step[2].sum()
    assert ends >= 10
    assert data_equivalence(ours.reset(), theirs.reset(), exact=True)


@given(st.integers(0, 2**31), st.integers(1, 4), st.integers(2, 12), st.sampled_from(MODES), st.booleans())
@settings(max_examples=12, deadline=None)
def test_equals_single_environments_at_any_size(seed, envs, candidates, mode, skip):
    kwargs = {"candidates": candidates, "skip": skip}
    ours, theirs = batch(envs, mode, **kwargs), singles(envs, mode, **kwargs)
    assert data_equivalence(ours.reset(seed=seed), theirs.reset(seed=seed), exact=True)
    for action in actions(ours, 9, seed):
        assert data_equivalence(ours.step(action), theirs.step(action), exact=True)


def test_default_size_and_budget():
    """A full episode with the default arguments, more episodes than a chunk holds."""
    ours, theirs = gym.make_vec(ID, num_envs=70), SyncVectorEnv([lambda: gym.make(ID)] * 70)
    assert data_equivalence(ours.reset(seed=0), theirs.reset(seed=0), exact=True)
    for action in np.random.default_rng(0).integers(20, size=(52, 70)):
        last = ours.step(action), theirs.step(action)
        assert data_equivalence(*last, exact=True)


def test_disabled_autoreset_is_the_callers():
    ours, theirs = (make(3, "Disabled", skip=True, look_cost=1.0, budget=3) for make in (batch, singles))
    ours.reset(seed=0), theirs.reset(seed=0)
    for action in ([0, 0, 5], [0, 1, 5], [0, 2, 0]):
        step = ours.step(np.array(action))
        assert data_equivalence(step, theirs.step(np.array(action)), exact=True)
    assert step[2].all()
    with pytest.raises(gym.error.ResetNeeded, match=r"episodes \[0, 1, 2\] are over"):
        ours.step(np.zeros(3, int))
    mask = np.array([True, False, True])
    again = [env.reset(seed=[7, None, 8], options={"reset_mask": mask.copy()}) for env in (ours, theirs)]
    assert data_equivalence(*again, exact=True)
    again = [env.reset(seed=9, options={"reset_mask": ~mask}) for env in (ours, theirs)]
    assert data_equivalence(*again, exact=True)
    assert data_equivalence(ours.step(np.ones(3, int)), theirs.step(np.ones(3, int)), exact=True)
    assert data_equivalence(ours.reset(), theirs.reset(), exact=True)  # seeds went to the masked environments alone


def test_metadata_names_the_mode():
    assert batch().metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert batch(mode=AutoresetMode.SAME_STEP).metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert "autoreset_mode" not in type(batch()).metadata


def test_vector_wrappers_work():
    env = gym.wrappers.vector.RecordEpisodeStatistics(batch())
    env.reset(seed=0)
    ended = [env.step(a)[4].get("episode") for a in actions(env, 8)]
    assert any(e is not None for e in ended)


def test_options_and_seeds():
    env, other = batch(3), batch(3)
    name = "class_07"
    assert set(env.reset(seed=0, options={"target_class": name})[1]["target_class"]) == {name}
    assert data_equivalence(env.reset(seed=4), other.reset(seed=[4, 5, 6]), exact=True)
    for seed, options, message in [
        ([1, 2], None, "a list of 2, but num_envs=3"),
        (0, {"target": name}, "did you mean 'target_class'"),
        (0, {"reset_mask": np.zeros(3, bool)}, "at least one True"),
        (0, {"target_class": "class_7"}, "unknown class"),
    ]:
        with pytest.raises(ValueError, match=message):
            env.reset(seed=seed, options=options)


@pytest.mark.parametrize(
    ("action", "message"),
    [([0, 5, 0], r"5 is not one of 0\.\.4"), ([0, -1, 0], "action -1"), ([0, 1], "expected 3"), ([0.5] * 3, "3 int")],
)
def test_bad_actions(action, message):
    env = batch(3)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(np.array(action))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"envs": 0}, "num_envs=0: expected an integer of at least 1"),
        ({"mode": "NextStp"}, "unknown autoreset_mode 'NextStp'; did you mean 'NextStep'"),
        ({"render_mode": "human"}, "unknown render_mode 'human'"),
        ({"budget": 5000}, "use budget <= "),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        batch(**kwargs)


def test_before_reset():
    with pytest.raises(gym.error.ResetNeeded):
        batch().step(np.zeros(5, int))


@pytest.mark.parametrize("mode", MODES)
def test_snapshots_and_pickles_go_on(mode):
    env = batch(mode=mode, skip=True)
    env.reset(seed=2)
    taken = actions(env, 30)
    for action in taken[:15]:
        env.step(action)
    copies = [pickle.loads(pickle.dumps(env)), batch(mode=mode, skip=True)]
    copies[1].set_state(env.get_state())
    for action in taken[15:]:
        step = env.step(action)
        for copy in copies:
            assert data_equivalence(step, copy.step(action), exact=True)
    with pytest.raises(ValueError, match="the snapshot is of 5 environments"):
        batch(4, mode, skip=True).set_state(env.get_state())


def test_returned_arrays_are_the_callers():
    env = batch()
    obs, info = env.reset(seed=0)
    kept = obs["candidates"].copy()
    obs["candidates"] += 1
    info["picked"] += 5
    other = batch()
    other.reset(seed=0)
    assert data_equivalence(env.step(np.zeros(5, int)), other.step(np.zeros(5, int)), exact=True)
    assert (kept <= 1).all()


def test_gains_and_fingerprints_are_those_of_single_environments():
    ours, one = batch(3), gym.make(ID, **SMALL).unwrapped
    ours.reset(seed=5)
    one.reset(seed=6)
    np.testing.assert_array_equal(ours.candidate_gains()[1], one.candidate_gains())
    np.testing.assert_array_equal(ours.action_masks()[1], one.action_masks())
    assert ours.fingerprint() == one.fingerprint()


@pytest.mark.parametrize("observation", ["cosine", "relational", "embedding"])
@pytest.mark.parametrize("candidates", [20, 5000])
def test_refused_batches_would_not_fit(monkeypatch, observation, candidates):
    """The number that is offered instead holds at least what a step returns, and is not far below what fits."""
    monkeypatch.setattr("alenv.memory.installed", lambda: 2**30)
    kwargs = {"dataset": "mixture:20000", "candidates": candidates, "observation": observation}
    with pytest.raises(ValueError, match="num_envs=1000000 would need") as caught:
        gym.make_vec(ID, num_envs=10**6, **kwargs)
    most = int(str(caught.value).rpartition(" ")[2].replace(",", ""))
    env = gym.make_vec(ID, num_envs=most, **kwargs)
    returned = sum(space.dtype.itemsize * np.prod(space.shape) for space in env.observation_space.spaces.values())
    assert 2**30 / 200 < returned < 2**30


def test_what_is_done_to_returned_arrays_changes_nothing():
    """A caller may write into them, and reset some episodes afterwards."""
    kwargs = {"dataset": "mixture:1000", "budget": 4, "candidates": 5, "autoreset_mode": "Disabled"}
    (one, other), mask = (
        (gym.make_vec("SingleClassMine-v0", 3, **kwargs) for _ in range(2)),
        np.array([True, False, True]),
    )
    for env in (one, other):
        env.reset(seed=0)
        obs = env.step(np.zeros(3, int))[0]
        if env is one:
            for array in obs.values():
                array.fill(1)
    again = [env.reset(options={"reset_mask": mask})[0] for env in (one, other)]
    for name, array in again[0].items():
        np.testing.assert_array_equal(array, again[1][name])
