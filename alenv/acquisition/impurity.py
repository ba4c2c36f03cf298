"""Region impurity (RIPU: Xie et al., CVPR 2022, arXiv 2111.12940) and its class-balanced form (CBDA)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from alenv.acquisition.uncertainty import as_probabilities, entropy, predicted_weight, unchecked_entropy
from alenv.arrays import Array, like, module_of
from alenv.errors import unknown

WEIGHTS = {
    "invlog": lambda share: 1 / np.log(1.01 + share),
    "inv": lambda share: 1 / share.clip(1e-4),
    "inv_sqrt": lambda share: share.clip(1e-4) ** -0.5,
    "exp": lambda share: np.exp(-share),
}
"""Weight of a class by its share of the labelled pixels; a share below 0.01 % counts as 0.01 % where it divides."""


def box_mean(maps: Array, radius: int) -> Array:
    """Mean over the square window of ``2 radius + 1`` pixels around each pixel, cut off at the borders.

    Args:
        maps: (..., H, W); summed in float64.
        radius: Of the window, in pixels; the cost does not depend on it.

    Returns:
        (..., H, W), in the kind and type of ``maps``; float64 for integers.

    Raises:
        ValueError: If the radius is negative, or there are no two axes.
    """
    xp = _check_window(maps, radius)
    rows, columns = maps.shape[-2:]
    sums = _box_sum(maps, radius, xp.float64) / like(_window_sizes(rows, columns, radius), maps)
    floating = maps.dtype in (xp.float16, xp.float32, xp.float64)
    return xp.asarray(sums, dtype=maps.dtype) if floating else sums


def region_uncertainty(probs: Array, radius: int = 1) -> Array:
    """Mean entropy of the window around each pixel, divided by ln C.

    Args:
        probs: (..., C, H, W).
        radius: Of the window, in pixels.

    Returns:
        (..., H, W), in [0, 1].

    Raises:
        ValueError: If these are not probabilities, or the radius is negative.
    """
    return (box_mean(entropy(probs), radius) / _log(probs.shape[-3])).clip(min=0)


def region_impurity(probs: Array, radius: int = 1) -> Array:
    """Entropy of the predicted classes in the window around each pixel, divided by ln C; exactly zero where pure.

    Args:
        probs: (..., C, H, W).
        radius: Of the window, in pixels.

    Returns:
        (..., H, W), in [0, 1].

    Raises:
        ValueError: If these are not probabilities, or the radius is negative.
    """
    return _impurity(as_probabilities(probs), radius)


def ripu(probs: Array, radius: int = 1) -> Array:
    """RIPU: region impurity times region uncertainty; high where several classes meet and the model doubts.

    Args:
        probs: (..., C, H, W).
        radius: Of the window, in pixels; 1 in the paper's region mode, see ``ripu_pixel`` for the other.

    Returns:
        (..., H, W), in [0, 1].

    Raises:
        ValueError: If these are not probabilities, or the radius is negative.
    """
    probs = as_probabilities(probs)
    return region_uncertainty(probs, radius) * _impurity(probs, radius)


def ripu_pixel(probs: Array, radius: int = 32) -> Array:
    """RIPU's pixel mode: the pixel's own entropy in nats times the impurity of a wide window around it.

    Args:
        probs: (..., C, H, W).
        radius: Of the window, in pixels; the paper's by default.

    Returns:
        (..., H, W), in [0, ln C].

    Raises:
        ValueError: If these are not probabilities, or the radius is negative.
    """
    probs = as_probabilities(probs)
    return unchecked_entropy(probs).clip(min=0) * _impurity(probs, radius)


def cbda_weights(class_counts: NDArray, weight: str = "invlog") -> NDArray[np.float64]:
    """Weight of each class by its share f of the labels so far, scaled to mean one; all one before any label.

    The CBDA paper (arXiv 2311.14146) does not print its weights: ``invlog`` is 1 / ln(1.01 + f), ``inv`` 1 / f,
    ``inv_sqrt`` f^-1/2, ``exp`` e^-f; f below 0.01 % counts as 0.01 % in the middle two.

    Args:
        class_counts: (C,) labelled pixels of each class.
        weight: One of these.

    Raises:
        ValueError: If the weight is unknown.
    """
    if weight not in WEIGHTS:
        raise unknown("weight", weight, WEIGHTS)
    counts = np.asarray(class_counts, np.float64)
    if not counts.any():
        return np.ones_like(counts)
    weights = WEIGHTS[weight](counts / counts.sum())
    return weights / weights.mean()


def cbda(
    probs: Array, class_counts: NDArray, radius: int = 1, weight: str = "invlog", granularity: str = "region"
) -> Array:
    """RIPU times the weight of the predicted class, which favours classes that have few labels.

    Class balancing of "Class Balanced Dynamic Acquisition", arXiv 2311.14146; its dynamic part is the choice over all
    images at once.

    Args:
        probs: (..., C, H, W).
        class_counts: (C,) labelled pixels of each class so far.
        radius: Of the windows, in pixels.
        weight: See ``cbda_weights``.
        granularity: ``region``, mean weight over the window, or ``pixel``, weight of the pixel itself.

    Returns:
        (..., H, W), in [0, C].

    Raises:
        ValueError: As for ``ripu``, if there is not one count per class, or a name is unknown.
    """
    if granularity not in ("region", "pixel"):
        raise unknown("granularity", granularity, ("region", "pixel"))
    probs = as_probabilities(probs)
    score = ripu(probs, radius)
    weights = predicted_weight(probs, _weights(probs, class_counts, weight))
    return score * (box_mean(weights, radius) if granularity == "region" else weights)


def cbda_pixel(probs: Array, class_counts: NDArray, radius: int = 32) -> Array:
    """RIPU's pixel mode times the weight of the pixel's predicted class: ``cbda`` with ``granularity="pixel"`` there.

    Args:
        probs: (..., C, H, W).
        class_counts: (C,) labelled pixels of each class so far.
        radius: Of the window, in pixels.

    Returns:
        (..., H, W), in [0, C ln C].

    Raises:
        ValueError: As for ``cbda``.
    """
    score = ripu_pixel(probs, radius)
    return score * predicted_weight(probs, _weights(probs, class_counts, "invlog"))


def _weights(probs: Any, class_counts: NDArray, weight: str) -> NDArray[np.float64]:
    if np.shape(class_counts) != (probs.shape[-3],):
        raise ValueError(f"class_counts has shape {np.shape(class_counts)}, but probs has {probs.shape[-3]} classes")
    return cbda_weights(class_counts, weight)


def _impurity(probs: Any, radius: int) -> Any:
    """Sum ``n (ln N - ln n) / N`` over the classes' counts n in a window of N: no term negative, zero for n = N."""
    xp = _check_window(probs, radius)
    classes, rows, columns = probs.shape[-3:]
    predicted = predicted_weight(probs, np.arange(classes))
    sizes = _window_sizes(rows, columns, radius)
    logs = like(np.log(np.arange(sizes.max(initial=0) + 1).clip(1)), probs)  # counts are small: look logarithms up
    size = like(sizes, probs)
    log_size, total = xp.take(logs, size), 0
    for c in range(classes):
        count = _box_count(predicted == c, radius)
        total = total + count * (log_size - xp.take(logs, xp.asarray(count, dtype=xp.int64)))
    return xp.asarray(total / size / _log(classes), dtype=probs.dtype)


def _box_count(maps: Any, radius: int) -> Any:
    """Count what is true in each window: in small ones by shifts of bytes, many times as fast as by running sums."""
    xp = module_of(maps)
    if (2 * radius + 1) ** 2 > 255:
        return _box_sum(maps, radius, xp.int32)
    counts = xp.asarray(maps, dtype=xp.uint8)
    for _ in range(2):
        counts = counts.swapaxes(-2, -1)
        sums = xp.zeros_like(counts) + counts
        for step in range(1, min(radius, counts.shape[-1] - 1) + 1):
            sums[..., step:] += counts[..., :-step]
            sums[..., :-step] += counts[..., step:]
        counts = sums
    return xp.asarray(counts, dtype=xp.int32)


def _box_sum(maps: Any, radius: int, dtype: Any) -> Any:
    """Sum over each window, as differences of running sums along one axis after the other.

    On CUDA, torch's running sums of several rows have a fixed order; those of a single one need not.
    """
    xp = module_of(maps)
    if 0 in maps.shape:
        return xp.zeros_like(maps, dtype=dtype)
    for _ in range(2):
        maps = maps.swapaxes(-2, -1)
        length, sums = maps.shape[-1], xp.cumsum(maps, -1, dtype=dtype)
        reach = min(radius, length)
        before = xp.broadcast_to(xp.zeros_like(sums[..., :1]), (*sums.shape[:-1], reach + 1))
        after = xp.broadcast_to(sums[..., -1:], (*sums.shape[:-1], reach))
        sums = xp.concatenate((before, sums, after), -1)
        # past the edge a running sum stays what it was there, so that windows are cut off
        maps = sums[..., 2 * reach + 1 :] - sums[..., :length]
    return maps


def _window_sizes(rows: int, columns: int, radius: int) -> NDArray[np.int64]:
    """Pixels of the window around each pixel, (rows, columns)."""
    high, wide = (
        (at + radius).clip(max=len(at) - 1) - (at - radius).clip(min=0) + 1
        for at in (np.arange(rows), np.arange(columns))
    )
    return high[:, None] * wide


def _check_window(maps: Any, radius: int) -> Any:
    if radius < 0 or maps.ndim < 2:
        raise ValueError(f"expected a radius >= 0 and maps (..., height, width), got {radius} and {tuple(maps.shape)}")
    return module_of(maps)


def _log(classes: int) -> float:
    return float(np.log(max(classes, 2)))  # of one class, all scores are zero whatever divides them
