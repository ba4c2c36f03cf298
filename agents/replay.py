"""Replay: the actions of a recorded episode, taken again on the same environment or with another model.

Candidates are keyed by seed, round and what is labelled, so equal actions pick equal regions whatever the model
predicts. Only then do two models learn from the same labels; a replay that picks others is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from agents.policy import Episode, Info, Observation, evaluate


class Replay:
    """A policy that takes recorded actions and looks at nothing.

    Args:
        episode: What to repeat.
    """

    scores: tuple[str, ...] = ()
    oracle = False

    def __init__(self, episode: Episode) -> None:
        self.name = episode.policy
        self._actions = episode.actions

    def reset(self, seed: int) -> None:
        """Go back to the first action."""
        self._next = iter(self._actions)

    def act(self, obs: Observation, info: Info) -> int:
        """Take the next action.

        Raises:
            ValueError: If there is none.
        """
        for action in self._next:
            return action
        raise ValueError(f"the trace of {self.name!r} ends after {len(self._actions)} picks; replay it with its budget")


def replay(
    episode: Episode, env_id: str, kwargs: dict[str, Any], splits: Sequence[str] = ("holdout", "test")
) -> Episode:
    """Take the actions of an episode again.

    Args:
        episode: What to repeat, seed and actions.
        env_id: A RegionSelect id.
        kwargs: Arguments of the environment; those that decide what is shown must be the episode's.
        splits: What to score at the end of every round, besides the reward split.

    Returns:
        The new episode.

    Raises:
        ValueError: If it does not pick the same regions; the first difference is named.
    """
    [again] = evaluate(Replay(episode), env_id, kwargs, [episode.seed], splits)
    for pick, (old, new) in enumerate(zip_longest(episode.picked, again.picked)):
        if old != new:
            raise ValueError(
                f"policy {episode.policy!r}, seed {episode.seed}: pick {pick} was region {old} (image, y, x) and is "
                f"{new} in the replay; replay with the same data, pool, region, picks, candidates, pooling and initial"
            )
    return again
