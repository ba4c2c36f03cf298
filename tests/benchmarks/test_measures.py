"""Measures of single episodes, and the statistics over all of them, by hand."""

import numpy as np
import pytest
from hostile.benchmarks import EPISODE
from scipy import stats as scipy_stats

from agents.episode import Episode
from benchmarks import stats
from benchmarks.leaderboard.measures import ALL_LABELS, area, common_ends, label_entropy, redundancy, worst_classes
from benchmarks.leaderboard.overall import overall, overall_table
from benchmarks.leaderboard.suite import Suite
from benchmarks.leaderboard.summary import _adjust_pvalues, _difference


def episode(**changes):
    parts = {
        "picked": [[7, 0, 0], [7, 0, 8], [-1, -1, -1], [3, 0, 0], [7, 8, 8]],
        "costs": {"regions": [0, 2, 4], "pixels": [0, 20, 40], "clicks": [0, 5, 40], "images": [0, 1, 2]},
        "metrics": {"miou/test": [10.0, 20.0, 40.0]},
        "class_metrics": {"class_iou/test": [[9.0] * 5] * 2 + [[50.0, None, 5.0, 1.0, 30.0]], "pixels": [[0] * 4] * 3},
        "given": {"pixels": 60},
    }
    return Episode(**EPISODE | parts | changes)


def test_area_by_a_cost_is_over_what_all_have_in_common():
    short = episode(costs=episode().costs | {"clicks": [0, 5, 20]})
    ends = common_ends({"a": [episode()], "b": [short]}, "clicks")
    assert ends == (0, 20)
    at_20 = 20 + 20 * 15 / 35
    assert area(episode(), "test", "clicks", ends) == pytest.approx((5 * 15 + 15 * (20 + at_20) / 2) / 20)
    assert np.isnan(area(episode(), "test", "clicks", (0, 0)))
    log = np.log10([60, 80, 100])
    by_all = area(episode(), "test", ALL_LABELS, (log[0], log[2]))
    assert by_all == pytest.approx((15 * (log[1] - log[0]) + 30 * (log[2] - log[1])) / (log[2] - log[0]))


def test_worst_classes_entropy_and_redundancy():
    assert worst_classes(episode(), "test", 0) == 1
    assert worst_classes(episode(), "test", 1 / 3) == 3  # two of four
    assert np.isnan(label_entropy(episode()))
    bought = {"class_iou/test": [], "pixels": [[0] * 4, [1] * 4, [6, 6, 0, 0]]}
    assert label_entropy(episode(class_metrics=bought)) == pytest.approx(0.5)
    assert redundancy(episode()) == 1 / 4  # the second pick; the last is in another round
    assert np.isnan(redundancy(episode(picked=[[-1, -1, -1]] * 5)))


def test_cost_to_reach_a_level():
    curves = [[10, 20, 30], [10, 30, 50]]  # mean 10, 25, 40
    assert stats.cost_to_reach([0, 10, 20], curves, 31).mean == pytest.approx(14)
    assert stats.cost_to_reach([0, 10, 20], curves, 9).mean == 0
    reached = stats.cost_to_reach([0, 10, 20], curves, 35)
    assert (reached.low, reached.high) == (pytest.approx(12.5), np.inf)  # the first curve alone does not reach it
    assert stats.cost_to_reach([0, 10, 20], curves, 41).mean == np.inf


def test_penalties_count_settings_after_holm():
    luck = np.random.default_rng(0).normal(size=(1, 8, 1))
    noise = np.random.default_rng(1).normal(0, 0.1, (3, 8, 2))
    curves = luck + noise + np.array([[0, 0], [0, 3], [0, 0]])[:, None]  # the second is better in the second setting
    assert stats.penalties(curves).tolist() == [[0, 1, 0], [0, 0, 0], [0, 1, 0]]
    assert not stats.penalties(curves[:, :4]).any()  # too few seeds
    one = curves[:2]
    p = [scipy_stats.ttest_rel(*one[:, :, i]).pvalue for i in (0, 1)]
    assert [p[0] < 0.05, p[1] < 0.05] == [False, True]


def test_a_difference_is_real_only_if_the_corrected_interval_is_without_0():
    rng = np.random.default_rng(0)
    y = rng.normal(size=12)
    shifts = (0.0, 0.35, 0.5, 0.6, 2.0)
    differences = [_difference(y + shift + rng.normal(0, 0.7, 12), y) for shift in shifts]
    _adjust_pvalues(differences)
    for d in differences:
        assert d["real"] == (d["p_holm"] < 0.05) == (d["low_holm"] > 0 or d["high_holm"] < 0)
        assert d["low_holm"] <= d["low"]
    assert any(d["p_t"] < 0.05 and not d["real"] for d in differences)
    assert differences[-1]["real"]


def test_suites_are_averaged_on_the_scale_of_their_bounds():
    suites = [Suite(name, "RegionSelect-v0", {}, ("random", "own"), (0, 1)) for name in ("one", "two")]

    def summary(full, **scores):
        figures = {p: {"mean": float(np.mean(v)), "by_unit": dict(enumerate(v))} for p, v in scores.items()}
        policies = {p: {"status": "ranked"} for p in scores}
        return {"policies": policies, "views": {"test": {"full": full, "measures": {"AUBC": figures}}}}

    runs = [
        (suites[0], summary(50, random=[10, 30], own=[30, 50])),
        (suites[1], summary(10, random=[0, 0], own=[2, 2])),
    ]
    figures = overall(runs)
    assert list(figures) == ["own"]
    assert figures["own"]["suites"] == pytest.approx({"one": 2 / 3, "two": 0.2})
    assert figures["own"]["mean"] == pytest.approx((2 / 3 + 0.2) / 2)
    assert figures["own"]["low"] < figures["own"]["mean"] < figures["own"]["high"]
    assert overall_table(figures)[0] == ["policy", "one", "two", "mean of suites [95 %]"]
    assert overall([runs[0], (suites[1], summary(None, random=[0, 0], own=[2, 2]))]) == {}
