"""From episodes to figures, for all environments: every policy alone, and against the baseline on what both have."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from agents.episode import Episode
from benchmarks import stats
from benchmarks.leaderboard.suite import Suite
from benchmarks.leaderboard.task import Array, Episodes, Line, Summary, Values, View
from benchmarks.leaderboard.tasks import make_task

BOOTSTRAP_SEED = 0


def summarize(suite: Suite, episodes: Episodes, full: Episode | None = None) -> Summary:
    """All figures of the report, from the finished episodes.

    Args:
        suite: What was run.
        episodes: By policy.
        full: What full supervision reaches, if that was run.

    Returns:
        ``suite``; ``setups``: the distinct fingerprints; ``given``: least and most labels outside the budget, by unit;
        ``policies``: status, rank, time and cost of each, the best first; ``views``: by name, ``measures`` (by name and
        policy: ``mean``, ``low``, ``high``, ``by_unit``, ``difference`` to the baseline), ``figures`` (what else the
        kind of environment tells of each policy) and ``ranks``; ``curves``: by name, ``metric``, ``cost``, ``grid`` and
        ``policies``, with ``curve`` and ``difference`` of each; ``beaten``: who is beaten by whom, at how many points
        of these curves; ``by_class``: by title, policy and class.
    """
    task = make_task(suite)
    shown = {policy: episodes[policy] for policy in suite.policies if episodes.get(policy)}
    everything = [episode for found in shown.values() for episode in found]
    wanted = sum(len(part.seeds) for part in task.parts())
    policies = {policy: _describe(shown.get(policy, []), wanted, task.standing()) for policy in suite.policies}
    views = task.views(shown, full)
    compared = {name: _compare(view, suite.baseline, policies, task.rankings) for name, view in views.items()}
    lines = task.lines(shown)
    cost = next(iter(lines.values())).cost
    return {
        "suite": vars(suite),
        "setups": _setups(everything),
        "given": _given(everything),
        "bootstrap_seed": BOOTSTRAP_SEED,
        "policies": _ordered(policies, next(iter(compared.values())), task.measure),
        "views": compared,
        "curves": {name: _curves(line, suite.baseline) for name, line in lines.items()},
        "beaten": {name: _beaten(line, policies) for name, line in lines.items() if line.cost == cost},
        "by_class": task.by_class(shown),
    }


def _setups(episodes: Sequence[Episode]) -> list[dict[str, Any]]:
    """The distinct fingerprints, without the arguments: these are the suite's, but for what each policy adds."""
    setups = {}
    for episode in episodes:
        setup = {k: v for k, v in episode.fingerprint.items() if k not in ("sha256", "arguments")}
        setups[json.dumps(setup, sort_keys=True)] = setup
    return [setups[text] for text in sorted(setups)]


def _given(episodes: Sequence[Episode]) -> dict[str, list[int]]:
    units = dict.fromkeys(unit for episode in episodes for unit in episode.given)
    found = {unit: [episode.given[unit] for episode in episodes if unit in episode.given] for unit in units}
    return {unit: [min(given), max(given)] for unit, given in found.items()}


def _describe(episodes: Sequence[Episode], wanted: int, standing: str) -> Summary:
    """What does not depend on the view: status, speed, and what the labels cost in each unit."""
    picks = sum(len(episode.actions) for episode in episodes)
    seconds = {part: sum(e.seconds[part] for e in episodes) for part in ("policy", "env")}
    units = dict.fromkeys(unit for episode in episodes for unit in episode.costs)
    oracle = any(episode.oracle for episode in episodes)
    status = "oracle: sees labels" if oracle else standing
    if len(episodes) < wanted:
        status = f"{'oracle, ' if oracle else ''}incomplete: {len(episodes)} of {wanted} episodes"
    return {
        "seeds": sorted({episode.seed for episode in episodes}),
        "oracle": oracle,
        "status": status,
        "rank": None,
        "ms_per_pick": 1000 * seconds["policy"] / picks if picks else None,
        "env_ms_per_pick": 1000 * seconds["env"] / picks if picks else None,
        "cost": {unit: float(np.mean([e.costs[unit][-1] for e in episodes])) for unit in units},
    }


def _compare(view: View, baseline: str, policies: Summary, rankings: Sequence[str]) -> Summary:
    """Every policy in one view, by every measure."""
    oracles = {policy for policy, entry in policies.items() if entry["oracle"]}
    measures = {name: _measure(values, baseline, oracles) for name, values in view.measures.items()}
    first = next(iter(measures.values()))
    for figures in first.values():
        values = _known(list(figures["by_unit"].values()))
        if len(values):
            figures["iqm"] = stats.stratified_bootstrap(values[:, None], stats.iqm, BOOTSTRAP_SEED)._asdict()
    ranks = {name: _ranks(measures[name], policies) for name in rankings}
    return {
        "measures": measures,
        "figures": view.figures,
        "full": view.full,
        "ranks": ranks[rankings[0]],
        "rankings": ranks,
    }


def _ranks(figures: Summary, policies: Summary) -> dict[str, int]:
    """Rank the policies that may have a rank, by the mean of a measure."""
    ranked = [
        policy
        for policy, entry in figures.items()
        if policies[policy]["status"] in ("ranked", "provisional") and not np.isnan(entry["mean"])
    ]
    ranks = stats.competition_ranks([figures[policy]["mean"] for policy in ranked])
    return dict(zip(ranked, ranks, strict=True))


def _measure(values: Values, baseline: str, oracles: set[str]) -> Summary:
    """Every policy by one measure: its mean with a 95 % t-interval over units, and its difference to the baseline."""
    figures: Summary = {}
    for policy, by_unit in values.items():
        figures[policy] = {**_interval(list(by_unit.values())), "by_unit": by_unit}
        shared = [unit for unit in by_unit if unit in values.get(baseline, {})]
        if policy != baseline and shared:
            x, y = (np.array([values[name][unit] for unit in shared]) for name in (policy, baseline))
            figures[policy]["difference"] = _difference(x, y)
    _adjust_pvalues([f["difference"] for p, f in figures.items() if "difference" in f and p not in oracles])
    return figures


def _difference(x: Array, y: Array) -> Summary:
    """Paired difference over the units in which both have a value."""
    known = ~np.isnan(x - y)
    x, y = x[known], y[known]
    if not len(x):
        return {}
    up, down = int((x > y).sum()), int((x < y).sum())
    return {
        **stats.paired_difference(x, y)._asdict(),
        "minimum_detectable": stats.minimum_detectable_difference(x, y),
        "probability_of_improvement": stats.probability_of_improvement(x, y),
        "wins": {"up": up, "ties": len(x) - up - down, "down": down, "p_sign": stats.p_sign(up, down)},
    }


def _adjust_pvalues(differences: list[Summary]) -> None:
    """Holm over the comparisons of a measure, without oracles: they do not compete.

    A difference is real if the interval at Holm's level, ``low_holm`` to ``high_holm``, does not hold 0.
    """
    family = [difference for difference in differences if difference.get("p_t") is not None]
    adjusted = stats.holm([difference["p_t"] for difference in family])
    for difference, p in zip(family, adjusted, strict=True):
        paired = stats.PairedDifference(*(difference[name] for name in stats.PairedDifference._fields))
        interval = stats.corrected_interval(paired, p, len(family))
        difference["p_holm"], difference["real"] = p, p < 0.05
        difference["low_holm"], difference["high_holm"] = interval


def _curves(line: Line, baseline: str) -> Summary:
    """Mean and interval at every point, of each policy and of its difference to the baseline."""
    policies = {}
    for policy, by_unit in line.curves.items():
        policies[policy] = {"curve": _columns(list(by_unit.values()))}
        shared = [unit for unit in by_unit if unit in line.curves.get(baseline, {})]
        if policy != baseline and shared:
            pairs = [by_unit[unit] - line.curves[baseline][unit] for unit in shared]
            policies[policy]["difference"] = _columns(pairs)
    return {"metric": line.metric, "cost": line.cost, "grid": line.grid, "policies": policies}


def _beaten(line: Line, policies: Summary) -> dict[str, dict[str, int]]:
    """By policy and rival, the number of points of the grid at which the rival is better, see ``stats.penalties``."""
    curves = {policy: by_unit for policy, by_unit in line.curves.items() if not policies[policy]["oracle"]}
    shared = [unit for unit in next(iter(curves.values()), {}) if all(unit in by_unit for by_unit in curves.values())]
    names = list(curves)
    if not shared:
        return {name: dict.fromkeys(names, 0) for name in names}
    counts = stats.penalties([[curves[name][unit] for unit in shared] for name in names])
    return {a: dict(zip(names, row.tolist(), strict=True)) for a, row in zip(names, counts, strict=True)}


def _columns(curves: list[Array]) -> list[Summary]:
    return [_interval(column) for column in np.array(curves).T]


def _interval(values: ArrayLike) -> Summary:
    known = _known(values)
    return stats.mean_interval(known)._asdict() if len(known) else dict.fromkeys(("mean", "low", "high"), float("nan"))


def _known(values: ArrayLike) -> Array:
    values = np.asarray(values, float)
    return values[~np.isnan(values)]


def _ordered(policies: Summary, view: Summary, measure: str) -> Summary:
    """Put the best policy of a view first, with its rank, and those without episodes last."""
    figures = view["measures"][measure]
    order = sorted(figures, key=lambda policy: -np.nan_to_num(figures[policy]["mean"], nan=-np.inf))
    order += [policy for policy in policies if policy not in figures]
    return {policy: policies[policy] | {"rank": view["ranks"].get(policy)} for policy in order}
