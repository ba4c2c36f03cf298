"""Suites on RegionSelect: curves of mIoU over what was bought, compared by seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import gymnasium
import numpy as np

from agents.catalogue import make_policy
from agents.curves import RegionCurves
from agents.episode import Episode
from alenv.errors import shown
from benchmarks import stats
from benchmarks.leaderboard.suite import Suite
from benchmarks.leaderboard.tables import in_order, number, plus_minus
from benchmarks.leaderboard.task import Array, Episodes, Line, Part, Rows, Scores, Summary, View
from benchmarks.names import Name

RANKED_SEEDS, PROVISIONAL_SEEDS = 10, 5


class RegionTask:
    """See ``benchmarks.leaderboard.task.Task``.

    Args:
        suite: What is run.
    """

    unit, score, headline = "seed", "AUBC", ("AUBC", "final mIoU")
    notes = f"""\
- IoU in points (0 to 100), means over seeds. AUBC: area under mIoU against labelled regions (trapezoid), divided by the
  range of the budget. A curve that ends early keeps its last value: labels that were not bought gain nothing.
- Rank: from {RANKED_SEEDS} seeds; provisional from {PROVISIONAL_SEEDS}.
- Worst third: mean final IoU of the worst third of the classes, chosen in each episode."""

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
        curves = partial(RegionCurves, self._suite.splits)
        return [Part(f"seed {seed}", str(seed), self._suite.kwargs, {}, (seed,), curves) for seed in self._suite.seeds]

    def standing(self) -> str:
        """Return what so many seeds are good for."""
        if len(self._suite.seeds) < PROVISIONAL_SEEDS:
            return f"not ranked: fewer than {PROVISIONAL_SEEDS} seeds"
        return "ranked" if len(self._suite.seeds) >= RANKED_SEEDS else "provisional"

    def needs(self) -> tuple[str, ...]:
        """Return the mIoU of all splits."""
        return tuple(f"miou/{split}" for split in self._suite.splits)

    def prepare(self) -> float:
        """Play one round of random picks with the acquisition channels of all policies.

        Returns:
            The seconds of as many such rounds as the budget has.
        """
        suite = self._suite
        channels = dict.fromkeys(channel for policy in suite.policies for channel in make_policy(policy).scores)
        env = gymnasium.make(suite.env, **suite.kwargs | {"scores": list(channels)})
        obs, info = env.reset(seed=suite.seeds[0])
        rng, start, ended = np.random.default_rng(0), time.monotonic(), False
        while info["round"] == 0 and not ended:
            obs, _, ended, _, info = env.step(rng.choice(np.flatnonzero(obs["action_mask"])))
        for split in suite.splits:
            env.unwrapped.evaluate(split)  # type: ignore[attr-defined]
        seconds, chosen = time.monotonic() - start, env.unwrapped.fingerprint()["arguments"]  # type: ignore[attr-defined]
        env.close()
        return seconds * -(-chosen["budget"] // chosen["picks"])

    def views(self, episodes: Episodes) -> dict[str, View]:
        """Return a view of every split."""
        grid = _grid(episodes)
        return {split: self._view(split, grid, episodes) for split in self._suite.splits}

    def _view(self, split: str, grid: list[float], episodes: Episodes) -> View:
        def by_seed(measure: Callable[[Episode], float]) -> Scores:
            return {policy: {e.seed: measure(e) for e in found} for policy, found in episodes.items()}

        return View(
            {
                "AUBC": by_seed(lambda e: float(stats.area_under_curve(grid, curve(e, split, grid)))),
                "final mIoU": by_seed(lambda e: float(curve(e, split, grid)[-1])),
                "worst third": by_seed(lambda e: worst_third(e, split)),
            },
        )

    def lines(self, episodes: Episodes) -> dict[str, Line]:
        """Return mIoU against labelled regions on every split."""
        grid = _grid(episodes)
        return {
            split: Line(
                "mIoU (points)",
                "regions",
                grid,
                {policy: {e.seed: curve(e, split, grid) for e in found} for policy, found in episodes.items()},
            )
            for split in self._suite.splits
        }

    def by_class(self, episodes: Episodes) -> dict[str, Scores]:
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
        return {"mIoU and difference at a handful of budgets": rows}


def curve(episode: Episode, split: str, grid: list[float]) -> Array:
    """Return the mIoU of an episode at some numbers of regions; past its end it keeps its last value."""
    return np.interp(grid, episode.costs["regions"], episode.metrics[f"miou/{split}"])


def _class_iou(episodes: list[Episode], split: str, names: Sequence[str]) -> dict[str, float]:
    """Average the final IoU of each class that the split has."""
    final = np.array([episode.class_metrics[f"class_iou/{split}"][-1] for episode in episodes], float)
    return {name: float(iou.mean()) for name, iou in zip(names, final.T, strict=False) if not np.isnan(iou).any()}


def _grid(episodes: Episodes) -> list[float]:
    return sorted({cost for found in episodes.values() for episode in found for cost in episode.costs["regions"]})


def worst_third(episode: Episode, split: str) -> float:
    """Return the mean final IoU of the worst third (rounded up, as in the reward) of the classes there are."""
    present = sorted(iou for iou in episode.class_metrics[f"class_iou/{split}"][-1] if iou is not None)
    return float(np.mean(present[: -(-len(present) // 3)]))


def _at_fraction(grid: list[float], fraction: float) -> int:
    """The first evaluation at or beyond a fraction of the budget."""
    return int(np.searchsorted(grid, fraction * grid[-1]))
