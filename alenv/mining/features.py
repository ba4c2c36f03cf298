"""What a miner sees of candidates: how they relate to the labelled images.

A reconstruction (MiSiCAL-style): relations between vectors transfer to other classes and images, raw vectors memorise.

An episode keeps rows of length D: sums of the labelled vectors, the ridge weights, and for each label its vector z
and u, with which the covariance of the weights is I - sum u u^T. One matrix product of these rows with the
candidates gives all features, and a label costs one row: a rank-one update that never forms the D x D matrix.

``Relation`` is one episode, ``Relations`` are E at once; ``examine`` and ``extend`` are their common arithmetic, for
any leading axes. Episodes of equally many labels are computed together, each in matrix products of its own whose shapes
depend on that episode alone. So the numbers of an episode are the same, bit for bit, whatever others there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

COSINES = ("fixed", "positive", "negative")
"""Cosines to the prototypes: mean vectors of the positive seeds, of all positives, and of all negatives."""
RELATIONS = (*COSINES, "nearest_positive", "nearest_labelled", "ridge_mean", "ridge_deviation")
"""Further: the largest cosine to a positive and to any labelled image; posterior of the ridge regression."""
LIFTED = 5
"""The first so many are centred over the candidates."""
DIMENSIONS = 64
"""Width of raw vectors in an observation; shorter ones are filled up."""
STRENGTH = 1.0
"""Of the ridge: the variance of a label's noise in units of the prior variance of a weight. Labels are +1 and -1."""
CHUNK = 64
"""Episodes computed at once, so that what is in the making stays in the cache."""

Rows = NDArray[np.int64] | slice
"""Some of the episodes; a slice wherever possible, because then nothing is copied."""
Floats = NDArray[np.float32]
ALL = slice(None)


class Relation:
    """What one episode has labelled, and how candidates relate to it.

    Args:
        labels: Images that it labels, at most.
        dimensions: Length D of a vector.
        ridge: Whether to compute all of ``RELATIONS`` instead of ``COSINES``.
    """

    def __init__(self, labels: int, dimensions: int, ridge: bool) -> None:
        # fixed, positive and negative sum; then weights, z of label 0, u of label 0, z of label 1, ...
        self._rows = np.zeros((4 + 2 * labels if ridge else 3, dimensions), np.float32)
        self._scale = np.zeros((3, 1), np.float32)
        self._penalty = np.zeros((labels, 1), np.float32)
        self._ridge, self._count = ridge, 0

    def clear(self) -> None:
        """Forget everything."""
        self._rows[:4] = 0
        self._scale[:] = 0
        self._count = 0

    def learn(self, vector: Floats, positive: bool) -> None:
        """Add one labelled image: its unit vector (D,), and whether it has the class."""
        kind, rows, count = 1 if positive else 2, self._rows, self._count
        total = rows[kind]
        total += vector
        self._scale[kind] = _inverse_norm(total)
        if not self._ridge:
            return
        rows[4 + 2 * count] = vector
        rows[3], rows[5 + 2 * count] = extend(rows[3 : 4 + 2 * count], vector, _LABEL[int(positive)])
        self._penalty[count] = _PENALTY[int(positive)]
        self._count = count + 1

    def freeze(self) -> None:
        """Take the present positives as the fixed prototype."""
        self._rows[0] = self._rows[1]
        self._scale[0] = self._scale[1]

    def look(self, vectors: Floats) -> Floats:
        """Return the features of candidates with unit vectors (K, D): (K, F) in [0, 1]."""
        if not self._ridge:
            return examine(self._rows, self._scale, None, vectors).T.copy()
        count = self._count
        return examine(self._rows[: 4 + 2 * count], self._scale, self._penalty[:count], vectors).T.copy()


class Relations:
    """What E episodes have labelled, and how candidates relate to it: a ``Relation`` with a leading axis.

    Args:
        episodes: E.
        labels: Images that an episode labels, at most.
        dimensions: Length D of a vector.
        ridge: Whether to compute all of ``RELATIONS`` instead of ``COSINES``.
    """

    def __init__(self, episodes: int, labels: int, dimensions: int, ridge: bool) -> None:
        self._rows = np.zeros((episodes, 4 + 2 * labels if ridge else 3, dimensions), np.float32)
        self._scale = np.zeros((3, episodes, 1), np.float32)
        self._penalty = np.zeros((labels, episodes, 1), np.float32)
        self._ridge, self._numbers, self._count = ridge, np.arange(episodes), np.zeros(episodes, np.int64)

    def clear(self, which: Rows) -> None:
        """Forget everything about some episodes."""
        self._rows[which, :4] = 0
        self._scale[:, which] = 0
        self._count[which] = 0

    def learn(self, which: Rows, vectors: Floats, positive: NDArray[np.bool_]) -> None:
        """Add one labelled image to each of some episodes.

        Args:
            which: e episodes, none of them twice.
            vectors: Unit vectors (e, D).
            positive: Whether the image has the class, (e,).
        """
        episode, kind, says = self._numbers[which], np.where(positive, 1, 2), positive.astype(np.int64)
        total = self._rows[episode, kind] + vectors
        self._rows[episode, kind] = total
        self._scale[kind, episode] = _inverse_norm(total)
        if not self._ridge:
            return
        for count, part, at in self._groups(which):
            new = extend(self._rows[part, 3 : 4 + 2 * count], vectors[at], _LABEL[says[at]])
            self._rows[part, 3], self._rows[part, 5 + 2 * count] = new
            self._rows[part, 4 + 2 * count] = vectors[at]
            self._penalty[count, part] = _PENALTY[says[at]]
        self._count[which] += 1

    def freeze(self, which: Rows) -> None:
        """Take the present positives of some episodes as their fixed prototype."""
        self._rows[which, 0] = self._rows[which, 1]
        self._scale[0, which] = self._scale[1, which]

    def look(self, which: Rows, vectors: Floats) -> Floats:
        """Return the features of the candidates of some episodes, (e, K, F) in [0, 1].

        Args:
            which: e episodes.
            vectors: Unit vectors of their candidates, (e, K, D).
        """
        names = RELATIONS if self._ridge else COSINES
        out = np.empty((*vectors.shape[:2], len(names)), np.float32)
        for count, part, at in self._groups(which):
            rows = self._rows[part, : 4 + 2 * count] if self._ridge else self._rows[part]
            penalty = self._penalty[:count, part] if self._ridge else None
            out[at] = examine(rows, self._scale[:, part], penalty, vectors[at]).transpose(1, 2, 0)
        return out

    def _groups(self, which: Rows) -> Iterator[tuple[int, Rows, Rows]]:
        """Yield parts of equally many labels, as (labels, episodes, places among ``which``)."""
        counts = self._count[which]
        if (counts == counts[0]).all():
            for i in range(0, len(counts), CHUNK):
                at = slice(i, i + CHUNK)
                yield int(counts[0]), at if isinstance(which, slice) else which[at], at
            return
        episodes = self._numbers[which]
        for count in np.unique(counts):
            places = np.flatnonzero(counts == count)
            for i in range(0, len(places), CHUNK):
                yield int(count), episodes[places[i : i + CHUNK]], places[i : i + CHUNK]


def examine(rows: Floats, scale: Floats, penalty: Floats | None, vectors: Floats) -> Floats:
    """Return features in [0, 1], (F, ..., K); the leading axes are none or the episodes.

    Args:
        rows: Of an episode, (..., 3, D) or (..., 4 + 2 n, D) with n labels.
        scale: 1 / length of the first three, (3, ..., 1).
        penalty: 0 for positives and -4 for others, (n, ..., 1); None for the ``COSINES`` alone.
        vectors: Unit vectors of the candidates, (..., K, D).
    """
    lead, candidates = vectors.shape[:-2], vectors.shape[-2]
    products = np.empty((rows.shape[-2], *lead, candidates), np.float32)
    np.matmul(rows, vectors.swapaxes(-1, -2), out=_rows_last(products))
    out = np.empty((len(COSINES if penalty is None else RELATIONS), *lead, candidates), np.float32)
    cosines = products[:LIFTED] if penalty is None else _relate(products, penalty, out)
    cosines[:3] *= scale
    np.matmul(_rows_last(cosines), _centring(candidates), out=_rows_last(out[:LIFTED]))
    out[:6] += _HALF
    return out


def _relate(products: Floats, penalty: Floats, out: Floats) -> Floats:
    """Write the posterior's features, and return the rows that are still to be lifted, (LIFTED, ..., K)."""
    cosines, shares, mean = products[4::2], products[5::2], products[3]
    lifted = np.empty((LIFTED, *mean.shape), np.float32)
    lifted[:3] = products[:3]
    cosines.max(0, initial=-1, out=lifted[4])
    cosines += penalty
    cosines.max(0, initial=-1, out=lifted[3])
    size = np.abs(mean)
    size += _ONE
    size += size
    np.divide(mean, size, out=out[5])
    shares *= shares
    variance = np.subtract(_ONE, shares.sum(0), out=out[6])
    np.sqrt(np.maximum(variance, 0, out=variance), out=variance)
    return lifted


def _rows_last(rows: Floats) -> Floats:
    """View (rows, ..., K) as (..., rows, K)."""
    return rows.swapaxes(0, -2)


def extend(known: Floats, vectors: Floats, labels: Floats) -> tuple[Floats, Floats]:
    """Update the ridge posterior with a label: u = P z / sqrt(noise + z P z), P = I - sum u u^T.

    Args:
        known: Weights, z and u of each label so far, (..., 1 + 2 n, D).
        vectors: Unit vector z of the new image, (..., D).
        labels: +1 or -1, (..., 1).

    Returns:
        New weights (..., D), and u (..., D).
    """
    products = np.matmul(known, vectors[..., None])
    shares = products[..., 2::2, :]
    across = shares.swapaxes(-1, -2)
    variance = _ONE - np.matmul(across, shares)[..., 0]
    deviation = np.sqrt(np.maximum(variance, 0) + np.float32(STRENGTH))
    u = (vectors - np.matmul(across, known[..., 2::2, :])[..., 0, :]) / deviation
    return known[..., 0, :] + u * ((labels - products[..., 0, :]) / deviation), u


def raw(vectors: Floats) -> Floats:
    """Return unit vectors (..., D) as features (..., DIMENSIONS) in [0, 1]."""
    out = np.full((*vectors.shape[:-1], DIMENSIONS), 0.5, np.float32)
    out[..., : vectors.shape[-1]] += _HALF * vectors
    return out.clip(0, 1, out=out)


_ONE, _HALF, _TINY = (np.full(1, value, np.float32) for value in (1, 0.5, 1e-12))
_LABEL, _PENALTY = np.array([[-1], [1]], np.float32), np.array([[-4], [0]], np.float32)


@cache
def _centring(candidates: int) -> Floats:
    """Return the matrix that subtracts the mean over K candidates and divides by 4, (K, K)."""
    return ((np.eye(candidates) - 1 / candidates) / 4).astype(np.float32)


def _inverse_norm(vectors: Floats) -> Floats:
    """Return 1 / length of vectors (..., D), (..., 1), at most 1e6."""
    square = np.matmul(vectors[..., None, :], vectors[..., None])[..., 0]
    np.maximum(square, _TINY, out=square)
    return np.divide(_ONE, np.sqrt(square, out=square), out=square)
