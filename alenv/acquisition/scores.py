"""The table of acquisition channels that an environment can add to its observation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alenv.acquisition.bayesian import MonteCarloMoments
from alenv.acquisition.difficulty import difficulty_levels, level_entropy
from alenv.acquisition.impurity import cbda, ripu
from alenv.acquisition.uncertainty import class_balanced_entropy, entropy, least_confidence, margin
from alenv.arrays import Array, module_of, rounding, to_floats, to_numpy
from alenv.errors import shown, unknown
from alenv.imports import cause, find, is_path

EXPONENTS = (0.25, 0.75, 1.0)
"""Of the class weights, besides the usual 1/2."""
LEVELS = 8
"""Levels of the difficulty entropy: those of DEAL on CamVid."""


def _mean(maps: Array) -> Array:
    """Mean over each region: (n, rows, columns) -> (n,)."""
    return maps.mean((1, 2), dtype=module_of(maps).float64)


WHOLE = frozenset({"image_probs", "difficulty"})
"""What is known of whole images rather than of regions."""
NEEDS = frozenset({"probs", "moments", "nearest", "image", "class_counts"}) | WHOLE


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
        policy: Name of the policy that picks the largest value; empty if there is none.
        about: One line: the method, its source, and what is exact about it.

    Raises:
        ValueError: If there is no such need, needs that cannot be had together, or bounds that are none.
    """

    function: Callable[..., NDArray]
    needs: tuple[str, ...]
    high: Callable[[int], float]
    low: float = 0.0
    reduce: Callable[[NDArray], NDArray] = _mean
    live: bool = False
    policy: str = ""
    about: str = ""

    def __post_init__(self) -> None:
        """Check the needs."""
        for need in self.needs:
            if need not in NEEDS:
                raise unknown("need of a score", need, NEEDS)
        if not WHOLE.isdisjoint(self.needs) and len({*self.needs} - {"class_counts"}) > 1:
            raise ValueError(f"needs={self.needs}: what is known of whole images goes with 'class_counts' alone")
        if not self.low <= self.high(2):
            raise ValueError(f"a score is bounded by low={self.low} and, for 2 classes, high={self.high(2)}; swap them")

    def apply(self, *known: Any) -> Any:
        """Return what the function makes of what it needs, an array or tensor of real numbers.

        Raises:
            ValueError: If it fails, or makes anything else.
        """
        try:
            made = self.function(*known)
            if isinstance(made, np.ndarray) or hasattr(made, "is_complex"):  # of tensors
                rounding(made)  # refuses what are no real numbers
                return made
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(f"the score {self._name} fails: {cause(error)}") from error
        raise ValueError(f"the score {self._name} returns a {type(made).__name__}; expected an array or tensor")

    def check_whole(self, maps: NDArray, expected: tuple[int, ...]) -> None:
        """Check maps of whole images against their number, rows and columns.

        Raises:
            ValueError: If they cannot be cut to regions.
        """
        if maps.ndim < 3 or (len(maps), *maps.shape[-2:]) != expected:
            raise ValueError(f"the score {self._name} returns {maps.shape} of whole images; expected {expected}")

    def regions(self, values: NDArray, regions: int, classes: int) -> NDArray[np.float32]:
        """Return one value for each region (n,), within the bounds whatever was rounded.

        Args:
            values: What the function made, cut to the regions: (n, ..., rows, columns) or (n,).
            regions: Their number n.
            classes: Number of classes C.

        Raises:
            ValueError: If these are not values, or NaN.
        """
        reduced = to_numpy(self.reduce(values) if values.ndim > 1 else values)
        if reduced.dtype.kind not in "fiub":
            raise ValueError(f"the score {self._name} returns values of type {reduced.dtype}; expected numbers")
        if reduced.shape != (regions,) or np.isnan(reduced).any():
            what = "NaN" if reduced.shape == (regions,) else f"values that reduce to {reduced.shape}"
            raise ValueError(
                f"the score {self._name} returns {what} of {regions} regions; "
                "expected (n, rows, columns) or (n,), no NaN"
            )
        return reduced.astype(np.float32).clip(np.float32(self.low), np.float32(self.high(classes)))

    @property
    def _name(self) -> str:
        name = getattr(self.function, "__qualname__", None)
        return f"{self.function.__module__}:{name}" if name else repr(self.function)


def _log(classes: int) -> float:
    return float(np.log(classes))


def _commonest(probs: Array) -> Array:
    return to_floats(probs).mean((2, 3)).argmax(1)


def _class_balanced(exponent: float) -> Score:
    function = partial(class_balanced_entropy, exponent=exponent)
    name = "class_balanced_entropy" + (f"_{exponent}" if exponent != 0.5 else "")
    about = f"entropy times (label frequency of the predicted class)^-{exponent:g}, our weights; after Casanova 2020"
    return Score(function, ("probs", "class_counts"), _log, policy=name, about=about)


SCORES: dict[str, Score] = {
    "entropy": Score(entropy, ("probs",), _log, policy="entropy", about="entropy of the prediction, Shannon 1948"),
    "margin": Score(
        margin, ("probs",), lambda c: 1, policy="margin", about="smallest lead of the first class, Scheffer 2001"
    ),
    "least_confidence": Score(
        least_confidence,
        ("probs",),
        lambda c: 1 - 1 / c,
        policy="least_confidence",
        about="smallest top probability, Lewis and Gale 1994",
    ),
    **{score.policy: score for score in map(_class_balanced, (0.5, *EXPONENTS))},
    "predicted_class": Score(
        _commonest, ("probs",), lambda c: c - 1, about="class of the mean; for policies that share out their picks"
    ),
    "bald": Score(
        MonteCarloMoments.bald,
        ("moments",),
        _log,
        policy="bald",
        about="mutual information of label and model, Houlsby 2011; exact for the passes, which vary the last layer",
    ),
    "balent": Score(
        MonteCarloMoments.balent_rank,
        ("moments",),
        lambda c: 1,
        low=-1,
        policy="balent",
        about="BalEntAcq, Woo 2023, as a finite ranking key: exact for pixels; its mean over a region is our choice",
    ),
    "ripu": Score(ripu, ("image_probs",), lambda c: 1, about="impurity times uncertainty in windows of 3 x 3 cells"),
    "cbda": Score(
        cbda, ("image_probs", "class_counts"), lambda c: c, about="the same, times the rarity of the predicted classes"
    ),
    "difficulty_score": Score(
        lambda difficulty: difficulty,
        ("difficulty",),
        lambda c: 1,
        policy="deal_score",
        about="DEAL, Xie 2020: mean difficulty, from a second branch beside the head",
    ),
    "difficulty_entropy": Score(
        lambda difficulty: difficulty_levels(difficulty, LEVELS),
        ("difficulty",),
        lambda c: _log(LEVELS),
        reduce=lambda levels: level_entropy(levels, LEVELS),
        policy="deal_entropy",
        about="DEAL, Xie 2020: spread over eight levels between an image's extremes",
    ),
    "distance": Score(
        lambda nearest: 1 - nearest,
        ("nearest",),
        lambda c: 2,
        live=True,
        policy="core_set",
        about="greedy k-center, Sener and Savarese 2018: 1 - cosine to what is labelled or picked, our distance",
    ),
    "image": Score(lambda image: image, ("image",), lambda c: np.inf, about="index; for policies that share out picks"),
}
"""Channels by name: one function and one line here make a channel, its policy and its row of documentation.

Pixel maps become region values by their mean, except where ``reduce`` says otherwise: so ``balent`` is not torn by the
pole of a reciprocal. ``difficulty_entropy`` takes its levels from the whole image.
"""

FORM = "write 'package.module:name' of an alenv.acquisition.Score"


def find_score(name: str) -> Score:
    """Return a channel.

    Args:
        name: A name in ``SCORES``, or ``package.module:name`` of a ``Score``.

    Raises:
        ValueError: If it is unknown, or no ``Score``.
    """
    if is_path(name):
        return as_score(name, find("score", name, FORM))
    if name not in SCORES:
        raise unknown("score", name, SCORES)
    return SCORES[name]


def as_score(name: str, found: object) -> Score:
    """Return what an import path names.

    Raises:
        ValueError: If it is no ``Score``.
    """
    if not isinstance(found, Score):
        raise ValueError(
            f"score {shown(name)} is a {type(found).__name__}; {FORM}, such as Score(function, ('probs',), lambda c: 1)"
        )
    return found
