"""The features of RALIS (Casanova et al., ICLR 2020, and the released code), computed for all regions at once.

A region is described by the class histogram of its predicted labels and by its entropy map, pooled to 8 x 8 by minimum,
mean and maximum. A candidate has on top how its histogram differs, by Kullback-Leibler divergence, from those of the
labelled regions and of all candidates: two histograms of 32 bins over the divergences' own range. Counts are divided by
the region's pixels and entropies by ln C, so that all lies in [0, 1]; the released code has them raw.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alenv.acquisition import entropy

POOLED = 8
"""Rows and columns of the pooled entropy."""
BINS = 32
ABSENT = 1e-7
"""What a class without a pixel counts for, in pixels; the slot after the last class is never used."""
BLOCK = 2**20
"""Divergences at a time: they stay in the processor's cache."""

Matrix = NDArray[np.float32]


def region_size(classes: int) -> int:
    """Return the number of features of a region."""
    return classes + 1 + 3 * POOLED**2


def candidate_size(classes: int) -> int:
    """Return the number of features of a candidate."""
    return region_size(classes) + 2 * BINS


def region_features(probs: NDArray, unit: int) -> Matrix:
    """Describe regions by what is predicted.

    Args:
        probs: (n, C, rows, columns), class probabilities.
        unit: Pixels along the side of the square that one element stands for.

    Returns:
        float32 (n, C + 1 + 192) in [0, 1].

    Raises:
        ValueError: If a region has fewer than 8 x 8 pixels.
    """
    classes = probs.shape[1]
    counts = predicted_histogram(probs, unit)
    pooled = pool_entropy(_to_pixels(entropy(probs), unit)) / np.log(classes)
    return np.concatenate([counts / _pixels(probs, unit), pooled], 1).clip(0, 1).astype(np.float32)


def candidate_features(probs: NDArray, unit: int, labelled: NDArray) -> Matrix:
    """Describe the candidates of a round.

    Args:
        probs: (n, C, rows, columns), class probabilities.
        unit: Pixels along the side of the square that one element stands for.
        labelled: (m, C + 1), histograms of the labelled regions.

    Returns:
        float32 (n, C + 1 + 192 + 64) in [0, 1]: the region, its divergences from labelled regions and from all n
        candidates, itself included.
    """
    counts = predicted_histogram(probs, unit)
    parts = region_features(probs, unit), divergence_histograms(counts, labelled), divergence_histograms(counts, counts)
    return np.concatenate(parts, 1)


def predicted_histogram(probs: NDArray, unit: int) -> NDArray[np.float64]:
    """Count the pixels of each predicted class, (n, C, rows, columns) -> (n, C + 1)."""
    labels = _to_pixels(probs.argmax(1), unit)
    return histogram(labels, probs.shape[1])


def histogram(labels: NDArray, classes: int) -> NDArray[np.float64]:
    """Count the pixels of each class, (n, h, w) -> (n, C + 1); absent ones count 1e-7. Labels beyond C are left out."""
    n, slots = len(labels), classes + 1
    flat = np.where(labels < classes, labels, classes).reshape(n, -1) + slots * np.arange(n)[:, None]
    counts = np.bincount(flat.ravel(), minlength=n * slots).reshape(n, slots).astype(np.float64)
    counts[:, classes] = 0
    return np.maximum(counts, ABSENT)


def pool_entropy(maps: NDArray) -> Matrix:
    """Pool entropy maps (n, h, w) to 8 x 8 by minimum, mean and maximum, (n, 192); rows and columns left over drop out.

    Raises:
        ValueError: If a map is smaller than 8 x 8.
    """
    n, h, w = maps.shape
    if h < POOLED or w < POOLED:
        raise ValueError(f"regions of {h} x {w} pixels cannot be pooled to {POOLED} x {POOLED}; use larger ones")
    tiles = maps[:, : h // POOLED * POOLED, : w // POOLED * POOLED]
    tiles = tiles.reshape(n, POOLED, h // POOLED, POOLED, w // POOLED)
    return np.concatenate([reduce(tiles, (2, 4)).reshape(n, -1) for reduce in (np.min, np.mean, np.max)], 1)


def divergence_histograms(own: NDArray, others: NDArray) -> Matrix:
    """Histogram the divergences KL(p || q) of each region p from all others q.

    Args:
        own: (n, slots), class histograms, of any positive sum.
        others: (m, slots).

    Returns:
        float32 (n, 32), rows summing to one; zeros if there are no others. The bins are those of NumPy: of equal width
        between the row's own extremes, all in the middle where these coincide.
    """
    out = np.zeros((len(own), BINS), np.float32)
    if not len(others):
        return out
    p, q = (x / x.sum(1, keepdims=True) for x in (own.astype(np.float64), others.astype(np.float64)))
    log_q, itself = np.log(q).T.astype(np.float64), (p * np.log(p)).sum(1)
    rows = max(1, BLOCK // len(others))
    for start in range(0, len(own), rows):
        block = slice(start, start + rows)
        out[block] = _histograms(itself[block, None] - p[block] @ log_q)
    return out


def _histograms(values: NDArray[np.float64]) -> Matrix:
    """Normalised histogram of each row."""
    low, high = values.min(1, keepdims=True), values.max(1, keepdims=True)
    flat = high <= low
    low, high = np.where(flat, low - 0.5, low), np.where(flat, high + 0.5, high)
    values -= low
    values *= BINS / (high - low)
    bins = values.astype(np.int32)
    np.minimum(bins, BINS - 1, out=bins)
    bins += (BINS * np.arange(len(bins), dtype=np.int32))[:, None]
    counts = np.bincount(bins.ravel(), minlength=len(bins) * BINS).reshape(-1, BINS)
    return (counts / values.shape[1]).astype(np.float32)


def _pixels(probs: NDArray, unit: int) -> int:
    return probs.shape[2] * probs.shape[3] * unit**2


def _to_pixels(maps: NDArray, unit: int) -> NDArray:
    return maps.repeat(unit, 1).repeat(unit, 2)
