"""Uncertainty scores: independent golden values, and what must hold for any probabilities."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from kinds import as_kind, kinds, modules, probabilities

from alenv.acquisition import (
    SCORES,
    MonteCarloMoments,
    class_balanced_entropy,
    class_weights,
    entropy,
    least_confidence,
    margin,
    predicted_weight,
)

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "uncertainty.npz")
PLAIN = [entropy, margin, least_confidence]
HIGH = {entropy: np.log, margin: lambda c: 1.0, least_confidence: lambda c: 1 - 1 / c}


@kinds
@pytest.mark.parametrize("name", ["entropy", "margin", "least_confidence"])
def test_golden_values(name, kind):
    """The margin of the golden file is the lead of the first class over the second; ours is one minus that."""
    expected = 1 - GOLDEN["margin"] if name == "margin" else GOLDEN[name]
    function = {"entropy": entropy, "margin": margin, "least_confidence": least_confidence}[name]
    score = function(as_kind(GOLDEN["probs"], kind))
    assert score.dtype == kind
    np.testing.assert_allclose(np.asarray(score), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("function", PLAIN)
@given(probabilities(), st.data())
def test_names_of_the_classes_do_not_matter(function, probs, data):
    order = data.draw(st.permutations(range(probs.shape[-3])))
    np.testing.assert_allclose(function(probs[..., order, :, :]), function(probs), rtol=0, atol=1e-12)


@kinds
@pytest.mark.parametrize("function", PLAIN)
@given(probabilities())
def test_bounds_hold_and_zeros_are_finite(function, kind, probs):
    score = np.asarray(function(as_kind(probs, kind)))
    assert score.shape == probs.shape[:-3] + probs.shape[-2:]
    assert np.isfinite(score).all()
    assert (score >= -1e-6).all()
    assert (score <= HIGH[function](probs.shape[-3]) + 1e-6).all()


@pytest.mark.parametrize("function", PLAIN)
def test_certain_is_zero_and_uniform_is_the_maximum(function):
    certain = np.zeros((4, 1, 1))
    certain[2] = 1
    assert function(certain).item() == 0
    assert function(np.full((4, 1, 1), 0.25)).item() == pytest.approx(HIGH[function](4))


def test_scores_of_one_pixel_by_hand():
    probs = np.array([0.5, 0.3, 0.2, 0.0]).reshape(4, 1, 1)
    by_hand = -(0.5 * np.log(0.5) + 0.3 * np.log(0.3) + 0.2 * np.log(0.2))
    assert entropy(probs).item() == pytest.approx(by_hand)
    assert margin(probs).item() == pytest.approx(0.8)
    assert least_confidence(probs).item() == pytest.approx(0.5)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 0.0])
@kinds
def test_class_balanced_entropy_is_its_formula(kind, exponent):
    counts = np.array([1000, 10, 0, 300, 90, 5, 2])  # the third counts as 0.01 %
    share = np.maximum(counts / counts.sum(), 1e-4)
    weight = (1 / share) ** exponent / max((1 / share) ** exponent)
    probs = GOLDEN["probs"]
    expected = np.empty(probs.shape[1:])
    for y, x in np.ndindex(expected.shape):
        expected[y, x] = GOLDEN["entropy"][y, x] * weight[probs[:, y, x].argmax()]
    score = class_balanced_entropy(as_kind(probs, kind), counts, exponent)
    np.testing.assert_allclose(np.asarray(score), expected, rtol=0, atol=1e-6)


@given(arrays(np.int64, st.integers(1, 12), elements=st.integers(0, 10**9)), st.floats(0, 2))
def test_class_weights_lie_within_one_and_fall_with_frequency(counts, exponent):
    weights = class_weights(counts, exponent)
    assert weights.max() == 1
    assert (weights > 0).all()
    assert (np.diff(weights[np.argsort(counts)]) <= 0).all()


def test_class_weights_before_any_label_are_one():
    np.testing.assert_array_equal(class_weights(np.zeros(5)), np.ones(5))


def inputs(probs):
    """What the channels need, made of one prediction and of a second one with the classes in reverse."""
    moments = MonteCarloMoments()
    for pass_ in (probs, probs[:, ::-1]):
        moments.add(pass_)
    return {
        "probs": probs,
        "image_probs": probs,
        "class_counts": np.arange(probs.shape[1]),
        "moments": moments,
        "difficulty": probs[:, 0],
        "nearest": np.linspace(-1, 1, len(probs)).astype(np.float32),
        "image": np.arange(len(probs)),
        "samples": np.stack([probs, probs[:, ::-1]]),
        "targets": np.stack([probs, probs[:, ::-1]])[..., 0, 0],
    }


MAPS = [name for name in SCORES if not {"probs", "moments", "samples", "image_probs"}.isdisjoint(SCORES[name].needs)]
ELSEWHERE = [name for name in SCORES if SCORES[name].needs == (name,) and name not in ("image", "distance")]
"""What is computed where the model is."""


@pytest.mark.parametrize("name", sorted({*SCORES} - {*ELSEWHERE}))
@pytest.mark.parametrize("classes", [2, 12, 31, 150, 190])
def test_channels_stay_within_their_bounds_at_both_ends(name, classes):
    """An untrained model's softmax is as uniform as float32 allows; its entropy is rounded above ln C."""
    score = SCORES[name]
    uniform, certain = torch.zeros(2, classes, 3, 6, 5)
    certain[0] = 80
    for logits in (uniform, certain):
        known = inputs(logits.softmax(0).movedim(0, 1).numpy())
        values = score.regions(score.function(*(known[need] for need in score.needs)), 3, classes)
        assert values.dtype == np.float32
        assert values.shape == (3,)
        assert (values >= np.float32(score.low)).all()
        assert (values <= np.float32(score.high(classes))).all()


@pytest.mark.parametrize("name", sorted({*MAPS, "difficulty_score"} - {"predicted_class"}))
@given(probabilities(4, 4))
def test_a_channel_is_the_mean_over_the_region(name, probs):
    score, known = SCORES[name], inputs(probs)
    maps = score.function(*(known[need] for need in score.needs))
    np.testing.assert_allclose(score.regions(maps, len(probs), probs.shape[1]), maps.mean((1, 2)), rtol=0, atol=1e-6)


def test_bounds_of_channels():
    """The largest value there is, for twelve classes; the lowest is zero except for three."""
    ln12, ln8 = 2.4849066497880004, 2.0794415416798357
    high = {"margin": 1, "least_confidence": 11 / 12, "predicted_class": 11, "bald": ln12, "balent": 1, "ripu": 1}
    high |= {"cbda": 12, "difficulty_score": 1, "difficulty_entropy": ln8, "distance": 2, "image": np.inf}
    high |= {"mean_std": 0.5, "variation_ratio": 11 / 12, "foreground": 1, "uncovered": 1, "agreement": 1}
    high |= {"cluster_distance": 2, "cbda_pixel": 12 * ln12}
    high = dict.fromkeys(ELSEWHERE, np.inf) | high
    low = {"balent": -1, "agreement": -1, "pseudo_gain": -np.inf}
    live = {"distance", "uncovered", "spread", "agreement", "leverage", "information", "reduction"}
    for name, score in SCORES.items():
        assert score.high(12) == pytest.approx(high.get(name, ln12)), name
        assert score.low == low.get(name, 0), name
        assert score.live == (name in live), name


def test_foreground_is_what_is_not_the_commonest_label():
    probs = np.array([0.2, 0.5, 0.3, 0.7, 0.2, 0.1], np.float32).reshape(2, 3, 1, 1).repeat(4, 3)
    probs[1, :, 0, 0] = 0.1, 0.2, 0.7
    score = SCORES["foreground"]
    np.testing.assert_allclose(score.regions(score.function(probs, np.array([9, 2, 3])), 2, 3), [1, 0.25])


@modules
def test_regions_are_averaged_in_double_precision(module):
    maps = np.random.default_rng(0).random((200, 64, 64)).astype(np.float32)
    expected = maps.astype(np.float64).mean((1, 2)).astype(np.float32)
    np.testing.assert_array_equal(SCORES["margin"].regions(module(maps), len(maps), 12), expected)


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
def test_predicted_weight_is_that_of_the_first_most_probable_class(kind):
    probs = np.random.default_rng(0).dirichlet(np.ones(4), size=(2, 5, 6)).transpose(0, 3, 1, 2).astype(np.float32)
    probs[0, :, 0, 0] = 0.25
    weights = np.array([0.1, 1.0, 0.4, 0.7])
    result = predicted_weight(kind(probs), weights)
    assert type(result) is type(kind(probs))
    assert result.dtype == kind(probs).dtype
    np.testing.assert_array_equal(result, weights.astype(np.float32)[probs.argmax(1)])
