"""Trained agents against heuristics, over training seeds and evaluation seeds.

    python -m benchmarks.leaderboard --suite configs/suites/agents_scenes.toml
    python -m benchmarks.agents --suite configs/suites/agents_scenes.toml

Policies that differ in a last ``_<number>`` alone are one agent that was trained several times. Its score for an
evaluation seed is the mean over its trainings; differences are paired by evaluation seed, mean ± half the 95 %
t-interval over evaluation seeds, in brackets that over trainings.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console

from agents.environments import mines
from alenv.errors import unknown
from benchmarks.command import command, refusing
from benchmarks.leaderboard.regions import read_finished
from benchmarks.leaderboard.report import markdown_table, number
from benchmarks.leaderboard.suite import Suite, read_suite
from benchmarks.names import Name
from benchmarks.stats import area_under_curve, holm, paired_difference
from benchmarks.terminal import print_table

Scores = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Args:
    """Compare agents over their training seeds with the policies of a suite that has been run."""

    suite: Path
    """suite file"""
    out: Path | None = None
    """folder of its episodes (default: results/<name of the suite>)"""
    against: tuple[str, ...] = ("random", "class_balanced_entropy", "bald")
    """policies that all others are compared with"""


def agent(policy: str) -> str:
    """Return the name of what was trained: without the number of the training."""
    return re.sub(r"_\d+(\.pt)?$", "", policy)


def scores(suite: Suite, out: Path, split: str, final: bool) -> dict[str, Scores]:
    """Return the AUBC, or the final mIoU, of every training of every agent: agent, policy, (seeds,).

    Raises:
        ValueError: If an episode is missing.
    """
    grouped: dict[str, Scores] = defaultdict(dict)
    for policy, episodes in read_finished(suite, out).episodes.items():
        absent = [seed for seed in suite.seeds if seed not in episodes]
        if absent:
            raise ValueError(f"{policy}: no episode of seeds {absent} in {out}; run benchmarks.leaderboard first")
        curves = [episodes[seed] for seed in suite.seeds]
        values = [(episode.costs["regions"], episode.metrics[f"miou/{split}"]) for episode in curves]
        row = [miou[-1] if final else float(area_under_curve(cost, miou)) for cost, miou in values]
        grouped[agent(policy)][policy] = np.array(row)
    return grouped


def table(grouped: dict[str, Scores], against: tuple[str, ...]) -> list[list[str]]:
    """Lay out agents, the best first: score, differences, and single trainings."""
    means = {name: np.mean(list(trainings.values()), axis=0) for name, trainings in grouped.items()}
    present = [name for name in against if name in means]
    columns = {name: _differences(grouped, means, name) for name in present}
    rows = [["policy", "score", *(Name(f"- {name}") for name in present), "single trainings"]]
    for name in sorted(means, key=lambda name: -means[name].mean()):
        cells = [columns[other].get(name, "") for other in present]
        rows.append([Name(name.rpartition("/")[2]), _mean(means[name]), *cells, _trainings(grouped[name])])
    return rows


def _differences(grouped: dict[str, Scores], means: Scores, other: str) -> dict[str, str]:
    """Format the difference of every agent to another; bold where no interval holds 0 and p is small after Holm."""
    rivals = {name: paired_difference(means[name], means[other]) for name in means if name != other}
    p = holm([1.0 if rival.p_t is None else rival.p_t for rival in rivals.values()])
    cells = {}
    for (name, rival), corrected in zip(rivals.items(), p, strict=True):
        text, significant = f"{rival.mean:+.2f} ± {rival.half_width:.2f}", corrected < 0.05
        if len(grouped[name]) > 1:
            trained = np.array([row.mean() for row in grouped[name].values()])
            half_width = paired_difference(trained, np.full(len(trained), means[other].mean())).half_width
            text, significant = f"{text} ({half_width:.2f})", significant and half_width < abs(rival.mean)
        cells[name] = f"**{text}**" if significant else text
    return cells


def _mean(values: NDArray) -> str:
    return number(float(values.mean()), 2)


def _trainings(rows: Scores) -> str:
    """Format the mean of each training; nothing for what is not trained."""
    return ", ".join(_mean(row) for row in rows.values()) if len(rows) > 1 else ""


@command
def main(args: Args) -> int:
    """Print one table for each split and measure; return the exit status."""
    with refusing():
        suite = read_suite(args.suite)
        if mines(suite.env):
            raise ValueError(f"{args.suite}: mining is compared by class; read the report of benchmarks.leaderboard")
        tables = _tables(suite, args.out or Path("results") / suite.name, args.against)
    print(f"{suite.env}, {len(suite.seeds)} evaluation seeds; ± half the 95 % interval over them (over trainings);")
    print("bold: p < .05 after Holm's correction over a column, and the interval over trainings is without 0\n")
    console = Console()
    for title, rows in tables.items():
        if console.is_terminal:
            print_table(console, title, rows, left=("policy", "single trainings"))
        else:
            print(f"{title}\n\n{markdown_table(rows)}\n")
    return 0


def _tables(suite: Suite, out: Path, against: tuple[str, ...]) -> dict[str, list[list[str]]]:
    known = {agent(policy) for policy in suite.policies}
    for name in against:
        if against != Args.against and name not in known:
            raise unknown("policy to compare --against", name, known)
    return {
        f"{split}, {measure}": table(scores(suite, out, split, final), against)
        for split in suite.splits
        for final, measure in ((False, "AUBC"), (True, "final mIoU"))
    }


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args, description=__doc__)))
