"""Command line of the leaderboard: run what is missing, aggregate, write the report.

A run can be killed at any moment; the same command goes on where it stopped.
"""

from __future__ import annotations

import logging
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path

import tyro
from rich.console import Console

from alenv.files import write_whole
from benchmarks.command import check_jobs, command, default_jobs, make_folder, refusing, writing
from benchmarks.jobs import find_finished, run_all
from benchmarks.leaderboard.board import make_board
from benchmarks.leaderboard.episodes import finished, missing
from benchmarks.leaderboard.film import film_job
from benchmarks.leaderboard.page import to_html
from benchmarks.leaderboard.report import print_ranking, write_report
from benchmarks.leaderboard.suite import Suite
from benchmarks.leaderboard.suite_file import read_suite, with_policies
from benchmarks.leaderboard.summary import summarize
from benchmarks.terminal import say


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
        check_jobs(args.jobs)
        suite = with_policies(read_suite(args.suite), args.policy)
        make_folder(out)
        waiting = missing(suite, out, console)  # nothing runs before everything has been checked
    complete = run_all(waiting, args.jobs, console)
    with writing(out):
        complete &= _report(suite, out, args.jobs, console)
    return 0 if complete else 1


def _report(suite: Suite, out: Path, processes: int, console: Console) -> bool:
    """Write the report on all finished episodes; return whether it has all pictures."""
    episodes, _ = finished(suite, out)
    if not any(episodes.values()):
        say(console, "no episode finished, so there is no report")
        return True
    jobs = {policy: film_job(policy, found[0], out) for policy, found in episodes.items() if found}
    complete = run_all(find_finished(jobs.values()).missing, processes, console)
    records = find_finished(jobs.values()).records
    films = {policy: records.get(job.path, []) for policy, job in jobs.items()}
    summary = summarize(suite, episodes)
    write_report(suite, summary, out)
    write_whole(out / "index.html", to_html("Leaderboard", _command(), [make_board(suite, summary, films)]))
    print_ranking(suite, summary, console)
    say(console, f"report: {out / 'index.html'}")
    return complete


def _command() -> str:
    return shlex.join(["python", "-m", "benchmarks.leaderboard", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args, description=__doc__)))
