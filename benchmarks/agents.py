"""Trained agents against heuristics, over training seeds and evaluation seeds.

    python -m benchmarks.leaderboard --suite configs/suites/agents_scenes.toml
    python -m benchmarks.agents --suite configs/suites/agents_scenes.toml

A view of the leaderboard's episodes. Policies that differ in a last ``_<number>`` alone are one agent that was trained
several times. Its value for an evaluation seed (in mining: a class) is the mean over its trainings; differences are
paired by it, mean ± half the 95 % t-interval, in brackets that over trainings.
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

from alenv.errors import unknown
from benchmarks.command import command, refusing
from benchmarks.leaderboard.episodes import finished
from benchmarks.leaderboard.suite import Suite
from benchmarks.leaderboard.suite_file import read_suite
from benchmarks.leaderboard.tables import markdown_table, number
from benchmarks.leaderboard.task import Values
from benchmarks.leaderboard.tasks import make_task
from benchmarks.names import Name
from benchmarks.stats import holm, paired_difference
from benchmarks.terminal import print_table

Trainings = dict[str, NDArray[np.float64]]
Groups = dict[str, Trainings]


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


def grouped(values: Values) -> Groups:
    """Return the values of every training of every agent: agent, policy, (units,); units without a value are left out.

    Args:
        values: Of all policies, by unit.
    """
    units = [unit for unit in next(iter(values.values())) if all(np.isfinite(by[unit]) for by in values.values())]
    groups: Groups = defaultdict(dict)
    for policy, by_unit in values.items():
        groups[agent(policy)][policy] = np.array([by_unit[unit] for unit in units])
    return groups


def table(groups: Groups, against: tuple[str, ...]) -> list[list[str]]:
    """Lay out agents, the best first: mean, differences, and single trainings."""
    means = {name: np.mean(list(trainings.values()), axis=0) for name, trainings in groups.items()}
    present = [name for name in against if name in means]
    columns = {name: _differences(groups, means, name) for name in present}
    rows = [["policy", "score", *(Name(f"- {name}") for name in present), "single trainings"]]
    for name in sorted(means, key=lambda name: -means[name].mean()):
        cells = [columns[other].get(name, "") for other in present]
        rows.append([Name(name.rpartition("/")[2]), _mean(means[name]), *cells, _trainings(groups[name])])
    return rows


def _differences(groups: Groups, means: Trainings, other: str) -> dict[str, str]:
    """Format the difference of every agent to another; bold where no interval holds 0 and p is small after Holm."""
    rivals = {name: paired_difference(means[name], means[other]) for name in means if name != other}
    p = holm([1.0 if rival.p_t is None else rival.p_t for rival in rivals.values()])
    cells = {}
    for (name, rival), corrected in zip(rivals.items(), p, strict=True):
        text, significant = f"{rival.mean:+.2f} ± {rival.half_width:.2f}", corrected < 0.05
        if len(groups[name]) > 1:
            trained = np.array([row.mean() for row in groups[name].values()])
            half_width = paired_difference(trained, np.full(len(trained), means[other].mean())).half_width
            text, significant = f"{text} ({half_width:.2f})", significant and half_width < abs(rival.mean)
        cells[name] = f"**{text}**" if significant else text
    return cells


def _mean(values: NDArray) -> str:
    return number(float(values.mean()), 2)


def _trainings(rows: Trainings) -> str:
    """Format the mean of each training; nothing for what is not trained."""
    return ", ".join(_mean(row) for row in rows.values()) if len(rows) > 1 else ""


@command
def main(args: Args) -> int:
    """Print one table for each view and measure; return the exit status."""
    with refusing():
        suite = read_suite(args.suite)
        tables = _tables(suite, args.out or Path("results") / suite.name, args.against)
    print(
        f"{suite.env}, {len(suite.seeds)} seeds; ± half the 95 % interval by {make_task(suite).unit} (over trainings);"
    )
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
    episodes, found = finished(suite, out)
    if found.missing:
        n = len(found.missing)
        raise ValueError(f"{found.missing[0].name}: no such episode in {out} ({n} missing); run benchmarks.leaderboard")
    return {
        f"{name}, {measure}": table(grouped(view.measures[measure]), against)
        for name, view in make_task(suite).views(episodes).items()
        for measure in make_task(suite).headline
    }


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args, description=__doc__)))
