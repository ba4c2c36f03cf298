"""The decision problem itself: what is shown, bought, paid and rewarded."""

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alenv.metrics import class_iou, mean_iou
from alenv.observation import PROGRESS


def make(**kwargs):
    return gym.make("RegionSelect-v0", **kwargs).unwrapped


def run(env, seed=0, choose=lambda obs, step: 0):
    """Play an episode; returns all steps, the reset first."""
    obs, info = env.reset(seed=seed)
    steps = [(obs, 0.0, False, False, info)]
    while not steps[-1][2]:
        steps.append(env.step(choose(steps[-1][0], len(steps))))
    return steps


def test_return_is_last_score_minus_first(small):
    env = make(**small)
    steps = run(env)
    gained = sum(step[1] for step in steps)
    assert gained == pytest.approx(steps[-1][4]["miou"] - steps[0][4]["miou"], abs=1e-9)
    assert steps[-1][4]["miou"] == mean_iou(env.evaluate("reward"))
    np.testing.assert_array_equal(steps[-1][4]["class_iou"], 100 * class_iou(env.evaluate("reward")))
    assert len(steps) == 13


def test_reward_comes_at_the_end_of_a_round(small):
    steps = run(make(**small))
    rewards = np.array([step[1] for step in steps[1:]]).reshape(3, 4)
    assert (rewards[:, :3] == 0).all()
    assert (rewards[:, 3] != 0).all()
    assert [step[4]["round"] for step in steps] == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3]
    assert [step[4]["pick"] for step in steps[:6]] == [0, 1, 2, 3, 0, 1]


@pytest.mark.parametrize("reward", ["class:car", "balanced"])
def test_other_rewards_telescope_too(small, reward):
    env = make(**small, reward=reward)
    steps = run(env)
    score = env._reward(env.evaluate("reward"))
    first = env._reward
    env.reset(seed=0)
    assert sum(step[1] for step in steps) == pytest.approx(score - first(env.evaluate("reward")), abs=1e-9)


def test_class_reward_is_that_class(small):
    env = make(**small, reward="class:car")
    steps = run(env)
    car = [step[4]["class_iou"][5] for step in steps]
    assert sum(step[1] for step in steps) == pytest.approx(car[-1] - car[0], abs=1e-9)


def test_labels_given_are_counted(small):
    _, info = make(**small).reset(seed=0)
    assert info["labels_given"] == (2 + 100) * 96 * 128
    _, info = make(**small, initial="none").reset(seed=0)
    assert info["labels_given"] == 100 * 96 * 128
    _, info = make(**small, initial="random:5").reset(seed=0)
    assert info["labels_given"] == 100 * 96 * 128 + 5 * 24 * 32
    assert info["labelled_regions"] == 0


def test_random_initial_regions_leave_the_pool(small):
    env = make(**small, initial="random:5")
    env.reset(seed=0)
    initial = env._campaign.learner.labelled
    assert len(initial) == 5
    assert len(env._campaign.pool) == 120 * 16 - 5
    assert not np.isin(initial, env._campaign.pool.unlabelled).any()


def test_without_labels_the_model_says_nothing(small):
    obs, info = make(**small, initial="none", scores=["entropy"]).reset(seed=0)
    np.testing.assert_allclose(obs["scores"], np.log(12), rtol=1e-5)
    np.testing.assert_allclose(obs["candidates"][:, :12], 1 / 12, rtol=1e-5)
    assert info["miou"] < 5


def test_initial_images_by_name_or_index(small):
    env = make(**small)
    env.reset(seed=0, options={"initial_images": ["state-d03-f00", 5]})
    assert set(env._campaign.learner.labelled // 16) == {3, 5}
    pool_image = int(env._campaign.data.splits["train"][7])
    env.reset(seed=0, options={"initial_images": [pool_image]})
    assert len(env._campaign.pool) == 119 * 16


def test_seeds_draw_the_initial_images(small):
    env = make(**small)
    drawn = set()
    for seed in range(8):
        env.reset(seed=seed)
        images = np.unique(env._campaign.learner.labelled // 16)
        assert len(images) == 2
        assert np.isin(images, env._campaign.data.splits["state"]).all()
        drawn.add(tuple(images))
    assert len(drawn) > 4


def test_masked_action_buys_nothing_and_costs_a_pick():
    env = make(region=[96, 128], picks=4, budget=8, candidates=40)
    obs, _ = env.reset(seed=0)  # 120 images for 4 x 40 candidates: 30 each
    assert obs["action_mask"].sum() == 30
    assert (obs["candidates"][30:] == 0).all()
    assert (obs["candidates"][:30].sum(1) > 0).all()
    _, _, _, _, info = env.step(35)
    assert info["invalid_action"] is True
    assert info["labelled_regions"] == 0
    assert info["picked"].tolist() == [-1, -1, -1]
    for _ in range(3):
        _, _, _, _, info = env.step(0)
        assert info["invalid_action"] is False
    assert info["labelled_regions"] == 3
    for _ in range(4):
        _, _, terminated, _, info = env.step(0)
    assert terminated
    assert info["labelled_regions"] == 7


def test_a_round_of_invalid_actions_changes_nothing():
    env = make(region=[96, 128], picks=2, budget=4, candidates=80, pick_gains=True)
    _, first = env.reset(seed=0)
    env.step(79)
    _, reward, _, _, info = env.step(79)
    assert reward == 0.0
    assert info["miou"] == first["miou"]
    assert info["pick_gains"].tolist() == [0, 0]


def test_episode_ends_when_nothing_is_left():
    env = make(region=[96, 128], picks=50, budget=500, candidates=5, segmenter="lda")
    steps = run(env)
    assert len(steps) - 1 == 120
    assert steps[-1][4]["labelled_regions"] == 120
    assert not steps[-1][0]["action_mask"].any()
    assert all(step[0]["action_mask"].any() for step in steps[:-1])


def test_last_round_is_shortened_to_the_budget():
    steps = run(make(picks=4, budget=10))
    assert [step[4]["round"] for step in steps[1:]] == [0, 0, 0, 1, 1, 1, 1, 2, 2, 3]
    assert steps[-1][4]["labelled_regions"] == 10


def test_state_shows_progress(small):
    steps = run(make(**small))
    env = make(**small)
    progress = np.array([step[0]["state"][: len(PROGRESS)] for step in steps])
    labelled = [name.startswith("labelled:") for name in env.state_names]
    np.testing.assert_allclose(progress[:, 0], np.arange(13) / 12, rtol=1e-6)
    np.testing.assert_allclose(progress[:5, 1], [0, 0, 0, 0, 1 / 3], rtol=1e-6)
    np.testing.assert_allclose(progress[:5, 2], [0, 0.25, 0.5, 0.75, 0], rtol=1e-6)
    for obs, _, _, _, info in steps:
        np.testing.assert_allclose(obs["state"][-12:], info["class_iou"] / 100, rtol=1e-5)
        assert obs["state"][labelled].sum() == pytest.approx(1, abs=1e-5)


def test_a_feature_is_the_similarity_to_this_rounds_picks(small):
    env = make(**small)
    obs, _ = env.reset(seed=0)
    column = env.feature_names.index("nearest_picked")
    assert (obs["candidates"][:, column] == 0).all()
    obs, *_ = env.step(3)
    learner, round_ = env._campaign.learner, env._current
    shown = learner.predict(round_.candidates[20:40]).embedding
    chosen = learner.predict(round_.candidates[3:4]).embedding
    np.testing.assert_allclose(obs["candidates"][:, column], (1 + shown @ chosen[0]) / 2, atol=1e-5)


def test_scores_are_the_mean_of_the_map(small):
    from alenv.acquisition import class_balanced_entropy, margin

    env = make(**small, scores=["margin", "class_balanced_entropy"])
    obs, _ = env.reset(seed=0)
    probs = env._campaign.learner.predict(env._current.candidates[:20]).probs
    np.testing.assert_allclose(obs["scores"][:, 0], margin(probs).mean((1, 2)), rtol=1e-5)
    expected = class_balanced_entropy(probs, env._campaign.class_pixels).mean((1, 2))
    np.testing.assert_allclose(obs["scores"][:, 1], expected, rtol=1e-5)


def test_pick_gains_are_leave_one_out(small):
    """For lda exact: score with all picks minus the score of a model fitted without one of them."""
    env = make(**small, segmenter="lda", pick_gains=True)
    env.reset(seed=1)
    before = env._campaign.learner.labelled
    for action in (3, 1, 4, 1):
        _, _, _, _, info = env.step(action)
    learner = env._campaign.learner
    labelled, score = learner.labelled, mean_iou(learner.evaluate("reward"))
    for k in range(4):
        learner.reset()
        learner.fit(np.delete(labelled, len(before) + k))
        assert info["pick_gains"][k] == pytest.approx(score - mean_iou(learner.evaluate("reward")), abs=1e-6)
    assert np.abs(info["pick_gains"]).max() > 0


@pytest.mark.parametrize("actions", [(5, 5, 7, 9), (5, 7, 7, 5), (3, 8, 1, 8)])
def test_pick_gains_stand_where_the_legal_picks_were_made(small, actions):
    """A pick that bought nothing has gained nothing."""
    env = make(**small, segmenter="lda", pick_gains=True, pooling="global")
    env.reset(seed=1)
    learner, before = env._campaign.learner, len(env._campaign.learner.labelled)
    bought = []
    for pick, action in enumerate(actions):
        info = env.step(action)[4]
        if not info["invalid_action"]:
            bought.append(pick)
    labelled, score = learner.labelled, mean_iou(learner.evaluate("reward"))
    assert len(labelled) == before + len(bought) < before + 4
    expected = np.zeros(4)
    for k, pick in enumerate(bought):
        learner.reset()
        learner.fit(np.delete(labelled, before + k))
        expected[pick] = score - mean_iou(learner.evaluate("reward"))
    np.testing.assert_allclose(info["pick_gains"], expected, rtol=0, atol=1e-6)
    assert (np.abs(expected[bought]) > 1e-3).all()


def test_pick_gains_only_at_the_end_of_a_round(small):
    steps = run(make(**small, pick_gains=True))
    known = [bool(step[4]["pick_gains"].all()) for step in steps]
    assert known == [i > 0 and i % 4 == 0 for i in range(13)]
    steps = run(make(**small))
    assert not any(step[4]["pick_gains"].any() for step in steps)


def test_pick_gains_leave_the_episode_alone(small):
    for segmenter in ("lda", "linear"):
        plain = run(make(**small, segmenter=segmenter))
        asked = run(make(**small, segmenter=segmenter, pick_gains=True))
        assert [step[1] for step in plain] == [step[1] for step in asked]


def test_fresh_pools_differ_by_episode_and_repeat_by_seed():
    env = make(picks=4, budget=8, fresh_pool=True)
    pixels = []
    for seed in (0, 1, 0):
        env.reset(seed=seed)
        data = env._campaign.data
        pixels.append(data.images[data.splits["train"]].copy())
        assert len(pixels[-1]) == 120
    assert (pixels[0] != pixels[1]).any()
    np.testing.assert_array_equal(pixels[0], pixels[2])
    other = make(picks=4, budget=8)
    other.reset(seed=0)
    original = other._campaign.data
    assert (original.images[original.splits["train"]] != pixels[0]).any()
    for split in ("reward", "eval", "test", "state"):
        np.testing.assert_array_equal(original.masks[original.splits[split]], data.masks[data.splits[split]])


def test_eval_pool_is_another(small):
    for pool, size in (("train", 120), ("eval", 240)):
        env = make(**small, pool=pool)
        env.reset(seed=0)
        images = np.unique(env._campaign.pool.unlabelled // 16)
        np.testing.assert_array_equal(images, env._campaign.data.splits[pool])
        assert len(images) == size


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, 19), min_size=12, max_size=12), st.integers(0, 5))
def test_bookkeeping_holds_for_any_actions(actions, seed):
    """Labelled and unlabelled regions are all there are; nothing is labelled twice; costs only rise."""
    env = BOOKS
    _, info = env.reset(seed=seed)
    costs = []
    for action in actions:
        _, _, terminated, _, info = env.step(action)
        costs.append([info[k] for k in ("labelled_regions", "labelled_pixels", "cost_clicks", "images_opened")])
    assert terminated
    assert (np.diff(costs, axis=0) >= 0).all()
    bought = env._campaign.learner.labelled[32:]
    assert len(np.unique(bought)) == len(bought) == 12
    everything = np.concatenate([bought, env._campaign.pool.unlabelled])
    np.testing.assert_array_equal(np.sort(everything), env._campaign.grid.of_images(env._campaign.data.splits["train"]))


BOOKS = make(picks=4, budget=12, segmenter="lda")


def test_a_split_without_labels_is_not_scored(small, monkeypatch):
    env = make(**small)
    env.reset(seed=0)
    nothing = np.zeros_like(env.evaluate("test"))
    monkeypatch.setattr(env._campaign.learner, "evaluate", lambda split: nothing)
    with pytest.raises(ValueError, match="the split 'test' of 'scenes' has no labels to score"):
        env.evaluate("test")
