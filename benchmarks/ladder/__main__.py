"""Command line of the ladder: run policies on every rung, replay their traces, report how the rungs agree.

A run can be killed at any moment; the same command goes on where it stopped.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path

import tyro
from rich.console import Console

from benchmarks.command import check_device, check_jobs, command, default_jobs, make_folder, refusing, writing
from benchmarks.jobs import run_all
from benchmarks.ladder.figures import compute
from benchmarks.ladder.report import write_report
from benchmarks.ladder.rungs import choose, on_device, read_ladder
from benchmarks.ladder.runs import played, plays, replayed, replays
from benchmarks.terminal import say


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


@command
def main(args: Args) -> int:
    """Run the ladder and return the exit status.

    0: the report is written; 1: some runs failed; 2: arguments or file are wrong; 130: interrupted.
    """
    console = Console()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("alenv").setLevel(logging.INFO)  # long trainings: say what they do
    out = args.out or Path("results") / f"ladder-{args.suite.stem}"
    with refusing():
        check_jobs(args.jobs)
        check_device(args.device)
        ladder = on_device(choose(read_ladder(args.suite), args.rungs), args.device)
        make_folder(out)
        calls = plays(ladder, out, console)
    if not (run_all(calls, args.jobs, console) and run_all(replays(ladder, out), args.jobs, console)):
        say(console, "some runs failed, so there is no report; the same command runs them again")
        return 1
    with writing(out):
        write_report(compute(ladder, played(ladder, out), replayed(ladder, out)), out)
    say(console, f"report: {out / 'ladder.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args, description=__doc__)))
