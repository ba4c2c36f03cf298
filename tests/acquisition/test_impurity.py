"""Region impurity and its class-balanced form: golden values, window by window by hand, and what must hold."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from kinds import GOLDEN, as_kind, kinds, modules

from alenv.acquisition import (
    box_mean,
    cbda,
    cbda_pixel,
    cbda_weights,
    entropy,
    region_impurity,
    region_uncertainty,
    ripu,
    ripu_pixel,
)

COUNTS = GOLDEN["cbda_class_counts"]
FUNCTIONS = {
    "ripu": ripu,
    "region_uncertainty": region_uncertainty,
    "region_impurity": region_impurity,
    "cbda region": lambda p, r=1: cbda(p, np.arange(p.shape[max(-3, -p.ndim)]), r),
    "cbda pixel": lambda p, r=1: cbda(p, np.arange(p.shape[max(-3, -p.ndim)]), r, granularity="pixel"),
}
functions = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)


@st.composite
def probabilities(draw, dims=None):
    """Float64 (..., C, H, W) in which no two classes are as probable."""
    least, most = (3, 5) if dims is None else (dims, dims)
    shape = draw(array_shapes(min_dims=least, max_dims=most, min_side=1, max_side=6))
    raw = np.random.default_rng(draw(st.integers(0, 2**32))).random(shape) ** 4
    return raw / raw.sum(-3, keepdims=True)


def window(array, row, column, radius):
    return array[..., max(row - radius, 0) : row + radius + 1, max(column - radius, 0) : column + radius + 1]


def one_hot(labels, classes):
    """Certain probabilities, as certain as float32 has them: zeros and ones."""
    return (np.arange(classes)[:, None, None] == labels).astype(np.float32)


@kinds
@pytest.mark.parametrize("radius", [1, 3])
def test_golden_values(radius, kind):
    probs = as_kind(GOLDEN["probs"], kind)
    for name, score in {
        "ripu_uncertainty": region_uncertainty(probs, radius),
        "ripu_impurity": region_impurity(probs, radius),
        "ripu_score": ripu(probs, radius),
        "cbda_region_score": cbda(probs, COUNTS, radius),
        "cbda_pixel_score": cbda(probs, COUNTS, radius, granularity="pixel"),
    }.items():
        assert score.dtype == kind
        exact = 1e-11 if kind in (np.float64, torch.float64) else 1e-6
        np.testing.assert_allclose(np.asarray(score), GOLDEN[f"{name}_k{radius}"], rtol=0, atol=exact)


def test_golden_weights():
    np.testing.assert_allclose(cbda_weights(COUNTS), GOLDEN["cbda_class_weights"], rtol=1e-12)


@modules
@given(
    arrays(np.float64, array_shapes(min_dims=2, max_dims=4, max_side=7), elements=st.floats(-9, 9)), st.integers(0, 9)
)
def test_box_mean_divides_by_the_true_window(module, maps, radius):
    result = np.asarray(box_mean(module(maps), radius))
    assert result.shape == maps.shape
    for row, column in np.ndindex(maps.shape[-2:]):
        expected = window(maps, row, column, radius).mean((-2, -1))
        np.testing.assert_allclose(result[..., row, column], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [np.float32, torch.float32], ids=str)
def test_box_mean_of_float32_is_summed_in_float64(kind):
    maps = 1e4 + np.random.default_rng(0).random((300, 400))
    result = box_mean(as_kind(maps, kind), 2)
    assert result.dtype == kind
    np.testing.assert_allclose(np.asarray(result), box_mean(np.float32(maps).astype(float), 2), rtol=1e-7)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64])
def test_box_mean_of_integers_is_float64(dtype):
    maps = np.eye(4, dtype=dtype)
    for result in (box_mean(maps, 1), box_mean(torch.tensor(maps), 1)):
        assert str(result.dtype).endswith("float64")
        np.testing.assert_array_equal(result, box_mean(np.eye(4), 1))


@given(probabilities(dims=3), st.integers(0, 4))
def test_factors_are_their_formulas(probs, radius):
    classes = probs.shape[0]
    unit = np.log(max(classes, 2))
    labels, pixels = probs.argmax(0), entropy(probs)
    impurity, uncertainty = region_impurity(probs, radius), region_uncertainty(probs, radius)
    for row, column in np.ndindex(labels.shape):
        counts = np.bincount(window(labels, row, column, radius).ravel(), minlength=classes)
        share = counts[counts > 0] / counts.sum()
        assert impurity[row, column] == pytest.approx(-(share * np.log(share)).sum() / unit, abs=1e-12)
        mean = window(pixels, row, column, radius).mean()
        assert uncertainty[row, column] == pytest.approx(mean / unit, abs=1e-12)
    np.testing.assert_allclose(ripu(probs, radius), impurity * uncertainty, rtol=0, atol=1e-15)


@kinds
@given(labels=arrays(np.int64, (9, 8), elements=st.integers(0, 2)), doubt=st.floats(0, 0.6), radius=st.integers(0, 2))
def test_pure_windows_are_exactly_zero_and_never_outrank_others(kind, labels, doubt, radius):
    labels[:, :5] = 1
    probs = as_kind((1 - doubt) * one_hot(labels, 3) + doubt / 3, kind)
    score = np.asarray(ripu(probs, radius))
    pure = np.array([np.ptp(window(labels, *at, radius)) == 0 for at in np.ndindex(labels.shape)]).reshape(9, 8)
    assert (score[pure] == 0).all()
    if doubt > 0.01:
        assert (score[~pure] > 0).all()


@pytest.mark.parametrize("name", FUNCTIONS)
@kinds
@given(probs=probabilities(), radius=st.integers(0, 3))
def test_bounds_and_kind(name, kind, probs, radius):
    given_probs = as_kind(probs, kind)
    score = FUNCTIONS[name](given_probs, radius)
    assert type(score) is type(given_probs)
    assert score.dtype == kind
    np.testing.assert_array_equal(given_probs, as_kind(probs, kind))
    values = np.asarray(score)
    assert values.shape == probs.shape[:-3] + probs.shape[-2:]
    assert (values >= 0).all()
    assert (values <= (probs.shape[-3] if "cbda" in name else 1) + 1e-6).all()


@modules
@pytest.mark.parametrize("radius", [8, 40])
def test_large_windows(module, radius):
    """Of more pixels than a byte counts, and larger than the map."""
    probs = GOLDEN["probs"]
    labels, impurity = probs.argmax(0), np.asarray(region_impurity(module(probs), radius))
    for row, column in np.ndindex(labels.shape):
        share = np.bincount(window(labels, row, column, radius).ravel(), minlength=7).clip(1e-300)
        expected = -(share / share.sum() * np.log(share / share.sum())).sum() / np.log(7)
        assert impurity[row, column] == pytest.approx(expected, abs=1e-12)


@modules
def test_a_probability_rounded_above_one_is_no_negative_doubt(module):
    probs = module((1 + 1e-6) * one_hot(np.zeros((3, 4), int), 2))
    assert (region_uncertainty(probs, 1) == 0).all()
    assert (ripu(probs, 1) == 0).all()


def test_both_factors_of_an_even_mixture_are_one():
    probs = np.full((2, 2, 2), 0.5) + 1e-9 * np.array([[[1, -1], [1, -1]], [[-1, 1], [-1, 1]]])
    np.testing.assert_allclose(ripu(probs, 1), 1, atol=1e-12)


@given(probabilities(), st.data())
def test_names_of_the_classes_do_not_matter(probs, data):
    order = data.draw(st.permutations(range(probs.shape[-3])))
    counts = np.array(data.draw(st.lists(st.integers(0, 9), min_size=len(order), max_size=len(order))))
    permuted = probs[..., order, :, :]
    np.testing.assert_allclose(ripu(permuted), ripu(probs), rtol=0, atol=1e-12)
    np.testing.assert_allclose(cbda(permuted, counts[order]), cbda(probs, counts), rtol=0, atol=1e-12)


@pytest.mark.parametrize("granularity", ["region", "pixel"])
@pytest.mark.parametrize("weight", ["invlog", "inv", "inv_sqrt", "exp"])
@given(probs=probabilities(), count=st.integers(0, 50))
def test_equal_counts_balance_nothing(granularity, weight, probs, count):
    counts = np.full(probs.shape[-3], count)
    np.testing.assert_allclose(cbda(probs, counts, 1, weight, granularity), ripu(probs, 1), rtol=1e-12, atol=1e-15)


@given(probabilities(dims=3), st.integers(0, 3))
def test_pixel_mode_is_the_pixels_own_entropy_times_the_impurity_of_its_window(probs, radius):
    counts = np.arange(probs.shape[0]) ** 3
    expected = entropy(probs) * region_impurity(probs, radius)
    np.testing.assert_allclose(ripu_pixel(probs, radius), expected, rtol=1e-12, atol=1e-15)
    weighted = expected * cbda_weights(counts)[probs.argmax(0)]
    np.testing.assert_allclose(cbda_pixel(probs, counts, radius), weighted, rtol=1e-12, atol=1e-15)
    whole = entropy(probs) * region_impurity(probs, 32)
    np.testing.assert_allclose(ripu_pixel(probs), whole, rtol=1e-12, atol=1e-15)


@given(probabilities(dims=3), st.integers(0, 3))
def test_region_weight_is_the_mean_over_the_window_and_pixel_weight_its_own(probs, radius):
    counts = np.arange(probs.shape[0]) ** 3
    weights = cbda_weights(counts)[probs.argmax(0)]
    score = ripu(probs, radius)
    region, pixel = cbda(probs, counts, radius), cbda(probs, counts, radius, granularity="pixel")
    np.testing.assert_allclose(pixel, score * weights, rtol=1e-12, atol=1e-15)
    for row, column in np.ndindex(weights.shape):
        expected = score[row, column] * window(weights, row, column, radius).mean()
        assert region[row, column] == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("weight", "formula"),
    [
        ("invlog", lambda f: 1 / np.log(1.01 + f)),
        ("inv", lambda f: 1 / np.maximum(f, 1e-4)),
        ("inv_sqrt", lambda f: 1 / np.sqrt(np.maximum(f, 1e-4))),
        ("exp", lambda f: np.exp(-f)),
    ],
)
def test_weights_are_their_formulas(weight, formula):
    counts = np.array([700, 200, 99, 1, 0])
    expected = formula(counts / 1000)
    np.testing.assert_allclose(cbda_weights(counts, weight), expected / expected.mean(), rtol=1e-12)


@pytest.mark.parametrize("weight", ["invlog", "inv", "inv_sqrt", "exp"])
@given(counts=arrays(np.int64, st.integers(1, 12), elements=st.integers(0, 10**9)), data=st.data())
def test_more_labels_never_raise_a_weight(weight, counts, data):
    before = cbda_weights(counts, weight)
    assert before.mean() == pytest.approx(1)
    assert np.isfinite(before).all()
    c = data.draw(st.integers(0, len(counts) - 1))
    counts[c] += data.draw(st.integers(1, 10**9))
    assert cbda_weights(counts, weight)[c] <= before[c] + 1e-12


@pytest.mark.parametrize("weight", ["invlog", "inv", "inv_sqrt", "exp"])
def test_weights_before_any_label_are_one(weight):
    np.testing.assert_array_equal(cbda_weights(np.zeros(5), weight), np.ones(5))


@pytest.mark.parametrize("function", [*FUNCTIONS.values(), box_mean], ids=[*FUNCTIONS, "box_mean"])
def test_a_negative_radius_is_an_error(function):
    with pytest.raises(ValueError, match="expected a radius >= 0"):
        function(np.full((3, 4, 5), 1 / 3), -1)


def test_a_row_is_no_map():
    with pytest.raises(ValueError, match=r"maps \(..., height, width\), got 1 and \(4,\)"):
        box_mean(np.ones(4), 1)


def test_unknown_names_are_errors():
    with pytest.raises(ValueError, match="unknown weight 'invlogs'; did you mean 'invlog'"):
        cbda_weights(np.ones(3), "invlogs")
    with pytest.raises(ValueError, match="unknown granularity 'pixels'; did you mean 'pixel'"):
        cbda(np.full((3, 1, 1), 1 / 3), np.ones(3), granularity="pixels")
