"""Gains as if the picks of a round were labelled already: right, and without a trace."""

import gymnasium as gym
import numpy as np
import pytest

import alenv  # noqa: F401  registers the ids

KWARGS = {"budget": 12, "picks": 6, "candidates": 5}


def make(**changes):
    return gym.make("RegionSelect-v0", **{**KWARGS, **changes}).unwrapped


@pytest.mark.parametrize("segmenter", ["lda", "linear"])
def test_before_the_first_pick_they_are_the_gains(segmenter):
    env = make(segmenter=segmenter)
    env.reset(seed=1)
    np.testing.assert_array_equal(env.candidate_gains(live=True), env.candidate_gains())


@pytest.mark.parametrize("segmenter", ["lda", "linear"])
def test_they_are_those_of_a_model_that_was_taught_the_picks(segmenter):
    env, taught = make(segmenter=segmenter), make(segmenter=segmenter, picks=1)
    env.reset(seed=1)
    taught.reset(seed=1)
    for pick in range(4):
        region = env._current.candidates[env._current.current][pick]
        env.candidate_gains(live=True)  # each call goes on from the one before
        env.step(pick)
        taught._campaign.buy(np.array([region]))
    shown = env._current.candidates[env._current.current]
    expected = taught._campaign.learner.gains(shown, env._reward)
    np.testing.assert_allclose(env.candidate_gains(live=True), expected, rtol=1e-3, atol=1e-4)
    assert np.abs(env.candidate_gains() - expected).max() > 0.01


@pytest.mark.parametrize("segmenter", ["lda", "linear"])
def test_asking_changes_nothing(segmenter):
    def play(ask):
        env = make(segmenter=segmenter, scores=["bald", "distance"])
        steps = [env.reset(seed=2)]
        for _ in range(KWARGS["budget"]):
            if ask:
                env.candidate_gains(live=True)
            steps.append(env.step(1))
        return steps

    for asked, plain in zip(play(True), play(False), strict=True):
        assert asked[0]["scores"].tobytes() == plain[0]["scores"].tobytes()
        assert asked[0]["candidates"].tobytes() == plain[0]["candidates"].tobytes()
        assert asked[1:-1] == plain[1:-1]
        assert asked[-1]["miou"] == plain[-1]["miou"]


def test_a_new_round_starts_from_its_own_model():
    env = make(segmenter="lda")
    env.reset(seed=3)
    for _ in range(6):
        env.candidate_gains(live=True)
        env.step(0)
    np.testing.assert_array_equal(env.candidate_gains(live=True), env.candidate_gains())


@pytest.mark.parametrize("segmenter", ["lda", "linear"])
def test_gains_are_measured_on_the_images_of_the_splits(segmenter):
    env = make(segmenter=segmenter, pool="train", fresh_pool=True, picks=2, candidates=4)
    for seed in (4, 5):  # the second pool is another
        env.reset(seed=seed)
        env.step(0)
        learner = env._campaign.learner
        kinds = (False, True)
        reward = [env.candidate_gains(live) for live in kinds]
        both = [env.candidate_gains(live, splits=("reward", "train")) for live in kinds]
        images = np.concatenate([learner._data.splits[split] for split in ("reward", "train")])
        learner._data.splits["reward"], kept = images, learner._data.splits["reward"]
        del learner._cells._resident["reward",]
        env._gains._known.clear()
        np.testing.assert_array_equal([env.candidate_gains(live) for live in kinds], both)
        assert (np.nanmax(np.abs(np.subtract(both, reward)), 1) > 0.01).all()
        learner._data.splits["reward"] = kept
        del learner._cells._resident["reward",]


def test_an_unknown_split_is_named():
    env = make()
    env.reset(seed=1)
    with pytest.raises(ValueError, match="did you mean 'reward'"):
        env.candidate_gains(splits=["rewards"])
