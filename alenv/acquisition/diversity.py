"""Choosing several at once so that they differ: greedy k-center, and the best pixels with a distance between them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist


def k_center(candidates: NDArray, labelled: NDArray, k: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Greedy core-set: pick, k times, the candidate farthest from all that is labelled or picked.

    Sener & Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set Approach", arXiv 1708.00489.
    Euclidean; O((k + m) n D) time and O(n) memory beyond the input.

    Args:
        candidates: (n, D) features.
        labelled: (m, D) features; if m is zero, the first pick is drawn.
        k: Number of picks.
        rng: Draws the first pick if nothing is labelled; of ties, the lowest index wins.

    Returns:
        (k,) distinct indices into ``candidates``, in order of picking.

    Raises:
        ValueError: If k is negative or more than n, a shape is wrong, or a feature is not finite.
    """
    candidates, labelled = np.asarray(candidates, np.float64), np.asarray(labelled, np.float64)
    _check_features(candidates, labelled, k)
    distance = np.full(len(candidates), np.inf)
    for row in labelled:
        np.minimum(distance, _squared_distances(candidates, row), out=distance)
    picks = np.empty(k, np.int64)
    for i in range(k):
        pick = distance.argmax() if i or len(labelled) else rng.integers(len(candidates))
        np.minimum(distance, _squared_distances(candidates, candidates[pick]), out=distance)
        distance[pick] = -1  # below its duplicates
        picks[i] = pick
    return picks


def suppressed_top_k(score: NDArray, k: int, radius: int, tie_breaker: NDArray | None = None) -> NDArray[np.int64]:
    """Pick the largest score, exclude the square around it, and so on; exactly, but in one pass over sorted pixels.

    Args:
        score: (H, W); minus infinity is never picked.
        k: Largest number of picks.
        radius: Of the square of ``2 radius + 1`` pixels around a pick in which no further pick lies.
        tie_breaker: (H, W); of equal scores, the pixel with the larger value comes first, then the first in rows.

    Returns:
        (at most k, 2) rows and columns in order of picking; fewer than k when nothing is left.

    Raises:
        ValueError: If a map holds NaN or has another shape, or k or the radius is negative.
    """
    score, tie_breaker = _check_maps(score, tie_breaker, k, radius)
    picks: list[tuple[int, int]] = []
    flags = bytearray(score.size)  # one read of it takes a third of an array's
    blocked = np.frombuffer(flags, bool).reshape(score.shape)
    for pixel in _descending(score.ravel(), tie_breaker, blocked.ravel(), 4 * k):
        if flags[pixel]:
            continue
        if len(picks) == k:
            break
        row, column = divmod(pixel, score.shape[1])
        picks.append((row, column))
        blocked[max(row - radius, 0) : row + radius + 1, max(column - radius, 0) : column + radius + 1] = True
    return np.array(picks, np.int64).reshape(-1, 2)


def _descending(score: NDArray, tie_breaker: NDArray | None, blocked: NDArray, first: int) -> Iterator[int]:
    """Yield the pixels of finite score from the largest on, without most of the blocked ones.

    Sorts no more than is asked for: the scores are cut at values of a sample, whose ranks grow fourfold each time.
    All that lies above a cut is blocked by the time of the next.
    """
    # odd, so that the sample does not keep to some columns of maps whose width is a power of two
    step = score.size >> 16 | 1
    sample, lowest = np.sort(score[::step])[::-1], np.finfo(score.dtype).min
    rank, cut = first // step + 1, np.inf
    while cut > lowest:
        cut = max(sample[rank], lowest) if rank < len(sample) else lowest
        chosen = np.flatnonzero((score >= cut) & ~blocked)
        keys = (-score[chosen],) if tie_breaker is None else (-tie_breaker[chosen], -score[chosen])
        chosen = chosen[np.lexsort(keys)]
        for start in range(0, len(chosen), 4096):
            block = chosen[start : start + 4096]
            yield from block[~blocked[block]].tolist()
        rank *= 4


def _squared_distances(features: NDArray, row: NDArray) -> NDArray[np.float64]:
    return cdist(features, row[None], "sqeuclidean")[:, 0]


def _check_features(candidates: NDArray, labelled: NDArray, k: int) -> None:
    if candidates.ndim != 2 or labelled.ndim != 2 or candidates.shape[1] != labelled.shape[1]:
        raise ValueError(f"expected candidates (n, D) and labelled (m, D), got {candidates.shape} and {labelled.shape}")
    if not 0 <= k <= len(candidates):
        raise ValueError(f"cannot pick {k} of {len(candidates)} candidates")
    if not (np.isfinite(candidates).all() and np.isfinite(labelled).all()):
        raise ValueError("features must be finite")


def _check_maps(score: NDArray, tie_breaker: NDArray | None, k: int, radius: int) -> tuple[NDArray, NDArray | None]:
    """Return both maps as float arrays, the second one flat."""
    score = np.asarray(score)
    if k < 0 or radius < 0 or score.ndim != 2:
        raise ValueError(f"expected k >= 0, radius >= 0 and a score (height, width), got {k}, {radius}, {score.shape}")
    if tie_breaker is None:
        return _as_floats(score), None
    if np.shape(tie_breaker) != score.shape:
        raise ValueError(f"tie_breaker has shape {np.shape(tie_breaker)}, but score has {score.shape}")
    return _as_floats(score), _as_floats(tie_breaker).ravel()


def _as_floats(array: NDArray) -> NDArray:
    floats = np.asarray(array, np.result_type(array, np.float32))
    if floats.size and np.isnan(floats.min()):  # the least of values with a NaN is NaN
        raise ValueError("NaN among the scores")
    return floats
