import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats as scipy_stats

from benchmarks import stats

scores = arrays(float, st.integers(2, 9), elements=st.floats(-100, 100).map(lambda x: round(x, 6)))
pvalues = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def test_paired_difference_by_hand():
    d = stats.paired_difference([3.0, 5.0, 10.0], [2.0, 3.0, 7.0])  # differences 1, 2, 3
    half = 4.302652729911275 / math.sqrt(3)  # t(0.975, 2) * sd 1 / sqrt(3)
    assert d.mean == pytest.approx(2)
    assert d.half_width == pytest.approx(half)
    assert (d.low, d.high, d.n) == (pytest.approx(2 - half), pytest.approx(2 + half), 3)


def test_pvalues_equal_scipy():
    rng = np.random.default_rng(0)
    x, y = rng.normal(1, 1, 12), rng.normal(0, 1, 12)
    d = stats.paired_difference(x, y)
    assert d.p_t == pytest.approx(scipy_stats.ttest_rel(x, y).pvalue)
    assert d.p_wilcoxon == pytest.approx(scipy_stats.wilcoxon(x, y).pvalue)


@pytest.mark.parametrize("n", [1, 4, 5])
def test_no_pvalue_below_five_seeds(n):
    d = stats.paired_difference(np.arange(n) + 1.0, np.zeros(n))
    assert (d.p_t is None, d.p_wilcoxon is None) == (n < 5, n < 5)
    assert math.isnan(d.half_width) == (n == 1)


@pytest.mark.parametrize(("gap", "p"), [(0.0, 1.0), (2.0, 0.0)])
def test_differences_that_do_not_vary_have_a_pvalue(gap, p):
    assert stats.paired_difference(np.full(6, 3.0 + gap), np.full(6, 3.0)).p_t == p
    assert stats.paired_difference(np.full(6, 3.0), np.full(6, 3.0)).p_wilcoxon == 1


@settings(deadline=None, max_examples=30)  # SciPy's exact Wilcoxon with ties takes a while
@given(scores)
def test_interval_contains_the_mean_difference(x):
    d = stats.paired_difference(x, x[::-1] / 2)
    assert d.low <= d.mean <= d.high
    assert d.mean == pytest.approx(np.mean(x - x[::-1] / 2))


def test_holm_by_hand():
    # Sorted .01 .02 .03 .04 times 4 3 2 1 = .04 .06 .06 .04, kept monotone.
    assert stats.holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert stats.holm([]) == []


@given(pvalues)
def test_holm_is_monotone_and_never_below_the_raw_value(p):
    adjusted = stats.holm(p)
    assert all(raw <= a <= 1 for raw, a in zip(p, adjusted, strict=True))
    assert np.all(np.diff(np.array(adjusted)[np.argsort(p)]) >= 0)


def test_area_by_hand():
    # Trapezoids 1 * 1 and 3 * 3 over a range of 4, for each curve of a stack.
    assert stats.area_under_curve([0, 1, 4], [0, 2, 4]) == pytest.approx(10 / 4)
    stack = [[0, 2, 4], [1, 3, 5]]
    assert stats.area_under_curve([0, 1, 4], stack) == pytest.approx([2.5, 3.5])


@given(st.floats(-100, 100), st.lists(st.floats(0.5, 50), min_size=1, max_size=9))
def test_area_of_a_constant_is_that_constant(value, steps):
    cost = np.cumsum([7.0, *steps])
    assert stats.area_under_curve(cost, np.full(len(cost), value)) == pytest.approx(value)


def test_iqm_by_hand():
    assert stats.iqm([[0.0, 100.0], [1.0, 2.0], [6.0, -50.0]]) == pytest.approx((0 + 1 + 2 + 6) / 4)
    assert stats.iqm([[5.0], [1.0], [9.0]]) == pytest.approx(5)  # n // 4 = 0: trims nothing
    assert stats.iqm(np.zeros((7, 3, 2))).shape == (7,)
    nine = [[8.0], [1.0], [9.0], [-40.0], [3.0], [70.0], [2.0], [5.0], [4.0]]
    middle = (2 + 3 + 4 + 5 + 8) / 5  # of nine, two go at each end
    assert stats.iqm(nine) == pytest.approx(middle)
    stack = [nine, np.add(nine, 1), np.negative(nine)]
    assert stats.iqm(stack) == pytest.approx([middle, middle + 1, -middle])


def test_bootstrap_is_reproducible_and_about_right():
    values = np.random.default_rng(1).normal(10, 2, (40, 1))
    first = stats.stratified_bootstrap(values, stats.iqm, seed=3)
    assert first == stats.stratified_bootstrap(values, stats.iqm, seed=3)
    assert first != stats.stratified_bootstrap(values, stats.iqm, seed=4)
    assert first.low < first.mean < first.high
    mean = stats.stratified_bootstrap(values, lambda s: s.mean(axis=(-2, -1)), seed=0)
    t = stats.mean_interval(values[:, 0])
    assert mean.high - mean.low == pytest.approx(t.high - t.low, rel=0.1)


def test_bootstrap_resamples_within_each_task():
    scores = np.array([[0.0, 10.0], [0.0, 10.0], [0.0, 10.0]])
    task_means = stats.stratified_bootstrap(scores, lambda s: s.mean(axis=(-2, -1)), seed=0)
    assert task_means == (5, 5, 5)


def test_minimum_detectable_difference_has_the_power_it_states():
    rng = np.random.default_rng(2)
    x, y = rng.normal(0, 1, 10), rng.normal(0, 1, 10)
    shift = stats.minimum_detectable_difference(x, y) / scipy_stats.sem(x - y)
    found = scipy_stats.nct.sf(scipy_stats.t.ppf(0.975, 9), 9, shift)
    assert found == pytest.approx(0.8, abs=0.02)


def test_minimum_detectable_difference_of_few_pairs():
    """Differences 1 and 3: sd / sqrt(n) = 1, and t(0.975, 1) + t(0.8, 1) by tables."""
    assert stats.minimum_detectable_difference([2, 4], [1, 1]) == pytest.approx(12.706205 + 1.376382)
    assert math.isnan(stats.minimum_detectable_difference([2], [1]))


def test_probability_of_improvement_by_hand():
    # Pairs: 1>0, 1=1, 3>0, 3>1: three and a half of four.
    assert stats.probability_of_improvement([1.0, 3.0], [0.0, 1.0]) == pytest.approx(3.5 / 4)
