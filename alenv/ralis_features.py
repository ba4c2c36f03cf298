"""The features of RALIS (Casanova et al., ICLR 2020, and the released code), computed for all regions at once.

A region is described by the class histogram of its predicted labels and by its entropy map, pooled to 8 x 8 by minimum,
mean and maximum. A candidate has on top how its histogram differs, by Kullback-Leibler divergence, from those of the
labelled regions and of all candidates: two histograms of 32 bins over the divergences' own range. Counts are divided by
the region's pixels and entropies by ln C, so that all lies in [0, 1]; the released code has them raw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from alenv.acquisition import entropy
from alenv.arrays import Array, first_largest, in_blocks, like, module_of, to_numpy

POOLED = 8
"""Rows and columns of the pooled entropy."""
BINS = 32
ABSENT = 1e-7
"""What a class without a pixel counts for, in pixels; the slot after the last class is never used."""
BLOCK = 2**19
"""Divergences at a time: they stay in the processor's cache."""
ROWS = 64
"""Regions at a time, at most: so do their counters."""
SMALLEST = np.float32(1e-30)
"""Divergences that differ by less are equal; float32 could not divide by it."""

Matrix = NDArray[np.float32]


def region_names(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the features of a region."""
    maps = [f"entropy_{kind}:{i},{j}" for kind in ("min", "mean", "max") for i in range(POOLED) for j in range(POOLED)]
    return (*(f"predicted:{name}" for name in classes), "unused", *maps)


def candidate_names(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the features of a candidate."""
    bins = [f"divergence_from_{others}:{i}" for others in ("labelled", "candidates") for i in range(BINS)]
    return (*region_names(classes), *bins)


def region_features(probs: Array, unit: int) -> Matrix:
    """Describe regions by what is predicted.

    Args:
        probs: (n, C, rows, columns), class probabilities; tensors are looked at on their device.
        unit: Pixels along the side of the square that one element stands for.

    Returns:
        float32 (n, C + 1 + 192) in [0, 1].

    Raises:
        ValueError: If a region has fewer than 8 x 8 pixels.
    """
    return _describe(probs, unit, predicted_histogram(probs, unit))


def candidate_features(probs: Array, unit: int, labelled: NDArray) -> Matrix:
    """Describe the candidates of a round.

    Args:
        probs: (n, C, rows, columns), class probabilities, as above.
        unit: Pixels along the side of the square that one element stands for.
        labelled: (m, C + 1), histograms of the labelled regions.

    Returns:
        float32 (n, C + 1 + 192 + 64) in [0, 1]: the region, its divergences from labelled regions and from all n
        candidates, itself included.
    """
    counts = predicted_histogram(probs, unit)
    divergences: list[Matrix] = [divergence_histograms(counts, others) for others in (labelled, counts)]
    return np.concatenate([_describe(probs, unit, counts), *divergences], 1)


def predicted_histogram(probs: Array, unit: int) -> NDArray[np.float64]:
    """Count the pixels of each predicted class, (n, C, rows, columns) -> (n, C + 1)."""
    return in_blocks(lambda block: histogram(first_largest(block), block.shape[1], unit), probs)


def histogram(labels: Array, classes: int, unit: int = 1) -> NDArray[np.float64]:
    """Count the pixels of each class.

    Args:
        labels: (n, rows, columns); those from ``classes`` on are left out.
        classes: Number of classes C.
        unit: Pixels along the side of the square that one element stands for.

    Returns:
        (n, C + 1); absent classes count 1e-7.
    """
    xp, n, slots = module_of(labels), len(labels), classes + 1
    pixels = xp.where(labels < classes, labels, classes).reshape(n, math.prod(labels.shape[1:]))
    # every region counts in slots of its own, so that one pass counts all
    flat = pixels + like(slots * np.arange(n)[:, None], labels)
    counts = to_numpy(xp.bincount(flat.ravel(), minlength=n * slots)).reshape(n, slots).astype(np.float64)
    counts[:, classes] = 0
    return np.maximum(counts * unit**2, ABSENT)


def pool_entropy(maps: Array) -> Array:
    """Pool entropy maps (n, h, w) to 8 x 8 by minimum, mean and maximum, (n, 192); rows and columns left over drop out.

    Raises:
        ValueError: If a map is smaller than 8 x 8.
    """
    n, h, w = maps.shape
    if h < POOLED or w < POOLED:
        raise ValueError(f"regions of {h} x {w} pixels cannot be pooled to {POOLED} x {POOLED}; use larger ones")
    tiles = maps[:, : h // POOLED * POOLED, : w // POOLED * POOLED]
    tiles = tiles.reshape(n, POOLED, h // POOLED, POOLED, w // POOLED)
    xp = module_of(maps)
    return xp.concatenate([reduce(tiles, (2, 4)).reshape(n, -1) for reduce in (xp.amin, xp.mean, xp.amax)], 1)


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
    p, log_q = _shares(own), np.log(_shares(others))
    # Within a row KL is -p log q but for a constant, and for what all q share: without it float32 is enough.
    log_q -= np.median(log_q, 0)
    p = np.resize(p, (len(p) + len(p) % 2, p.shape[1])).astype(np.float32)  # rows are counted two by two
    log_q = -log_q.T.astype(np.float32)
    rows = 2 * max(1, min(BLOCK // len(others), ROWS) // 2)
    values = np.empty((rows, len(others)), np.float32)
    for start in range(0, len(p), rows):
        block = p[start : start + rows]
        counts = _bin_counts(np.matmul(block, log_q, out=values[: len(block)]))
        out[start : start + rows] = counts[: len(own) - start] / len(others)
    return out


def _shares(counts: NDArray) -> NDArray[np.float64]:
    return counts / counts.sum(1, keepdims=True, dtype=np.float64)


def _bin_counts(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Count the values of each of an even number of rows in its bins, (n, m) -> (n, 32); overwrites the values."""
    low = values.min(1, keepdims=True)
    span = values.max(1, keepdims=True) - low
    flat = span < SMALLEST
    values -= low
    values *= np.float32(BINS) / np.where(flat, np.float32(1), span)
    bins = values.astype(np.int16)
    bins.clip(0, BINS - 1, out=bins)  # the largest value belongs to the last bin; np.minimum is seven times as slow
    bins[flat[:, 0]] = BINS // 2
    # two rows at once: half as many counters to increment, and seldom the same one twice in a row
    pairs = bins[::2] * np.int16(BINS) + bins[1::2]
    counts = np.stack([np.bincount(pair, minlength=BINS**2) for pair in pairs]).reshape(-1, BINS, BINS)
    return np.stack([counts.sum(2), counts.sum(1)], 1).reshape(-1, BINS)


def _describe(probs: Array, unit: int, counts: NDArray[np.float64]) -> Matrix:
    """Features of regions whose predicted pixels are counted."""
    _, classes, rows, columns = probs.shape
    pooled = in_blocks(lambda block: to_numpy(pool_entropy(_entropy_map(block, unit))), probs) / np.log(classes)
    return np.concatenate([counts / (rows * columns * unit**2), pooled], 1).clip(0, 1).astype(np.float32)


def _entropy_map(probs: Array, unit: int) -> Array:
    """Entropies (n, h, w): of pixels if tiles cut through squares, else of the squares."""
    maps, (rows, columns) = entropy(probs), probs.shape[2:]
    if unit > 1 and (rows % POOLED or columns % POOLED):
        return maps[:, np.arange(rows * unit) // unit][:, :, np.arange(columns * unit) // unit]
    return maps
