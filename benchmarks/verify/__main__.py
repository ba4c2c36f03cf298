"""Replay runs or submissions: which episodes are exact, within tolerance on another fingerprint, or failed, and why.

Environments are made of the suite's arguments, and the actions taken one by one; costs, curves and rewards must be what
they are said to be. That proves the arithmetic. It does not prove that the policy chose these actions from what it was
shown, nor that nothing else was tried: only its code does, played on seeds that nobody knew.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from agents.environments import mines
from alenv.files import write_whole
from benchmarks.command import check_jobs, command, default_jobs, make_folder, refusing, writing
from benchmarks.files import write_json
from benchmarks.jobs import find_finished, run_all
from benchmarks.leaderboard.suite_file import check_arguments
from benchmarks.leaderboard.task import Part
from benchmarks.leaderboard.tasks import make_task
from benchmarks.submission import Claim
from benchmarks.terminal import print_table, say
from benchmarks.verify.claims import DamagedError, Group, Verdict, read_folder
from benchmarks.verify.expected import check_group, expected
from benchmarks.verify.replays import NEAR, Replayed, fault_of_choice, judge, replayed, replays
from benchmarks.verify.tables import Replays, comparison_curves, comparison_table, verdict_table


@dataclass(frozen=True)
class Args:
    """Verify runs and submissions."""

    folders: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """folders of runs, such as results/quick, or of submissions, such as benchmarks/submissions/*"""
    suite: Path | None = None
    """suite file (default: the one that the submission names, or that is called as the folder of the run)"""
    segmenter: str | None = None
    """replay the choices with another segmenter, such as lda, and compare the curves (RegionSelect)"""
    sample: int | None = None
    """episodes of every policy that are replayed, chosen at random; all are read (default: all)"""
    seed: int = 0
    """of that choice"""
    near: float = NEAR
    """points of mIoU that a replay with another fingerprint may differ by; networks trained end to end need more"""
    jobs: int = field(default_factory=default_jobs)
    """replays at the same time, one thread each (default: the cores, as memory allows)"""
    out: Path = Path("results/verify")
    """folder of the replays, which the same code and versions do not make again, and of verdicts.jsonl"""


Sample = Sequence[tuple[Claim, Part]]


@command
def main(args: Args) -> int:
    """Verify and return the exit status.

    0: every episode is exact, or within tolerance; 1: some failed; 2: an argument is refused; 130: interrupted.
    """
    console = Console()
    with refusing():
        groups, damaged = _read(args)
        make_folder(args.out)
    found = _replay(groups, args, console)
    verdicts = [*damaged, *(verdict for one in found for verdict in one.verdicts)]
    with writing(args.out):
        _report(verdicts, found, args, console)
    return 1 if any(verdict.state == "failed" for verdict in verdicts) else 0


def _read(args: Args) -> tuple[list[Group], list[Verdict]]:
    """Read the folders; return submissions that cannot be read as failed.

    Raises:
        ValueError: If an argument is wrong.
    """
    check_jobs(args.jobs)
    if not args.folders:
        raise ValueError("no folder is named; name that of a run or of a submission")
    if args.sample is not None and args.sample < 0:
        raise ValueError(f"--sample {args.sample} is no number of episodes; use 0 or more")
    if not 0 <= args.near <= 100:
        raise ValueError(f"--near {args.near} is no difference of mIoU; use points, such as {NEAR}")
    groups: list[Group] = []
    damaged: list[Verdict] = []
    for folder in args.folders:
        try:
            groups += read_folder(folder, args.suite)
        except DamagedError as error:
            damaged.append(Verdict(folder.name, "failed", str(error)))
    for group in groups if args.segmenter else ():
        _check_segmenter(group, args.segmenter)
    return groups, damaged


def _check_segmenter(group: Group, segmenter: str | None) -> None:
    if mines(group.suite.env):
        raise ValueError(f"--segmenter {segmenter}: {group.name} mines, which trains no model; leave it out")
    check_arguments(replace(group.suite, kwargs={**group.suite.kwargs, "segmenter": segmenter}))


def _replay(groups: Sequence[Group], args: Args, console: Console) -> list[Replays]:
    """Replay what fits the suites; a replay that has ended is not made again."""
    changes = {"segmenter": args.segmenter} if args.segmenter else {}
    checked = [check_group(group, expected(group.suite)) for group in groups]
    samples = [_sample(accepted, args) for accepted, _ in checked]
    jobs = [replays(g.suite, s, changes, args.out / "replays") for g, s in zip(groups, samples, strict=True)]
    run_all(find_finished(job for of_group in jobs for job in of_group).missing, args.jobs, console)
    found = []
    for group, sample, of_group, (_, wrong) in zip(groups, samples, jobs, checked, strict=True):
        again = replayed(of_group, len(sample))
        found.append(Replays(group, sample, again, [*wrong, *_verdicts(sample, again, args)]))
    return found


def _sample(accepted: Sample, args: Args) -> Sample:
    if args.sample is None or args.sample >= len(accepted):
        return accepted
    return random.Random(args.seed).sample(accepted, args.sample)


def _verdicts(sample: Sample, again: Sequence[Replayed], args: Args) -> list[Verdict]:
    pairs = [(claim, episode) for (claim, _), episode in zip(sample, again, strict=True)]
    if args.segmenter is None:
        return [judge(claim, episode, args.near) for claim, episode in pairs]
    faults = [(claim.where, fault_of_choice(claim, episode)) for claim, episode in pairs]
    return [Verdict(where, "failed" if fault else "exact", fault or "") for where, fault in faults]


def _report(verdicts: Sequence[Verdict], found: Sequence[Replays], args: Args, console: Console) -> None:
    """Say what is not exact, and the scores; write all verdicts."""
    write_whole(args.out / "verdicts.jsonl", "".join(f"{json.dumps(asdict(verdict))}\n" for verdict in verdicts))
    for verdict in verdicts:
        if verdict.state != "exact":
            style = "red" if verdict.state == "failed" else None
            say(console, f"{verdict.where}: {verdict.state}: {verdict.reason}", style=style)
    if not found:
        return
    if args.segmenter is None:
        for suite in dict.fromkeys(one.group.suite.name for one in found):
            of_suite = [one for one in found if one.group.suite.name == suite]
            print_table(console, f"replayed: {suite}", verdict_table(of_suite), left=("policy",))
    else:
        write_json(args.out / "curves.json", comparison_curves(found, args.segmenter))
        for metric in dict.fromkeys(name for one in found for name in make_task(one.group.suite).needs()):
            print_table(console, metric, comparison_table(found, args.segmenter, metric), left=("policy",))


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args, description=__doc__)))
