"""Suites on RegionSelect: one process and one file per episode.

A finished episode is a file, whole or absent: a run can be killed at any moment and taken up again.
"""

from __future__ import annotations

import hashlib
import json
import traceback
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import gymnasium
from rich.console import Console

from agents.policy import Episode, evaluate, make_policy
from alenv.state import code_digest
from benchmarks.files import write_atomically
from benchmarks.report import print_ranking, write_report
from benchmarks.runner import Call, source
from benchmarks.suite import Suite
from benchmarks.summary import summarize

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
    what = [suite.env, suite.kwargs, policy, seed, suite.splits, code_digest(), source(policy, suite.env)]
    key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]
    return out / "episodes" / folder(policy) / f"{seed}-{key}.json"


def folder(policy: str) -> str:
    """Name of the folder of a policy, which may be ``agent:path``."""
    return policy.replace(":", ".").replace("/", "_")


def read_finished(suite: Suite, out: Path) -> Finished:
    """Sort the episodes of a suite into finished and missing ones (damaged ones among them)."""
    finished = Finished(episodes={policy: {} for policy in suite.policies})
    for policy in suite.policies:
        for seed in suite.seeds:
            path = episode_path(suite, policy, seed, out)
            try:
                finished.episodes[policy][seed] = read_episode(path, suite)
            except FileNotFoundError:
                finished.missing.append(Task(policy, seed, path))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                finished.missing.append(Task(policy, seed, path))
                finished.damaged[path] = f"{type(error).__name__}: {error}"
    return finished


def read_episode(path: Path, suite: Suite) -> Episode:
    """Read a finished episode.

    Raises:
        FileNotFoundError: If there is none yet.
        ValueError: If the file is damaged; damage may also show as TypeError, KeyError or AttributeError.
    """
    episode = Episode.from_json(path.read_text(encoding="utf-8"))
    points = len(episode.curve["regions"])
    if any(len(episode.curve["miou"][split]) != points for split in suite.splits):
        raise ValueError(f"the curves do not all have {points} points")
    return episode


def prepare(suite: Suite) -> None:
    """Use the environment once, so that the workers find the data caches built.

    It also shows a wrong value in the keyword arguments before anything runs.
    """
    env = gymnasium.make(suite.env, **suite.kwargs)
    env.reset(seed=suite.seeds[0])
    for split in suite.splits:
        env.unwrapped.evaluate(split)
    env.close()


def missing(suite: Suite, out: Path, console: Console) -> list[Call]:
    """Return what is to be run, after a check that it can be.

    Long episodes go first: oracles look at many labellings before each pick.
    """
    finished = read_finished(suite, out)
    for path, cause in finished.damaged.items():
        console.print(f"damaged, runs again: {path} ({cause})", markup=False, soft_wrap=True)
    if finished.missing:
        console.print(f"preparing {suite.env} ...")
        prepare(suite)
    tasks = sorted(finished.missing, key=lambda task: not make_policy(task.policy).oracle)
    return [partial(_run, suite, task) for task in tasks]


def report(suite: Suite, out: Path, console: Console) -> None:
    """Write the report on all finished episodes."""
    episodes = read_finished(suite, out).episodes
    if not any(episodes.values()):
        console.print("no episode finished, so there is no report")
        return
    summary = summarize(suite, episodes)
    write_report(summary, out)
    print_ranking(summary, console)
    console.print(f"report: {out / 'leaderboard.md'}")


def _run(suite: Suite, task: Task) -> str | None:
    """Run one episode in a worker; return what went wrong, for the parent to show."""
    log = task.path.with_suffix(".error")
    task.path.parent.mkdir(parents=True, exist_ok=True)
    try:
        policy = make_policy(task.policy)
        [episode] = evaluate(policy, suite.env, suite.kwargs, [task.seed], suite.splits)
    except Exception as error:  # one bad episode must not end the others
        log.write_text(traceback.format_exc(), encoding="utf-8")
        return f"{task.policy} failed on seed {task.seed}: {type(error).__name__}: {error} ({log})"
    write_atomically(task.path, episode.to_json())
    log.unlink(missing_ok=True)
    return None
