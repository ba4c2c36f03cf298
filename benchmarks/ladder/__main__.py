"""Command line of the ladder: run policies on every rung, replay their traces, report how the rungs agree.

A run can be killed at any moment; the same command goes on where it stopped.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path

import gymnasium
import tyro
from rich.console import Console

from benchmarks.ladder.figures import compute
from benchmarks.ladder.report import write_report
from benchmarks.ladder.rungs import Ladder, choose, on_device, read_ladder
from benchmarks.ladder.runs import play, played, replay_all, replayed
from benchmarks.leaderboard import RefusedError, default_jobs


@dataclass(frozen=True)
class Args:
    """Measure how far low rungs of fidelity predict high ones."""

    suite: Path = Path("configs/ladders/scenes.toml")
    """ladder file"""
    out: Path | None = None
    """folder of runs and report (default: results/ladder-<name of the file>)"""
    rungs: tuple[str, ...] = ()
    """only these rungs (default: all)"""
    device: str = "cpu"
    """where networks compute: cpu, cuda or cuda:<n>; with cuda, use few --jobs"""
    jobs: int = field(default_factory=default_jobs)
    """runs at the same time, one thread each (default: the cores, as memory allows)"""


def main(args: Args) -> int:
    """Run the ladder and return the exit status.

    0: the report is written; 1: some runs failed; 2: arguments or file are wrong; 130: interrupted.
    """
    console = Console()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("alenv").setLevel(logging.INFO)  # long trainings: say what they do
    out = args.out or Path("results") / f"ladder-{args.suite.stem}"
    try:
        ladder = _plan(args)
        complete = _run(ladder, out, args.jobs, console)
    except RefusedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        console.print(f"interrupted; finished runs stay in {out}, the same command goes on")
        return 130
    if not complete:
        console.print("some runs failed, so there is no report; the same command runs them again")
        return 1
    write_report(compute(ladder, played(ladder, out), replayed(ladder, out)), out)
    console.print(f"report: {out / 'ladder.md'}")
    return 0


def _plan(args: Args) -> Ladder:
    try:
        if args.jobs < 1:
            raise ValueError(f"--jobs {args.jobs} runs nothing; use 1 or more")
        return on_device(choose(read_ladder(args.suite), args.rungs), args.device)
    except ValueError as error:
        raise RefusedError(error) from error


def _run(ladder: Ladder, out: Path, jobs: int, console: Console) -> bool:
    try:
        return play(ladder, out, jobs, console) and replay_all(ladder, out, jobs, console)
    except (ValueError, TypeError, OSError, RuntimeError, gymnasium.error.Error) as error:
        raise RefusedError(error) from error


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args, description=__doc__)))
