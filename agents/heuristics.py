"""Policies that need no training: an arg-max over an acquisition channel, and the few that are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agents.policy import Info, Observation, Policy


class Random:
    """A uniform pick: what every policy has to beat."""

    name = "random"
    scores: tuple[str, ...] = ()
    oracle = False

    def reset(self, seed: int) -> None:
        """Seed the picks."""
        self._rng = np.random.default_rng([seed, 1])

    def act(self, obs: Observation, info: Info) -> int:
        """Pick any candidate."""
        return int(self._rng.choice(np.flatnonzero(obs["action_mask"])))


class Greedy:
    """The candidate with the largest value of one acquisition channel.

    Args:
        channel: A name of ``alenv.acquisition.SCORES``; what is exact about it is said there.
    """

    oracle = False

    def __init__(self, channel: str) -> None:
        self.name = channel
        self.scores = (channel,)

    def reset(self, seed: int) -> None:
        """Nothing to forget: the channel holds all."""

    def act(self, obs: Observation, info: Info) -> int:
        """Pick the arg-max."""
        return _best(obs["scores"][:, 0], obs["action_mask"])


class _LookAheadEnv(Protocol):
    def candidate_gains(self) -> NDArray[np.float64]: ...


class LookAhead:
    """Oracle: the candidate whose true label gains most on the reward split, one step ahead.

    Exact for the ``lda`` head; for ``linear`` the gain is its first-order estimate. It knows labels that were not
    bought, so it bounds what a myopic policy could learn, and it is ranked apart.
    """

    name = "look_ahead"
    scores: tuple[str, ...] = ()
    oracle = True

    def attach(self, env: _LookAheadEnv) -> None:
        """Take the environment from the evaluator."""
        self._env = env

    def reset(self, seed: int) -> None:
        """Nothing to forget."""

    def act(self, obs: Observation, info: Info) -> int:
        """Pick the largest gain."""
        return _best(self._env.candidate_gains(), obs["action_mask"])


def _best(values: NDArray, mask: NDArray) -> int:
    return int(np.where(mask, values, -np.inf).argmax())


POLICIES: dict[str, Callable[[], Policy]] = {
    "random": Random,
    "entropy": lambda: Greedy("entropy"),
    "margin": lambda: Greedy("margin"),
    "least_confidence": lambda: Greedy("least_confidence"),
    "class_balanced_entropy": lambda: Greedy("class_balanced_entropy"),
    "look_ahead": LookAhead,
}
