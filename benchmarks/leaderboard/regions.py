"""Suites on RegionSelect: one process and one file per episode.

A finished episode is a file, whole or absent: a run can be killed at any moment and taken up again.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import gymnasium
import numpy as np
from rich.console import Console

from agents.catalogue import make_policy
from agents.policy import Episode, evaluate
from alenv.errors import shown
from alenv.state import code_digest
from benchmarks.jobs import signed, source
from benchmarks.leaderboard.report import print_ranking, write_report
from benchmarks.leaderboard.suite import Suite
from benchmarks.leaderboard.summary import summarize
from benchmarks.names import folder
from benchmarks.terminal import duration, say
from benchmarks.workers import Call, attempt

Episodes = dict[str, dict[int, Episode]]


@dataclass(frozen=True)
class Task:
    """One episode to be run, and the file that holds it once it is finished."""

    policy: str
    seed: int
    path: Path


@dataclass
class Finished:
    """The finished episodes by policy and seed, and the tasks still missing."""

    episodes: Episodes = field(default_factory=dict)
    missing: list[Task] = field(default_factory=list)
    damaged: dict[Path, str] = field(default_factory=dict)


def episode_path(suite: Suite, policy: str, seed: int, out: Path) -> Path:
    """Where an episode lies; whatever changes the episode changes the name."""
    code = code_digest(), suite.sources, source(policy, suite.env)
    what = [suite.env, suite.kwargs, policy, seed, suite.splits, *code]
    key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]
    return out / "episodes" / folder(policy) / f"{seed}-{key}.json"


def read_finished(suite: Suite, out: Path) -> Finished:
    """Sort the episodes of a suite into finished and missing ones (damaged ones among them)."""
    finished = Finished(episodes={policy: {} for policy in suite.policies})
    for policy in suite.policies:
        for seed in suite.seeds:
            path = episode_path(suite, policy, seed, out)
            try:
                finished.episodes[policy][seed] = read_episode(path, suite, policy, seed)
            except FileNotFoundError:
                finished.missing.append(Task(policy, seed, path))
            except (ValueError, OSError) as error:
                finished.missing.append(Task(policy, seed, path))
                finished.damaged[path] = str(error)
    return finished


def read_episode(path: Path, suite: Suite, policy: str, seed: int) -> Episode:
    """Read a finished episode.

    Raises:
        FileNotFoundError: If there is none yet.
        ValueError: If the file is damaged, or holds another episode.
    """
    episode = Episode.from_json(path.read_text(encoding="utf-8"))
    right = {**signed(policy, suite.env), "env_id": suite.env, "kwargs": suite.kwargs, "seed": seed}
    for name, value in right.items():
        if getattr(episode, name) != value:
            raise ValueError(f"{name}={shown(getattr(episode, name))}: expected {shown(value)}")
    for split in suite.splits:
        if f"miou/{split}" not in episode.metrics:
            raise ValueError(f"it has no curve on split {split!r}")
    return episode


def prepare(suite: Suite) -> float:
    """Use the environment once, so that the workers find the data caches built.

    It also shows a wrong value in the keyword arguments before anything runs.

    Returns:
        Seconds that an episode takes, about: as many rounds as its budget has, each like the first one of random picks,
        with the acquisition channels of all policies.
    """
    channels = dict.fromkeys(channel for policy in suite.policies for channel in make_policy(policy).scores)
    env = gymnasium.make(suite.env, **suite.kwargs | {"scores": list(channels)})
    obs, info = env.reset(seed=suite.seeds[0])
    rng, start, ended = np.random.default_rng(0), time.monotonic(), False
    while info["round"] == 0 and not ended:
        obs, _, ended, _, info = env.step(rng.choice(np.flatnonzero(obs["action_mask"])))
    for split in suite.splits:
        env.unwrapped.evaluate(split)
    seconds, chosen = time.monotonic() - start, env.unwrapped.fingerprint()["arguments"]
    env.close()
    return seconds * -(-chosen["budget"] // chosen["picks"])


def missing(suite: Suite, out: Path, console: Console) -> list[Call]:
    """Return what is to be run, after a check that it can be.

    Long episodes go first: oracles look at many labellings before each pick.
    """
    finished = read_finished(suite, out)
    for path, cause in finished.damaged.items():
        say(console, f"damaged, runs again: {path} ({cause})")
    if finished.missing:
        say(console, f"preparing {suite.env} ...")
        seconds = prepare(suite) * len(finished.missing)
        say(console, f"{len(finished.missing)} episodes: about {duration(seconds)} of one process, by a first round")
    tasks = sorted(finished.missing, key=lambda task: not make_policy(task.policy).oracle)
    return [Call(f"{task.policy} on seed {task.seed}", partial(_run, suite, task)) for task in tasks]


def report(suite: Suite, out: Path, console: Console) -> None:
    """Write the report on all finished episodes."""
    episodes = read_finished(suite, out).episodes
    if not any(episodes.values()):
        say(console, "no episode finished, so there is no report")
        return
    summary = summarize(suite, episodes)
    write_report(summary, out)
    print_ranking(summary, console)
    say(console, f"report: {out / 'leaderboard.md'}")


def _run(suite: Suite, task: Task) -> str | None:
    """Run one episode in a worker; return what went wrong, for the parent to show."""
    return attempt(f"{task.policy} on seed {task.seed}", task.path, partial(_play, suite, task))


def _play(suite: Suite, task: Task) -> str:
    [episode] = evaluate(make_policy(task.policy), suite.env, suite.kwargs, [task.seed], suite.splits)
    return episode.to_json()
