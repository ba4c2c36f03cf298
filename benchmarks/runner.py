"""Runs the missing episodes of a suite: one process and one file per episode.

A finished episode is a file, whole or absent: a run can be killed at any moment and taken up again.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import gymnasium
import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from agents.policy import Episode, evaluate, make_policy
from alenv.state import code_digest
from benchmarks.suite import Suite

SECONDS_BETWEEN_LINES = 30.0

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
    what = [suite.env, suite.kwargs, policy, seed, suite.splits, code_digest(), _source(policy)]
    key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]
    return out / "episodes" / policy.replace(":", ".") / f"{seed}-{key}.json"


@cache
def _source(policy: str) -> str:
    """The text of the policy's module."""
    return inspect.getsource(sys.modules[type(make_policy(policy)).__module__])


def read_finished(suite: Suite, out: Path) -> Finished:
    """Sort the episodes of a suite into finished and missing ones (damaged ones among them)."""
    finished = Finished(episodes={policy: {} for policy in suite.policies})
    for policy in suite.policies:
        for seed in suite.seeds:
            path = episode_path(suite, policy, seed, out)
            try:
                finished.episodes[policy][seed] = _read_episode(path, suite)
            except FileNotFoundError:
                finished.missing.append(Task(policy, seed, path))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                finished.missing.append(Task(policy, seed, path))
                finished.damaged[path] = f"{type(error).__name__}: {error}"
    return finished


def _read_episode(path: Path, suite: Suite) -> Episode:
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


def run_tasks(suite: Suite, tasks: list[Task], jobs: int, console: Console) -> bool:
    """Run tasks in processes of one thread each; return whether all of them finished.

    Long episodes go first: oracles look at many labellings before each pick.
    """
    tasks = sorted(tasks, key=lambda task: not make_policy(task.policy).oracle)
    failures = 0
    with joblib.parallel_config("loky", n_jobs=jobs, inner_max_num_threads=1):
        results = joblib.Parallel(return_as="generator_unordered", batch_size=1)(
            joblib.delayed(_run)(suite, task) for task in tasks
        )
    try:
        for failure in _show_progress(results, len(tasks), console):
            if failure:
                failures += 1
                console.print(failure, style="red", markup=False, highlight=False, soft_wrap=True)
    except TerminatedWorkerError:
        console.print("a worker process died (out of memory?); start again with fewer --jobs", style="red")
        return False
    return failures == 0


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
    _write_atomically(task.path, episode.to_json())
    log.unlink(missing_ok=True)
    return None


def _write_atomically(path: Path, text: str) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def _show_progress(results: Iterable[str | None], total: int, console: Console) -> Iterator[str | None]:
    """Pass results through, with a bar on a terminal and a line now and then elsewhere."""
    if not console.is_terminal:
        yield from _print_progress(results, total, console)
        return
    columns = (
        TextColumn("episodes"),
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
            console.print(f"{done} of {total} episodes, about {left:.0f} s left", highlight=False)
            printed = now
