"""The table of acquisition channels that an environment can add to its observation."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from alenv.acquisition.bayesian import MonteCarloMoments
from alenv.acquisition.difficulty import difficulty_levels, level_entropy
from alenv.acquisition.impurity import cbda, cbda_pixel, ripu, ripu_pixel
from alenv.acquisition.joint import epig
from alenv.acquisition.score import Score
from alenv.acquisition.uncertainty import class_balanced_entropy, entropy, least_confidence, margin, predicted_weight
from alenv.arrays import Array, to_floats
from alenv.errors import shown, unknown
from alenv.imports import find, is_path

EXPONENTS = (0.25, 0.75, 1.0)
"""Of the class weights, besides the usual 1/2."""
LEVELS = 8
"""Levels of the difficulty entropy: those of DEAL on CamVid."""


def _log(classes: int) -> float:
    return float(np.log(classes))


def _known(values: NDArray) -> NDArray:
    """Channels that are computed where the model is."""
    return values


def _unbounded(classes: int) -> float:
    return float(np.inf)


def _foreground(probs: Array, class_counts: NDArray) -> Array:
    """One where another class than the one with most labels is predicted."""
    return predicted_weight(probs, np.arange(len(class_counts)) != np.argmax(class_counts))


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
        _commonest,
        ("probs",),
        lambda c: c - 1,
        about="class of the mean; for policies that share out their picks",
        ranking=False,
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
    "mean_std": Score(
        MonteCarloMoments.mean_deviation,
        ("moments",),
        lambda c: 0.5,
        policy="mean_std",
        about="deviation of the passes' probabilities, mean over the classes, Kampffmeyer 2016",
    ),
    "variation_ratio": Score(
        MonteCarloMoments.variation_ratio,
        ("moments",),
        lambda c: 1 - 1 / c,
        policy="variation_ratio",
        about="share of the passes that do not vote for the commonest class, Freeman 1965, Gal 2016",
    ),
    "vote_entropy": Score(
        MonteCarloMoments.vote_entropy,
        ("moments",),
        _log,
        policy="vote_entropy",
        about="entropy of the passes' votes, Dagan and Engelson 1995",
    ),
    "epig": Score(
        epig,
        ("samples", "targets"),
        _log,
        policy="epig",
        about="what a label tells of others, Bickford Smith 2023: exact for the passes; towards 64 places of the pool",
    ),
    "ripu": Score(ripu, ("image_probs",), lambda c: 1, about="impurity times uncertainty in windows of 3 x 3 cells"),
    "ripu_pixel": Score(
        ripu_pixel,
        ("image_probs",),
        _log,
        about="RIPU's pixel mode: entropy times impurity in windows of 65 x 65 cells",
    ),
    "cbda": Score(
        cbda, ("image_probs", "class_counts"), lambda c: c, about="ripu times the rarity of the predicted classes"
    ),
    "cbda_pixel": Score(
        cbda_pixel,
        ("image_probs", "class_counts"),
        lambda c: c * _log(c),
        about="ripu_pixel times the rarity of the predicted class",
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
        policy="core_set",
        about="greedy k-center, Sener and Savarese 2018: 1 - cosine to what is labelled or picked, our distance",
    ),
    "cluster": Score(
        _known, ("cluster",), _unbounded, about="CLUE's cluster, Prabhu 2021: k-means weighted by entropy, k the picks"
    ),
    "cluster_distance": Score(_known, ("cluster_distance",), lambda c: 2, about="distance to its weighted mean"),
    "uncovered": Score(
        _known,
        ("uncovered",),
        lambda c: 1,
        policy="prob_cover",
        about="ProbCover, Yehuda 2022: share of the candidates within a pure radius, by predicted class, newly covered",
    ),
    "spread": Score(
        _known,
        ("spread",),
        _unbounded,
        about="BADGE, Ash 2020: squared distance of the gradient to those of the round's picks, at first to 0",
    ),
    "agreement": Score(
        _known,
        ("agreement",),
        lambda c: 1,
        low=-1,
        about="largest cosine of that gradient to those of the round's picks; -1 while there is none",
    ),
    "leverage": Score(
        _known,
        ("leverage",),
        _unbounded,
        policy="leverage",
        about="x' H^-1 x: how little labels and picks explain a cell; twice its BALD to first order. Ours",
    ),
    "information": Score(
        _known,
        ("information",),
        _unbounded,
        policy="batch_bald",
        about="BatchBALD, Kirsch 2019, in closed form: ln det of what a region adds to labels and the round's picks",
    ),
    "reduction": Score(
        _known,
        ("reduction",),
        _unbounded,
        policy="variance_reduction",
        about="how much less the pool's predictions would vary, with the picks; first order of BAIT, Ash 2021",
    ),
    "pseudo_gain": Score(
        _known,
        ("pseudo_gain",),
        _unbounded,
        low=-np.inf,
        policy="pseudo_gain",
        about="influence on the pool's IoU, the most probable classes in the place of labels. Ours",
    ),
    "possible_gain": Score(
        _known,
        ("possible_gain",),
        _unbounded,
        policy="possible_gain",
        about="the same for all classes: its positive part at every cell, as expected under the prediction. Ours",
    ),
    "foreground": Score(
        _foreground, ("probs", "class_counts"), lambda c: 1, about="share predicted other than the commonest label"
    ),
    "image": Score(lambda image: image, ("image",), lambda c: np.inf, about="index; for policies that share out picks"),
}
"""Channels by name: one function and one line here make a channel, its policy and its row of documentation.

Pixel maps become region values by their mean, except where ``reduce`` says otherwise: so ``balent`` is not torn by the
pole of a reciprocal. ``difficulty_entropy`` takes its levels from the whole image.
"""

CLASS_GAIN = "class_gain_"
"""Before the number of a class: ``pseudo_gain`` for the IoU of this class alone, a channel for each class there is."""
FORM = "write 'package.module:name' of an alenv.acquisition.Score"


def find_score(name: str) -> Score:
    """Return a channel.

    Args:
        name: A name in ``SCORES``, ``class_gain_<number>``, or ``package.module:name`` of a ``Score``.

    Raises:
        ValueError: If it is unknown, or no ``Score``.
    """
    if is_path(name):
        return as_score(name, find("score", name, FORM))
    if (number := class_number(name)) is not None:
        return Score(lambda gains: gains[:, number], ("class_gain",), _unbounded, low=-np.inf)
    if name not in SCORES:
        raise unknown("score", name, SCORES)
    return SCORES[name]


def class_number(name: str) -> int | None:
    """Return the class of a channel ``class_gain_<number>``; None for other names."""
    number = name.removeprefix(CLASS_GAIN)
    return int(number) if name.startswith(CLASS_GAIN) and number.isdecimal() and len(number) < 4 else None


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
