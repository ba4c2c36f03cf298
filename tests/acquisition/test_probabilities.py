"""What counts as probabilities, for all functions alike: half precision, one-hot integers, and what is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given
from kinds import as_kind, kinds, modules, probabilities

from alenv import acquisition
from alenv.acquisition import SCORES

C = 11
MAPS = {
    **{name: getattr(acquisition, name) for name in ("entropy", "margin", "least_confidence", "ripu")},
    "region_impurity": acquisition.region_impurity,
    "region_uncertainty": acquisition.region_uncertainty,
    "class_balanced_entropy": lambda p: acquisition.class_balanced_entropy(p, counts(p)),
    "cbda region": lambda p: acquisition.cbda(p, counts(p)),
    "cbda pixel": lambda p: acquisition.cbda(p, counts(p), granularity="pixel"),
}
CHECKED = MAPS | {
    "bald": acquisition.bald,
    "balent": acquisition.balent,
    "power_bald": lambda p: acquisition.power_bald(p, np.random.default_rng(0)),
}
FUNCTIONS = CHECKED | {"predicted_class": lambda p: SCORES["predicted_class"].function(p)}  # an arg-max of anything
every = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
checked = pytest.mark.parametrize("function", CHECKED.values(), ids=CHECKED)
maps = pytest.mark.parametrize("function", MAPS.values(), ids=MAPS)


def counts(probs):
    """Labels of each class, as far as there is an axis of them."""
    return np.arange(probs.shape[max(-3, -probs.ndim)]) ** 2


def softmax(kind):
    """(4, C, 9, 8) of some half-precision type: in torch rounded once, in NumPy in every step."""
    logits = 2 * np.random.default_rng(0).normal(size=(4, C, 9, 8))
    if isinstance(kind, torch.dtype):
        return torch.tensor(logits).to(kind).log_softmax(1).exp()
    powers = np.exp(logits.astype(kind))
    return powers / powers.sum(1, keepdims=True)


def one_hot():
    labels = np.random.default_rng(1).integers(C, size=(4, 9, 8))
    return np.moveaxis(np.eye(C)[labels], -1, 1)


@every
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, np.float16], ids=str)
def test_half_precision_is_scored_as_what_it_means(function, kind):
    probs = softmax(kind)
    before = probs.copy() if kind is np.float16 else probs.clone()
    exact = np.asarray(torch.as_tensor(probs).double())
    sums = exact.sum(1, keepdims=True)
    assert abs(sums - 1).max() > (4e-3 if kind == torch.bfloat16 else 6e-4)
    score = function(probs)
    assert type(score) is type(probs)
    assert score.dtype.itemsize >= 4
    np.testing.assert_allclose(np.asarray(score), np.asarray(function(exact / sums)), rtol=1e-4, atol=1e-5)
    assert (probs == before).all()


@every
@modules
@pytest.mark.parametrize("kind", [np.uint8, np.int64, bool])
def test_one_hot_integers_are_certain(function, module, kind):
    exact = one_hot()
    score = function(module(exact.astype(kind)))
    assert type(score) is type(module(exact))
    np.testing.assert_array_equal(np.asarray(score), np.asarray(function(module(exact.astype(np.float32)))))


@checked
@modules
@pytest.mark.parametrize(
    ("probs", "message"),
    [
        (np.eye(C, dtype=int) * 2, "sums differ from one by up to 1, smallest value 0"),
        (1 - np.eye(C, dtype=np.uint8), f"by up to {C - 2}, smallest value 0"),
        (np.eye(C, dtype=int) - np.roll(np.eye(C, dtype=int), 1, 0) + np.roll(np.eye(C, dtype=int), 2, 0), "value -1"),
        (np.zeros((C, C), bool), "by up to 1, smallest value 0"),
        (np.full((C, C), 1.1 / C, np.float16), "by up to 0.0997, smallest value 0.1"),
        (np.full((C, C), np.nan, np.float16), "by up to nan, smallest value nan"),
        (np.full((C, C), np.inf, np.float16), "by up to inf"),
        (np.full((C, C), 1.002 / C, np.float32), "by up to 0.002, smallest value 0.0911"),
        (np.full((C, C), 0.998 / C), "by up to 0.002, smallest value 0.0907"),
        (np.full((C, C), 1 / C, complex), "complex128; convert it to float32"),
    ],
    ids=["two", "all but one", "negative", "none", "half sum", "half nan", "half inf", "float32", "float64", "complex"],
)
def test_everything_else_is_refused_with_its_value(function, module, probs, message):
    with pytest.raises(ValueError, match=message):
        function(module(np.stack([probs[..., None]] * 2)))


@checked
@modules
@pytest.mark.parametrize("value", [1.01, np.nan, -0.01])
def test_one_wrong_pixel_is_enough(function, module, value):
    probs = np.full((2, C, 5, 6), 1 / C)
    probs[1, :, 4, 5] = value / C
    probs[1, 0, 4, 5] += min(value, 0) * -2 * C  # the sum of the negative ones is not what is wrong with them
    with pytest.raises(ValueError, match="probs are not probabilities"):
        function(module(probs))


@pytest.mark.parametrize("size", [(0, 4), (4, 0), (0, 0)])
@checked
@modules
def test_maps_without_pixels_have_no_scores(function, module, size):
    assert 0 in function(module(np.zeros((2, C, *size)))).shape


@checked
@modules
def test_logits_and_rows_are_named(function, module):
    with pytest.raises(ValueError, match="probs has shape"):
        function(module(np.full((2, C), 1 / C)))
    with pytest.raises(ValueError, match="apply softmax"):
        function(module(np.log(np.full((2, C, 1, 1), 1 / C))))


@maps
@kinds
def test_no_regions_have_no_scores(function, kind):
    assert tuple(function(as_kind(np.zeros((0, 3, 2, 5)), kind)).shape) == (0, 2, 5)


@maps
@given(probabilities(5, 5))
def test_any_leading_shape_is_a_batch(function, probs):
    together = function(probs)
    assert together.shape == (*probs.shape[:2], *probs.shape[3:])
    for index in np.ndindex(probs.shape[:2]):
        np.testing.assert_allclose(function(probs[index]), together[index], rtol=0, atol=1e-12)


@pytest.mark.parametrize("function", [acquisition.class_balanced_entropy, acquisition.cbda])
@pytest.mark.parametrize("counts", [np.ones(2), np.ones(4), np.ones((3, 1)), 3])
def test_one_count_per_class(function, counts):
    with pytest.raises(ValueError, match="but probs has 3 classes"):
        function(np.full((3, 1, 1), 1 / 3), counts)


@checked
@kinds
def test_float32_is_taken_as_it_is(function, kind):
    """Sums within a thousandth are accepted, not scaled, and not written to; the kind stays."""
    near = as_kind(np.full((2, C, 1, 1), 1.0005 / C), kind)
    score = function(near)
    assert np.isfinite(np.asarray(score)).all()
    assert type(score) is type(near)
    assert score.dtype == kind or function not in MAPS.values()  # that of passes is float64
    np.testing.assert_array_equal(near, as_kind(np.full((2, C, 1, 1), 1.0005 / C), kind))
    assert acquisition.least_confidence(near).ravel()[0].item() == pytest.approx(1 - 1.0005 / C, abs=1e-6)


@modules
def test_predicted_weight_of_integers_is_not_rounded(module):
    weights = np.linspace(0.25, 0.75, C)
    expected = weights.astype(np.float32)[one_hot().argmax(1)]
    np.testing.assert_array_equal(acquisition.predicted_weight(module(one_hot().astype(int)), weights), expected)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, np.float16], ids=str)
def test_difficulty_in_half_precision_is_averaged_in_single(kind):
    """A mean of many values near one has more digits than half precision keeps."""
    values = np.random.default_rng(0).random((2, 64, 64))
    maps = torch.tensor(values).to(kind) if isinstance(kind, torch.dtype) else values.astype(kind)
    exact = np.asarray(torch.as_tensor(maps).double())
    score = acquisition.difficulty_score(maps)
    assert score.dtype.itemsize == 4
    np.testing.assert_allclose(np.asarray(score), exact.mean((1, 2)), rtol=1e-6)
    weighted = acquisition.difficulty_score(maps, maps)
    np.testing.assert_allclose(np.asarray(weighted), (exact**2).mean((1, 2)), rtol=1e-6)
