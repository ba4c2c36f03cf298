"""Submissions: the episodes of one policy on one suite, small enough for a repository, and what is said about them.

``<name>/submission.toml`` holds a ``Submission``; ``<name>/traces.jsonl.gz`` an episode a line, as
``agents.episode.Episode`` has it, but with a digest in the place of each list that a replay computes again in full.
What is equal to its digest is equal bit for bit. Both come from strangers: reading is bounded, nothing is executed.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import secrets
import shutil
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal, cast

import msgspec
from msgspec import Meta

from agents.episode import Episode, check
from alenv.errors import unknown
from alenv.outside import decode, decode_json, decode_toml
from benchmarks.leaderboard.suite import Suite
from benchmarks.leaderboard.suite_file import read, read_suite

SUBMISSIONS = Path(__file__).parent / "submissions"
SUITES = Path(__file__).parents[1] / "configs" / "suites"
FACTS, TRACES = "submission.toml", "traces.jsonl.gz"

LONGEST_LINE, LONGEST_FILE = 2**21, 2**26
"""Bytes of an episode, and of all that a file unpacks to."""

HASHED = ("rewards", "picked", "class_metrics")
"""Entries of an episode that a submission has the digests of."""

Text = Annotated[str, Meta(max_length=2000)]
Line = Annotated[str, Meta(min_length=1, max_length=200)]
Named = Annotated[str, Meta(pattern=r"\A\w[\w.~-]{0,99}\Z", description="letters, digits, '.', '_', '-', '~'")]
Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{16}\Z", description="16 hexadecimal digits")]
Track = Literal["heuristic", "learned", "search", "oracle"]


class Submission(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What is said about a policy: it cannot be checked by a replay.

    Attributes:
        suite: Name of a file in ``configs/suites``.
        policy: What the leaderboard calls it.
        track: ``heuristic``, ``learned`` on other data or seeds, found by ``search`` on the very seeds of the suite, or
            ``oracle``: given labels that were not bought.
        authors: Who made it.
        code: Where it can be read, and at which commit.
        trained_on: Ids, pools and seeds that it learned from.
        tuned: What was chosen, out of which ranges, on what.
        extra_data: Other data or weights that went into it.
        hardware: What it ran on.
        deterministic: Whether it acts the same again.
    """

    suite: Annotated[str, Meta(pattern=r"\A\w{1,100}\Z", description="the name of a file in configs/suites")]
    policy: Line
    track: Track
    authors: Annotated[tuple[Line, ...], Meta(min_length=1)]
    code: Text = ""
    trained_on: Text = ""
    tuned: Text = ""
    extra_data: Text = ""
    hardware: Text = ""
    deterministic: bool = True


class Digests(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Of the entries that are left out."""

    rewards: Digest
    picked: Digest
    class_metrics: Digest


@dataclass(frozen=True)
class Claim:
    """An episode that somebody says was played.

    Attributes:
        file: Where it stands.
        line: And in which line.
        episode: What is said; entries of which there is a digest are empty.
        digests: By entry.
    """

    file: str
    line: int
    episode: Episode
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """File and line."""
        return f"{self.file}, line {self.line}"


def digest(value: Any) -> str:
    """Return a digest of JSON values: equal ones have equal digests, in every bit."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def pack(episode: Episode) -> str:
    """Return an episode as a line of a submission."""
    table = asdict(episode)
    digests = {name: digest(table.pop(name)) for name in HASHED}
    return json.dumps({**table, "digests": digests}, allow_nan=False)


def unpack(file: str, number: int, line: str | bytes) -> Claim:
    """Read a line of a submission.

    Raises:
        ValueError: If it is no JSON, or an entry is missing, unknown, of another type, or does not fit the others.
    """
    table = decode_json(dict[str, Any], line)
    for name in HASHED:
        if name in table:
            raise unknown("entry", name, [*(set(Episode.__annotations__) - set(HASHED)), "digests"])
    if "digests" not in table:
        raise ValueError("the entry 'digests' is missing; add it")
    digests = decode(Digests, table.pop("digests"), "entry of digests:")
    actions = table.get("actions")
    picks = len(actions) if isinstance(actions, list) else 0
    empty = {"rewards": [0.0] * picks, "picked": [[]] * picks, "class_metrics": {}}
    episode = check(decode(Episode, {**table, **empty}, "entry"))
    return Claim(file, number, episode, msgspec.structs.asdict(digests))


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file, which is unpacked no further than they are asked for.

    Raises:
        ValueError: If it is no file, is damaged, or unpacks to more than anybody needs.
    """
    if not path.is_file():
        raise ValueError("there is no such file; submit it whole")
    total = 0
    try:
        with cast(BinaryIO, gzip.open(path) if path.suffix == ".gz" else path.open("rb")) as file:
            while line := file.readline(LONGEST_LINE + 1):
                total += len(line)
                if len(line) > LONGEST_LINE or total > LONGEST_FILE:
                    raise ValueError(
                        f"a line is longer than {LONGEST_LINE:,} bytes or all are longer than {LONGEST_FILE:,}, "
                        "which no episodes are; send the traces only"
                    )
                yield line
    except (EOFError, zlib.error, OSError) as error:
        raise ValueError(f"it cannot be unpacked ({error}); pack it anew with benchmarks.submit") from None


def read_submission(folder: Path) -> Submission:
    """Read what is said about a submission.

    Raises:
        ValueError: If it cannot be read, or an entry is missing, unknown, or of another type.
    """
    path = folder / FACTS
    if path.exists() and not path.is_file():
        raise ValueError(f"{path}: no regular file; write a TOML file")
    return read(path, lambda _, text: decode_toml(Submission, text))


def find_suite(name: str) -> Suite:
    """Return the suite of a name.

    Raises:
        ValueError: If there is none.
    """
    path = SUITES / f"{name}.toml"
    if not path.is_file():
        raise unknown("suite", name, [file.stem for file in SUITES.glob("*.toml")])
    return read_suite(path)


def write_submission(folder: Path, submission: Submission, episodes: Iterable[Episode]) -> None:
    """Write a submission, whole or not at all; one that was there is replaced."""
    text = "".join(f"{pack(episode)}\n" for episode in episodes)
    mark = secrets.token_hex(8)
    new, old = folder.with_name(f".{mark}.tmp"), folder.with_name(f".{mark}.old")
    try:
        new.mkdir(parents=True)
        (new / FACTS).write_text(to_toml(submission), encoding="utf-8")
        (new / TRACES).write_bytes(gzip.compress(text.encode(), 9, mtime=0))
        if folder.exists():
            os.rename(folder, old)
        os.rename(new, folder)
    finally:
        for rest in (new, old):
            shutil.rmtree(rest, ignore_errors=True)


def to_toml(submission: Submission) -> str:
    """Return what is said about a submission as TOML, which has JSON's strings, lists and booleans."""
    table = msgspec.to_builtins(submission)
    lines = (f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.items() if value != "")
    return "".join(f"{line}\n".replace("\x7f", "\\u007f") for line in lines)
