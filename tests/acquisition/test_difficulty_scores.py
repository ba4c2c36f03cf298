"""Difficulty scores: independent golden values, NumPy's histogram, and what must hold for any map."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from kinds import GOLDEN, as_kind, kinds, modules

from alenv.acquisition import difficulty_entropy, difficulty_levels, difficulty_score, entropy, level_entropy

SCORES = [difficulty_score, difficulty_entropy]


def maps(dims=None):
    least, most = (2, 4) if dims is None else (dims, dims)
    shapes = array_shapes(min_dims=least, max_dims=most, max_side=6)
    return shapes.flatmap(lambda s: arrays(np.float64, s, elements=st.integers(0, 40).map(lambda i: i / 40)))


@kinds
def test_golden_values(kind):
    difficulty = as_kind(GOLDEN["deal_difficulty"], kind)
    weighted = difficulty_score(difficulty, entropy(as_kind(GOLDEN["probs"], kind)))
    assert difficulty_score(difficulty).item() == pytest.approx(GOLDEN["deal_ds"].item(), abs=1e-6)
    assert weighted.item() == pytest.approx(GOLDEN["deal_ds_entropy_weighted"].item(), abs=1e-6)
    assert weighted.dtype == kind
    for levels in (8, 10):
        result = difficulty_entropy(difficulty, levels)
        assert result.item() == pytest.approx(GOLDEN[f"deal_de_L{levels}"].item(), abs=1e-9)
        assert isinstance(result, torch.Tensor) == isinstance(kind, torch.dtype)


@modules
@given(difficulty=maps(), levels=st.integers(1, 12))
def test_levels_are_the_bins_of_numpys_histogram(module, difficulty, levels):
    """Values on the edges among them: forty steps are divided into up to twelve levels."""
    level_map = difficulty_levels(module(difficulty), levels)
    assert str(level_map.dtype).endswith("int64")
    assert tuple(level_map.shape) == difficulty.shape
    for index in np.ndindex(difficulty.shape[:-2]):
        values, found = difficulty[index], np.asarray(level_map)[index]
        if values.min() == values.max():
            assert (found == 0).all()
        else:
            counts, edges = np.histogram(values, levels)
            np.testing.assert_array_equal(np.bincount(found.ravel(), minlength=levels), counts)
            assert (edges[found] <= values).all()


@kinds
@pytest.mark.parametrize("low", [0, 0.1, 0.3])
def test_values_rounded_across_an_edge_are_counted_where_numpy_does(low, kind):
    for steps in range(1, 60):
        difficulty = as_kind(np.minimum(low + (1 - low) * np.arange(steps + 1)[None] / steps, 1), kind)
        for levels in range(2, 13):
            counts, _ = np.histogram(np.asarray(difficulty, np.float64), levels)
            found = np.asarray(difficulty_levels(difficulty, levels)).ravel()
            np.testing.assert_array_equal(np.bincount(found, minlength=levels), counts)


@given(maps(dims=2), st.integers(1, 9))
def test_level_entropy_is_that_of_the_histogram(difficulty, levels):
    level_map = difficulty_levels(difficulty, levels)
    share = np.bincount(level_map.ravel()) / level_map.size
    expected = -(share[share > 0] * np.log(share[share > 0])).sum()
    assert level_entropy(level_map, levels) == pytest.approx(expected, abs=1e-12)
    assert difficulty_entropy(difficulty, levels) == level_entropy(level_map, levels)
    assert 0 <= level_entropy(level_map, levels) <= np.log(levels) + 1e-12


@modules
def test_level_maps_may_be_of_small_integers(module):
    level_map = module(np.arange(8, dtype=np.uint8).reshape(2, 4) % 4)
    result = level_entropy(level_map, 4)
    assert result.item() == pytest.approx(np.log(4), abs=1e-15)
    assert str(result.dtype).endswith("float64")


@given(maps())
def test_score_is_the_mean(difficulty):
    np.testing.assert_allclose(difficulty_score(difficulty), difficulty.mean((-2, -1)), rtol=0, atol=1e-15)
    ones = difficulty_score(difficulty, np.ones_like(difficulty))
    np.testing.assert_allclose(ones, difficulty_score(difficulty), rtol=0, atol=1e-15)


@given(maps(dims=2), st.sampled_from([0.5, 0.25, 2**-7]), st.sampled_from([0.0, 0.25, 0.5]))
def test_levels_do_not_depend_on_scale_and_offset(difficulty, scale, offset):
    """Steps of 1/64, so that scaling and shifting round nothing."""
    difficulty = np.round(difficulty * 64) / 64
    shifted = scale * difficulty + offset
    np.testing.assert_array_equal(difficulty_levels(shifted), difficulty_levels(difficulty))
    assert difficulty_entropy(shifted) == difficulty_entropy(difficulty)


@modules
@pytest.mark.parametrize("levels", [1, 8, 10])
def test_constant_is_zero_and_an_even_spread_the_maximum(module, levels):
    assert difficulty_entropy(module(np.full((3, 4), 0.3)), levels).item() == 0
    spread = module((np.arange(levels * 6) / (levels * 6)).reshape(-1, 3))
    assert difficulty_entropy(spread, levels).item() == pytest.approx(np.log(levels), abs=1e-12)


@pytest.mark.parametrize("score", SCORES)
@given(difficulty=maps(dims=2), seed=st.integers(0, 99))
def test_where_the_pixels_are_does_not_matter(score, difficulty, seed):
    shuffled = np.random.default_rng(seed).permutation(difficulty.ravel()).reshape(difficulty.shape)
    assert score(shuffled) == pytest.approx(score(difficulty), abs=1e-12)


@modules
@pytest.mark.parametrize("score", SCORES)
@given(difficulty=maps(dims=4))
def test_any_leading_shape_is_a_batch(score, module, difficulty):
    together = np.asarray(score(module(difficulty)))
    assert together.shape == difficulty.shape[:2]
    for index in np.ndindex(together.shape):
        assert together[index] == pytest.approx(score(difficulty[index]), abs=1e-12)


@modules
@pytest.mark.parametrize("function", [*SCORES, difficulty_levels])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.array([[0.5, np.nan]]), r"must lie in \[0, 1\], but ranges from nan"),
        (np.array([[0.5, 1.5]]), "ranges from 0.5 to 1.5"),
        (np.array([[-0.1, 1.0]]), "ranges from -0.1 to 1"),
        (np.array([0.5]), r"difficulty has shape \(1,\)"),
    ],
)
def test_what_is_no_difficulty_is_an_error(module, function, wrong, message):
    with pytest.raises(ValueError, match=message):
        function(module(wrong))


@modules
def test_uncertainty_must_fit_and_be_known(module):
    difficulty = module(np.full((2, 3), 0.5))
    with pytest.raises(ValueError, match=r"uncertainty is \(2, 1\), but difficulty is \(2, 3\)"):
        difficulty_score(difficulty, module(np.ones((2, 1))))
    with pytest.raises(ValueError, match="uncertainty holds NaN"):
        difficulty_score(difficulty, module(np.array([[1, 1, 1], [1, 1, np.nan]])))


@modules
@pytest.mark.parametrize("wrong", [-1, 3])
def test_levels_out_of_range_are_an_error(module, wrong):
    with pytest.raises(ValueError, match=r"level_map holds levels outside \[0, 3\)"):
        level_entropy(module(np.array([[0, 1, wrong]])), 3)


@pytest.mark.parametrize("function", [difficulty_levels, difficulty_entropy])
def test_there_is_at_least_one_level(function):
    with pytest.raises(ValueError, match="levels must be at least 1, got 0"):
        function(np.zeros((2, 2)), 0)


def test_eight_levels_unless_said_otherwise():
    """Those of DEAL on CamVid: an even spread over the range has eight bins of equal size."""
    even = np.linspace(0, 1, 1600).reshape(40, 40)
    np.testing.assert_array_equal(np.bincount(difficulty_levels(even).ravel()), [200] * 8)
    assert difficulty_entropy(even) == pytest.approx(np.log(8))
