"""SingleClassMine's snapshots: what an episode's must hold, and that it agrees with itself and the data."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from alenv.envs.mining.arguments import MiningArguments
from alenv.envs.mining.task import MiningTask
from alenv.envs.snapshot import Key, Random, check_counts, check_number, check_same
from alenv.outside import Count, decode

Looks = Annotated[int, Meta(ge=0, le=2**40)]


class EpisodeState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One episode; what was learned follows from the labels.

    Attributes:
        np_random: Generator of the next episodes.
        episode: Key, target class, labelled images with the seeds first.
        counters: Steps, looks, wasted images.
        last: What the last step bought (-1: nothing), and whether it was invalid.
    """

    np_random: Random
    episode: tuple[Key, Count, tuple[Count, ...]]
    counters: tuple[Count, Looks, Count]
    last: tuple[int, bool]

    def check(self, task: MiningTask) -> None:
        """Check that the episode can have been.

        Raises:
            ValueError: If it cannot.
        """
        key, target, labelled = self.episode
        if target not in task.eligible:
            raise ValueError(f"target={target}: this class cannot be mined here; there are {task.eligible.tolist()}")
        if list(labelled[: task.arguments.seeds]) != task.seeds(key, target):
            raise ValueError(f"labelled={list(labelled[: task.arguments.seeds])} are not the seeds of this episode")
        place = np.searchsorted(task.images, labelled).clip(max=len(task.images) - 1)
        if (task.images[place] != labelled).any() or len(set(labelled)) < len(labelled):
            raise ValueError("labelled: an image is not in the pool, or is labelled twice; take the snapshot anew")
        self._check_counters(task.arguments)

    def _check_counters(self, arguments: MiningArguments) -> None:
        (steps, looks, wasted), (picked, invalid) = self.counters, self.last
        bought = self.episode[2][arguments.seeds :]
        counts = {"steps": steps, "looks": looks, "wasted": wasted, "bought": len(bought), "picked": picked}
        spent = len(bought) + wasted + (arguments.look_cost * looks if arguments.skip else 0)
        check_counts(counts, steps == len(bought) + looks + wasted, "every step buys, looks or wastes")
        check_counts(counts, spent <= arguments.budget + 1e-6, f"budget={arguments.budget}")
        check_counts(counts, arguments.skip or not looks + wasted, "without skip=True every action buys")
        check_counts(counts, picked in (-1, *bought[-1:]), "the last step bought the last image, or none")
        check_counts(counts, not invalid or (wasted > 0 and picked == -1), "an invalid action wastes an image")


class MiningSnapshot(EpisodeState, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``SingleClassMineEnv.get_state`` returns."""

    arguments: dict[str, Any]
    data: str


class BatchSnapshot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``SingleClassMineVectorEnv.get_state`` returns."""

    arguments: dict[str, Any]
    data: str
    episodes: tuple[EpisodeState, ...]


def read_episode(state: object, task: MiningTask) -> MiningSnapshot:
    """Read the snapshot of one episode.

    Raises:
        ValueError: If it is none, or one of other arguments or data.
    """
    saved = decode(MiningSnapshot, state, "snapshot entry")
    check_same(saved, task.arguments, task.manifest)
    saved.check(task)
    return saved


def read_batch(state: object, task: MiningTask, episodes: int) -> tuple[EpisodeState, ...]:
    """Read the snapshot of a batch.

    Raises:
        ValueError: If it is none, or one of other arguments, data, or another number of episodes.
    """
    saved = decode(BatchSnapshot, state, "snapshot entry")
    check_same(saved, task.arguments, task.manifest)
    check_number(len(saved.episodes), episodes)
    for episode in saved.episodes:
        episode.check(task)
    return saved.episodes


def rows(episodes: tuple[EpisodeState, ...], labels: int) -> dict[str, Any]:
    """Return the entries of many episodes as arrays: ``key, target, labelled`` (e, labels), ``counters``, ``last``."""
    labelled = np.full((len(episodes), labels), -1)
    for row, episode in zip(labelled, episodes, strict=True):
        row[: len(episode.episode[2])] = episode.episode[2]
    return {
        "key": np.array([episode.episode[0] for episode in episodes], np.uint64),
        "target": np.array([episode.episode[1] for episode in episodes], np.int64),
        "labelled": labelled,
        "counters": np.array([episode.counters for episode in episodes], np.int64),
        "last": np.array([episode.last for episode in episodes], np.int64),
    }
