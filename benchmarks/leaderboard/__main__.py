"""Command line of the leaderboard: run what is missing, aggregate, write the report.

A run can be killed at any moment; the same command goes on where it stopped.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path

import joblib
import tyro
from rich.console import Console

from agents.environments import mines
from alenv.memory import installed
from benchmarks.command import check_jobs, command, make_folder, refusing, writing
from benchmarks.jobs import run_all
from benchmarks.leaderboard import mining_board as mining
from benchmarks.leaderboard import regions
from benchmarks.leaderboard.suite import Suite, read_suite, with_policies
from benchmarks.workers import Call

GIB_PER_JOB = 2


def default_jobs() -> int:
    """Return how many episodes fit: one for each core, as memory allows."""
    return min(joblib.cpu_count(), max(installed() // (GIB_PER_JOB * 2**30), 1))


@dataclass(frozen=True)
class Args:
    """Run policies on a suite and rank them."""

    suite: Path
    """suite file, such as configs/suites/quick.toml"""
    out: Path | None = None
    """folder of episodes and report (default: results/<name of the suite>)"""
    jobs: int = field(default_factory=default_jobs)
    """episodes at the same time, one thread each (default: the cores, as memory allows)"""
    policy: tuple[str, ...] = ()
    """more policies: package.module:Class, the name of a heuristic, or a trained agent, misical:runs/misical/best.pt"""


@command
def main(args: Args) -> int:
    """Run the leaderboard and return the exit status.

    0: all episodes are there; 1: some failed; 2: arguments or suite are wrong, or out takes no files; 130: interrupted.
    """
    console = Console()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("alenv").setLevel(logging.INFO)  # the first run of a dataset takes minutes: say what it does
    out = args.out or Path("results") / args.suite.stem
    with refusing():
        suite, missing = _plan(args, out, console)
    complete = run_all(missing, args.jobs, console)
    with writing(out):
        (mining if mines(suite.env) else regions).report(suite, out, console)
    return 0 if complete else 1


def _plan(args: Args, out: Path, console: Console) -> tuple[Suite, list[Call]]:
    """Read the suite and find what is missing; nothing runs before everything has been checked."""
    check_jobs(args.jobs)
    suite = with_policies(read_suite(args.suite), args.policy)
    make_folder(out)
    return suite, (mining if mines(suite.env) else regions).missing(suite, out, console)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args, description=__doc__)))
