"""Long work in parts: a job is JSON inputs, a path that they are hashed into, and a record that is whole or absent.

So a run can be killed at any moment, and the same command goes on with what is missing.
"""

from __future__ import annotations

import hashlib
import json
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from alenv.files import write_whole
from benchmarks.terminal import say
from benchmarks.workers import in_processes, told

SECONDS_BETWEEN_LINES = 30.0

Record = TypeVar("Record")


@dataclass(frozen=True)
class Job(Generic[Record]):
    """One part.

    Attributes:
        name: What it does, for people.
        path: Where its record lies, see ``record_path``.
        make: Returns the text of the record.
        read: Makes the record of its text; ValueError if it is damaged, or is another.
    """

    name: str
    path: Path
    make: Callable[[], str]
    read: Callable[[str], Record]

    def do(self) -> str | None:
        """Write the record; return what went wrong, whose traceback lies beside it, or None."""
        log = self.path.with_suffix(".error")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, self.make())
            log.unlink(missing_ok=True)
        except (Exception, SystemExit) as error:  # one bad part must not end the others
            with suppress(OSError):  # a full disk takes no log either
                write_whole(log, traceback.format_exc())
            return f"{self.name} failed: {told(error)} ({log})"
        return None


def record_path(folder: Path, name: str, inputs: Any) -> Path:
    """Return where the record of some JSON inputs lies: whatever changes it must be among them."""
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:12]
    return folder / f"{name}-{digest}.json"


@dataclass
class Finished(Generic[Record]):
    """The records that there are, the jobs still missing (damaged ones among them), and what is wrong with these."""

    records: dict[Path, Record] = field(default_factory=dict)
    missing: list[Job[Record]] = field(default_factory=list)
    damaged: dict[Path, str] = field(default_factory=dict)

    def say_damaged(self, console: Console) -> None:
        """Name the damaged files."""
        for path, cause in self.damaged.items():
            say(console, f"damaged, runs again: {path} ({cause})")


def find_finished(jobs: Iterable[Job[Record]]) -> Finished[Record]:
    """Read the records of some jobs."""
    finished: Finished[Record] = Finished()
    for job in jobs:
        try:
            finished.records[job.path] = job.read(job.path.read_text(encoding="utf-8"))
            continue
        except FileNotFoundError:
            pass
        except (ValueError, OSError) as error:
            finished.damaged[job.path] = str(error)
        finished.missing.append(job)
    return finished


Backend = Callable[[Sequence[Job[Any]], int], Iterator[str | None]]
"""Does jobs, so many at a time; yields what went wrong or None for each, as they end."""


def processes(jobs: Sequence[Job[Any]], number: int) -> Iterator[str | None]:
    """Do jobs in processes of one thread each, on this machine."""
    return in_processes(jobs, number)


def run_all(jobs: Sequence[Job[Any]], number: int, console: Console, backend: Backend = processes) -> bool:
    """Run jobs; return whether all went well.

    Args:
        jobs: The parts.
        number: How many run at the same time.
        console: Shows the progress, and what went wrong.
        backend: Where they run.
    """
    failures = 0
    if not jobs:
        return True
    with closing(backend(jobs, number)) as results:  # type: ignore[type-var]
        for failure in _show_progress(results, len(jobs), console):
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
