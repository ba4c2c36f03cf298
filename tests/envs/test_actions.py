"""An action is what the action space contains, whoever made it."""

import gymnasium as gym
import numpy as np
import pytest

from alenv.envs.actions import checked, checked_all

SMALL = {
    "RegionSelect-v0": {"segmenter": "lda", "picks": 3, "candidates": 5, "budget": 6},
    "SingleClassMine-v0": {"dataset": "mixture:1000", "budget": 9, "candidates": 5},
}
GOOD = [4, np.int64(4), np.uint8(4), np.array(4), np.array(4, np.int32)]
BAD = [
    True, np.True_, 4.0, np.float32(4), np.array([4]), np.array(4.0), np.array(True), None, "4", -1, 5, 10**30, [4],
    np.array(None), float("nan"), object(),
]  # fmt: skip


@pytest.mark.parametrize("action", BAD, ids=lambda action: repr(action).partition(" at ")[0])
def test_what_is_no_action(action):
    with pytest.raises(ValueError, match=r"^action .+ is not one of 0\.\.4$"):
        checked(action, 5)


@pytest.mark.parametrize("env_id", SMALL)
def test_every_kind_of_integer_is_the_same_action(env_id):
    """And one that is refused has changed nothing."""
    seen = []
    for action in GOOD:
        env = gym.make(env_id, **SMALL[env_id]).unwrapped
        env.reset(seed=0)
        for wrong in (True, None, 4.0, np.array([4]), 5):
            with pytest.raises(ValueError, match="is not one of"):
                env.step(wrong)
        assert env.action_space.contains(action)
        seen.append(env.step(action)[4]["picked"])
    assert all(np.array_equal(picked, seen[0]) for picked in seen)
    assert np.max(seen[0]) >= 0


@pytest.mark.parametrize(
    "actions", [[[1], [1, 2], 3], "abc", None, [1.0, 2, 3], [True, False, True], [0, 1], {1: 2}, [10**30, 0, 0]]
)
def test_what_are_no_actions_of_many(actions):
    with pytest.raises(ValueError, match=r"^actions=.+: expected 3 integers, one of each pool$"):
        checked_all(actions, 3, 5, "one of each pool")


@pytest.mark.parametrize("wrong", [-1, 5, 255])
def test_one_of_many_out_of_range(wrong):
    with pytest.raises(ValueError, match=rf"^action {wrong} is not one of 0\.\.4$"):
        checked_all([0, wrong, 4], 3, 5, "one of each pool")
    np.testing.assert_array_equal(checked_all((0, 3, 4), 3, 5, ""), [0, 3, 4])
    assert checked_all(np.array([0, 3, 4], np.uint8), 3, 5, "").dtype == np.int64
