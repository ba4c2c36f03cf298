"""The table of acquisition channels that an environment can add to its observation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from alenv.acquisition.bayesian import MonteCarloMoments
from alenv.acquisition.difficulty import difficulty_levels, level_entropy
from alenv.acquisition.impurity import cbda, ripu
from alenv.acquisition.uncertainty import class_balanced_entropy, entropy, least_confidence, margin
from alenv.arrays import Array, module_of, to_floats, to_numpy

EXPONENTS = (0.25, 0.75, 1.0)
"""Of the class weights, besides the usual 1/2."""
LEVELS = 8
"""Levels of the difficulty entropy: those of DEAL on CamVid."""


def _mean(maps: Array) -> Array:
    """Mean over each region: (n, rows, columns) -> (n,)."""
    return maps.mean((1, 2), dtype=module_of(maps).float64)


@dataclass(frozen=True)
class Score:
    """One channel.

    Attributes:
        function: Takes what is needed, in that order, and returns maps (n, ..., rows, columns), or values (n,).
        needs: Some of the following. Of the candidate regions: ``probs`` (n, C, rows, columns), ``moments`` of the
            Monte-Carlo passes, ``nearest`` (n,) cosine to the nearest labelled or picked region, ``image`` (n,) index.
            Of the whole images that hold them: ``image_probs`` (m, C, rows, columns), ``difficulty`` (m, rows,
            columns); what the function makes of these is cut to the regions. And ``class_counts`` (C,).
        high: Upper bound for C classes.
        low: Lower bound.
        reduce: From the maps of the regions to one value for each.
        live: Whether a pick changes the values of the other candidates of its round.
    """

    function: Callable[..., NDArray]
    needs: tuple[str, ...]
    high: Callable[[int], float]
    low: float = 0.0
    reduce: Callable[[NDArray], NDArray] = _mean
    live: bool = False

    def regions(self, values: NDArray, classes: int) -> NDArray[np.float32]:
        """Return one value for each region (n,), within the bounds whatever was rounded.

        Args:
            values: What the function made, cut to the regions: (n, ..., rows, columns) or (n,).
            classes: Number of classes C.
        """
        reduced = to_numpy(self.reduce(values) if values.ndim > 1 else values)
        return reduced.astype(np.float32).clip(np.float32(self.low), np.float32(self.high(classes)))


def _log(classes: int) -> float:
    return float(np.log(classes))


def _commonest(probs: Array) -> Array:
    return to_floats(probs).mean((2, 3)).argmax(1)


SCORES: dict[str, Score] = {
    "entropy": Score(entropy, ("probs",), _log),
    "margin": Score(margin, ("probs",), lambda c: 1),
    "least_confidence": Score(least_confidence, ("probs",), lambda c: 1 - 1 / c),
    "class_balanced_entropy": Score(class_balanced_entropy, ("probs", "class_counts"), _log),
    **{
        f"class_balanced_entropy_{exponent}": Score(
            partial(class_balanced_entropy, exponent=exponent), ("probs", "class_counts"), _log
        )
        for exponent in EXPONENTS
    },
    "predicted_class": Score(_commonest, ("probs",), lambda c: c - 1),
    "bald": Score(MonteCarloMoments.bald, ("moments",), _log),
    "balent": Score(MonteCarloMoments.balent_rank, ("moments",), lambda c: 1, low=-1),
    "ripu": Score(ripu, ("image_probs",), lambda c: 1),
    "cbda": Score(cbda, ("image_probs", "class_counts"), lambda c: c),
    "difficulty_score": Score(lambda difficulty: difficulty, ("difficulty",), lambda c: 1),
    "difficulty_entropy": Score(
        lambda difficulty: difficulty_levels(difficulty, LEVELS),
        ("difficulty",),
        lambda c: _log(LEVELS),
        reduce=lambda levels: level_entropy(levels, LEVELS),
    ),
    "distance": Score(lambda nearest: 1 - nearest, ("nearest",), lambda c: 2, live=True),
    "image": Score(lambda image: image, ("image",), lambda c: np.inf),
}
"""Channels by name. Pixel maps become region values by their mean, except where ``reduce`` says otherwise.

``balent`` is the finite ranking key of BalEntAcq, so at pixel level its order is exact, while a mean over a region is
not torn by the reciprocal's pole (our choice). ``distance`` is the core-set criterion, 1 - cosine, to what is labelled
or picked. ``difficulty_entropy`` takes its levels from the whole image. ``predicted_class`` and ``image`` are for
policies that share out their picks.
"""
