"""Uncertainty of one prediction per pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alenv.arrays import Array, like, module_of, rounding, to_floats


def as_probabilities(probs: Array) -> Array:
    """Return probabilities as the scores need them: checked, and in float32 at least.

    A softmax in half precision rounds every class (bfloat16 by up to 0.4 %), so its sums may be further from one, and
    are scaled to it. Integers and booleans are probabilities if they are one-hot.

    Args:
        probs: (..., C, H, W), non-negative, summing to one over C.

    Raises:
        ValueError: If the shape has no class axis, or a probability is negative, NaN or no real number, or they do not
            sum to one.
    """
    if probs.ndim < 3:
        raise ValueError(f"probs has shape {tuple(probs.shape)}; expected (..., classes, height, width)")
    tolerance = max(1e-3, 8 * rounding(probs))  # of a sum in which each term was rounded more than once
    half = tolerance > 1e-3
    probs = to_floats(probs)
    sums = probs.sum(-3)
    if 0 not in probs.shape:
        error, least = float(abs(sums - 1).max()), float(probs.min())
        if not error < tolerance or least < 0:  # a NaN fails the first comparison
            raise ValueError(
                f"probs are not probabilities over axis -3: sums differ from one by up to {error:.3g}, smallest "
                f"value {least:.3g}; apply softmax over the class axis first"
            )
    return probs / sums[..., None, :, :] if half else probs


def entropy(probs: Array) -> Array:
    """Shannon entropy in nats, ``-sum_c p_c ln p_c``.

    Args:
        probs: (..., C, H, W), non-negative, summing to one over C; half precision or one-hot integers count as float32.

    Returns:
        (..., H, W), in [0, ln C].

    Raises:
        ValueError: If these are not probabilities, see ``as_probabilities``.
    """
    return unchecked_entropy(as_probabilities(probs))


def unchecked_entropy(probs: Array) -> Array:
    """Entropy of what ``as_probabilities`` has returned."""
    xp = module_of(probs)
    # p ln p at p = 0 is 0: clipping the logarithm's argument alone leaves every other value as it is.
    return -(probs * xp.log(probs.clip(min=xp.finfo(probs.dtype).tiny))).sum(-3)


def margin(probs: Array) -> Array:
    """One minus the lead of the most probable class over the second: (..., C, H, W) -> (..., H, W), in [0, 1].

    Raises:
        ValueError: As for ``entropy``.
    """
    probs = as_probabilities(probs)
    xp = module_of(probs)
    first, second = probs[..., 0, :, :], 0 * probs[..., 0, :, :]
    for c in range(1, probs.shape[-3]):  # far faster than a partition over few classes
        second = xp.maximum(second, xp.minimum(first, probs[..., c, :, :]))
        first = xp.maximum(first, probs[..., c, :, :])
    return 1 - (first - second)


def least_confidence(probs: Array) -> Array:
    """One minus the largest probability: (..., C, H, W) -> (..., H, W), in [0, 1 - 1/C].

    Raises:
        ValueError: As for ``entropy``.
    """
    probs = as_probabilities(probs)
    return 1 - module_of(probs).amax(probs, -3)


def class_weights(class_counts: NDArray, exponent: float = 0.5) -> NDArray[np.float64]:
    """Weight of each class, ``(frequency among the labels)^-exponent``, the largest being one.

    Frequencies below 0.01 % count as 0.01 %, so a class without labels has a large but finite weight.

    Args:
        class_counts: (C,) labelled pixels of each class.
        exponent: 1/2 in the literature's square-root weighting; 1 for inverse frequency.
    """
    counts = np.asarray(class_counts, np.float64)
    weights = np.maximum(counts / max(counts.sum(), 1), 1e-4) ** -exponent
    return weights / weights.max()


def class_balanced_entropy(probs: Array, class_counts: NDArray, exponent: float = 0.5) -> Array:
    """Entropy times the weight of the predicted class, see ``class_weights``.

    Args:
        probs: (..., C, H, W).
        class_counts: (C,) labelled pixels of each class so far.
        exponent: Of the class weights.

    Returns:
        (..., H, W), in [0, ln C].

    Raises:
        ValueError: As for ``entropy``, or if there is not one count per class.
    """
    probs = as_probabilities(probs)
    score = unchecked_entropy(probs)
    if np.shape(class_counts) != (probs.shape[-3],):
        raise ValueError(f"class_counts has shape {np.shape(class_counts)}, but probs has {probs.shape[-3]} classes")
    return score * predicted_weight(probs, class_weights(class_counts, exponent))


def predicted_weight(probs: Array, weights: NDArray[np.float64]) -> Array:
    """Weight of the predicted class (of the first one, if several are as probable).

    Args:
        probs: (..., C, H, W).
        weights: (C,).

    Returns:
        (..., H, W), in the kind and type of ``probs``, but in float32 at least.
    """
    xp, probs = module_of(probs), to_floats(probs)
    best = probs[..., 0, :, :]
    predicted = xp.zeros_like(best, dtype=xp.int16)
    for c in range(1, probs.shape[-3]):  # faster than an arg-max over few classes
        better = xp.asarray(probs[..., c, :, :] > best, dtype=xp.int16)
        predicted = xp.maximum(predicted, c * better)
        best = xp.maximum(best, probs[..., c, :, :])
    return xp.asarray(like(weights, probs), dtype=probs.dtype)[xp.asarray(predicted, dtype=xp.int64)]
