"""What a miner sees of candidates: how they relate to the labelled images.

A reconstruction (MiSiCAL-style): relations between vectors transfer to other classes and images, raw vectors memorise.

An episode keeps rows of length D: sums of the labelled vectors, the ridge weights, and for each label its vector z
and u, with which the covariance of the weights is I - sum u u^T. One matrix product of these rows with the
candidates gives all features, and a label costs one row: a rank-one update that never forms the D x D matrix.

``Relation`` is one episode, ``Relations`` are E at once; ``compare``, ``relate`` and ``extend`` are their common
arithmetic, for any leading axes. Episodes of equally many labels are computed together, each in matrix products of its
own whose shapes depend on that episode alone. So the numbers of an episode are the same, bit for bit, whatever others
there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from alenv.arrays import Rows

COSINES = ("fixed", "positive", "negative")
"""Cosines to the prototypes: mean vectors of the positive seeds, of all positives, and of all negatives."""
RELATIONS = (*COSINES, "ridge_mean", "nearest_positive", "nearest_labelled", "ridge_deviation")
"""Further: posterior mean of the ridge regression, the largest cosine to a positive and to any labelled image, and the
posterior's deviation."""
LIFTED = 6
"""The first so many are centred over the candidates."""
DIMENSIONS = 64
"""Width of raw vectors in an observation; shorter ones are filled up."""
STRENGTH = 1.0
"""Of the ridge: the variance of a label's noise in units of the prior variance of a weight.

Labels are 1 with the class and 0 without. Measured on the mixture, +1 and -1 mine half as much: most labels are
negative, and their sum drowns the few positives.
"""
TINY = 1e-12
"""Squared length below which a sum of vectors has no direction."""
CHUNK = 64
"""Episodes computed at once, so that what is in the making stays in the cache."""

Floats = NDArray[np.float32]


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
        self._scale = np.ones((1, 4 if ridge else 3), np.float32)
        self._penalty = np.zeros((labels, 1), np.float32)
        self._ridge, self._count = ridge, 0

    def clear(self) -> None:
        """Forget everything."""
        self._rows[:4] = 0
        self._count = 0

    def learn(self, vector: Floats, positive: bool) -> None:
        """Add one labelled image: its unit vector (D,), and whether it has the class."""
        kind, rows, count = 1 if positive else 2, self._rows, self._count
        total = rows[kind]
        total += vector
        self._scale[0, kind] = 1 / sqrt(max(float(np.matmul(total, total)), TINY))
        if not self._ridge:
            return
        rows[4 + 2 * count] = vector
        rows[3], rows[5 + 2 * count] = extend(rows[3 : 4 + 2 * count], vector, _LABEL[int(positive)])
        self._penalty[count] = _PENALTY[int(positive)]
        self._count = count + 1

    def freeze(self) -> None:
        """Take the present positives as the fixed prototype."""
        self._rows[0] = self._rows[1]
        self._scale[0, 0] = self._scale[0, 1]

    def look(self, vectors: Floats) -> Floats:
        """Return the features of candidates with unit vectors (K, D): (K, F) in [0, 1]."""
        if not self._ridge:
            return compare(self._rows, self._scale, vectors)
        count = self._count
        return relate(self._rows[: 4 + 2 * count], self._scale.T, self._penalty[:count], vectors).T


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
        self._scale = np.ones((episodes, 1, 4 if ridge else 3), np.float32)
        self._penalty = np.zeros((labels, episodes, 1), np.float32)
        self._ridge, self._numbers, self._count = ridge, np.arange(episodes), np.zeros(episodes, np.int64)

    def clear(self, which: Rows) -> None:
        """Forget everything about some episodes."""
        self._rows[which, :4] = 0
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
        square = np.matmul(total[:, None, :], total[:, :, None])[:, 0, 0].astype(np.float64)
        self._scale[episode, 0, kind] = 1 / np.sqrt(np.maximum(square, TINY))
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
        self._scale[which, 0, 0] = self._scale[which, 0, 1]

    def look(self, which: Rows, vectors: Floats) -> Floats:
        """Return the features of the candidates of some episodes, (e, K, F) in [0, 1].

        Args:
            which: e episodes.
            vectors: Unit vectors of their candidates, (e, K, D).
        """
        names = RELATIONS if self._ridge else COSINES
        out = np.empty((*vectors.shape[:2], len(names)), np.float32)
        for count, part, at in self._groups(which):
            if self._ridge:
                rows, scale = self._rows[part, : 4 + 2 * count], self._scale[part].transpose(2, 0, 1)
                features = relate(rows, scale, self._penalty[:count, part], vectors[at])
                out[at] = features.transpose(1, 2, 0)
            else:
                out[at] = compare(self._rows[part], self._scale[part], vectors[at])
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


def compare(rows: Floats, scale: Floats, vectors: Floats) -> Floats:
    """Return the features ``COSINES`` in [0, 1], (..., K, 3).

    Args:
        rows: Sums of an episode, (..., 3, D).
        scale: 1 / length of each, (..., 1, 3).
        vectors: Unit vectors of the candidates, (..., K, D).
    """
    products = np.matmul(vectors, rows.swapaxes(-1, -2))
    products *= scale
    out: Floats = np.matmul(_centring(vectors.shape[-2]), products)
    out += _HALF
    return out


def relate(rows: Floats, scale: Floats, penalty: Floats, vectors: Floats) -> Floats:
    """Return the features ``RELATIONS`` in [0, 1], (7, ..., K); the leading axes are none or the episodes.

    Args:
        rows: Of an episode with n labels, (..., 4 + 2 n, D).
        scale: 1 / length of the first three, and 1, (4, ..., 1).
        penalty: 0 for positives and -4 for others, (n, ..., 1).
        vectors: Unit vectors of the candidates, (..., K, D).
    """
    shape = (*vectors.shape[:-2], vectors.shape[-2])
    products = np.empty((rows.shape[-2], *shape), np.float32)
    np.matmul(rows, vectors.swapaxes(-1, -2), out=_rows_last(products))
    out, lifted = np.empty((7, *shape), np.float32), np.empty((LIFTED, *shape), np.float32)
    cosines, shares = products[4::2], products[5::2]
    np.multiply(products[:4], scale, out=lifted[:4])
    np.maximum.reduce(cosines, 0, out=lifted[5], initial=-1)
    cosines += penalty
    np.maximum.reduce(cosines, 0, out=lifted[4], initial=-1)
    np.matmul(_rows_last(lifted), _centring(shape[-1]), out=_rows_last(out[:LIFTED]))
    out[:LIFTED] += _HALF
    ridge = out[3]
    np.minimum(np.maximum(ridge, _NONE, out=ridge), _ONE, out=ridge)
    across = shares.T  # (K, ..., n): one dot product for each candidate
    squares = np.matmul(across[..., None, :], across[..., None])[..., 0, 0].T
    np.sqrt(np.subtract(_ONE, squares, out=out[6]), out=out[6])  # of at least 1 / (1 + n), but for rounding
    return out


def _rows_last(rows: Floats) -> Floats:
    """View (rows, ..., K) as (..., rows, K)."""
    return rows if rows.ndim == 2 else rows.swapaxes(0, -2)


def extend(known: Floats, vectors: Floats, labels: Floats) -> tuple[Floats, Floats]:
    """Update the ridge posterior with a label: u = P z / sqrt(noise + z P z), P = I - sum u u^T.

    Args:
        known: Weights, z and u of each label so far, (..., 1 + 2 n, D).
        vectors: Unit vector z of the new image, (..., D).
        labels: 1 if it has the class, else 0, (..., 1).

    Returns:
        New weights (..., D), and u (..., D).
    """
    products = np.matmul(known, vectors[..., None])
    shares = products[..., 2::2, :]
    across = shares.swapaxes(-1, -2)
    deviation = np.sqrt(_NOISE + (_ONE - np.matmul(across, shares)[..., 0]))
    u = (vectors - np.matmul(across, known[..., 2::2, :])[..., 0, :]) / deviation
    return known[..., 0, :] + u * ((labels - products[..., 0, :]) / deviation), u


def raw(vectors: Floats) -> Floats:
    """Return unit vectors (..., D) as features (..., DIMENSIONS) in [0, 1]."""
    out = np.full((*vectors.shape[:-1], DIMENSIONS), 0.5, np.float32)
    out[..., : vectors.shape[-1]] += _HALF * vectors
    return out.clip(0, 1, out=out)


_ONE, _HALF, _NONE = (np.full(1, value, np.float32) for value in (1, 0.5, 0))
_NOISE = np.full(1, STRENGTH, np.float32)
_LABEL, _PENALTY = np.array([[0], [1]], np.float32), np.array([[-4], [0]], np.float32)


@cache
def _centring(candidates: int) -> Floats:
    """Return the matrix that subtracts the mean over K candidates and divides by 4, (K, K)."""
    return ((np.eye(candidates) - 1 / candidates) / 4).astype(np.float32)
