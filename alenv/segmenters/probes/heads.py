"""What heads on frozen features have in common.

A head is a function of the labelled cells alone: with a convex one a reward carries no training noise. A cell
holds the label counts of its pixels: training on cells equals training on pixels that share a feature vector.
Matrices are laid out as (classes, cells), because reductions over few classes then run along contiguous cells.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

State = dict[str, NDArray]
LARGEST = 1e15
"""Beyond all sums and weights of a head; float32 can still square it."""


class Head(Protocol):
    """A classifier of cells."""

    def add(self, x: Tensor, counts: Tensor) -> None:
        """Take in newly labelled cells: features (n, D) and label counts (n, C), float32."""

    def fit(self) -> None:
        """Fit to all cells added so far."""

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits (C, n) of features (n, D)."""

    def body(self, x: Tensor) -> Tensor:
        """Return what the last layer sees of features (n, D): (n, D')."""

    def samples(self, rng: np.random.Generator, passes: int) -> Iterator[Tensor]:
        """Yield last layers (C, D' + 1), the bias last: one for each Monte-Carlo pass."""

    def get_state(self) -> State:
        """Return all that later results depend on, apart from the added cells."""

    def set_state(self, state: State) -> None:
        """Restore what ``get_state`` returned.

        Raises:
            ValueError: If it does not fit; nothing is changed then.
        """


DROPOUT = 0.2
"""Share of features that a Monte-Carlo pass without a posterior leaves out."""


def dropped(weights: Tensor, rng: np.random.Generator, passes: int) -> Iterator[Tensor]:
    """Yield last layers (C, D + 1) with random columns set to zero and the others scaled up; the bias stays."""
    for _ in range(passes):
        kept = torch.from_numpy(rng.random(weights.shape[1] - 1) >= DROPOUT) / (1 - DROPOUT)
        yield weights * torch.cat([kept.float(), torch.ones(1)])


def class_weights(counts: Tensor, unit: int) -> Tensor:
    """Weight of one pixel of each class (C,); a class counts as one unit of pixels at least.

    Args:
        counts: Label counts of the cells (n, C).
        unit: Labelled pixels that count as one observation.
    """
    frequency = counts.sum(0)
    if not frequency.any():
        return torch.full_like(frequency, 1 / unit)
    weights = frequency.clamp_min(unit).rsqrt()
    # mean one over the labelled pixels, which are counted in units
    return weights * (frequency.sum() / (weights * frequency).sum() / unit)


def with_bias(x: Tensor) -> Tensor:
    """Append a one to every vector, the last axis."""
    return torch.cat([x, torch.ones(*x.shape[:-1], 1)], -1)
