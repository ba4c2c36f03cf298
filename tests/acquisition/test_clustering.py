"""Weighted k-means, its start, and ProbCover's radius: cases by hand, and what a solution must satisfy."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alenv.acquisition import k_means_start, pure_radius, weighted_k_means


def test_weights_pull_the_centre():
    label, distance = weighted_k_means(np.array([[0.0], [1.0]]), np.array([1.0, 3.0]), 1)
    np.testing.assert_array_equal(label, [0, 0])
    np.testing.assert_allclose(distance, [0.75, 0.25])


def test_points_without_weight_belong_and_do_not_pull():
    label, distance = weighted_k_means(np.array([[0.0], [1.0], [9.0], [10.0]]), np.array([1.0, 0, 0, 1]), 2)
    assert label[0] == label[1] != label[2] == label[3]
    np.testing.assert_allclose(distance, [0, 1, 1, 0], atol=1e-12)


@given(st.integers(0, 2**32 - 1))
def test_a_solution_is_a_fixed_point(seed):
    """Every point is nearest to the weighted mean of its own cluster, and a repetition is the same."""
    rng = np.random.default_rng(seed)
    points, weights, k = rng.normal(size=(30, 3)), rng.random(30), int(rng.integers(1, 9))
    label, distance = weighted_k_means(points, weights, k)
    centres = {c: np.average(points[label == c], axis=0, weights=weights[label == c]) for c in set(label.tolist())}
    every = np.array([[np.linalg.norm(x - centre) for centre in centres.values()] for x in points])
    np.testing.assert_allclose(distance, every.min(1), atol=1e-9)
    np.testing.assert_allclose(distance, [np.linalg.norm(x - centres[c]) for x, c in zip(points, label, strict=True)])
    np.testing.assert_array_equal(weighted_k_means(points, weights, k)[0], label)


def test_no_more_clusters_than_points():
    assert weighted_k_means(np.ones((3, 2)), np.ones(3), 9)[0].max() < 3


@pytest.mark.parametrize(
    ("points", "weights", "k"),
    [
        (np.ones((0, 2)), np.ones(0), 1),
        (np.ones((3, 2)), np.ones(2), 1),
        (np.ones((3, 2)), np.ones(3), 0),
        (np.ones((3, 2)), -np.ones(3), 1),
        (np.full((3, 2), np.nan), np.ones(3), 1),
    ],
)
def test_what_cannot_be_clustered_is_an_error(points, weights, k):
    with pytest.raises(ValueError, match=r"expected points|must be finite"):
        weighted_k_means(points, weights, k)


def test_start_is_drawn_by_weight_times_squared_distance():
    """After point 0: chances 1 x 1 and 1/2 x 4 of the other two."""
    points, weights = np.array([[0.0], [1.0], [2.0]]), np.array([1e9, 1.0, 0.5])
    rng = np.random.default_rng(0)
    second = Counter(int(k_means_start(points, weights, 2, rng)[1]) for _ in range(3000))
    assert second[0] == 0
    assert second[2] / 3000 == pytest.approx(2 / 3, abs=0.03)


def test_radius_leaves_the_share_of_balls_pure():
    """Points at 0, 1, 3, 7 with labels a, a, b, b: the nearest of the other label is 3, 2, 2 and 6 away."""
    places = np.array([0.0, 1, 3, 7])
    distance = abs(places[:, None] - places)
    labels = np.array([0, 0, 1, 1])
    for purity, radius in [(1, 2), (0.75, 2), (0.5, 3), (0.25, 6)]:
        assert pure_radius(distance, labels, purity) == radius
        pure = [all(labels[j] == labels[i] for j in range(4) if distance[i, j] < radius) for i in range(4)]
        assert np.mean(pure) >= purity
    assert pure_radius(distance, np.zeros(4), 0.95) == np.inf
