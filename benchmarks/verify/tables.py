"""What a verification comes to: counts, and scores of every policy that are computed from the replays alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.episode import Episode
from benchmarks.leaderboard.tables import number
from benchmarks.leaderboard.task import Part, Rows
from benchmarks.leaderboard.tasks import make_task
from benchmarks.names import Name
from benchmarks.stats import area_under_curve
from benchmarks.submission import Claim
from benchmarks.verify.claims import Group, State, Verdict
from benchmarks.verify.replays import Replayed

STATES: tuple[State, ...] = ("exact", "tolerance", "failed")


@dataclass(frozen=True)
class Replays:
    """What was replayed of a policy: the episodes as they are said and as they are, and what came of all of them."""

    group: Group
    accepted: Sequence[tuple[Claim, Part]]
    again: Sequence[Replayed]
    verdicts: Sequence[Verdict]

    @property
    def played(self) -> list[tuple[Episode, Episode]]:
        """Return the episodes that could be replayed: what was said, and the replay."""
        pairs = zip(self.accepted, self.again, strict=True)
        return [(claim.episode, again) for (claim, _), again in pairs if isinstance(again, Episode)]


def verdict_table(found: Sequence[Replays]) -> Rows:
    """Lay out the number of episodes by state, and the areas under the curves of the replays."""
    metrics = list(dict.fromkeys(name for one in found for name in make_task(one.group.suite).needs()))
    rows: Rows = [["policy", *STATES, *(f"area of {name}" for name in metrics)]]
    for one in found:
        counts = [str(sum(verdict.state == state for verdict in one.verdicts)) for state in STATES]
        cells = [number(_area([again for _, again in one.played], name), 2) for name in metrics]
        rows.append([Name(one.group.name), *counts, *cells])
    return rows


def comparison_table(found: Sequence[Replays], segmenter: str, metric: str) -> Rows:
    """Lay out areas and ends of a curve, as they are said and with another model."""
    rows: Rows = [["policy", "area", Name(f"area, {segmenter}"), "end", Name(f"end, {segmenter}")]]
    for one in found:
        said, again = ([pair[i] for pair in one.played] for i in (0, 1))
        cells = [measure(part, metric) for measure in (_area, _end) for part in (said, again)]
        rows.append([Name(one.group.name), *(number(cell, 2) for cell in cells)])
    return rows


def comparison_curves(found: Sequence[Replays], segmenter: str) -> dict[str, Any]:
    """Return the mean curves, by policy and metric: costs, values as they are said, and with another model."""
    return {
        one.group.name: {
            metric: {"costs": grid.tolist(), "said": _mean(said, metric, grid), segmenter: _mean(again, metric, grid)}
            for metric in make_task(one.group.suite).needs()
        }
        for one in found
        if one.played
        for said, again in [[[pair[i] for pair in one.played] for i in (0, 1)]]
        for grid in [np.unique([cost for episode in said for cost in _costs(episode)])]
    }


def _area(episodes: Sequence[Episode], metric: str) -> float:
    """Return the mean area under a curve over the first unit of cost; NaN where it has no area."""
    known = [e for e in episodes if metric in e.metrics and _costs(e)[-1] > _costs(e)[0]]
    areas = [area_under_curve(_costs(e), np.array(e.metrics[metric], float)) for e in known]
    return float(np.mean(areas)) if areas else float("nan")


def _end(episodes: Sequence[Episode], metric: str) -> float:
    ends = [episode.metrics[metric][-1] for episode in episodes if metric in episode.metrics]
    return float(np.mean(np.array(ends, float))) if ends else float("nan")


def _mean(episodes: Sequence[Episode], metric: str, grid: NDArray[Any]) -> list[float]:
    curves = [np.interp(grid, _costs(e), np.array(e.metrics[metric], float)) for e in episodes if metric in e.metrics]
    return np.mean(curves, axis=0).tolist() if curves else []


def _costs(episode: Episode) -> list[int]:
    return next(iter(episode.costs.values()))
