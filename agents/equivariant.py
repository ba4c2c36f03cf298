"""Networks over candidates for the algorithms of other libraries: one scorer for all rows, and nothing masked counts.

Such libraries want an encoder of observations and a head with one output for each action. ``Rows`` is the encoder: its
output has a row for every action, and the mask in the last column, so that ``Head`` can mask without seeing the
observation. Everything permutes with the candidates, of which there can be any number.
"""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

ILLEGAL = -1e9
"""Value of a masked action: finite, because an algorithm may multiply it by 0 after the end of an episode."""


class Rows(nn.Module):
    """Encode an observation as one row for every action.

    A row holds what is learned from the candidate itself, then the mean and the maximum over the legal candidates, and
    the mask. Features enter as they are and standardised over the legal candidates.

    Args:
        space: Of observations with ``candidates``, ``state``, ``action_mask`` and perhaps ``scores``.
        hidden: Width of the layers.

    Raises:
        ValueError: If the state is no vector.
    """

    def __init__(self, space: spaces.Dict, hidden: int) -> None:
        super().__init__()
        if len(space["state"].shape) != 1:
            shape = space["state"].shape
            raise ValueError(f"a state of shape {shape} is no vector; use observation='compact'")
        columns = space["candidates"].shape[1] + (space["scores"].shape[1] if "scores" in space.spaces else 0)
        looks = space["action_mask"].shape[0] - space["candidates"].shape[0]
        self.encode = nn.Sequential(*block(2 * columns + space["state"].shape[0], hidden), *block(hidden, hidden))
        self.look = nn.Parameter(torch.zeros(looks, hidden))
        self.features_dim = 3 * hidden + 1

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        """Return rows (E, A, 3 hidden + 1) of observations with a first axis E."""
        candidates, mask = _columns(obs), obs["action_mask"].to(obs["state"].dtype)
        there = mask[:, : candidates.shape[1], None]
        count = there.sum(1, keepdim=True).clamp(min=1)
        standard = standardise(candidates, there, count)
        shared = obs["state"][:, None].expand(-1, candidates.shape[1], -1)
        rows = self.encode(torch.cat([4 * candidates - 2, standard, shared], 2)) * there
        context = torch.cat([rows.sum(1, keepdim=True) / count, rows.amax(1, keepdim=True)], 2)
        rows = torch.cat([rows, self.look.expand(len(rows), -1, -1)], 1)
        return torch.cat([rows, context.expand(-1, rows.shape[1], -1), mask[..., None]], 2)


class Head(nn.Module):
    """Outputs of every action from the rows of ``Rows``; those of masked actions are ``ILLEGAL``.

    Args:
        hidden: Width of the layers.
        outputs: Q of each action: 1, or a number of quantiles.
    """

    def __init__(self, hidden: int, outputs: int = 1) -> None:
        super().__init__()
        self.score = nn.Sequential(*block(3 * hidden, hidden), nn.Linear(hidden, outputs))

    def forward(self, rows: Tensor) -> Tensor:
        """Return outputs (E, Q A) of rows (E, A, 3 hidden + 1), the actions of the first output first."""
        scores = self.score(rows[..., :-1]).movedim(-1, 1)
        return scores.masked_fill(rows[:, None, :, -1] == 0, ILLEGAL).flatten(1)


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


def describe(space: spaces.Dict) -> dict[str, Any]:
    """Return the shapes of an observation space as plain values."""
    return {name: list(part.shape) for name, part in space.items()}


def _columns(obs: dict[str, Tensor]) -> Tensor:
    return torch.cat([obs["candidates"], obs["scores"]], 2) if "scores" in obs else obs["candidates"]


def standardise(x: Tensor, there: Tensor, count: Tensor) -> Tensor:
    """Give features (E, K, F) mean 0 and deviation 1 over those there are (E, K, 1), of a number (E, 1, 1)."""
    centred = (x - (x * there).sum(1, keepdim=True) / count) * there
    return centred / ((centred.square().sum(1, keepdim=True) / count).sqrt() + 1e-6)
