"""From mining records to figures: each class on its own scale, then over classes.

Raw gains differ between classes by orders of magnitude, so a class's score is
``(G - G_random) / (G_oracle - G_random)`` with G the mean over seeds: 0 is random, 1 the oracle. Intervals and tests
are over classes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import binomtest

from alenv.mining.pool import MiningPool
from benchmarks import stats
from benchmarks.leaderboard.mining_record import Record
from benchmarks.leaderboard.suite import ORACLE, Suite

BINS = ((1, 10), (11, 50), (51, 200), (201, 10**9))
"""Positives in the pool, by which the classes are tabulated."""
MEASURES = ("gain", "pixels", "positives")
TRAINED = ("iou", "average_precision")

Summary = dict[str, Any]


def summarize(suite: Suite, pool: MiningPool, counts: dict[str, int], records: dict[str, dict[str, Record]]) -> Summary:
    """All figures of the report.

    Args:
        suite: What was run.
        pool: What was mined.
        counts: Positives in the pool, by class.
        records: Finished records by policy and class.
    """
    groups = {
        "train": [c for c in counts if c not in pool.heldout],
        "heldout": [c for c in counts if c in pool.heldout],
    }
    return {
        "suite": vars(suite),
        "counts": counts,
        "setups": _setups(records),
        "missing": {p: len(counts) - len(records[p]) for p in suite.policies if len(records[p]) < len(counts)},
        "groups": {
            group: {str(b): _table(suite, str(b), classes, counts, records) for b in suite.budgets}
            for group, classes in groups.items()
            if classes
        },
    }


def _setups(records: dict[str, dict[str, Record]]) -> list[dict[str, Any]]:
    """The distinct fingerprints, without the arguments: class and observation differ from record to record."""
    setups = {}
    for record in (record for by_class in records.values() for record in by_class.values()):
        setup = {k: v for k, v in record["fingerprint"].items() if k not in ("sha256", "arguments")}
        setups[json.dumps(setup, sort_keys=True)] = setup
    return [setups[text] for text in sorted(setups)]


def _table(
    suite: Suite, budget: str, classes: list[str], counts: dict[str, int], records: dict[str, dict[str, Record]]
) -> Summary:
    """Figures of every policy at one budget over one group of classes."""
    baseline, oracle = records.get(suite.baseline, {}), records.get(ORACLE, {})
    table = {}
    for policy in suite.policies:
        shared = [c for c in classes if c in records[policy] and c in baseline and c in oracle]
        if shared:
            table[policy] = _figures(budget, shared, counts, records[policy], baseline, oracle)
    _rank(table, len(classes))
    return table


def _rank(table: Summary, classes: int) -> None:
    """Rank the policies that played every class, by score; the oracle sees labels and has no rank."""
    scores = {p: f["score"]["mean"] for p, f in table.items() if p != ORACLE and f["classes"] == classes}
    known = {policy: score for policy, score in scores.items() if not np.isnan(score)}
    ranks = dict(zip(known, stats.competition_ranks(list(known.values())), strict=True))
    for policy, figures in table.items():
        figures["rank"] = ranks.get(policy)


def _figures(
    budget: str,
    classes: list[str],
    counts: dict[str, int],
    own: dict[str, Record],
    baseline: dict[str, Record],
    oracle: dict[str, Record],
) -> Summary:
    mean = {m: np.array([[_mean(r[c], m, budget) for c in classes] for r in (own, baseline, oracle)]) for m in MEASURES}
    policy, random, best = mean["gain"]
    room = best - random
    score = np.divide(policy - random, room, out=np.full(len(room), np.nan), where=room > 0)
    figures = {
        "classes": len(classes),
        "score": _interval(score),
        "score_by_class": dict(zip(classes, score.tolist(), strict=True)),
        "wins": _wins(policy - random),
        "pixel_ratio": float(np.exp(np.mean(np.log((mean["pixels"][0] + 1) / (mean["pixels"][1] + 1))))),
        "positives": float(mean["positives"][0].mean()),
        "score_by_positives": _by_positives(score, [counts[c] for c in classes]),
    }
    if "trained" in next(iter(own[classes[0]]["episodes"].values())):
        figures["trained"] = {m: _trained(budget, classes, m, own, baseline) for m in TRAINED}
    return figures


def _mean(record: Record, measure: str, budget: str) -> float:
    return float(np.mean([episode[measure][budget] for episode in record["episodes"].values()]))


def _trained(
    budget: str, classes: list[str], measure: str, own: dict[str, Record], baseline: dict[str, Record]
) -> Summary:
    """Score of the head trained on what was mined, in points, and its difference to the baseline's, over classes."""
    columns = [
        [[e["trained"][budget][measure] for e in record[c]["episodes"].values()] for c in classes]
        for record in (own, baseline)
    ]
    value, reference = (100 * np.array(column, float).mean(1) for column in columns)
    known = ~np.isnan(value)  # a class without test pixels has no score
    difference = (value - reference)[known]
    paired = stats.paired_difference(value[known], reference[known])._asdict() if known.sum() > 1 else {}
    return {"mean": float(value[known].mean()), "difference": paired, "wins": _wins(difference)}


def _wins(difference: np.ndarray) -> Summary:
    """Classes above and below the baseline, and the two-sided sign test; equal ones are ties, not wins."""
    up, down = int((difference > 0).sum()), int((difference < 0).sum())
    p = float(binomtest(up, up + down).pvalue) if up + down else 1.0
    return {"up": up, "ties": len(difference) - up - down, "down": down, "p_sign": p}


def _interval(values: np.ndarray) -> Summary:
    known = values[~np.isnan(values)]
    return stats.mean_interval(known)._asdict() if len(known) else dict.fromkeys(("mean", "low", "high"), float("nan"))


def _by_positives(score: np.ndarray, counts: Sequence[int]) -> dict[str, Any]:
    bins = {}
    for low, high in BINS:
        chosen = (np.array(counts) >= low) & (np.array(counts) <= high) & ~np.isnan(score)
        if chosen.any():
            name = f"{low} to {high}" if high < 10**9 else f"{low} and more"
            bins[name] = {"classes": int(chosen.sum()), "score": float(score[chosen].mean())}
    return bins
