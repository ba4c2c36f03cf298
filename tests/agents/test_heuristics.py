"""What each heuristic does with its channels."""

from collections import Counter

import numpy as np
import pytest

from agents.draws import Badge, ClaspPe, ForegroundRandom, PixelPick, PowerBald, SoftmaxBald, StratifiedRandom
from agents.heuristics import POLICIES, Cbda, CbdaBalance, CbdaDynamic, Clue, Ripu
from alenv.acquisition import SCORES


def observation(scores, mask=None):
    scores = np.array(scores, np.float32)
    mask = np.ones(len(scores), np.int8) if mask is None else np.array(mask, np.int8)
    return {"scores": scores, "action_mask": mask}


def started(policy, seed=0):
    policy.reset(seed)
    return policy


def picks(policy, obs, number, **info):
    return Counter(policy.act(obs, info) for _ in range(number))


def shares(policy, obs, number=4000, **info):
    counts = picks(started(policy), obs, number, **info)
    return [counts[action] / number for action in range(len(obs["action_mask"]))]


@pytest.mark.parametrize("name", POLICIES)
def test_names_and_channels_are_known(name):
    policy = POLICIES[name]()
    assert policy.name == name
    assert set(policy.scores) <= set(SCORES)


def test_stratified_random_meets_every_predicted_class_as_often():
    obs = observation([[0], [0], [0], [0], [3], [7]], mask=[1, 1, 1, 1, 1, 0])
    counts = picks(started(StratifiedRandom()), obs, 2000)
    assert counts[4] == pytest.approx(1000, abs=110)
    assert all(counts[i] == pytest.approx(250, abs=70) for i in range(4))
    assert counts[5] == 0


def test_power_bald_draws_in_proportion_to_bald():
    obs = observation([[0.1], [0.3], [0.0], [0.6]], mask=[1, 1, 1, 1])
    counts = picks(started(PowerBald()), obs, 4000)
    for action, share in enumerate([0.1, 0.3, 0, 0.6]):
        assert counts[action] / 4000 == pytest.approx(share, abs=0.04)


def test_exponents_and_temperatures_sharpen_the_draw():
    obs = observation([[0.1], [0.2], [0.3], [0.9]], mask=[1, 1, 1, 0])
    assert shares(PowerBald(2), obs) == pytest.approx([1 / 14, 4 / 14, 9 / 14, 0], abs=0.03)
    odds = np.exp([1, 2, 3])
    assert shares(SoftmaxBald(0.1), obs) == pytest.approx([*odds / odds.sum(), 0], abs=0.03)


def test_pixelpick_draws_among_the_best_twentieth():
    scores = np.linspace(0, 1, 61)[:, None]
    found = shares(PixelPick(), observation(scores, mask=[1] * 60 + [0]))
    assert found == pytest.approx([0] * 57 + [1 / 3] * 3 + [0], abs=0.03)
    assert PixelPick.share * 20 == 1  # of twenty, the best one
    assert shares(PixelPick(), observation(scores[:20]), 20)[19] == 1


def test_foreground_random_looks_for_foreground_in_two_picks_of_three():
    obs = observation([[0.0], [0.25], [0.75], [0.9]], mask=[1, 1, 1, 0])
    third = 1 / 9
    expected = [third, third + 2 / 3 * 0.25, third + 2 / 3 * 0.75, 0]
    assert shares(ForegroundRandom(), obs) == pytest.approx(expected, abs=0.03)
    assert shares(ForegroundRandom(), observation([[0.0]] * 2)) == pytest.approx([0.5, 0.5], abs=0.03)


@pytest.mark.parametrize(("round_", "power"), [(0, 1), (1, 2)])
def test_clasp_pe_is_stratified_and_sharpens_with_the_rounds(round_, power):
    """Columns: entropy, predicted class. Two thirds of the draws choose a class first."""
    obs = observation([[0.1, 3], [0.2, 3], [0.3, 5], [0.9, 5]], mask=[1, 1, 1, 0])
    inside, among = (np.array(part) ** power for part in ([0.1, 0.2], [0.1, 0.2, 0.3]))
    stratified = np.append(inside / inside.sum(), 1) / 2
    expected = 2 / 3 * stratified + 1 / 3 * among / among.sum()
    assert shares(ClaspPe(), obs, round=round_) == pytest.approx([*expected, 0], abs=0.03)


def test_badge_starts_with_the_longest_gradient_and_draws_by_distance():
    obs = observation([[1.0], [2.0], [3.0], [9.0]], mask=[1, 1, 1, 0])
    assert shares(Badge(), obs, 5, pick=0) == [0, 0, 1, 0]
    assert shares(Badge(), obs, pick=1) == pytest.approx([1 / 6, 2 / 6, 3 / 6, 0], abs=0.03)
    assert shares(Badge(), observation([[0.0], [0.0]]), 5, pick=1) == [1, 0]


def test_clue_takes_the_nearest_of_every_cluster():
    """Columns: distance, cluster. Each cluster once, and again in a new round."""
    obs, policy = observation([[0.1, 7], [0.2, 7], [0.5, 8], [0.4, 9]]), started(Clue())
    order = []
    for pick in range(4):
        order.append(policy.act(obs, {"pick": pick}))
        obs["action_mask"][order[-1]] = 0
    assert order == [0, 3, 2, 1]
    assert policy.act(observation([[0.1, 7], [0.9, 8]]), {"pick": 0}) == 0


def test_random_policies_repeat_by_seed():
    obs = observation([[0.5]] * 20)
    for make in (StratifiedRandom, PowerBald):
        runs = [[policy.act(obs, {}) for _ in range(9)] for policy in (started(make(), s) for s in (4, 4, 5))]
        assert runs[0] == runs[1] != runs[2]


def test_core_set_takes_the_farthest():
    assert POLICIES["core_set"]().act(observation([[0.2], [0.9], [1.5]], mask=[1, 1, 0]), {}) == 1


def test_ripu_gives_every_image_the_same_quota():
    """Columns: score, entropy, image. Image 5 has the best scores, but one pick of each image in turn."""
    obs = observation([[0.9, 0, 5], [0.8, 0, 5], [0.7, 0, 5], [0.2, 0, 6], [0.1, 0, 7], [0.05, 0, 7]])
    policy = started(Ripu())
    order = []
    for _ in range(5):
        order.append(policy.act(obs, {}))
        obs["action_mask"][order[-1]] = 0
    assert order == [0, 3, 4, 1, 5]
    assert started(policy).act(observation([[0.9, 0, 5], [0.2, 0, 6]]), {}) == 0


def test_a_quota_never_forbids_the_only_candidate():
    policy, obs = started(Ripu()), observation([[0.9, 0, 5], [0.1, 0, 6]], mask=[1, 0])
    assert [policy.act(obs, {}) for _ in range(3)] == [0, 0, 0]


@pytest.mark.parametrize("make", [CbdaDynamic, Cbda])
def test_dynamic_arms_let_all_images_compete(make):
    policy, obs = started(make()), observation([[0.9, 0, 5], [0.8, 0, 5], [0.2, 0, 6]])
    assert policy.act(obs, {}) == 0
    obs["action_mask"][0] = 0
    assert policy.act(obs, {}) == 1


def test_pure_windows_are_ranked_by_their_uncertainty():
    policy = started(CbdaDynamic())
    assert policy.act(observation([[0, 0.3, 1], [0, 0.9, 1], [0, 0.5, 1]]), {}) == 1
    assert policy.act(observation([[0, 9.9, 1], [1e-6, 0.1, 1], [0, 0.5, 1]]), {}) == 1
    assert policy.act(observation([[0, 0.3, 1], [0, 0.9, 1]], mask=[1, 0]), {}) == 0


def test_the_four_arms_differ_in_score_and_quota():
    arms = [(make().scores[0], make.dynamic) for make in (Ripu, CbdaBalance, CbdaDynamic, Cbda)]
    assert arms == [("ripu", False), ("cbda", False), ("ripu", True), ("cbda", True)]


@pytest.mark.parametrize("name", [name for name in POLICIES if POLICIES[name]().scores])
def test_a_policy_without_its_channels_is_an_error_not_another_policy(name):
    policy = started(POLICIES[name]())
    obs = {"candidates": np.zeros((3, 5), np.float32), "action_mask": np.ones(3, np.int8)}
    with pytest.raises(ValueError, match=f"policy '{name}' needs channels that the environment lacks; make it with"):
        policy.act(obs, {})


def test_channels_of_the_suite_do_not_displace_those_of_the_policy():
    from agents.play import evaluate

    kwargs = {"picks": 4, "budget": 4}
    runs = [list(evaluate(POLICIES["margin"](), "RegionSelect-v0", kwargs | extra, [0])) for extra in ({}, EXTRA)]
    assert runs[0][0].actions == runs[1][0].actions


EXTRA = {"scores": ["predicted_class", "entropy"]}


def test_live_look_ahead_asks_for_live_gains():
    class Env:
        def candidate_gains(self, live=False):
            return np.array([0.0, 1.0, 2.0] if live else [2.0, 1.0, 0.0])

    for name, best in (("look_ahead", 0), ("live_look_ahead", 2)):
        policy = started(POLICIES[name]())
        policy.attach(Env())
        assert policy.act(observation([[0]] * 3), {}) == best
