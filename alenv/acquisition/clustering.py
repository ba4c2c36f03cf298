"""Groups of candidates, and balls around them: CLUE's weighted k-means, k-means++ draws, ProbCover's radius."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

ITERATIONS = 50
"""After which k-means stops, wherever it is."""


def weighted_k_means(points: NDArray, weights: NDArray, k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Cluster points so that ``sum_i w_i |x_i - centre|^2`` is small: Lloyd's algorithm from k-means++.

    With the entropies of predictions for weights, and the points nearest to the centres picked, this is CLUE: Prabhu et
    al., "Active Domain Adaptation via Clustering Uncertainty-weighted Embeddings", ICCV 2021, arXiv 2010.08666.
    The start is drawn by a fixed seed, so the result is a function of the arguments. O(n k D) an iteration.

    Args:
        points: (n, D).
        weights: (n,), not negative.
        k: Number of clusters, at least 1; no more than there are points are made.

    Returns:
        Cluster of each point, (n,) in [0, k), and its distance to the weighted mean of the cluster, (n,).

    Raises:
        ValueError: If there is no point, a weight is negative, or something is not finite.
    """
    points, weights = np.asarray(points, np.float64), np.asarray(weights, np.float64)
    if points.ndim != 2 or weights.shape != points.shape[:1] or not k >= 1 or not len(points):
        raise ValueError(f"expected points (n, D), weights (n,) and k >= 1, got {points.shape}, {weights.shape}, {k}")
    if not (np.isfinite(points).all() and np.isfinite(weights).all() and weights.min() >= 0):
        raise ValueError("points must be finite and weights not negative")
    weights = weights + np.finfo(float).tiny  # no cluster is without weight
    centres = points[k_means_start(points, weights, min(k, len(points)), np.random.default_rng(0))]
    label = np.full(len(points), -1)
    for _ in range(ITERATIONS):
        distance = cdist(points, centres)
        before, label = label, distance.argmin(1)
        if (label == before).all():
            break
        share = (label[:, None] == np.arange(len(centres))) * weights[:, None]
        mass = share.sum(0)
        # a cluster that has lost all its points keeps its centre
        centres[mass > 0] = (share.T @ points)[mass > 0] / mass[mass > 0, None]
    return label, cdist(points, centres)[np.arange(len(points)), label]


def k_means_start(points: NDArray, weights: NDArray, k: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """k-means++: draw k points, each in proportion to its weight times the squared distance to those drawn before.

    Arthur and Vassilvitskii, "k-means++: The Advantages of Careful Seeding", SODA 2007.

    Args:
        points: (n, D).
        weights: (n,), positive.
        k: Number of points, at most n.
        rng: Draws.

    Returns:
        (k,) indices; they are distinct as long as there are points elsewhere than those drawn.
    """
    drawn = [int(rng.choice(len(points), p=weights / weights.sum()))]
    nearest = cdist(points, points[drawn], "sqeuclidean")[:, 0]
    while len(drawn) < k:
        chance = weights * nearest
        total = chance.sum()
        drawn.append(int(rng.choice(len(points), p=chance / total if total else weights / weights.sum())))
        np.minimum(nearest, cdist(points, points[drawn[-1:]], "sqeuclidean")[:, 0], out=nearest)
    return np.array(drawn)


def pure_radius(distance: NDArray, labels: NDArray, purity: float = 0.95) -> float:
    """Return the largest radius at which so many points have a ball of points with their own label alone.

    ProbCover's choice of its radius: Yehuda et al., "Active Learning Through a Covering Lens", NeurIPS 2022, arXiv
    2205.11320, there with clusters for labels. Balls are open: points at the radius lie outside.

    Args:
        distance: (n, n), symmetric.
        labels: (n,).
        purity: Share of the points.

    Returns:
        The radius; infinite if all labels are the same.
    """
    others = np.where(labels[:, None] == labels, np.inf, distance).min(1)  # up to there a ball is pure
    allowed = int((1 - purity) * len(labels) + 1e-9)  # balls that may be impure
    return float(np.sort(others)[min(allowed, len(others) - 1)])
