"""Several suites in one: values of each between its baseline (0) and full supervision, or the oracle of mining (1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks import stats
from benchmarks.leaderboard.suite import Suite
from benchmarks.leaderboard.summary import BOOTSTRAP_SEED
from benchmarks.leaderboard.tables import number
from benchmarks.leaderboard.task import Array, Rows, Summary
from benchmarks.leaderboard.tasks import make_task
from benchmarks.names import Name


def overall(runs: Sequence[tuple[Suite, Summary]]) -> Summary:
    """Average the policies that several suites have in common, each suite with the same weight.

    Args:
        runs: Suites with their figures. One without full supervision cannot be put on the scale, and is left out.

    Returns:
        By policy ``suites`` (mean by suite) and ``mean``, ``low``, ``high``: over suites, with a 95 % bootstrap
        interval that resamples seeds (or classes) within each suite. The best policy comes first.
    """
    scaled = {suite.name: _scaled(suite, summary) for suite, summary in runs}
    policies = dict.fromkeys(policy for values in scaled.values() for policy in values)
    figures = {}
    for policy in policies:
        own = {name: values[policy] for name, values in scaled.items() if policy in values}
        if len(own) > 1:
            interval = stats.mean_of_strata(list(own.values()), BOOTSTRAP_SEED)
            figures[policy] = {"suites": {name: float(s.mean()) for name, s in own.items()}, **interval._asdict()}
    return dict(sorted(figures.items(), key=lambda item: -item[1]["mean"]))


def _scaled(suite: Suite, summary: Summary) -> dict[str, Array]:
    """Return the values of the policies with all episodes in the first view, on the scale."""
    view = next(iter(summary["views"].values()))
    figures, full = view["measures"][make_task(suite).measure], view["full"]
    if full is None or suite.baseline not in figures:
        return {}
    base = figures[suite.baseline]["mean"]
    whole = [policy for policy in figures if "incomplete" not in summary["policies"][policy]["status"]]
    whole = [policy for policy in whole if policy != suite.baseline]  # 0, and no interval means anything there
    shares = {policy: np.array(list(figures[policy]["by_unit"].values()), float) for policy in whole}
    return {policy: (values[~np.isnan(values)] - base) / (full - base) for policy, values in shares.items()}


def overall_table(figures: Summary) -> Rows:
    """Header and rows: the value in each suite, and the mean over suites."""
    suites = list(dict.fromkeys(name for entry in figures.values() for name in entry["suites"]))
    rows: Rows = [["policy", *map(Name, suites), "mean of suites [95 %]"]]
    for policy, entry in figures.items():
        cells = [number(entry["suites"].get(name), 3) for name in suites]
        rows.append([Name(policy), *cells, "{mean:.3f} [{low:.3f}, {high:.3f}]".format(**entry)])
    return rows
