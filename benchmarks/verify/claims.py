"""What is said in a folder: the episodes of a run, or of a submission, by policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agents.episode import Episode
from benchmarks.leaderboard.suite import Suite
from benchmarks.leaderboard.suite_file import read_suite
from benchmarks.leaderboard.tasks import make_task
from benchmarks.submission import FACTS, TRACES, Claim, Submission, find_suite, read_lines, read_submission, unpack

State = Literal["exact", "tolerance", "failed"]


class DamagedError(ValueError):
    """What is said about a submission cannot be read."""


@dataclass(frozen=True)
class Verdict:
    """What comes of an episode, or of one that is not there.

    Attributes:
        where: File and line.
        state: ``exact``: equal in every bit; ``tolerance``: close to it, with another fingerprint; ``failed``.
        reason: Why it is not exact.
    """

    where: str
    state: State
    reason: str = ""


@dataclass(frozen=True)
class Group:
    """The episodes of a policy.

    Attributes:
        name: Of the policy in a run, or of the submission.
        suite: What they were played on.
        said: What is said about the policy; None in a run.
        claims: The episodes that can be read.
        faults: Lines that cannot be read.
    """

    name: str
    suite: Suite
    said: Submission | None
    claims: list[Claim]
    faults: list[Verdict]


def read_folder(folder: Path, suite: Path | None) -> list[Group]:
    """Read a run or a submission.

    Args:
        folder: Either.
        suite: The suite's file; by default that of the submission, or the one called as the folder of the run.

    Raises:
        DamagedError: If it is a submission, but what is said about it cannot be read.
        ValueError: If it is neither, or the suite is unknown.
    """
    if (folder / FACTS).exists():
        return [_read_submission(folder, suite)]
    if not (folder / "episodes").is_dir():
        raise ValueError(f"{folder} is no submission ({FACTS}) and no run (episodes/); name the folder of one")
    named = read_suite(suite) if suite else find_suite(folder.resolve().name)
    return [_read_policy(path, named) for path in sorted((folder / "episodes").iterdir()) if path.is_dir()]


def _read_submission(folder: Path, suite: Path | None) -> Group:
    name = folder.resolve().name
    try:
        said = read_submission(folder)
        named = read_suite(suite) if suite else find_suite(said.suite)
    except ValueError as error:
        raise DamagedError(str(error)) from None
    most = sum(len(part.seeds) for part in make_task(named).parts())
    claims, faults = _split(_read(folder / TRACES, f"{name}/{TRACES}", most))
    return Group(name, named, said, claims, faults)


def _read_policy(folder: Path, suite: Suite) -> Group:
    files = sorted(path for path in folder.iterdir() if path.suffix in (".json", ".jsonl"))
    most = max((len(part.seeds) for part in make_task(suite).parts()), default=0)
    claims, faults = _split(c for file in files for c in _read(file, f"{folder.name}/{file.name}", most))
    return Group(folder.name, suite, None, claims, faults)


def _split(read: Iterator[Claim | Verdict]) -> tuple[list[Claim], list[Verdict]]:
    claims: list[Claim] = []
    faults: list[Verdict] = []
    for found in read:
        if isinstance(found, Claim):
            claims.append(found)
        else:
            faults.append(found)
    return claims, faults


def _read(path: Path, name: str, most: int) -> Iterator[Claim | Verdict]:
    """Yield the episodes of a file, and the lines that are none; no more than there can be."""
    number = 0
    try:
        for number, line in enumerate(read_lines(path), start=1):
            if number > most:
                raise ValueError(f"the suite has {most} episodes here; leave out what is more")
            yield _read_line(name, number, line, packed=path.suffix == ".gz")
    except ValueError as error:
        yield Verdict(f"{name}, after line {number}" if number else name, "failed", str(error))


def _read_line(file: str, number: int, line: bytes, packed: bool) -> Claim | Verdict:
    try:
        return unpack(file, number, line) if packed else Claim(file, number, Episode.from_json(line))
    except ValueError as error:
        return Verdict(f"{file}, line {number}", "failed", str(error))
