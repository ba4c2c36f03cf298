"""What a miner sees of candidates: how they relate to the labelled images.

A reconstruction (MiSiCAL-style): relations between vectors transfer to other classes and images, raw vectors memorise.

An episode keeps rows of length D: a vector u for each label, with which the covariance of the ridge weights is
I - sum u u^T; the prototypes and the weights; and the vector z of each label. One matrix product of these rows with the
candidates gives all features, and a label costs one row: a rank-one update that never forms the D x D matrix. The rows
grow from the middle, u to the front and z to the back, so that those of any number of labels lie side by side:

    u of the last label, ..., u of the first | prototypes (3), weights, three places | z of positives, z of the others

``Relation`` is one episode, ``Relations`` are E at once; they share the last steps. Episodes of equally many labels are
computed together, each in matrix products of its own whose shapes depend on that episode alone, and numbers that are
not vectors are computed in double precision. So the numbers of an episode are the same, bit for bit, whatever others
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
WEIGHTS, NEAREST_POSITIVE, NEAREST, DEVIATION = range(len(COSINES), len(RELATIONS))
"""Places of the others among ``RELATIONS``, and in the middle of the rows. The last three rows there are 0: they make
room in a product for the largest cosines and the deviation."""
MIDDLE = len(RELATIONS)
"""Rows there."""
DIMENSIONS = 64
"""Width of raw vectors in an observation; shorter ones are filled up."""
STRENGTH = 1.0
"""Of the ridge: the variance of a label's noise in units of the prior variance of a weight.

Labels are 1 with the class and 0 without. Measured on the mixture, +1 and -1 mine half as much: most labels are
negative, and their sum drowns the few positives.
"""
TINY = 1e-12
"""Squared length below which a sum of vectors has no direction."""
CHUNK = 128
"""Episodes computed at once, so that what is in the making stays in the cache."""
SMALL = 75_000
"""Multiplications in one product, at most: beyond some 77,000 OpenBLAS has another way, which takes a third longer."""

Floats = NDArray[np.float32]


class Relation:
    """What one episode has labelled, and how candidates relate to it.

    Args:
        labels: Images that it labels, at most.
        dimensions: Length D of a vector.
        ridge: Whether to compute all of ``RELATIONS`` instead of ``COSINES``.
    """

    def __init__(self, labels: int, dimensions: int, ridge: bool) -> None:
        self._rows = np.zeros((2 * labels + MIDDLE, dimensions) if ridge else (3, dimensions), np.float32)
        self._middle = labels if ridge else 0
        self._sums = np.zeros((3, dimensions), np.float32)
        self._ridge, self._count, self._positives = ridge, 0, 0
        self._factor = np.zeros((), np.float32)  # NumPy takes half as long over it as over a float of Python

    def clear(self) -> None:
        """Forget everything."""
        self._rows[self._middle : self._middle + MIDDLE] = 0
        self._sums.fill(0)
        self._count = self._positives = 0

    def learn(self, vector: Floats, positive: bool) -> None:
        """Add one labelled image: its unit vector (D,), and whether it has the class."""
        kind, rows, middle = 1 if positive else 2, self._rows, self._middle
        total = self._sums[kind]
        total += vector
        self._factor[()] = 1 / sqrt(max(float(total.dot(total)), TINY))
        np.multiply(total, self._factor, rows[middle + kind])
        if not self._ridge:
            return
        count, end = self._count, middle + MIDDLE
        self._extend(vector, float(positive))
        last = first = end + count
        if positive:  # the first of the others makes room: their order does not matter to a maximum
            first = end + self._positives
            rows[last] = rows[first]
            self._positives += 1
        rows[first] = vector
        self._count = count + 1

    @property
    def sought(self) -> Floats:
        """The prototype of all positives, (D,): of length 1, or 0 if there is none yet."""
        return self._rows[self._middle + 1]

    def freeze(self) -> None:
        """Take the present positives as the fixed prototype."""
        self._rows[self._middle] = self._rows[self._middle + 1]

    def look(self, vectors: Floats) -> Floats:
        """Return the features of candidates with unit vectors (K, D): (K, F) in [0, 1]."""
        if not self._ridge:
            return compare(self._rows, vectors)
        count = self._count
        rows = self._rows[self._middle - count : self._middle + MIDDLE + count]
        products = np.empty((len(rows), len(vectors)), np.float32)
        for cut in parts(len(rows), *vectors.shape):
            rows[cut].dot(vectors.T, products[cut])
        # without any label the nearest one is as far as can be: -1
        cosines = products[count + MIDDLE :]
        np.maximum.reduce(cosines[: self._positives], 0, out=products[count + NEAREST_POSITIVE], initial=-1)
        np.maximum.reduce(cosines, 0, out=products[count + NEAREST], initial=-1)
        return describe(products, count).T

    def _extend(self, vector: Floats, label: float) -> None:
        """Update the ridge posterior, see ``extend``."""
        count, middle = self._count, self._middle
        before = self._rows[middle - count : middle]
        products = self._rows[middle - count : middle + WEIGHTS + 1].dot(vector)
        shares = products[:count]
        # z P z = 1 - |shares|^2 for unit vectors z, so that the matrix P is never formed
        deviation = sqrt(STRENGTH + (1 - float(shares.dot(shares))))
        u, weights = self._rows[middle - count - 1], self._rows[middle + WEIGHTS]
        np.subtract(vector, shares.dot(before), u)
        self._factor[()] = 1 / deviation
        u *= self._factor
        self._factor[()] = (label - float(products[-1])) / deviation
        weights += u * self._factor


class Relations:
    """What E episodes have labelled, and how candidates relate to it: a ``Relation`` with a leading axis.

    Args:
        episodes: E.
        candidates: K, at least 2 (of sums over one column NumPy changes the order).
        labels: Images that an episode labels, at most.
        dimensions: Length D of a vector.
        ridge: Whether to compute all of ``RELATIONS`` instead of ``COSINES``.
    """

    def __init__(self, episodes: int, candidates: int, labels: int, dimensions: int, ridge: bool) -> None:
        self._rows = np.zeros((episodes, 2 * labels + MIDDLE if ridge else 3, dimensions), np.float32)
        self._middle = labels if ridge else 0
        self._sums = np.zeros((episodes, 3, dimensions), np.float32)
        # -4 where the label is no positive; for each candidate, as adding rows of equal length is ten times as fast
        self._penalty = np.zeros((labels, episodes, candidates) if ridge else 0, np.float32)
        self._ridge, self._numbers = ridge, np.arange(episodes)
        self._count, self._positives = np.zeros((2, episodes), np.int64)
        self._last: tuple[Floats, NDArray[np.bool_]] | None = None
        """Labels of all episodes that the next look is to learn: it reads the same rows, and memory is slow."""

    def clear(self, which: Rows) -> None:
        """Forget everything about some episodes."""
        self._catch_up()
        self._rows[which, self._middle : self._middle + MIDDLE] = 0
        self._sums[which] = 0
        self._count[which] = self._positives[which] = 0

    def learn(self, which: Rows, vectors: Floats, positive: NDArray[np.bool_]) -> None:
        """Add one labelled image to each of some episodes.

        Args:
            which: e episodes, none of them twice.
            vectors: Unit vectors (e, D).
            positive: Whether the image has the class, (e,).
        """
        self._catch_up()
        episode, kind, middle = self._numbers[which], np.where(positive, 1, 2), self._middle
        total = self._sums[episode, kind] + vectors
        self._sums[episode, kind] = total
        square = np.matmul(total[:, None, :], total[:, :, None])[:, 0].astype(np.float64)
        self._rows[episode, middle + kind] = total * (1 / np.sqrt(np.maximum(square, TINY))).astype(np.float32)
        if not self._ridge:
            return
        self._append(episode, vectors, positive)
        if isinstance(which, slice):
            self._last = vectors, positive
            return
        for count, part, at in self._groups(which):
            self._extend(count, part, vectors[at], positive[at])

    def sought(self, which: Rows) -> Floats:
        """Return the prototypes of all positives of some episodes, (e, D), see ``Relation.sought``."""
        return self._rows[which, self._middle + 1]

    def freeze(self, which: Rows) -> None:
        """Take the present positives of some episodes as their fixed prototype."""
        self._rows[which, self._middle] = self._rows[which, self._middle + 1]

    def look(self, which: Rows, table: Floats, images: NDArray[np.int64]) -> Floats:
        """Return the features of the candidates of some episodes, (e, K, F) in [0, 1].

        Args:
            which: e episodes.
            table: Unit vectors of all images, (n, D).
            images: Their candidates, (e, K).
        """
        if not isinstance(which, slice):
            self._catch_up()
        last, self._last = self._last, None
        names = RELATIONS if self._ridge else COSINES
        out = np.empty((*images.shape, len(names)), np.float32)
        for count, part, at in self._groups(which):
            vectors = table.take(images[at], 0)
            if not self._ridge:
                out[at] = compare(self._rows[part], vectors)
                continue
            if last:
                self._extend(count, part, last[0][at], last[1][at])
            rows = self._rows[part, self._middle - count : self._middle + MIDDLE + count]
            positives = int(self._positives[part].max())
            out[at] = relate(rows, self._penalty[:positives, part], vectors).swapaxes(1, 2)
        return out

    def _catch_up(self) -> None:
        """Learn what the next look was to learn."""
        last, self._last = self._last, None
        if last:
            for count, part, at in self._groups(slice(None)):
                self._extend(count, part, last[0][at], last[1][at])

    def _extend(self, count: int, part: Rows, vectors: Floats, positive: NDArray[np.bool_]) -> None:
        """Update the ridge posteriors of episodes with equally many labels by the last of these, see ``extend``."""
        first, weights = self._middle - count, self._middle + WEIGHTS
        known = self._rows[part, first + 1 : weights + 1]
        self._rows[part, first], self._rows[part, weights] = extend(known, vectors, positive)

    def _append(self, episode: NDArray[np.int64], vectors: Floats, positive: NDArray[np.bool_]) -> None:
        """Put the vectors last; a positive changes places with the first label that is none."""
        first, last = self._middle + MIDDLE, self._count[episode]
        self._rows[episode, first + last] = vectors
        self._penalty[last, episode] = -4
        self._count[episode] += 1
        episode, last = episode[positive], last[positive]
        place = self._positives[episode]
        self._rows[episode, first + last] = self._rows[episode, first + place]
        self._rows[episode, first + place] = vectors[positive]
        self._penalty[place, episode] = 0
        self._positives[episode] += 1

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


def compare(rows: Floats, vectors: Floats) -> Floats:
    """Return the features ``COSINES`` in [0, 1], (..., K, 3).

    Args:
        rows: Prototypes of an episode, (..., 3, D).
        vectors: Unit vectors of the candidates, (..., K, D).
    """
    products = np.matmul(vectors, rows.swapaxes(-1, -2))
    out: Floats = np.matmul(_centring(vectors.shape[-2]), products)
    out += _HALF
    return out


def relate(rows: Floats, penalty: Floats, vectors: Floats) -> Floats:
    """Return the features ``RELATIONS`` of e episodes in [0, 1], (e, 7, K).

    Args:
        rows: Of episodes with n labels each, (e, 2 n + 7, D).
        penalty: 0 for positives and -4 for others, (positives at most, e, K).
        vectors: Unit vectors of the candidates, (e, K, D).
    """
    count, products = (rows.shape[1] - MIDDLE) // 2, np.empty((rows.shape[1], *vectors.shape[:2]), np.float32)
    for cut in parts(rows.shape[1], *vectors.shape[1:]):
        np.matmul(rows[:, cut], vectors.swapaxes(1, 2), out=products[cut].swapaxes(0, 1))
    cosines = products[count + MIDDLE :]
    np.maximum.reduce(cosines, 0, out=products[count + NEAREST], initial=-1)
    positive = cosines[: len(penalty)]
    positive += penalty
    np.maximum.reduce(positive, 0, out=products[count + NEAREST_POSITIVE], initial=-1)
    return describe(products, count)


@cache
def parts(rows: int, candidates: int, dimensions: int) -> list[slice]:
    """Cut the rows of a product with (candidates, dimensions) into parts of ``SMALL`` multiplications at most."""
    number = min(-(-rows * candidates * dimensions // SMALL), rows)
    return [slice(rows * i // number, rows * (i + 1) // number) for i in range(number)]


def describe(products: Floats, count: int) -> Floats:
    """Return the features ``RELATIONS`` in [0, 1], (..., 7, K); the leading axes are none or the episodes.

    Args:
        products: Of the rows of an episode with the candidates, (2 n + 7, ..., K), with the largest cosines in place;
            overwritten.
        count: Number n of labels.
    """
    shares, middle = products[:count], products[count : count + MIDDLE]
    centring = _centring(products.shape[-1])
    out = middle.dot(centring) if middle.ndim == 2 else np.matmul(middle.swapaxes(0, 1), centring)
    out += _HALF
    ridge, deviation = out[..., WEIGHTS, :], out[..., DEVIATION, :]
    np.minimum(np.maximum(ridge, _NONE, out=ridge), _ONE, out=ridge)
    np.multiply(shares, shares, shares)
    np.add.reduce(shares, 0, out=deviation)
    np.sqrt(np.subtract(_ONE, deviation, deviation), deviation)  # of at least 1 / (1 + n), but for rounding
    return out


def extend(known: Floats, vectors: Floats, positive: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Update the ridge posterior with a label: u = P z / sqrt(noise + z P z), P = I - sum u u^T.

    Args:
        known: u of each label so far, prototypes and weights, (e, n + 4, D).
        vectors: Unit vector z of the new image, (e, D).
        positive: Whether it has the class, (e,).

    Returns:
        u (e, D), and new weights (e, D).
    """
    products = np.matmul(known, vectors[..., None])
    shares = products[:, : -WEIGHTS - 1].swapaxes(1, 2)
    square = np.matmul(shares, shares.swapaxes(1, 2))[:, 0].astype(np.float64)
    # z P z = 1 - |shares|^2 for unit vectors z, so that the matrices P are never formed
    deviation = np.sqrt(STRENGTH + (1 - square))
    u = vectors - np.matmul(shares, known[:, : -WEIGHTS - 1])[:, 0]
    u *= (1 / deviation).astype(np.float32)
    step = ((positive[:, None] - products[:, -1].astype(np.float64)) / deviation).astype(np.float32)
    return u, known[:, -1] + u * step


def raw(vectors: Floats) -> Floats:
    """Return unit vectors (..., D) as features (..., DIMENSIONS) in [0, 1]."""
    out = np.full((*vectors.shape[:-1], DIMENSIONS), 0.5, np.float32)
    out[..., : vectors.shape[-1]] += _HALF * vectors
    return out.clip(0, 1, out=out)


# of no dimensions: NumPy takes twice as long over arrays of one
_ONE, _HALF, _NONE = (np.array(value, np.float32) for value in (1, 0.5, 0))


@cache
def _centring(candidates: int) -> Floats:
    """Return the matrix that subtracts the mean over K candidates and divides by 4, (K, K)."""
    return ((np.eye(candidates) - 1 / candidates) / 4).astype(np.float32)
