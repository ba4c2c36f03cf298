"""The episodes of a suite: the jobs that make them, and those that are finished."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from rich.console import Console

from agents.catalogue import make_policy
from agents.episode import Episode
from agents.play import play
from alenv.errors import shown
from alenv.state import code_digest
from benchmarks.jobs import Finished, Job, find_finished, record_path
from benchmarks.leaderboard.suite import Suite
from benchmarks.leaderboard.task import Episodes, Part
from benchmarks.leaderboard.tasks import make_task
from benchmarks.names import folder
from benchmarks.terminal import say

FORMAT = 2
"""Part of what names a record: raise it when ``agents.episode`` or ``agents.recorders`` change."""


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


def jobs(suite: Suite, out: Path) -> dict[str, list[Job[list[Episode]]]]:
    """Return the jobs of a suite by policy, one for each part."""
    parts = make_task(suite).parts()
    return {policy: [_job(suite, policy, part, out) for part in parts] for policy in suite.policies}


def _job(suite: Suite, policy: str, part: Part, out: Path) -> Job[list[Episode]]:
    measured = suite.splits, suite.budgets
    inputs = [FORMAT, suite.env, part.kwargs, part.options, part.seeds, measured, policy]
    inputs += [code_digest(), suite.sources, source(policy, suite.env)]
    path = record_path(out / "episodes" / folder(policy), part.file, inputs)
    if len(part.seeds) > 1:  # an episode a line
        path = path.with_suffix(".jsonl")
    make, read = partial(_play, suite.env, policy, part), partial(read_record, suite, policy, part)
    return Job(f"{policy} on {part.name}", path, make, read)


def _play(env: str, policy: str, part: Part) -> str:
    episodes = play(make_policy(policy, env), env, part.kwargs, part.seeds, part.make_recorder, part.options)
    return write_record(episodes)


def write_record(episodes: Iterable[Episode]) -> str:
    """Return the text of a record: an episode a line."""
    return "".join(f"{episode.to_json()}\n" for episode in episodes)


def read_record(suite: Suite, policy: str, part: Part, text: str) -> list[Episode]:
    """Read a record.

    Raises:
        ValueError: If it is damaged, or holds other episodes.
    """
    episodes = [Episode.from_json(line) for line in text.splitlines()]
    right = {**signed(policy, suite.env), "env_id": suite.env, "kwargs": part.kwargs, "options": part.options}
    for episode in episodes:
        for name, value in right.items():
            if getattr(episode, name) != value:
                raise ValueError(f"{name}={shown(getattr(episode, name))}: expected {shown(value)}")
        for name in make_task(suite).needs():
            if name not in episode.metrics:
                raise ValueError(f"it has no curve of {name!r}")
    if (seeds := [episode.seed for episode in episodes]) != list(part.seeds):
        raise ValueError(f"its seeds are {shown(seeds)}; expected {shown(list(part.seeds))}")
    return episodes


def finished(suite: Suite, out: Path) -> tuple[Episodes, Finished[list[Episode]]]:
    """Return the finished episodes by policy, and what is missing."""
    by_policy = jobs(suite, out)
    found = find_finished(job for of_policy in _oracles_first(by_policy, suite.env) for job in of_policy)
    episodes = {
        policy: [episode for job in of_policy for episode in found.records.get(job.path, [])]
        for policy, of_policy in by_policy.items()
    }
    return episodes, found


def _oracles_first(by_policy: dict[str, list[Job[list[Episode]]]], env: str) -> list[list[Job[list[Episode]]]]:
    """Put the longest episodes first: oracles look at many labellings before each pick."""
    return [by_policy[policy] for policy in sorted(by_policy, key=lambda policy: not signed(policy, env)["oracle"])]


@dataclass(frozen=True)
class Missing:
    """What is to be run of a suite, how long it takes in seconds of one process, about, and how much of each policy."""

    jobs: list[Job[list[Episode]]]
    seconds: float
    by_policy: dict[str, int]


def missing(suite: Suite, out: Path, console: Console) -> Missing:
    """Return what is to be run, after a check that it can be."""
    _, found = finished(suite, out)
    found.say_damaged(console)
    if not found.missing:
        return Missing([], 0.0, {})
    if suite.takes:
        say(console, f"{suite.name} takes {suite.takes}")
    paths = {job.path for job in found.missing}
    counts = {policy: sum(job.path in paths for job in of) for policy, of in jobs(suite, out).items()}
    waiting = {policy: n for policy, n in counts.items() if n}
    say(console, f"preparing {suite.env} ...")
    each = make_task(suite).prepare(list(waiting))
    return Missing(found.missing, sum(each[policy] * n for policy, n in waiting.items()), waiting)
