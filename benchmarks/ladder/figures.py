"""The figures of a ladder: scores of policies on every rung, and how rungs agree.

Two questions, kept apart. *Ranking*: do policies that see a rung's own predictions rank as they do on another rung?
*Replay*: are the same labels worth the same? All intervals are percentiles of one bootstrap over seeds, which keeps
what belongs to a seed together: policies and rungs share its luck.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmarks import stats
from benchmarks.ladder.rungs import Ladder
from benchmarks.ladder.runs import Runs
from benchmarks.leaderboard.summary import BOOTSTRAP_SEED

RESAMPLES = 2000

Array = NDArray[np.float64]
Figures = dict[str, Any]


def compute(ladder: Ladder, played: Runs, replayed: Runs) -> Figures:
    """All figures, from complete runs by rung, policy and seed; only the first split counts."""
    suite = ladder.rungs[0]
    curves = {rung: _curves(ladder, runs) for rung, runs in played.items()}
    scores = {"aubc": _map(curves, _areas), "final": _map(curves, lambda c: c[1][..., -1])}
    names = list(played)
    gains = _map({rung: _curves(ladder, runs) for rung, runs in replayed.items()}, _gains, _baseline(ladder))
    return {
        "ladder": ladder.name,
        "split": suite.splits[0],
        "env": suite.env,
        "rungs": {rung.name: rung.kwargs for rung in ladder.rungs},
        "policies": list(suite.policies),
        "seeds": list(suite.seeds),
        "baseline": suite.baseline,
        "scores": {kind: _map(by_rung, lambda s: s.tolist()) for kind, by_rung in scores.items()},
        "differences": {kind: _map(by_rung, _differences, _baseline(ladder)) for kind, by_rung in scores.items()},
        "tau": {kind: _pairs(names, by_rung, kendall_of_means) for kind, by_rung in scores.items()},
        "gains": {kind: _map(g, lambda v: v.tolist()) for kind, g in _by_kind(gains).items()},
        "pearson": {kind: _pairs(names, g, pearson_of_all) for kind, g in _by_kind(gains).items()},
        "fingerprints": {rung: _any(runs).fingerprint for rung, runs in played.items()},
    }


def kendall(x: ArrayLike, y: ArrayLike) -> Array:
    """Kendall's tau-b of (..., n) and (..., n), as ``scipy.stats.kendalltau``, for many samples at once: (...)."""
    # tau-b divides by the pairs that are not tied in x, and not tied in y
    i, j = np.triu_indices(np.shape(x)[-1], 1)
    dx, dy = (np.sign(np.asarray(v)[..., i] - np.asarray(v)[..., j]) for v in (x, y))
    return _ratio((dx * dy).sum(-1), np.sqrt((dx**2).sum(-1) * (dy**2).sum(-1)))


def pearson(x: ArrayLike, y: ArrayLike) -> Array:
    """Pearson's correlation of (..., n) and (..., n), as ``scipy.stats.pearsonr``, for many samples at once: (...)."""
    dx, dy = (np.asarray(v, float) - np.mean(v, axis=-1, keepdims=True) for v in (x, y))
    return _ratio((dx * dy).sum(-1), np.sqrt((dx**2).sum(-1) * (dy**2).sum(-1)))


def kendall_of_means(x: Array, y: Array) -> Array:
    """Tau of the policies' means over seeds; x and y are (..., seeds, policies)."""
    return kendall(x.mean(-2), y.mean(-2))


def pearson_of_all(x: Array, y: Array) -> Array:
    """Pearson over all entries of a seed, of all seeds; x and y are (..., seeds, entries)."""
    return pearson(x.reshape(*x.shape[:-2], -1), y.reshape(*y.shape[:-2], -1))


def agreement(x: Array, y: Array, statistic: Callable[[Array, Array], Array]) -> Figures:
    """A statistic of two rungs, with its 95 % bootstrap interval.

    Args:
        x: (seeds, entries) of one rung.
        y: Those of another; a resample takes the same seeds of both.
        statistic: maps two (..., seeds, entries) to (...).
    """
    picks = np.random.default_rng(BOOTSTRAP_SEED).integers(len(x), size=(RESAMPLES, len(x)))
    resampled = statistic(x[picks], y[picks])
    low, high = np.nanpercentile(resampled, [2.5, 97.5]) if np.isfinite(resampled).any() else (np.nan, np.nan)
    return {"value": float(statistic(x, y)), "low": float(low), "high": float(high), "n": int(x.size)}


def _pairs(names: list[str], values: dict[str, Array], statistic: Callable[[Array, Array], Array]) -> list[Figures]:
    pairs = combinations(names, 2)
    return [{"rungs": [a, b], **agreement(values[a], values[b], statistic)} for a, b in pairs]


def _curves(ladder: Ladder, runs: dict[str, dict[int, Any]]) -> tuple[Array, Array]:
    """Costs (points,) and mIoU (seeds, policies, points); a curve that ends early keeps its last value."""
    suite = ladder.rungs[0]
    episodes = [[runs[policy][seed] for policy in suite.policies] for seed in suite.seeds]
    costs = sorted({cost for row in episodes for episode in row for cost in episode.costs["regions"]})
    name = f"miou/{suite.splits[0]}"
    values = [[np.interp(costs, e.costs["regions"], e.metrics[name]) for e in row] for row in episodes]
    return np.array(costs, float), np.array(values)


def _areas(curves: tuple[Array, Array]) -> Array:
    return stats.area_under_curve(*curves)


def _gains(curves: tuple[Array, Array], baseline: int) -> tuple[Array, Array]:
    """What each trace gains beyond the baseline's of its seed: in the end, and in every single round.

    Less the baseline, because early rounds gain much and late ones little on every rung and for every policy.
    """
    beyond = np.delete(curves[1] - curves[1][:, [baseline]], baseline, axis=1)
    return beyond[..., -1], np.diff(beyond, axis=-1).reshape(len(beyond), -1)


def _by_kind(gains: dict[str, tuple[Array, Array]]) -> dict[str, dict[str, Array]]:
    return {kind: {rung: pair[i] for rung, pair in gains.items()} for i, kind in enumerate(("trace", "round"))}


def _differences(scores: Array, baseline: int) -> list[Figures]:
    """Mean and 95 % interval of each policy's difference to the baseline, paired by seed."""
    return [stats.paired_difference(column, scores[:, baseline])._asdict() for column in scores.T]


def _baseline(ladder: Ladder) -> int:
    return ladder.rungs[0].policies.index(ladder.rungs[0].baseline)


def _any(runs: dict[str, dict[int, Any]]) -> Any:
    return next(iter(next(iter(runs.values())).values()))


def _map(by_rung: dict[str, Any], function: Callable[..., Any], *more: Any) -> dict[str, Any]:
    return {rung: function(value, *more) for rung, value in by_rung.items()}


def _ratio(numerator: Array, denominator: Array) -> Array:
    """NaN where nothing varies."""
    return np.divide(numerator, denominator, out=np.full(np.shape(numerator), np.nan), where=denominator > 0)
