"""The table of acquisition channels that an environment can add to its observation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alenv.acquisition import uncertainty


@dataclass(frozen=True)
class Score:
    """One channel.

    Attributes:
        function: ``(probs (n, C, H, W), class_counts (C,)) -> (n, H, W)``; larger = rather label it.
        high: Upper bound for C classes; the lower bound is zero.
    """

    function: Callable[[NDArray, NDArray], NDArray]
    high: Callable[[int], float]

    def regions(self, probs: NDArray, class_counts: NDArray) -> NDArray[np.float32]:
        """Return the mean of the score over each region, (n,), within the bounds whatever was rounded."""
        means = self.function(probs, class_counts).mean((1, 2), dtype=np.float64)
        return means.astype(np.float32).clip(0, np.float32(self.high(probs.shape[1])))


def _log(classes: int) -> float:
    return float(np.log(classes))


SCORES: dict[str, Score] = {
    "entropy": Score(lambda p, n: uncertainty.entropy(p), _log),
    "margin": Score(lambda p, n: uncertainty.margin(p), lambda c: 1.0),
    "least_confidence": Score(lambda p, n: uncertainty.least_confidence(p), lambda c: 1 - 1 / c),
    "class_balanced_entropy": Score(uncertainty.class_balanced_entropy, _log),
}
