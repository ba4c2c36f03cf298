"""Command line of the leaderboard: run what is missing, aggregate, write the report.

A run can be killed at any moment; the same command goes on where it stopped.
"""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro
from rich.console import Console

from alenv.files import write_whole
from benchmarks.cluster import check_cluster, on_cluster
from benchmarks.command import check_jobs, command, default_jobs, make_folder, refusing, writing
from benchmarks.jobs import Job, find_finished, run_all
from benchmarks.leaderboard.board import make_board
from benchmarks.leaderboard.episodes import finished, missing
from benchmarks.leaderboard.film import Frame, film_job
from benchmarks.leaderboard.page import Board, to_html
from benchmarks.leaderboard.report import print_ranking, write_report
from benchmarks.leaderboard.suite import Suite
from benchmarks.leaderboard.suite_file import check_only, read_suite, with_policies, with_seeds
from benchmarks.leaderboard.summary import summarize
from benchmarks.leaderboard.task import Episodes
from benchmarks.terminal import say


@dataclass(frozen=True)
class Args:
    """Run policies on suites and rank them."""

    suite: tuple[Path, ...]
    """suite files, such as configs/suites/quick.toml"""
    out: Path | None = None
    """folder of episodes and report, with a folder for each suite if there are several (default: results/<suite>)"""
    jobs: int = field(default_factory=default_jobs)
    """episodes at the same time, one thread each (default: the cores, as memory allows)"""
    policy: tuple[str, ...] = ()
    """more policies: package.module:Class, the name of a heuristic, or a trained agent, misical:runs/misical/best.pt"""
    seeds: tuple[int, ...] = ()
    """how many seeds, or which (default: those of the suite)"""
    only: tuple[str, ...] = ()
    """policies that are run now; the report has all finished ones (default: all)"""
    dry_run: bool = False
    """say what is missing and how long it takes, about, and run nothing"""
    backend: Literal["processes", "ray"] = "processes"
    """where episodes run: in processes of this machine, or on a Ray cluster"""
    address: str | None = None
    """of the Ray cluster; auto: the one that runs here (default: one is started)"""


@command
def main(args: Args) -> int:
    """Run the leaderboard and return the exit status.

    0: all episodes are there; 1: some failed; 2: arguments or suite are wrong, or out takes no files; 130: interrupted.
    """
    console = Console()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("alenv").setLevel(logging.INFO)  # the first run of a dataset takes minutes: say what it does
    with refusing():
        suites, out = _read(args)
        waiting = [job for suite, place in suites for job in missing(suite, args.only, place, console)]
        if args.dry_run:
            return 0
        if args.backend == "ray":
            check_cluster(args.address)
    complete = run_all(waiting, args.jobs, console, on_cluster if args.backend == "ray" else None)
    with writing(out):
        complete &= _report(suites, out, args.jobs, console)
    return 0 if complete else 1


def _read(args: Args) -> tuple[list[tuple[Suite, Path]], Path]:
    """Return the suites, each with its folder, and the folder of all; nothing runs before everything is checked."""
    check_jobs(args.jobs)
    if not args.suite:
        raise ValueError("--suite names no file; give one, such as configs/suites/quick.toml")
    suites = [with_seeds(suite, args.seeds) for suite in with_policies([*map(read_suite, args.suite)], args.policy)]
    check_only(suites, args.only)
    names = [suite.name for suite in suites]
    if len(set(names)) < len(names):
        raise ValueError(
            f"--suite {' '.join(map(str, args.suite))}: two have the same name; their folders would be one"
        )
    out = args.out or Path("results") / "-".join(names)
    places = [out / name for name in names] if len(names) > 1 else [out]
    for place in places:
        make_folder(place)
    return list(zip(suites, places, strict=True)), out


def _report(suites: Sequence[tuple[Suite, Path]], out: Path, processes: int, console: Console) -> bool:
    """Write the reports on all finished episodes; return whether they have all pictures."""
    complete, boards = True, []
    for suite, place in suites:
        episodes, _ = finished(suite, place)
        if any(episodes.values()):
            complete &= _take_pictures(episodes, place, processes, console)
            boards.append(_board(suite, episodes, place, console))
        else:
            say(console, f"{suite.name}: no episode finished, so there is no report")
    if boards:
        command = shlex.join(["python", "-m", "benchmarks.leaderboard", *sys.argv[1:]])
        write_whole(out / "index.html", to_html("Leaderboard", command, boards))
        say(console, f"report: {out / 'index.html'}")
    return complete


def _board(suite: Suite, episodes: Episodes, out: Path, console: Console) -> Board:
    """Write the figures and tables of a suite, and return what the page says of it."""
    summary = summarize(suite, episodes)
    write_report(suite, summary, out)
    print_ranking(suite, summary, console)
    films = _films(episodes, out)
    found = find_finished(films.values()).records
    return make_board(suite, summary, {policy: found.get(job.path, []) for policy, job in films.items()})


def _take_pictures(episodes: Episodes, out: Path, processes: int, console: Console) -> bool:
    return run_all(find_finished(_films(episodes, out).values()).missing, processes, console)


def _films(episodes: Episodes, out: Path) -> dict[str, Job[list[Frame]]]:
    """Return the jobs that make pictures of the first episode of every policy."""
    return {policy: film_job(policy, found[0], out) for policy, found in episodes.items() if found}


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args, description=__doc__)))
