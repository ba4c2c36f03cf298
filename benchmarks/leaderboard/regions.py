"""Suites on RegionSelect: curves of mIoU over what was bought, compared by seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import gymnasium
import numpy as np

from agents.catalogue import make_policy
from agents.episode import Episode
from agents.play import Info, play
from agents.recorders import RegionRecorder
from alenv.errors import shown
from benchmarks import stats
from benchmarks.leaderboard.measures import (
    ALL_LABELS,
    area,
    common_ends,
    curve,
    label_entropy,
    redundancy,
    worst_classes,
)
from benchmarks.leaderboard.suite import Suite
from benchmarks.leaderboard.tables import in_order, number, plus_minus
from benchmarks.leaderboard.task import Episodes, Line, Part, Rows, Summary, Values, View
from benchmarks.names import Name

RANKED_SEEDS, PROVISIONAL_SEEDS = 10, 5
COSTS = ("pixels", "clicks", "images", ALL_LABELS)
SHARES = (0.9, 0.95)
"""Of full supervision."""


class _Timed(RegionRecorder):
    """Notes when the first pick can be made."""

    def start(self, env: gymnasium.Env, info: Info) -> None:
        """Score the initial labels."""
        super().start(env, info)
        self.begun = time.monotonic()


class RegionTask:
    """See ``benchmarks.leaderboard.task.Task``.

    Args:
        suite: What is run.
    """

    unit, measure, headline = "seed", "AUBC", ("AUBC", "final mIoU")
    judges: tuple[str, ...] = ()
    rankings = ("AUBC", f"AUBC by {ALL_LABELS}")
    notes = f"""\
- IoU in points (0 to 100), means over seeds. AUBC: area under mIoU against labelled regions (trapezoid), divided by the
  range of the budget. A curve that ends early keeps its last value: labels that were not bought gain nothing.
- Rank: from {RANKED_SEEDS} seeds; provisional from {PROVISIONAL_SEEDS}.
- Worst third, worst class: mean final IoU of the worst third of the classes, and the IoU of the worst one, chosen in
  each episode.
- AUBC by pixels, clicks, images: against that cost, between what all episodes have in common. By all labels: against
  the logarithm of the pixels bought and given, the reward split among them.
- Label entropy: of the classes of the bought pixels, as a share of its largest. Redundancy: share of picks in an image
  from which the same round had picked before.
- 90 %, 95 % of full supervision: regions that the mean curve needs to reach it, with the 95 % bootstrap interval over
  seeds; a curve that does not reach it is not continued. Full supervision: the model fitted once to the whole pool."""

    def __init__(self, suite: Suite) -> None:
        self._suite = suite

    def check(self) -> None:
        """Check that there are no budgets.

        Raises:
            ValueError: If there are.
        """
        suite = self._suite
        if suite.budgets:
            raise ValueError(f"budgets={shown(suite.budgets)} is for mining; {suite.env} has its budget in [kwargs]")

    def parts(self) -> list[Part]:
        """Return one part for each seed."""
        make_recorder = partial(RegionRecorder, self._suite.splits)
        return [
            Part(f"seed {seed}", str(seed), self._suite.kwargs, {}, (seed,), make_recorder)
            for seed in self._suite.seeds
        ]

    def standing(self) -> str:
        """Return what so many seeds are good for."""
        if len(self._suite.seeds) < PROVISIONAL_SEEDS:
            return f"not ranked: fewer than {PROVISIONAL_SEEDS} seeds"
        return "ranked" if len(self._suite.seeds) >= RANKED_SEEDS else "provisional"

    def needs(self) -> tuple[str, ...]:
        """Return the mIoU of all splits."""
        return tuple(f"miou/{split}" for split in self._suite.splits)

    def prepare(self, policies: Sequence[str]) -> dict[str, float]:
        """Play the first round of every policy, the first one twice: that one finds no caches.

        Returns:
            By policy the seconds of as many such rounds as the budget has, and of their beginning.
        """
        env = gymnasium.make(self._suite.env, **self._suite.kwargs)
        arguments = env.unwrapped.fingerprint()["arguments"]  # type: ignore[attr-defined]
        env.close()
        budget, picks = arguments["budget"], arguments["picks"]
        self._first_round(policies[0], min(budget, picks))
        each = {policy: self._first_round(policy, min(budget, picks)) for policy in policies}
        return {policy: begun + played * -(-budget // picks) for policy, (begun, played) in each.items()}

    def _first_round(self, policy: str, budget: int) -> tuple[float, float]:
        """Return the seconds until the first pick, and those of the round."""
        suite, start = self._suite, time.monotonic()
        recorder = _Timed(suite.splits)
        list(play(make_policy(policy), suite.env, suite.kwargs | {"budget": budget}, suite.seeds[:1], lambda: recorder))
        return recorder.begun - start, time.monotonic() - recorder.begun

    def views(self, episodes: Episodes, full: Episode | None = None) -> dict[str, View]:
        """Return a view of every split."""
        grid = _grid(episodes)
        return {split: self._view(split, grid, episodes, full) for split in self._suite.splits}

    def _view(self, split: str, grid: list[float], episodes: Episodes, full: Episode | None) -> View:
        def by_seed(measure: Callable[[Episode], float]) -> Values:
            return {policy: {e.seed: measure(e) for e in found} for policy, found in episodes.items()}

        def areas(unit: str) -> Values:
            return by_seed(partial(area, split=split, unit=unit, ends=common_ends(episodes, unit)))

        measures = {
            "AUBC": by_seed(lambda e: float(stats.area_under_curve(grid, curve(e, split, grid)))),
            "final mIoU": by_seed(lambda e: float(curve(e, split, grid)[-1])),
            "worst third": by_seed(lambda e: worst_classes(e, split, 1 / 3)),
            "worst class": by_seed(lambda e: worst_classes(e, split, 0)),
            **{f"AUBC by {unit}": areas(unit) for unit in COSTS},
            "label entropy": by_seed(label_entropy),
            "redundancy": by_seed(redundancy),
        }
        if full is None:
            return View(measures)
        best = full.metrics[f"miou/{split}"][-1]
        reached = {policy: {"budget_to": _budgets(found, split, grid, best)} for policy, found in episodes.items()}
        return View(measures, reached, best)

    def lines(self, episodes: Episodes) -> dict[str, Line]:
        """Return mIoU on every split against regions, and against every other cost that all have in common."""
        grids = {"regions": _grid(episodes)}
        for unit in COSTS[:-1]:
            low, high = common_ends(episodes, unit)
            if high > low:
                grids[unit] = np.linspace(low, high, max(len(grids["regions"]), 2)).tolist()
        return {
            split if unit == "regions" else f"{split}, by {unit}": Line(
                "mIoU (points)",
                unit,
                grid,
                {policy: {e.seed: curve(e, split, grid, unit) for e in found} for policy, found in episodes.items()},
            )
            for unit, grid in grids.items()
            for split in self._suite.splits
        }

    def by_class(self, episodes: Episodes) -> dict[str, Values]:
        """Return the final IoU of each class on every split, averaged over episodes."""
        env = gymnasium.make(self._suite.env, **self._suite.kwargs)
        names = env.unwrapped.class_names  # type: ignore[attr-defined]
        return {
            f"final IoU, {split}": {policy: _class_iou(found, split, names) for policy, found in episodes.items()}
            for split in self._suite.splits
        }

    def columns(self, summary: Summary, view: str) -> tuple[list[str], dict[str, list[str]]]:
        """Return the final mIoU, the differences along the curve, and the worst third."""
        measures, line = summary["views"][view]["measures"], summary["curves"][view]
        at = [_at_fraction(line["grid"], fraction) for fraction in (0.25, 0.5, 1)]
        cells = {}
        for policy, found in line["policies"].items():
            gains = [plus_minus(found["difference"][i]) if "difference" in found else "-" for i in at]
            final, worst = (number(measures[name][policy]["mean"]) for name in ("final mIoU", "worst third"))
            cells[policy] = [final, *gains, worst]
        return ["final mIoU", *(f"at {line['grid'][i]:g}" for i in at), "worst third"], cells

    def tables(self, summary: Summary, view: str) -> dict[str, Rows]:
        """Return mIoU at a handful of budgets."""
        line = summary["curves"][view]
        at = sorted({_at_fraction(line["grid"], fraction) for fraction in (0.01, 0.25, 0.5, 0.75, 1)})
        rows = [["policy", *(f"{line['grid'][i]:g} regions" for i in at)]]
        for policy in in_order(summary):
            found = line["policies"][policy]
            cells = [number(found["curve"][i]["mean"]) for i in at]
            if "difference" in found:
                gains = [plus_minus(found["difference"][i]) for i in at]
                cells = [f"{cell} ({gain})" for cell, gain in zip(cells, gains, strict=True)]
            rows.append([Name(policy), *cells])
        more = {"More measures, means over seeds": _measures_table(summary, view)}
        if summary["views"][view]["full"] is not None:
            more["Regions to shares of full supervision"] = _full_table(summary, view)
        return {"mIoU and difference at a handful of budgets": rows} | more


def _class_iou(episodes: list[Episode], split: str, names: Sequence[str]) -> dict[str, float]:
    """Average the final IoU of each class that the split has."""
    final = np.array([episode.class_metrics[f"class_iou/{split}"][-1] for episode in episodes], float)
    return {name: float(iou.mean()) for name, iou in zip(names, final.T, strict=False) if not np.isnan(iou).any()}


def _grid(episodes: Episodes) -> list[float]:
    return sorted({cost for found in episodes.values() for episode in found for cost in episode.costs["regions"]})


def _budgets(episodes: list[Episode], split: str, grid: list[float], best: float) -> dict[str, Summary]:
    """Return how many regions the mean curve needs to reach shares of full supervision, with intervals over seeds."""
    curves = np.array([curve(episode, split, grid) for episode in episodes])
    return {f"{share:.0%}": stats.cost_to_reach(grid, curves, share * best)._asdict() for share in SHARES}


def _measures_table(summary: Summary, view: str) -> Rows:
    measures = summary["views"][view]["measures"]
    digits = {"label entropy": 3, "redundancy": 3}
    names = [name for name in measures if name not in ("AUBC", "final mIoU", "worst third")]
    rows: Rows = [["policy", *names]]
    for policy in in_order(summary):
        cells = [number(measures[name][policy]["mean"], digits.get(name, 2)) for name in names]
        rows.append([Name(policy), *cells])
    return rows


def _full_table(summary: Summary, view: str) -> Rows:
    found = summary["views"][view]
    end = summary["curves"][view]["grid"][-1]
    rows: Rows = [["policy", *(f"to {share:.0%}" for share in SHARES), f"final share of {found['full']:.1f}"]]
    for policy in in_order(summary):
        needed = found["figures"][policy]["budget_to"].values()
        cells = [_needed(entry, end) for entry in needed]
        final = found["measures"]["final mIoU"][policy]["mean"] / found["full"]
        rows.append([Name(policy), *cells, f"{100 * final:.1f} %"])
    return rows


def _needed(cost: Summary, end: float) -> str:
    """Format a cost with its interval; what is not reached is said, not guessed."""
    mean, low, high = (f"{value:.0f}" if np.isfinite(value) else f">{end:g}" for value in cost.values())
    return f"{mean} [{low}, {high}]" if np.isfinite(cost["mean"]) else "not reached"


def _at_fraction(grid: list[float], fraction: float) -> int:
    """The first evaluation at or beyond a fraction of the budget."""
    return int(np.searchsorted(grid, fraction * grid[-1]))
