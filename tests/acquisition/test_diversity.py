"""Choosing several at once: the golden picks, the same picks as by plain repetition, and the edges."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from alenv.acquisition import k_center, suppressed_top_k

FOLDER = Path(__file__).parents[1] / "golden"
GOLDEN = np.load(FOLDER / "acquisition.npz")
PICKS = json.loads((FOLDER / "suppressed_picks.json").read_text())


def plain_suppressed(score, k, radius, tie_breaker=None):
    """Arg-max, exclude, repeat."""
    left, picks = score.astype(float), []
    tie_breaker = np.zeros(score.shape) if tie_breaker is None else tie_breaker
    while len(picks) < k and left.size and left.max() > -np.inf:
        row, column = divmod(int(np.where(left == left.max(), tie_breaker, -np.inf).argmax()), score.shape[1])
        picks.append((row, column))
        left[max(row - radius, 0) : row + radius + 1, max(column - radius, 0) : column + radius + 1] = -np.inf
    return np.array(picks, int).reshape(-1, 2)


def plain_k_center(candidates, labelled, k, first):
    centres, picks = list(labelled), []
    for _ in range(k):
        if centres:
            nearest = [min(((x - c) ** 2).sum() for c in centres) for x in candidates]
            pick = max((i for i in range(len(candidates)) if i not in picks), key=lambda i: nearest[i])
        else:
            pick = first
        picks.append(pick)
        centres.append(candidates[pick])
    return picks


@pytest.mark.parametrize(
    ("name", "key"), [("ripu_score_k1", "ripu_k1_first_20"), ("cbda_region_score_k1", "cbda_region_k1_first_20")]
)
def test_golden_picks(name, key):
    picks = suppressed_top_k(GOLDEN[name], 20, 2)
    assert picks.dtype == np.int64
    np.testing.assert_array_equal(picks, PICKS[key])


def test_exhaustion_returns_fewer():
    assert len(suppressed_top_k(GOLDEN["ripu_score_k1"], 1000, 2)) == PICKS["exhausted_k1_count"]


few_values = st.sampled_from([-np.inf, -1.0, 0.0, 0.25, 1.0])


@given(
    arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=few_values),
    st.integers(0, 30),
    st.integers(0, 3),
)
def test_picks_are_those_of_repeated_arg_max(score, k, radius):
    """Few distinct values, so that ties decide."""
    picks = suppressed_top_k(score, k, radius)
    assert picks.shape == (len(picks), 2)
    np.testing.assert_array_equal(picks, plain_suppressed(score, k, radius))


@given(st.data(), st.integers(0, 30), st.integers(0, 3))
def test_ties_go_to_the_second_map_and_then_to_the_first_in_rows(data, k, radius):
    shape = data.draw(array_shapes(min_dims=2, max_dims=2, max_side=9))
    score = data.draw(arrays(np.float64, shape, elements=few_values))
    second = data.draw(arrays(np.float64, shape, elements=st.sampled_from([0.0, 1.0, 2.0])))
    picks = suppressed_top_k(score, k, radius, second)
    np.testing.assert_array_equal(picks, plain_suppressed(score, k, radius, second))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("k", "radius"), [(1, 0), (40, 2), (400, 3), (100, 32), (10**6, 6)])
@pytest.mark.parametrize("kind", ["white", "smooth", "ties"])
def test_large_maps_of_which_only_a_part_is_sorted(kind, k, radius, dtype):
    rng = np.random.default_rng(0)
    score = rng.random((300, 400)).astype(dtype)
    if kind == "smooth":
        score = np.outer(np.hanning(300), np.hanning(400)).astype(dtype)
    if kind == "ties":
        score = np.floor(4 * score) / 4
    score[100:120] = -np.inf
    np.testing.assert_array_equal(suppressed_top_k(score, k, radius), plain_suppressed(score, k, radius))


def test_the_map_stays_as_it_is():
    score = GOLDEN["ripu_score_k1"].copy()
    suppressed_top_k(score, 20, 2)
    np.testing.assert_array_equal(score, GOLDEN["ripu_score_k1"])


def test_nothing_to_pick():
    assert suppressed_top_k(np.full((3, 4), -np.inf), 5, 1).shape == (0, 2)
    assert suppressed_top_k(np.zeros((3, 4)), 0, 1).shape == (0, 2)
    assert suppressed_top_k(np.zeros((0, 4)), 3, 1).shape == (0, 2)


def test_the_least_finite_score_is_still_picked():
    score = np.array([[-np.inf, np.finfo(np.float32).min, 1.0]], np.float32)
    np.testing.assert_array_equal(suppressed_top_k(score, 3, 0), [[0, 2], [0, 1]])


def test_infinity_comes_first_and_integers_are_scores():
    np.testing.assert_array_equal(suppressed_top_k(np.array([[1.0, 2.0, np.inf]]), 2, 0), [[0, 2], [0, 1]])
    np.testing.assert_array_equal(suppressed_top_k(np.array([[1, 0, 7]], np.uint8), 3, 0), [[0, 2], [0, 0], [0, 1]])


@pytest.mark.parametrize(
    ("score", "k", "radius", "second", "message"),
    [
        (np.array([[1.0, np.nan]]), 1, 1, None, "NaN among the scores"),
        (np.ones((1, 2)), 1, 1, np.array([[1.0, np.nan]]), "NaN among the scores"),
        (np.ones((1, 2)), 1, 1, np.ones((2, 1)), r"tie_breaker has shape \(2, 1\), but score has \(1, 2\)"),
        (np.ones(3), 1, 1, None, r"a score \(height, width\), got 1, 1, \(3,\)"),
        (np.ones((1, 2)), -1, 1, None, "expected k >= 0"),
        (np.ones((1, 2)), 1, -1, None, "radius >= 0"),
    ],
)
def test_wrong_maps_are_errors(score, k, radius, second, message):
    with pytest.raises(ValueError, match=message):
        suppressed_top_k(score, k, radius, second)


@given(st.data(), st.integers(1, 9), st.integers(0, 4), st.integers(1, 3), st.integers(0, 99))
def test_k_center_is_its_definition(data, n, m, dimensions, seed):
    """On a coarse grid, so that ties and duplicates occur."""
    feature = st.integers(-2, 2).map(float)
    candidates = data.draw(arrays(np.float64, (n, dimensions), elements=feature))
    labelled = data.draw(arrays(np.float64, (m, dimensions), elements=feature))
    k = data.draw(st.integers(0, n))
    picks = k_center(candidates, labelled, k, np.random.default_rng(seed))
    assert picks.dtype == np.int64
    first = int(np.random.default_rng(seed).integers(n))
    assert picks.tolist() == plain_k_center(candidates, labelled, k, first)


def test_k_center_draws_only_where_nothing_is_labelled():
    candidates, rng = np.random.default_rng(0).normal(size=(20, 3)), np.random.default_rng(1)
    k_center(candidates, candidates[:1], 5, rng)
    assert rng.random() == np.random.default_rng(1).random()
    firsts = {k_center(candidates, np.empty((0, 3)), 1, np.random.default_rng(seed)).item() for seed in range(200)}
    assert firsts == set(range(20))


def test_k_center_of_all_is_a_permutation_even_of_duplicates():
    picks = k_center(np.zeros((6, 2)), np.zeros((1, 2)), 6, np.random.default_rng(0))
    np.testing.assert_array_equal(picks, np.arange(6))


def test_k_center_is_exact_far_from_the_origin():
    """Squared norms less products would round these distances away."""
    candidates = 1e8 + np.array([[0.0], [0.25], [0.75]])
    np.testing.assert_array_equal(k_center(candidates, candidates[:1], 2, np.random.default_rng(0)), [2, 1])


def test_k_center_covers_within_twice_the_best_radius():
    points = np.concatenate([np.random.default_rng(c).normal(10 * c, 0.1, (30, 2)) for c in range(5)])
    picks = k_center(points, np.empty((0, 2)), 5, np.random.default_rng(0))
    assert sorted(picks // 30) == list(range(5))


@pytest.mark.parametrize(
    ("candidates", "labelled", "k", "message"),
    [
        (np.ones((3, 2)), np.ones((1, 2)), 4, "cannot pick 4 of 3 candidates"),
        (np.ones((3, 2)), np.ones((1, 2)), -1, "cannot pick -1 of 3"),
        (np.ones((3, 2)), np.ones((1, 3)), 1, r"labelled \(m, D\), got \(3, 2\) and \(1, 3\)"),
        (np.ones(3), np.ones((1, 3)), 1, r"expected candidates \(n, D\)"),
        (np.ones((3, 2)), np.empty(0), 1, r"got \(3, 2\) and \(0,\)"),
        (np.array([[np.nan]]), np.ones((1, 1)), 1, "features must be finite"),
        (np.array([[0, 1], [2, np.inf]]), np.ones((1, 2)), 1, "features must be finite"),
        (np.ones((3, 2)), np.array([[0, np.nan], [2, 3]]), 1, "features must be finite"),
        (np.ones((1, 1)), np.array([[np.inf]]), 1, "features must be finite"),
    ],
)
def test_wrong_features_are_errors(candidates, labelled, k, message):
    with pytest.raises(ValueError, match=message):
        k_center(candidates, labelled, k, np.random.default_rng(0))
