"""What the picks of a round change of its other candidates, besides their cosines to the nearest pick."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from alenv.acquisition import pure_radius

Rows = slice | NDArray[np.int64]
TARGETS = 512
"""Candidates, spread evenly, that are to be covered: with all of them the time would grow with their square."""


class Context(Protocol):
    """Follows the picks of a round."""

    def pick(self, index: int, first: int) -> None:
        """Take note of a pick; only candidates from ``first`` on are still to be shown."""


class Gradients:
    """Distances of the last layer's gradients to those of the picks, for BADGE.

    Args:
        gradients: (n, C, D').
    """

    def __init__(self, gradients: NDArray[np.float32]) -> None:
        self._gradients = gradients.reshape(len(gradients), -1)
        self._squares = np.einsum("id,id->i", self._gradients, self._gradients)
        self.spread = self._squares.copy()
        """(n,) squared distance to the nearest pick; to zero while there is none."""
        self.agreement = np.full(len(gradients), -1, np.float32)
        """(n,) cosine to the nearest pick; -1 while there is none."""
        self._begun = False

    def pick(self, index: int, first: int) -> None:
        """Take note of a pick."""
        if not self._begun:
            self.spread, self._begun = np.full_like(self.spread, np.inf), True
        product = np.einsum("id,d->i", self._gradients[first:], self._gradients[index])  # not BLAS, as in Evidence
        squares = self._squares[first:]
        # |a - b|^2 = |a|^2 + |b|^2 - 2 a b, which rounding can make negative
        distance = (squares + self._squares[index] - 2 * product).clip(min=0)
        cosine = product / np.sqrt(squares * self._squares[index]).clip(min=np.finfo(np.float32).tiny)
        self.spread[first:] = np.minimum(self.spread[first:], distance)
        self.agreement[first:] = np.maximum(self.agreement[first:], cosine)


class Coverage:
    """Which candidates lie near to something labelled or picked, for ProbCover.

    Args:
        embedding: Unit vectors (n, D).
        nearest: (n,) cosine to the nearest labelled region.
        predicted: (n,) predicted class.
    """

    def __init__(
        self, embedding: NDArray[np.float32], nearest: NDArray[np.float32], predicted: NDArray[np.int64]
    ) -> None:
        # evenly spaced ones stand for all: the distances of all pairs would grow with the square
        anchors = np.unique(np.linspace(0, len(embedding) - 1, TARGETS).round().astype(np.int64))
        distance = 1 - np.einsum("id,jd->ij", embedding, embedding[anchors])
        radius = pure_radius(distance[anchors], predicted[anchors])
        self._near = distance < radius
        self._covered = 1 - nearest[anchors] < radius

    def pick(self, index: int, first: int) -> None:
        """Take note of a pick."""
        self._covered |= self._near[index]

    def uncovered(self, rows: Rows) -> NDArray[np.float64]:
        """Return the share of the targets that candidates would newly cover."""
        return (self._near[rows] & ~self._covered).mean(1)
