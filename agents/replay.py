"""Replay: the actions of a recorded episode, taken again on the same environment or with another model.

Candidates are keyed by seed, round and what is labelled, so equal actions pick equal regions whatever the model
predicts. Only then do two models learn from the same labels; a replay that picks others is refused.
"""

from __future__ import annotations

import dataclasses
from itertools import zip_longest
from typing import Any

from agents.play import Episode, Info, Observation, play
from agents.recorders import like
from alenv.acquisition import SCORES
from alenv.errors import unknown


class Replay:
    """A policy that takes recorded actions and looks at nothing.

    Args:
        episode: What to repeat.
    """

    oracle = False

    def __init__(self, episode: Episode) -> None:
        self.name, self.scores = episode.policy, _ranked_by(episode)
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


def _ranked_by(episode: Episode) -> tuple[str, ...]:
    """Return the scores of the policy that played, where they decide what is shown; a trace brings no code along.

    Raises:
        ValueError: If one is not of this package.
    """
    if episode.kwargs.get("pooling") != "ranked":
        return ()
    scores = episode.fingerprint["arguments"].get("scores", [])
    for name in map(str, scores if isinstance(scores, list) else [scores]):
        if name not in SCORES:
            raise unknown("score in the trace, not one of this package:", name, SCORES)
    return tuple(scores)


def replay(episode: Episode, kwargs: dict[str, Any] | None = None) -> Episode:
    """Take the actions of an episode again, and measure the same curves.

    Args:
        episode: What to repeat.
        kwargs: Other arguments of the environment; those that decide what is shown must be the episode's.

    Returns:
        The new episode.

    Raises:
        ValueError: If it does not pick the same; the first difference is named.
    """
    kwargs = episode.kwargs if kwargs is None else kwargs
    [again] = play(Replay(episode), episode.env_id, kwargs, [episode.seed], like(episode), episode.options)
    for pick, (old, new) in enumerate(zip_longest(episode.picked, again.picked)):
        if old != new:
            raise ValueError(
                f"policy {episode.policy!r}, seed {episode.seed}: pick {pick} was {old} and is {new} in the replay; "
                "replay with the same data, pool, region, picks, candidates, pooling and initial"
            )
    return dataclasses.replace(again, oracle=episode.oracle)
