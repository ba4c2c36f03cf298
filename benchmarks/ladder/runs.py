"""The runs of a ladder: every policy on every rung, then the lowest rung's traces again on the others.

A run that is finished is a file, whole or absent: all of it can be killed at any moment and taken up again.
"""

from __future__ import annotations

import hashlib
import json
import traceback
from functools import partial
from pathlib import Path

from rich.console import Console

from agents.policy import Episode
from agents.replay import replay
from alenv.state import code_digest
from benchmarks.files import write_atomically
from benchmarks.ladder.rungs import Ladder, check
from benchmarks.regions import Episodes, folder, missing, read_episode, read_finished
from benchmarks.runner import Call, run_all
from benchmarks.suite import Suite

Runs = dict[str, Episodes]
"""By rung, policy and seed."""


def play(ladder: Ladder, out: Path, jobs: int, console: Console) -> bool:
    """Let every policy play on every rung; return whether all went well.

    Raises:
        ValueError: If a rung cannot compute what a policy needs.
    """
    calls: list[Call] = []
    for rung in ladder.rungs:
        if read_finished(rung, out / rung.name).missing:
            console.print(f"checking rung {rung.name} ...", highlight=False)
            check(rung)
        calls += missing(rung, out / rung.name, console)
    return run_all(calls, jobs, console)


def played(ladder: Ladder, out: Path) -> Runs:
    """What every policy did on every rung."""
    return {rung.name: read_finished(rung, out / rung.name).episodes for rung in ladder.rungs}


def replay_all(ladder: Ladder, out: Path, jobs: int, console: Console) -> bool:
    """Replay the lowest rung's traces on all others; return whether all went well."""
    lowest, *others = ladder.rungs
    calls: list[Call] = []
    for rung in others:
        for policy, episode in _traces(lowest, out):
            path = _replay_path(rung, policy, episode, out)
            if _read(path, rung) is None:
                calls.append(partial(_replay, rung, episode, path))
    return run_all(calls, jobs, console)


def replayed(ladder: Ladder, out: Path) -> Runs:
    """What the lowest rung's traces are worth on every rung; on the lowest they were played."""
    lowest, *others = ladder.rungs
    runs: Runs = {lowest.name: read_finished(lowest, out / lowest.name).episodes}
    for rung in others:
        runs[rung.name] = {policy: {} for policy in rung.policies}
        for policy, episode in _traces(lowest, out):
            again = _read(_replay_path(rung, policy, episode, out), rung)
            if again is not None:
                runs[rung.name][policy][episode.seed] = again
    return runs


def _traces(rung: Suite, out: Path) -> list[tuple[str, Episode]]:
    episodes = read_finished(rung, out / rung.name).episodes
    return [(policy, episode) for policy, by_seed in episodes.items() for episode in by_seed.values()]


def _replay_path(rung: Suite, policy: str, episode: Episode, out: Path) -> Path:
    """Where a replay lies; whatever changes the replay changes the name."""
    what = [rung.env, rung.kwargs, rung.splits, code_digest(), episode.seed, episode.actions]
    key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]
    return out / rung.name / "replays" / folder(policy) / f"{episode.seed}-{key}.json"


def _read(path: Path, rung: Suite) -> Episode | None:
    """Read a replay; one that is missing or damaged is made again."""
    try:
        return read_episode(path, rung)
    except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _replay(rung: Suite, episode: Episode, path: Path) -> str | None:
    """Replay one trace in a worker; return what went wrong, for the parent to show."""
    log = path.with_suffix(".error")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        again = replay(episode, rung.env, rung.kwargs, rung.splits)
    except Exception as error:  # one bad replay must not end the others
        log.write_text(traceback.format_exc(), encoding="utf-8")
        return f"replay on {rung.name} failed: {type(error).__name__}: {error} ({log})"
    write_atomically(path, again.to_json())
    log.unlink(missing_ok=True)
    return None
