"""Whole rounds at once are equal to their picks one by one."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence

from agents.catalogue import make_policy
from agents.play import evaluate

SMALL = {"picks": 12, "candidates": 6, "budget": 32, "segmenter": "lda"}
PIXELS = {"region": "pixel", "initial": "random:60"} | SMALL
POOLINGS = [
    {"pooling": "uniform"},
    {"pooling": "per_image"} | PIXELS,
    {"pooling": "global"},
]
RANKED = {"pooling": "ranked", "region": [3, 3], "initial": "source:scenes:day", "pool": "eval", "split": "dusk"}
HEURISTICS = [
    "random", "stratified_random", "entropy", "power_bald", "core_set", "ripu", "cbda_balance", "cbda_dynamic", "cbda",
    "pixelpick", "badge", "clue",
]  # fmt: skip


class OneByOne:
    """A policy without its ``act_round``."""

    def __init__(self, policy):
        self.name, self.scores, self.oracle = policy.name, policy.scores, policy.oracle
        self.reset, self.act = policy.reset, policy.act


@pytest.mark.slow
@pytest.mark.parametrize("name", ["random", "stratified_random", "entropy", "ripu", "cbda", "cbda_pixel"])
def test_episodes_of_ranked_windows_are_bit_equal(name):
    test_episodes_are_bit_equal(name, RANKED)


@pytest.mark.parametrize("pooling", POOLINGS, ids=lambda kwargs: kwargs["pooling"])
@pytest.mark.parametrize("name", HEURISTICS)
def test_episodes_are_bit_equal(name, pooling):
    policy, run = make_policy(name), ("RegionSelect-v0", {**SMALL, **pooling}, [3])
    [fast] = evaluate(policy, *run, splits=["holdout"])
    [slow] = evaluate(OneByOne(make_policy(name)), *run, splits=["holdout"])
    assert (fast.actions, fast.rewards, fast.picked) == (slow.actions, slow.rewards, slow.picked)
    assert (fast.costs, fast.metrics, fast.class_metrics) == (slow.costs, slow.metrics, slow.class_metrics)


def test_a_policy_that_chooses_rounds_is_asked_once_a_round():
    class Rounds(OneByOne):
        """Also a policy whose single picks would fail."""

        def __init__(self, policy):
            super().__init__(policy)
            self.asked, self.whole = [], policy.act_round

        def act(self, obs, info):
            raise AssertionError("asked for a single pick")

        def act_round(self, obs, info):
            self.asked.append(info["picks_left"])
            return self.whole(obs, info)

    policy = Rounds(make_policy("entropy"))
    policy.act = Rounds.act.__get__(policy)
    [episode] = evaluate(policy, "RegionSelect-v0", SMALL | POOLINGS[0], [3], splits=[])
    assert policy.asked == [12, 12, 8]
    assert len(episode.actions) == 32


@pytest.mark.parametrize("pooling", POOLINGS, ids=lambda kwargs: kwargs["pooling"])
def test_step_round_is_step_for_step_the_same_with_illegal_picks_too(pooling):
    kwargs = {"scores": ["entropy"], **SMALL, **pooling}
    one, many = (gym.make("RegionSelect-v0", **kwargs).unwrapped for _ in range(2))
    (_, info), rng, over = one.reset(seed=1), np.random.default_rng(0), False
    many.reset(seed=1)
    action = int(np.flatnonzero(one.action_masks())[0])
    one.step(action)
    _, _, _, _, info = many.step(action)  # from the middle of a round, too
    while not over:
        actions = rng.integers(one.action_space.n, size=info["picks_left"])
        actions[-1] = actions[0]  # of a pool that is shared, a repetition
        steps = [one.step(action) for action in actions]
        obs, reward, over, truncated, info = many.step_round(actions)
        np.testing.assert_array_equal(info.pop("round_picked"), [step[4]["picked"] for step in steps])
        assert data_equivalence((obs, reward, over, truncated, info), steps[-1], exact=True)
    assert data_equivalence(one.get_state(), many.get_state(), exact=True)


def test_step_round_refuses_what_is_no_round():
    env = gym.make("RegionSelect-v0", **SMALL).unwrapped
    with pytest.raises(gym.error.ResetNeeded):
        env.step_round([0])
    env.reset(seed=0)
    before = env.get_state()
    for wrong in ([0] * 11, [0] * 11 + [6], [0.0] * 12):
        with pytest.raises(ValueError, match="action"):
            env.step_round(wrong)
    assert data_equivalence(before, env.get_state(), exact=True)
