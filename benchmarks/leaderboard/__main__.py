"""Command line of the leaderboard: run what is missing of some suites, aggregate, write one report.

A run can be killed at any moment; the same command goes on where it stopped.
"""

from __future__ import annotations

import logging
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro
from rich.console import Console

from alenv.errors import unknown
from alenv.files import write_whole
from benchmarks.command import check_jobs, command, default_jobs, make_folder, refusing, writing
from benchmarks.files import write_json
from benchmarks.jobs import Backend, find_finished, processes, run_all
from benchmarks.leaderboard.board import make_board
from benchmarks.leaderboard.episodes import Missing, finished, missing
from benchmarks.leaderboard.film import film_job
from benchmarks.leaderboard.full import full_job
from benchmarks.leaderboard.overall import overall, overall_table
from benchmarks.leaderboard.page import Board, Table, to_html
from benchmarks.leaderboard.report import print_ranking, write_report
from benchmarks.leaderboard.suite import Suite
from benchmarks.leaderboard.suite_file import read_suite, restricted, with_policies
from benchmarks.leaderboard.summary import summarize
from benchmarks.leaderboard.task import Summary
from benchmarks.terminal import duration, say


@dataclass(frozen=True)
class Args:
    """Run policies on suites and rank them."""

    suite: tuple[Path, ...]
    """suite files, such as configs/suites/quick.toml"""
    out: Path | None = None
    """folder of episodes and report (default: results/<name of the suite>, of several results/leaderboard)"""
    jobs: int = field(default_factory=default_jobs)
    """episodes at the same time, one thread each (default: the cores, as memory allows)"""
    policy: tuple[str, ...] = ()
    """more policies: package.module:Class, the name of a heuristic, or a trained agent, misical:runs/misical/best.pt;
    with <suite>= before it, in this suite only"""
    only: tuple[str, ...] = ()
    """these policies only, and those by which they are judged"""
    seeds: tuple[int, ...] = ()
    """these seeds (default: the suite's)"""
    dry_run: bool = False
    """say what is missing and how long it takes, and run nothing"""
    backend: Literal["processes", "ray"] = "processes"
    """where episodes run: in processes of this machine, or on a Ray cluster (pip install 'alenv[ray]')"""
    address: str | None = None
    """of the Ray cluster: auto, or ray://host:port (default: one is started on this machine)"""


@dataclass(frozen=True)
class Run:
    """A suite and the folder of its episodes."""

    suite: Suite
    out: Path


@command
def main(args: Args) -> int:
    """Run the leaderboard and return the exit status.

    0: all episodes are there; 1: some failed; 2: arguments or suite are wrong, or out takes no files; 130: interrupted.
    """
    console = Console()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("alenv").setLevel(logging.INFO)  # the first run of a dataset takes minutes: say what it does
    out = args.out or Path("results") / (args.suite[0].stem if len(args.suite) == 1 else "leaderboard")
    with refusing():
        check_jobs(args.jobs)
        runs = _runs(args, out)
        if not args.dry_run:
            make_folder(out)
        backend = _backend(args)
        waiting = [missing(run.suite, run.out, console) for run in runs]  # all is checked before anything runs
        _announce(waiting, args.jobs, console)
    if args.dry_run:
        for run, found in zip(runs, waiting, strict=True):
            for policy, number in found.by_policy.items():
                say(console, f"{run.suite.name}: {number} of {policy}")
        return 0
    bounds = [job for run in runs for job in find_finished(full_job(run.suite, run.out)).missing]
    complete = run_all([*(job for found in waiting for job in found.jobs), *bounds], args.jobs, console, backend)
    with writing(out):
        complete &= _report(runs, out, args.jobs, console)
    return 0 if complete else 1


def _runs(args: Args, out: Path) -> list[Run]:
    suites = [read_suite(path) for path in args.suite]
    names = [suite.name for suite in suites]
    if len(set(names)) < len(names):
        raise ValueError(f"--suite names {', '.join(names)}: give each once")
    extra: dict[str, list[str]] = {name: [] for name in names}
    for policy in args.policy:
        name, equals, spec = policy.partition("=")
        if equals and "/" not in name and ":" not in name:
            if name not in extra:
                raise unknown("suite before = in --policy", name, names)
            extra[name].append(spec)
        else:
            for found in extra.values():
                found.append(policy)
    wanted = [restricted(with_policies(suite, extra[suite.name]), args.only, args.seeds) for suite in suites]
    return [Run(suite, out if len(wanted) == 1 else out / suite.name) for suite in wanted]


def _backend(args: Args) -> Backend:
    if args.backend == "processes":
        if args.address is not None:
            raise ValueError(f"--address {args.address} is of a Ray cluster; add --backend ray, or leave it out")
        return processes
    from benchmarks.ray_cluster import on_ray  # an extra

    return on_ray(args.address)


def _announce(waiting: list[Missing], jobs: int, console: Console) -> None:
    """Say how much is missing, and how long it takes."""
    number, seconds = sum(len(found.jobs) for found in waiting), sum(found.seconds for found in waiting)
    if number:
        together = min(jobs, number)
        about = f"about {duration(seconds / together)} with {together} at a time, by the first round of every policy"
        say(console, f"{number} runs are missing: {about}")
    else:
        say(console, "nothing is missing")


def _report(runs: list[Run], out: Path, jobs: int, console: Console) -> bool:
    """Write the report on all finished episodes; return whether it has all pictures."""
    complete, boards, summaries = True, [], []
    for run in runs:
        episodes, _ = finished(run.suite, run.out)
        if not any(episodes.values()):
            say(console, f"no episode of {run.suite.name} finished, so there is no report of it")
            continue
        bounds = find_finished(full_job(run.suite, run.out)).records.values()
        summary = summarize(run.suite, episodes, next(iter(bounds), None))
        board, filmed = _board(run, summary, jobs, console)
        write_report(run.suite, summary, run.out)
        print_ranking(run.suite, summary, console)
        complete &= filmed
        boards.append(board)
        summaries.append((run.suite, summary))
    if boards:
        common = overall(summaries)
        tables = (
            [Table("Over all suites: 0 is the baseline, 1 full supervision", overall_table(common))] if common else []
        )
        if len(runs) > 1:
            write_json(out / "overall.json", common)
        write_whole(out / "index.html", to_html("Leaderboard", _command(), boards, tables))
        say(console, f"report: {out / 'index.html'}")
    return complete


def _board(run: Run, summary: Summary, jobs: int, console: Console) -> tuple[Board, bool]:
    """Return what the page says of a suite, and whether it has all pictures."""
    episodes, _ = finished(run.suite, run.out)
    films = {policy: film_job(policy, found[0], run.out) for policy, found in episodes.items() if found}
    complete = run_all(find_finished(films.values()).missing, jobs, console)
    records = find_finished(films.values()).records
    return make_board(run.suite, summary, {p: records.get(job.path, []) for p, job in films.items()}), complete


def _command() -> str:
    return shlex.join(["python", "-m", "benchmarks.leaderboard", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args, description=__doc__)))
