"""Networks over candidates for the algorithms of other libraries: one scorer for all rows, and nothing masked counts.

Such libraries want an encoder of observations and a head with one output for each action. ``Rows`` is the encoder: its
output has a row for every action, and the mask in the last column, so that ``Head`` can mask without seeing the
observation. Everything permutes with the candidates, of which there can be any number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

ILLEGAL = -1e9
"""Value of a masked action: finite, because an algorithm may multiply it by 0 after the end of an episode."""


class Encoder(nn.Module):
    """Encodes an observation as one row for every action.

    A row holds what is learned from the candidate itself, then the mean and the maximum over the legal candidates.
    Features enter as they are and standardised over the legal candidates.

    Args:
        features: Columns of a candidate.
        state: Length of the state.
        hidden: Width of the layers.
        looks: Actions that look at other candidates, 0 or 1: rows that are learned instead of seen.
    """

    def __init__(self, features: int, state: int, hidden: int, looks: int) -> None:
        super().__init__()
        self.encode = nn.Sequential(*block(2 * features + state, hidden), *block(hidden, hidden))
        self.look = nn.Parameter(torch.zeros(looks, hidden))

    def forward(self, candidates: Tensor, state: Tensor, mask: Tensor) -> Tensor:
        """Return rows (E, A, 3 hidden) of candidates (E, K, F) in states (E, S) with masks (E, A)."""
        shown = mask[:, : candidates.shape[1]].to(candidates.dtype)
        standard = standardise(candidates, shown, of_deviation=1e-6)
        shared = state[:, None].expand(-1, candidates.shape[1], -1)
        # features in [0, 1] become as wide as the standardised ones
        rows = self.encode(torch.cat([4 * candidates - 2, standard, shared], 2)) * shown[..., None]
        common = context(rows, shown)
        rows = torch.cat([rows, self.look.expand(len(rows), -1, -1)], 1)
        return torch.cat([rows, common.expand(-1, rows.shape[1], -1)], 2)


class Rows(Encoder):
    """The encoder as Stable-Baselines3 wants it, with the mask as a last column.

    Args:
        space: Of observations with ``candidates``, ``state``, ``action_mask`` and perhaps ``scores``.
        hidden: Width of the layers.

    Raises:
        ValueError: If the state is no vector.
    """

    def __init__(self, space: spaces.Dict, hidden: int) -> None:
        if len(space["state"].shape) != 1:
            shape = space["state"].shape
            raise ValueError(f"a state of shape {shape} is no vector; use observation='compact'")
        columns = space["candidates"].shape[1] + (space["scores"].shape[1] if "scores" in space.spaces else 0)
        looks = space["action_mask"].shape[0] - space["candidates"].shape[0]
        super().__init__(columns, space["state"].shape[0], hidden, looks)
        self.features_dim = 3 * hidden + 1

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        """Return rows (E, A, 3 hidden + 1) of observations with a first axis E."""
        candidates = torch.cat([obs[name] for name in ("candidates", "scores") if name in obs], 2)
        rows = super().forward(candidates, obs["state"], obs["action_mask"])
        return torch.cat([rows, obs["action_mask"][..., None].to(rows.dtype)], 2)


class Head(nn.Module):
    """Outputs of every action from the rows of ``Rows``; those of masked actions are ``ILLEGAL``.

    Args:
        hidden: Width of the layers.
        outputs: Q of each action: 1, or a number of quantiles.
    """

    def __init__(self, hidden: int, outputs: int = 1) -> None:
        super().__init__()
        self.score = head(hidden, outputs)

    def forward(self, rows: Tensor) -> Tensor:
        """Return outputs (E, Q A) of rows (E, A, 3 hidden + 1), the actions of the first output first."""
        return masked(self.score(rows[..., :-1]), rows[..., -1])


class Value(nn.Module):
    """The value of a state (E, 1), from what all rows of ``Rows`` have in common.

    Args:
        hidden: Width of the layers.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.score = nn.Sequential(*block(2 * hidden, hidden), nn.Linear(hidden, 1))
        self._hidden = hidden

    def forward(self, rows: Tensor) -> Tensor:
        """Return values (E, 1) of rows (E, A, 3 hidden + 1)."""
        return self.score(rows[:, 0, self._hidden : -1])


def block(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    """Return a layer, normalised and rectified."""
    return nn.Linear(inputs, outputs), nn.LayerNorm(outputs), nn.ReLU()


def head(hidden: int, outputs: int = 1) -> nn.Sequential:
    """Return the layers from a row of an ``Encoder`` to its outputs."""
    return nn.Sequential(*block(3 * hidden, hidden), nn.Linear(hidden, outputs))


def masked(outputs: Tensor, mask: Tensor) -> Tensor:
    """Return the outputs (E, A, Q) of actions as (E, Q A); those that a mask (E, A) forbids become ``ILLEGAL``."""
    return outputs.movedim(-1, 1).masked_fill(mask[:, None] == 0, ILLEGAL).flatten(1)


def describe(space: spaces.Dict) -> dict[str, Any]:
    """Return the shapes of an observation space as plain values."""
    return {name: list(part.shape) for name, part in space.items()}


def mean(x: Tensor, mask: Tensor) -> Tensor:
    """Return the mean (B, 1, F) of features (B, N, F) over the candidates that a mask (B, N) allows."""
    weight = mask[..., None].to(x.dtype)
    return (x * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1)


def context(rows: Tensor, mask: Tensor) -> Tensor:
    """Return what candidates have in common, (B, 1, 2 F): mean and maximum of rows that are nowhere negative."""
    return torch.cat([mean(rows, mask), (rows * mask[..., None]).amax(1, keepdim=True)], 2)


def standardise(x: Tensor, mask: Tensor, of_deviation: float = 0.0, of_variance: float = 0.0) -> Tensor:
    """Give features (B, N, F) mean 0 and deviation 1 over the candidates that a mask (B, N) allows.

    Args:
        x: The features.
        mask: The mask.
        of_deviation: Added to the deviation, so that nothing is divided by 0; a trained network knows only its own.
        of_variance: Added to the variance instead.
    """
    centred = x - mean(x, mask)
    return centred / ((mean(centred.square(), mask) + of_variance).sqrt() + of_deviation)


def fit_mask(mask: NDArray, actions: int) -> NDArray[np.int8]:
    """Return the mask of the actions that a network knows: others are left out, and those that are missing masked."""
    fitted = np.zeros(actions, np.int8)
    fitted[: len(mask)] = mask[:actions]
    return fitted
