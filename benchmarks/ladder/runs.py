"""The runs of a ladder: every policy on every rung, then the lowest rung's traces again on the others.

A run that is finished is a file, whole or absent: all of it can be killed at any moment and taken up again.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from rich.console import Console

from agents.episode import Episode
from agents.replay import replay
from alenv.state import code_digest, sources
from benchmarks.jobs import Job, find_finished, record_path
from benchmarks.ladder.rungs import Ladder, check
from benchmarks.leaderboard.episodes import FORMAT, finished, missing, read_record, write_record
from benchmarks.leaderboard.suite import Suite
from benchmarks.leaderboard.task import Episodes
from benchmarks.leaderboard.tasks import make_task
from benchmarks.names import folder
from benchmarks.terminal import say

Runs = dict[str, dict[str, dict[int, Episode]]]
"""By rung, policy and seed."""


def plays(ladder: Ladder, out: Path, console: Console) -> list[Job[list[Episode]]]:
    """What is missing of every policy on every rung, after a check that it can be run.

    Raises:
        ValueError: If a rung cannot compute what a policy needs.
    """
    jobs: list[Job[list[Episode]]] = []
    for rung in ladder.rungs:
        if finished(rung, out / rung.name)[1].missing:
            say(console, f"checking rung {rung.name} ...")
            check(rung)
        jobs += missing(rung, out / rung.name, console).jobs
    return jobs


def played(ladder: Ladder, out: Path) -> Runs:
    """What every policy did on every rung."""
    return {rung.name: _by_seed(finished(rung, out / rung.name)[0]) for rung in ladder.rungs}


def replays(ladder: Ladder, out: Path) -> list[Job[list[Episode]]]:
    """What is missing of the lowest rung's traces on all others."""
    jobs = (found for rung in ladder.rungs[1:] for found in _replays(ladder, rung, out).values())
    return [job for found in jobs for job in find_finished(found).missing]


def replayed(ladder: Ladder, out: Path) -> Runs:
    """What the lowest rung's traces are worth on every rung; on the lowest they were played."""
    lowest, *others = ladder.rungs
    runs: Runs = {lowest.name: _by_seed(finished(lowest, out / lowest.name)[0])}
    for rung in others:
        runs[rung.name] = _alike(ladder, rung, out)
        for policy, jobs in _replays(ladder, rung, out).items():
            runs[rung.name][policy] |= {episode.seed: episode for [episode] in find_finished(jobs).records.values()}
    return runs


def _by_seed(episodes: Episodes) -> dict[str, dict[int, Episode]]:
    return {policy: {episode.seed: episode for episode in found} for policy, found in episodes.items()}


def _replays(ladder: Ladder, rung: Suite, out: Path) -> dict[str, list[Job[list[Episode]]]]:
    """The jobs of replaying the lowest rung's traces on another, by policy; those that were played there are none."""
    episodes, _ = finished(ladder.rungs[0], out / ladder.rungs[0].name)
    alike = _alike(ladder, rung, out)
    return {
        policy: [_job(rung, policy, episode, out) for episode in found if episode.seed not in alike[policy]]
        for policy, found in episodes.items()
    }


def _alike(ladder: Ladder, rung: Suite, out: Path) -> dict[str, dict[int, Episode]]:
    """The episodes of a rung that made the lowest rung's picks, as those of a policy that looks at no model do."""
    lowest, own = (_by_seed(finished(suite, out / suite.name)[0]) for suite in (ladder.rungs[0], rung))
    return {
        policy: {seed: episode for seed, episode in episodes.items() if episode.picked == lowest[policy][seed].picked}
        for policy, episodes in own.items()
    }


def _job(rung: Suite, policy: str, episode: Episode, out: Path) -> Job[list[Episode]]:
    name = f"replay of {policy}, seed {episode.seed}, on {rung.name}"
    path = _replay_path(rung, policy, episode, out)
    return Job(name, path, partial(_replay, rung, episode), partial(_read, rung, policy, episode))


def _replay_path(rung: Suite, policy: str, episode: Episode, out: Path) -> Path:
    """Where a replay lies; whatever changes the replay changes the name."""
    inputs = [FORMAT, rung.env, rung.kwargs, rung.splits, code_digest(), sources(rung.kwargs)]
    inputs += [episode.seed, episode.actions]
    return record_path(out / rung.name / "replays" / folder(policy), str(episode.seed), inputs)


def _read(rung: Suite, policy: str, episode: Episode, text: str) -> list[Episode]:
    """Read a replay.

    Raises:
        ValueError: If it is damaged, or of other regions.
    """
    [part] = (part for part in make_task(rung).parts() if part.seeds == (episode.seed,))
    [again] = read_record(rung, policy, part, text)
    if (again.actions, again.picked) != (episode.actions, episode.picked):
        raise ValueError("it is of other regions")
    return [again]


def _replay(rung: Suite, episode: Episode) -> str:
    return write_record([replay(episode, rung.kwargs)])
