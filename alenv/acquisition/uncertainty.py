"""Uncertainty of one prediction per pixel."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from alenv.arrays import Array, module_of


def entropy(probs: Array) -> Array:
    """Shannon entropy in nats, ``-sum_c p_c ln p_c``.

    Args:
        probs: (..., C, H, W), non-negative, summing to one over C.

    Returns:
        (..., H, W), in [0, ln C].

    Raises:
        ValueError: If the shape has no class axis, or a probability is negative, NaN, or they do not sum to one.
    """
    xp = _check(probs)
    # p ln p at p = 0 is 0: clipping the logarithm's argument alone leaves every other value as it is.
    return -(probs * xp.log(probs.clip(min=xp.finfo(probs.dtype).tiny))).sum(-3)


def margin(probs: Array) -> Array:
    """One minus the lead of the most probable class over the second: (..., C, H, W) -> (..., H, W), in [0, 1].

    Raises:
        ValueError: As for ``entropy``.
    """
    xp = _check(probs)
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
    xp = _check(probs)
    return 1 - xp.amax(probs, -3)


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
    score = entropy(probs)
    if np.shape(class_counts) != (probs.shape[-3],):
        raise ValueError(f"class_counts has shape {np.shape(class_counts)}, but probs has {probs.shape[-3]} classes")
    return score * predicted_weight(probs, class_weights(class_counts, exponent))


def predicted_weight(probs: Array, weights: NDArray[np.float64]) -> Array:
    """Weight of the predicted class (of the first one, if several are as probable).

    Args:
        probs: (..., C, H, W).
        weights: (C,).

    Returns:
        (..., H, W), in the kind and type of ``probs``.
    """
    xp = module_of(probs)
    best, value = probs[..., 0, :, :], 0 * probs[..., 0, :, :] + float(weights[0])
    for c in range(1, probs.shape[-3]):  # faster than an arg-max over few classes
        better = probs[..., c, :, :] > best
        value = xp.where(better, xp.asarray(weights[c], dtype=probs.dtype), value)
        best = xp.maximum(best, probs[..., c, :, :])
    return value


def _check(probs: Array) -> ModuleType:
    """Return the array's module, after checking that it holds probabilities."""
    if probs.ndim < 3:
        raise ValueError(f"probs has shape {tuple(probs.shape)}; expected (..., classes, height, width)")
    if 0 not in probs.shape:
        error, least = float(abs(probs.sum(-3) - 1).max()), float(probs.min())
        if not error < 1e-3 or least < 0:  # a NaN fails the first comparison
            raise ValueError(
                f"probs are not probabilities over axis -3: sums differ from one by up to {error:.3g}, smallest "
                f"value {least:.3g}; apply softmax over the class axis first"
            )
    return module_of(probs)
