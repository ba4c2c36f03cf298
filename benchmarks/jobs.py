"""Runs the missing parts of a suite in processes, with a bar that tells the time left."""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from functools import cache

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from agents.catalogue import make_policy
from benchmarks.terminal import say
from benchmarks.workers import Call, in_processes

SECONDS_BETWEEN_LINES = 30.0


@cache
def source(policy: str, env: str) -> str:
    """The text of the policy's module, and the digest of what it learned, if it has one."""
    made = make_policy(policy, env)
    return inspect.getsource(sys.modules[type(made).__module__]) + getattr(made, "digest", "")


@cache
def signed(policy: str, env: str) -> dict[str, object]:
    """What a policy writes into its episodes: ``policy``, its name, and whether it is an ``oracle``."""
    made = make_policy(policy, env)
    return {"policy": made.name, "oracle": made.oracle}


def run_all(calls: Sequence[Call], jobs: int, console: Console) -> bool:
    """Run calls in processes of one thread each; return whether all went well.

    Args:
        calls: The parts.
        jobs: Processes.
        console: Shows the progress, and what went wrong.
    """
    failures = 0
    if not calls:
        return True
    with closing(in_processes(calls, jobs)) as results:
        for failure in _show_progress(results, len(calls), console):
            if failure:
                failures += 1
                say(console, failure, style="red")
    return failures == 0


def _show_progress(results: Iterable[str | None], total: int, console: Console) -> Iterator[str | None]:
    """Pass results through, with a bar on a terminal and a line now and then elsewhere."""
    if not console.is_terminal:
        yield from _print_progress(results, total, console)
        return
    columns = (
        TextColumn("runs"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    # Episodes take seconds to minutes: the speed must be estimated over the whole run.
    with Progress(*columns, console=console, speed_estimate_period=1e6) as progress:
        yield from progress.track(results, total=total)


def _print_progress(results: Iterable[str | None], total: int, console: Console) -> Iterator[str | None]:
    start = printed = time.monotonic()
    for done, result in enumerate(results, start=1):
        yield result
        now = time.monotonic()
        if now - printed > SECONDS_BETWEEN_LINES or done == total:
            left = (now - start) / done * (total - done)
            console.print(f"{done} of {total} runs, about {left:.0f} s left", highlight=False)
            printed = now
