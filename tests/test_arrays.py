"""Arrays and tensors give the same features and scores, in blocks or whole."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from alenv import arrays, observation, ralis_features
from alenv.acquisition import SCORES

COUNTS = np.array([5, 0, 200, 31])


def predictions(n, rows=10, columns=8):
    return (
        np.random.default_rng(n).dirichlet(np.ones(4) / 2, (n, rows, columns)).transpose(0, 3, 1, 2).astype(np.float32)
    )


@given(st.integers(0, 30), st.integers(1, 9), st.integers(1, 99))
def test_blocks_cover_the_first_axis_once(rows, width, elements):
    array = np.zeros((rows, width))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(arrays.BLOCK, "cpu", elements)
        parts = list(arrays.blocks(array))
    assert [i for part in parts for i in range(rows)[part]] == list(range(rows))
    assert all(part.stop - part.start == 1 or (part.stop - part.start) * width <= elements for part in parts)


@pytest.mark.parametrize("elements", [1, 1000, 10**9])
def test_features_of_tensors_are_those_of_arrays(elements, monkeypatch):
    monkeypatch.setitem(arrays.BLOCK, "cpu", elements)
    probs, distances = predictions(7), (np.full(7, 0.5, np.float32), np.full(7, -0.1, np.float32))
    tensor, labelled = torch.from_numpy(probs), ralis_features.histogram(np.arange(36).reshape(1, 6, 6) % 4, 4)
    for unit in (1, 3):
        expected = ralis_features.candidate_features(probs, unit, labelled)
        np.testing.assert_allclose(
            ralis_features.candidate_features(tensor, unit, labelled), expected, rtol=0, atol=1e-6
        )
        expected = ralis_features.region_features(probs, unit)
        np.testing.assert_allclose(ralis_features.region_features(tensor, unit), expected, rtol=0, atol=1e-6)
    expected = observation.candidate_features(probs, COUNTS, *distances)
    np.testing.assert_allclose(observation.candidate_features(tensor, COUNTS, *distances), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in SCORES if "probs" in SCORES[name].needs])
def test_scores_of_tensors_are_those_of_arrays(name):
    score, probs = SCORES[name], predictions(7)
    expected, seen = (
        score.regions(
            score.function(*({"probs": kind, "class_counts": COUNTS}[need] for need in score.needs)), len(kind), 4
        )
        for kind in (probs, torch.from_numpy(probs))
    )
    assert isinstance(seen, np.ndarray)
    np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64])
def test_values_pass_unchanged_between_kinds(kind):
    values = np.arange(-3, 3).astype(kind).reshape(2, 3)
    tensor = torch.from_numpy(values)
    assert arrays.to_numpy(values) is arrays.like(values, values) is values
    for same in (arrays.to_numpy(tensor), np.asarray(arrays.like(values, tensor))):
        assert same.dtype == kind
        np.testing.assert_array_equal(same, values)
    assert isinstance(arrays.like(values, tensor), torch.Tensor)
    assert [arrays.module_of(array) for array in (values, tensor)] == [np, torch]
    np.testing.assert_array_equal(arrays.in_blocks(np.negative, values), -values)


def test_the_first_largest_is_found_in_any_memory():
    """Of coarse numbers, so that many are equal; tensors also with the classes last in memory."""
    maps = np.random.default_rng(0).integers(0, 3, (2, 5, 6, 4)).astype(np.float32)
    tensor = torch.from_numpy(maps)
    for some in (maps, tensor, tensor.to(memory_format=torch.channels_last)):
        found = arrays.first_largest(some)
        assert type(found) is type(some)
        np.testing.assert_array_equal(found, maps.argmax(1))
