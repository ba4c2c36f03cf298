"""Play episodes again, each by its actions alone, and compare every number."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from agents.episode import POINTS, Episode
from agents.play import play
from agents.replay import Replay
from alenv.errors import shown
from alenv.state import fingerprint
from benchmarks.jobs import Job, find_finished, record_path
from benchmarks.leaderboard.suite import Suite
from benchmarks.leaderboard.task import Part
from benchmarks.submission import Claim, digest
from benchmarks.verify.claims import Verdict

FORMAT = 1
"""Part of what names a record: raise it when a replay changes."""
TOGETHER = 8
"""Episodes of a job: so many that its process is not the most of it."""

WHOLE = ("picked", "costs", "given")
"""Equal wherever the data are: the candidates are keyed by seed, round and labels."""
MEASURED = ("metrics", "class_metrics", "rewards")
"""What the fingerprint tells."""
NEAR = 0.1
"""Points of mIoU that a replay with another fingerprint may differ by: 0.02 was measured without vector instructions.

Points of a class, as rare as it may be, may differ by ten times as much (0.22), rewards by twice as much.
"""
ROUNDING = 1e-6
"""The same of what is not in points."""
SHOWN = ("scores", "observation")
"""Arguments by which a policy is shown more: they change nothing else."""

Replayed = Episode | str
"""An episode, or why there is none."""


@dataclass(frozen=True)
class Play:
    """What is played again."""

    env: str
    kwargs: dict[str, Any]
    part: Part
    episode: Episode

    @property
    def inputs(self) -> list[Any]:
        """Return all that the replay depends on, as JSON values."""
        measured = repr(self.part.make_recorder)
        return [self.env, self.kwargs, self.part.options, self.episode.seed, self.episode.actions, measured]

    def again(self) -> Replayed:
        """Take the actions."""
        make_recorder: Any = self.part.make_recorder
        options = self.part.options
        try:
            [again] = play(Replay(self.episode), self.env, self.kwargs, [self.episode.seed], make_recorder, options)
        except ValueError as error:
            return f"it cannot be replayed ({error}); send what was played"
        return Episode.from_json(again.to_json())  # as records have it: numbers of a metric are all floats


def replays(
    suite: Suite, accepted: Sequence[tuple[Claim, Part]], changes: dict[str, Any], out: Path
) -> list[Job[list[Replayed]]]:
    """Return the jobs that play episodes again, some in each.

    Args:
        suite: What they were played on.
        accepted: The episodes.
        changes: Other arguments of the environment.
        out: Folder of the records.
    """
    plays = [Play(suite.env, part.kwargs | changes, part, claim.episode) for claim, part in accepted]
    chunks = [plays[i : i + TOGETHER] for i in range(0, len(plays), TOGETHER)]
    return [_job(chunk, out) for chunk in chunks]


def _job(plays: list[Play], out: Path) -> Job[list[Replayed]]:
    path = record_path(out, "replays", [FORMAT, fingerprint()["sha256"], [play.inputs for play in plays]])
    policy, seeds = plays[0].episode.policy, [play.episode.seed for play in plays]
    return Job(f"replay of {shown(policy)}, seeds {shown(seeds)}", path, partial(_write, plays), _read)


def _write(plays: list[Play]) -> str:
    again = (play.again() for play in plays)
    return "".join(f"{json.dumps(found) if isinstance(found, str) else found.to_json()}\n" for found in again)


def _read(text: str) -> list[Replayed]:
    return [json.loads(line) if line.startswith('"') else Episode.from_json(line) for line in text.splitlines()]


def replayed(jobs: Sequence[Job[list[Replayed]]], episodes: int) -> list[Replayed]:
    """Return what came of the jobs of so many episodes."""
    records = find_finished(jobs).records
    again: list[Replayed] = []
    for job in jobs:
        lost = min(episodes - len(again), TOGETHER)
        again += records.get(job.path, ["its replay did not end; see above, and start again"] * lost)
    return again


def judge(claim: Claim, again: Replayed, near: float = NEAR) -> Verdict:
    """Compare what is said with what a replay gives.

    Args:
        claim: What is said.
        again: The replay.
        near: Points that it may differ by with another fingerprint.
    """
    if isinstance(again, str):
        return Verdict(claim.where, "failed", again)
    if fault := _fault_of_trace(claim, again) or _fault_of_setup(claim.episode.fingerprint, again.fingerprint):
        return Verdict(claim.where, "failed", fault)
    found = next(_differences(claim, again, MEASURED), None)
    if found is None:
        return Verdict(claim.where, "exact")
    if _setup(claim.episode.fingerprint) == _setup(again.fingerprint):
        return Verdict(claim.where, "failed", f"{found}; with this fingerprint it repeats every bit, so it was changed")
    if far := _far(claim, again, near):
        return Verdict(claim.where, "failed", f"{far}; that is more than another fingerprint explains")
    return Verdict(claim.where, "tolerance", f"{found}; the fingerprints differ")


def fault_of_choice(claim: Claim, again: Replayed) -> str | None:
    """Return why two models have not learned from the same labels, or None."""
    return again if isinstance(again, str) else _fault_of_trace(claim, again)


def _fault_of_trace(claim: Claim, again: Episode) -> str | None:
    said, taken = len(claim.episode.actions), len(again.actions)
    if said != taken:
        return f"{said} actions, but the suite's budget is spent after {taken}; play it with that"
    if found := next(_differences(claim, again, WHOLE), None):
        return f"{found}: its actions, or what they bought, were changed, or the data are others; send what was played"
    return None


def _fault_of_setup(said: dict[str, Any], own: dict[str, Any]) -> str | None:
    """Arguments and data are told by the fingerprint as well: they must be equal everywhere."""
    for name in ("env", "arguments", "data"):
        found = next(_walk(f"fingerprint: {name}", _setup(said).get(name), _setup(own).get(name)), None)
        if found:
            return f"{found}; play the suite as it is, on the same data"
    return None


def _setup(fingerprint: dict[str, Any]) -> dict[str, Any]:
    arguments = {name: value for name, value in fingerprint["arguments"].items() if name not in SHOWN}
    return {name: value for name, value in fingerprint.items() if name != "sha256"} | {"arguments": arguments}


def _differences(claim: Claim, again: Episode, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        new = getattr(again, name)
        if name not in claim.digests:
            yield from _walk(name, getattr(claim.episode, name), new)
        elif claim.digests[name] != digest(new):
            yield f"the digest of {name} is {claim.digests[name]}, in the replay {digest(new)}"


def _walk(name: str, old: Any, new: Any, near: float = 0.0) -> Iterator[str]:
    """Yield where JSON values differ, numbers by more than what is near."""
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        for key in old:
            yield from _walk(f"{name}, {key}", old[key], new[key], near)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (x, y) in enumerate(zip(old, new, strict=True)):
            yield from _walk(f"{name}[{i}]", x, y, near)
    elif isinstance(old, int | float) and isinstance(new, int | float):
        if abs(old - new) > near:
            yield f"{name} is {old!r}, in the replay {new!r}"
    elif old != new:
        yield f"{name} is {shown(old)}, in the replay {shown(new)}"


def _far(claim: Claim, again: Episode, near: float) -> str | None:
    """Return the first number that is farther from the replay's than another processor explains.

    A digest cannot be near: what it stands for is told by the metrics.
    """
    for part in (part for part in MEASURED if part not in claim.digests):
        old, new = getattr(claim.episode, part), getattr(again, part)
        if isinstance(old, dict) and old.keys() == new.keys():
            pairs = [(f"{part}, {name}", old[name], new[name], _allowed(name, near)) for name in old]
        else:
            pairs = [(part, old, new, max(2 * _allowed(name, near) for name in again.metrics))]  # differences of two
        for pair in pairs:
            if found := next(_walk(*pair), None):
                return found
    return None


def _allowed(metric: str, near: float) -> float:
    name = metric.partition("/")[0]
    return 10 * near if name == "class_iou" else near if name in POINTS else ROUNDING
