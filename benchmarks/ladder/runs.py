"""The runs of a ladder: every policy on every rung, then the lowest rung's traces again on the others.

A run that is finished is a file, whole or absent: all of it can be killed at any moment and taken up again.
"""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path

from rich.console import Console

from agents.policy import Episode
from agents.replay import replay
from alenv.imports import sources
from alenv.state import code_digest
from benchmarks.ladder.rungs import Ladder, check
from benchmarks.leaderboard.regions import Episodes, missing, read_episode, read_finished
from benchmarks.leaderboard.suite import Suite
from benchmarks.names import folder
from benchmarks.terminal import say
from benchmarks.workers import Call, attempt

Runs = dict[str, Episodes]
"""By rung, policy and seed."""


def plays(ladder: Ladder, out: Path, console: Console) -> list[Call]:
    """What is missing of every policy on every rung, after a check that it can be run.

    Raises:
        ValueError: If a rung cannot compute what a policy needs.
    """
    calls: list[Call] = []
    for rung in ladder.rungs:
        if read_finished(rung, out / rung.name).missing:
            say(console, f"checking rung {rung.name} ...")
            check(rung)
        calls += missing(rung, out / rung.name, console)
    return calls


def played(ladder: Ladder, out: Path) -> Runs:
    """What every policy did on every rung."""
    return {rung.name: read_finished(rung, out / rung.name).episodes for rung in ladder.rungs}


def replays(ladder: Ladder, out: Path) -> list[Call]:
    """What is missing of the lowest rung's traces on all others."""
    lowest, *others = ladder.rungs
    calls: list[Call] = []
    for rung in others:
        for policy, episode in _traces(lowest, out):
            path = _replay_path(rung, policy, episode, out)
            if _read(path, rung, policy, episode) is None:
                name = f"replay of {policy}, seed {episode.seed}, on {rung.name}"
                calls.append(Call(name, partial(attempt, name, path, partial(_replay, rung, episode))))
    return calls


def replayed(ladder: Ladder, out: Path) -> Runs:
    """What the lowest rung's traces are worth on every rung; on the lowest they were played."""
    lowest, *others = ladder.rungs
    runs: Runs = {lowest.name: read_finished(lowest, out / lowest.name).episodes}
    for rung in others:
        runs[rung.name] = {policy: {} for policy in rung.policies}
        for policy, episode in _traces(lowest, out):
            again = _read(_replay_path(rung, policy, episode, out), rung, policy, episode)
            if again is not None:
                runs[rung.name][policy][episode.seed] = again
    return runs


def _traces(rung: Suite, out: Path) -> list[tuple[str, Episode]]:
    episodes = read_finished(rung, out / rung.name).episodes
    return [(policy, episode) for policy, by_seed in episodes.items() for episode in by_seed.values()]


def _replay_path(rung: Suite, policy: str, episode: Episode, out: Path) -> Path:
    """Where a replay lies; whatever changes the replay changes the name."""
    what = [rung.env, rung.kwargs, rung.splits, code_digest(), sources(rung.kwargs), episode.seed, episode.actions]
    key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]
    return out / rung.name / "replays" / folder(policy) / f"{episode.seed}-{key}.json"


def _read(path: Path, rung: Suite, policy: str, episode: Episode) -> Episode | None:
    """Read a replay; one that is missing, damaged or of other regions is made again."""
    try:
        again = read_episode(path, rung, policy, episode.seed)
    except (ValueError, OSError):
        return None
    return again if (again.actions, again.picked) == (episode.actions, episode.picked) else None


def _replay(rung: Suite, episode: Episode) -> str:
    return replay(episode, rung.kwargs).to_json()
