"""From episodes to figures: every policy alone, and against the baseline on the seeds that both have.

Costs are labelled regions. A curve that ends before the budget keeps its last value: labels that
were not bought gain nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from agents.policy import Episode
from benchmarks import stats
from benchmarks.leaderboard.suite import Suite

RANKED_SEEDS, PROVISIONAL_SEEDS = 10, 5
BOOTSTRAP_SEED = 0
UNITS = ("regions", "pixels", "clicks", "images")

Summary = dict[str, Any]


def summarize(suite: Suite, episodes: dict[str, dict[int, Episode]]) -> Summary:
    """All figures of the report, from the finished episodes by policy and seed."""
    episodes = {policy: episodes[policy] for policy in suite.policies if episodes.get(policy)}
    everything = [episode for by_seed in episodes.values() for episode in by_seed.values()]
    budgets = sorted({cost for episode in everything for cost in episode.costs["regions"]})
    summary = {
        "suite": vars(suite),
        "setups": _setups(everything),
        "labels_given": sorted({episode.given["pixels"] for episode in everything}),
        "bootstrap_seed": BOOTSTRAP_SEED,
        "budgets": budgets,
        "policies": {policy: _describe(episodes.get(policy, {}), suite) for policy in suite.policies},
        "splits": {split: _compare(episodes, split, budgets, suite.baseline) for split in suite.splits},
    }
    _adjust_pvalues(summary)
    _rank(summary)
    return summary


def _setups(episodes: Sequence[Episode]) -> list[dict[str, Any]]:
    """The distinct fingerprints, without the channels that each policy adds to what it sees."""
    setups = {}
    for episode in episodes:
        arguments = {k: v for k, v in episode.fingerprint["arguments"].items() if k != "scores"}
        setup = {**episode.fingerprint, "arguments": arguments}
        del setup["sha256"]
        setups[json.dumps(setup, sort_keys=True)] = setup
    return [setups[text] for text in sorted(setups)]


def _describe(by_seed: dict[int, Episode], suite: Suite) -> Summary:
    """What does not depend on the split: status, speed, and what the labels cost in each unit."""
    episodes = list(by_seed.values())
    picks = sum(len(episode.actions) for episode in episodes)
    seconds = {part: sum(e.seconds[part] for e in episodes) for part in ("policy", "env")}
    return {
        "seeds": sorted(by_seed),
        "oracle": any(episode.oracle for episode in episodes),
        "status": _status(episodes, len(suite.seeds)),
        "rank": None,
        "ms_per_pick": 1000 * seconds["policy"] / picks if picks else None,
        "env_ms_per_pick": 1000 * seconds["env"] / picks if picks else None,
        "cost": {u: np.mean([e.costs[u][-1] for e in episodes]) if episodes else None for u in UNITS},
    }


def _status(episodes: Sequence[Episode], wanted: int) -> str:
    oracle = any(episode.oracle for episode in episodes)
    if len(episodes) < wanted:
        return f"{'oracle, ' if oracle else ''}incomplete: {len(episodes)} of {wanted} seeds"
    if oracle:
        return "oracle: sees labels"
    if wanted < PROVISIONAL_SEEDS:
        return f"not ranked: fewer than {PROVISIONAL_SEEDS} seeds"
    return "ranked" if wanted >= RANKED_SEEDS else "provisional"


def _compare(episodes: dict[str, dict[int, Episode]], split: str, budgets: list[float], baseline: str) -> Summary:
    """Every policy on one split, alone and against the baseline on the seeds that both have."""
    curves = {
        policy: {seed: _curve(episode, split, budgets) for seed, episode in by_seed.items()}
        for policy, by_seed in episodes.items()
    }
    figures = {}
    for policy, by_seed in curves.items():
        worst = [_worst_third(episode, split) for episode in episodes[policy].values()]
        figures[policy] = _figures(np.array(list(by_seed.values())), budgets)
        figures[policy]["worst_third"] = float(np.mean(worst))
        seeds = [seed for seed in by_seed if seed in curves.get(baseline, {})]
        if policy != baseline and seeds:
            x, y = (np.array([curves[name][seed] for seed in seeds]) for name in (policy, baseline))
            figures[policy]["difference"] = _difference(x, y, budgets)
    return figures


def _curve(episode: Episode, split: str, budgets: list[float]) -> np.ndarray:
    return np.interp(budgets, episode.costs["regions"], episode.metrics[f"miou/{split}"])


def _worst_third(episode: Episode, split: str) -> float:
    """Mean final IoU of the worst third (rounded up, as in the reward) of the classes there are."""
    present = sorted(iou for iou in episode.class_metrics[f"class_iou/{split}"][-1] if iou is not None)
    return float(np.mean(present[: -(-len(present) // 3)]))


def _figures(curves: np.ndarray, budgets: list[float]) -> Summary:
    areas = stats.area_under_curve(budgets, curves)
    iqm = stats.stratified_bootstrap(areas[:, None], stats.iqm, BOOTSTRAP_SEED)
    return {
        "final": float(curves[:, -1].mean()),
        "aubc": float(areas.mean()),
        "aubc_per_seed": areas.tolist(),
        "aubc_iqm": iqm._asdict(),
        "curve": [stats.mean_interval(column)._asdict() for column in curves.T],
    }


def _difference(x: np.ndarray, y: np.ndarray, budgets: list[float]) -> Summary:
    """Paired differences of the area and of every point; x and y are (seeds, budgets)."""
    areas = [stats.area_under_curve(budgets, curves) for curves in (x, y)]
    return {
        "aubc": stats.paired_difference(*areas)._asdict(),
        "minimum_detectable": stats.minimum_detectable_difference(*areas),
        "probability_of_improvement": stats.probability_of_improvement(*areas),
        "curve": [stats.mean_interval(column)._asdict() for column in (x - y).T],
    }


def _adjust_pvalues(summary: Summary) -> None:
    """Holm over the comparisons of a table, without oracles: they do not compete."""
    for figures in summary["splits"].values():
        family = [
            f["difference"]["aubc"]
            for policy, f in figures.items()
            if "difference" in f and not summary["policies"][policy]["oracle"]
        ]
        family = [difference for difference in family if difference["p_t"] is not None]
        adjusted = stats.holm([difference["p_t"] for difference in family])
        for difference, p in zip(family, adjusted, strict=True):
            difference["p_holm"] = p


def _rank(summary: Summary) -> None:
    figures = summary["splits"][summary["suite"]["splits"][0]]
    order = sorted(figures, key=lambda policy: -figures[policy]["aubc"])
    summary["policies"] = {
        policy: summary["policies"][policy]
        for policy in [*order, *(p for p in summary["policies"] if p not in figures)]
    }
    ranked = [p for p, entry in summary["policies"].items() if entry["status"] in ("ranked", "provisional")]
    for policy, rank in zip(ranked, stats.competition_ranks([figures[p]["aubc"] for p in ranked]), strict=True):
        summary["policies"][policy]["rank"] = rank


def in_order(summary: Summary) -> list[str]:
    """The policies with episodes: ranked ones first, then those without a rank, oracles last."""
    shown = {policy: entry for policy, entry in summary["policies"].items() if entry["seeds"]}
    return sorted(shown, key=lambda policy: (shown[policy]["oracle"], shown[policy]["rank"] is None))
