"""Statistics of the leaderboard, on NumPy and SciPy.

Comparisons are paired by seed: the environments use common random numbers, so two policies with
one seed meet the same luck, and n is the number of seeds (never of budget points).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import integrate, stats

MIN_SEEDS_FOR_P = 5

Array = NDArray[np.float64]


class Interval(NamedTuple):
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float


class PairedDifference(NamedTuple):
    """Mean of x - y over pairs, its 95 % t-interval, and two p-values (None below five pairs)."""

    mean: float
    low: float
    high: float
    half_width: float
    n: int
    p_t: float | None
    p_wilcoxon: float | None


def competition_ranks(values: Sequence[float]) -> list[int]:
    """Ranks from 1, the largest value first; equal values share the better rank: 1, 2, 2, 4."""
    return [1 + sum(other > value for other in values) for value in values]


def mean_interval(values: ArrayLike) -> Interval:
    """Mean +- t(0.975, n - 1) * sd / sqrt(n); the bounds are NaN for a single value."""
    values = np.asarray(values, dtype=float)
    mean, half = float(values.mean()), _half_width(values)
    return Interval(mean, mean - half, mean + half)


def _half_width(values: Array) -> float:
    if len(values) < 2:
        return float("nan")
    return float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))


def paired_difference(x: ArrayLike, y: ArrayLike) -> PairedDifference:
    """Compare two samples paired by seed.

    Args:
        x: one value per seed.
        y: the values of the reference for the same seeds, in the same order.

    Returns:
        The mean of d = x - y, its t-interval, and the p-values of the paired t-test and of
        Wilcoxon's signed-rank test. Below five pairs a p-value says nothing and is None.
    """
    d = np.asarray(x, dtype=float) - np.asarray(y, dtype=float)
    mean, low, high = mean_interval(d)
    p_t = p_wilcoxon = None
    if len(d) >= MIN_SEEDS_FOR_P:
        p_t, p_wilcoxon = _p_t(d), _p_wilcoxon(d)
    return PairedDifference(mean, low, high, _half_width(d), len(d), p_t, p_wilcoxon)


def _p_t(d: Array) -> float:
    sem = stats.sem(d)
    if sem == 0:  # SciPy answers NaN where nothing varies
        return float(d[0] == 0)
    return float(2 * stats.t.sf(abs(d.mean() / sem), len(d) - 1))


def _p_wilcoxon(d: Array) -> float:
    if not d.any():  # older SciPy refuses all zeros
        return 1.0
    tied = not d.all() or len(np.unique(abs(d))) < len(d)
    return float(stats.wilcoxon(d, method="approx" if tied else "auto").pvalue)  # its exact test of ties takes seconds


def p_sign(up: int, down: int) -> float:
    """Two-sided sign test of so many gains and losses; ties are left out."""
    return float(stats.binomtest(up, up + down).pvalue) if up + down else 1.0


def holm(pvalues: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment: the i-th smallest of m times m - i + 1, kept monotone."""
    p = np.asarray(pvalues, dtype=float)
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    factors = np.arange(len(p), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * factors))
    return adjusted.tolist()


def minimum_detectable_difference(x: ArrayLike, y: ArrayLike) -> float:
    """Smallest true mean difference that a paired two-sided test at 5 % finds with 80 % power.

    (t(0.975, n - 1) + t(0.8, n - 1)) * sd(x - y) / sqrt(n); NaN for a single pair.
    """
    d = np.asarray(x, dtype=float) - np.asarray(y, dtype=float)
    if len(d) < 2:
        return float("nan")
    return float((stats.t.ppf(0.975, len(d) - 1) + stats.t.ppf(0.8, len(d) - 1)) * stats.sem(d))


def area_under_curve(cost: ArrayLike, value: ArrayLike) -> Array:
    """Area under value against cost by the trapezoid rule, divided by the cost range.

    Args:
        cost: (points,) increasing costs.
        value: (..., points) one curve or a stack of curves.

    Returns:
        (...) areas, in the unit of the values: a constant curve has that constant as its area.
    """
    cost = np.asarray(cost, dtype=float)
    return integrate.trapezoid(value, cost, axis=-1) / (cost[-1] - cost[0])


def mean_of_strata(strata: Sequence[Array], seed: int, resamples: int = 10_000) -> Interval:
    """Mean of the means of some samples, with its percentile interval: each is resampled within itself."""
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(len(values), size=(resamples, len(values)))].mean(1) for values in strata]
    low, high = np.percentile(np.mean(means, axis=0), [2.5, 97.5])
    return Interval(float(np.mean([values.mean() for values in strata])), float(low), float(high))


def corrected_interval(difference: PairedDifference, p_adjusted: float, family: int) -> tuple[float, float]:
    """Widen an interval to the level of a p-value that was adjusted for several comparisons.

    It holds 0 if and only if the adjusted p-value is at least 0.05.

    Args:
        difference: A difference with its 95 % t-interval.
        p_adjusted: Its adjusted p-value.
        family: How many comparisons there are.
    """
    factor = p_adjusted / difference.p_t if difference.p_t else family
    degrees = difference.n - 1
    half = difference.half_width * stats.t.ppf(1 - 0.025 / factor, degrees) / stats.t.ppf(0.975, degrees)
    return float(difference.mean - half), float(difference.mean + half)


def cost_to_reach(cost: ArrayLike, curves: ArrayLike, level: float, seed: int = 0, resamples: int = 2000) -> Interval:
    """Cost at which the mean of some curves first reaches a level, with its percentile interval over the curves.

    Args:
        cost: (points,) increasing costs.
        curves: (runs, points).
        level: What is to be reached.
        seed: of the generator that draws the resamples.
        resamples: how many.

    Returns:
        Costs, interpolated between points; infinite where the level is not reached.
    """
    cost, curves = np.asarray(cost, dtype=float), np.asarray(curves, dtype=float)
    picks = np.random.default_rng(seed).integers(len(curves), size=(resamples, len(curves)))
    reached = np.array([_crossing(cost, mean, level) for mean in curves[picks].mean(1)])
    low, high = np.percentile(reached, [2.5, 97.5], method="nearest")  # between a number and infinity lies no number
    return Interval(_crossing(cost, curves.mean(0), level), float(low), float(high))


def _crossing(cost: Array, value: Array, level: float) -> float:
    above = np.flatnonzero(value >= level)
    if not len(above):
        return float("inf")
    if above[0] == 0:
        return float(cost[0])
    i = above[0]
    return float(np.interp(level, value[i - 1 : i + 1], cost[i - 1 : i + 1]))


def penalties(curves: ArrayLike) -> NDArray[np.int64]:
    """Count in how many settings one policy is worse than another, by paired t-tests with Holm's correction.

    Args:
        curves: (policies, runs, settings); runs in which a policy has no value (NaN) do not count.

    Returns:
        (policies, policies): entry (a, b) is the number of settings, such as budgets, in which b beats a at 5 %, after
        Holm's correction over all pairs of that setting.
    """
    curves = np.asarray(curves, dtype=float)
    counts = np.zeros((len(curves), len(curves)), np.int64)
    a, b = np.triu_indices(len(curves), 1)
    for column in np.moveaxis(curves, -1, 0):
        column = column[:, ~np.isnan(column).any(0)]
        if len(a) and column.shape[1] >= MIN_SEEDS_FOR_P:
            d = column[b] - column[a]
            real = np.array(holm(_p_paired(d))) < 0.05
            better = d.mean(1) > 0
            counts[a[real & better], b[real & better]] += 1
            counts[b[real & ~better], a[real & ~better]] += 1
    return counts


def _p_paired(d: Array) -> Array:
    """P-values of paired t-tests on differences (pairs, runs); where nothing varies, 1 for zeros and else 0."""
    sem, mean = stats.sem(d, axis=1), d.mean(1)
    t = np.divide(np.abs(mean), sem, out=np.where(mean == 0, 0.0, np.inf), where=sem > 0)
    return 2 * stats.t.sf(t, d.shape[1] - 1)


def iqm(values: ArrayLike) -> Array:
    """Interquartile mean of (..., runs, tasks): sort all n, trim n // 4 at each end, average."""
    values = np.asarray(values, dtype=float)
    pooled = np.sort(values.reshape(*values.shape[:-2], -1), axis=-1)
    trim = pooled.shape[-1] // 4
    return pooled[..., trim : pooled.shape[-1] - trim].mean(axis=-1)


def stratified_bootstrap(
    values: ArrayLike, statistic: Callable[[Array], Array], seed: int, resamples: int = 10_000
) -> Interval:
    """Percentile interval of a statistic; runs are resampled with replacement within each task.

    Args:
        values: (runs, tasks).
        statistic: maps (..., runs, tasks) to (...), such as `iqm`.
        seed: of the one generator that draws all resamples.
        resamples: how many.

    Returns:
        The statistic of the values themselves, and its 2.5 and 97.5 bootstrap percentiles.
    """
    values = np.asarray(values, dtype=float)
    picks = np.random.default_rng(seed).integers(len(values), size=(resamples, *values.shape))
    low, high = np.percentile(statistic(np.take_along_axis(values[None], picks, axis=1)), [2.5, 97.5])
    return Interval(float(statistic(values)), float(low), float(high))


def probability_of_improvement(x: ArrayLike, y: ArrayLike) -> float:
    """Share of all run pairs with x > y plus half the ties (unpaired)."""
    difference = np.subtract.outer(np.asarray(x, dtype=float), np.asarray(y, dtype=float))
    return float(np.mean((np.sign(difference) + 1) / 2))
