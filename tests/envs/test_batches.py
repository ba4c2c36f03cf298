"""What holds for both native batches: they end, restart, are restored and refuse as batches of single ones do."""

import pickle

import gymnasium as gym
import numpy as np
import pytest
from batches import BOTH, MINING, MODES, actions, native, play_both, sync
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode


@BOTH
def test_disabled_autoreset_is_the_callers(case):
    ours, theirs = (make(case, "Disabled", budget=3) for make in (native, sync))
    ours.reset(seed=0), theirs.reset(seed=0)
    assert play_both(ours, theirs, actions(ours, 3) % 5)[0] == 3
    with pytest.raises(gym.error.ResetNeeded, match=r"episodes \[0, 1, 2\] are over"):
        ours.step(np.zeros(3, int))
    mask = np.array([True, False, True])
    named = {"target_class": "class_07"} if case is MINING else {"initial_images": [0]}
    for seed, options in (
        ([7, None, 8], {"reset_mask": mask}),
        (None, {"reset_mask": ~mask, **named}),
        (9, {"reset_mask": mask}),
    ):
        again = [env.reset(seed=seed, options={**options}) for env in (ours, theirs)]
        assert data_equivalence(*again, exact=True)
    play_both(ours, theirs, np.ones((1, 3), int))
    assert data_equivalence(ours.reset(), theirs.reset(), exact=True)  # seeds went to the masked environments alone


@BOTH
@pytest.mark.parametrize("mode", MODES)
def test_snapshots_and_pickles_go_on(case, mode):
    env = native(case, mode)
    env.reset(seed=2)
    taken = actions(env, 14)
    for action in taken[:7]:
        env.step(action)
    copies = [pickle.loads(pickle.dumps(env)), native(case, mode)]
    copies[1].set_state(env.get_state())
    for action in taken[7:]:
        step = env.step(action)
        for copy in copies:
            assert data_equivalence(step, copy.step(action), exact=True)
    assert [copy.np_random_seed for copy in copies] == [env.np_random_seed] * 2
    copies[1].np_random[0].random()  # of the batch and its episodes alike
    state = env.get_state()
    assert copies[1].get_state()["episodes"][0]["np_random"] != state["episodes"][0]["np_random"]
    one = gym.make(case[0], **case[1]).unwrapped
    one.set_state(state["episodes"][1] | {"arguments": state["arguments"], "data": state["data"]})
    np.testing.assert_array_equal(one.action_masks(), env.action_masks()[1])
    with pytest.raises(ValueError, match="the snapshot is of 3 environments, this batch has 2"):
        native(case, mode, 2).set_state(state)


@BOTH
def test_refused_snapshots_and_resets_change_nothing(case):
    env = native(case, envs=2)
    env.reset(seed=0)
    env.step(np.zeros(2, int))
    before = env.get_state()
    counters = tuple(np.add(before["episodes"][1]["counters"], 90).tolist())
    with pytest.raises(ValueError, match="the snapshot contradicts itself"):
        env.set_state({**before, "episodes": [before["episodes"][0], {**before["episodes"][1], "counters": counters}]})
    name, wrong = ("target_class", "class_7") if case is MINING else ("initial_images", ["nobody"])
    for seed, options, message in [
        ([1], None, "a list of 1, but num_envs=2"),
        (0, {name[:-1]: wrong}, f"did you mean '{name}'"),
        (0, {name: wrong}, "unknown class|unknown initial image"),
        (0, {"reset_mask": np.zeros(2, bool)}, "at least one True"),
    ]:
        with pytest.raises(ValueError, match=message):
            env.reset(seed=seed, options=options)
    assert data_equivalence(env.get_state(), before, exact=True)


@BOTH
def test_returned_arrays_are_the_callers(case):
    """Who may write into them; those of episodes that go on after a reset of others as well."""
    env, other = (native(case, "Disabled", envs=2) for _ in range(2))
    for step in range(4):
        returned = [one.step(np.ones(2, int)) if step else one.reset(seed=0) for one in (env, other)]
        assert data_equivalence(*returned, exact=True)
        for array in (*returned[0][0].values(), *returned[0][-1].values()):
            array.fill(1)
    options = {"reset_mask": np.array([False, True])}
    assert data_equivalence(*(one.reset(seed=9, options={**options}) for one in (env, other)), exact=True)


def test_seeds_count_up_and_metadata_name_the_mode():
    env, other = native(MINING), native(MINING, AutoresetMode.SAME_STEP)
    assert data_equivalence(env.reset(seed=4), other.reset(seed=[4, 5, 6]), exact=True)
    assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert other.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert "autoreset_mode" not in type(env).metadata


@BOTH
def test_before_reset(case):
    with pytest.raises(gym.error.ResetNeeded):
        native(case).step(np.zeros(3, int))


@BOTH
@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"envs": 0}, "num_envs=0: expected an integer of at least 1"),
        ({"envs": 10**9}, "num_envs=1000000000 would need"),
        ({"mode": "NextStp"}, "unknown autoreset_mode 'NextStp'; did you mean 'NextStep'"),
        ({"render_mode": "human"}, "unknown render_mode 'human'"),
        ({"budget": 0}, "budget=0"),
    ],
)
def test_bad_arguments(case, kwargs, message):
    with pytest.raises(ValueError, match=message):
        native(case, **kwargs)
