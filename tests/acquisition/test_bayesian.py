"""Disagreement of passes: independent golden values, exactness where the textbook form fails, and what must hold."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kinds import GOLDEN, as_kind, modules, probabilities
from scipy import special, stats

from alenv.acquisition import MonteCarloMoments, bald, balent, entropy, power_bald
from alenv.acquisition.bayesian import _binet, _posterior_entropy

VECTORS = json.loads((Path(__file__).parents[1] / "golden" / "balent_vectors.json").read_text())
kinds = pytest.mark.parametrize("kind", [np.float64, torch.float64], ids=str)
VOTES = ["mean_deviation", "variation_ratio", "vote_entropy"]
SCORES = ["bald", "balanced_entropy", "balent", "balent_rank", *VOTES]
DEGENERATE = {  # with arithmetic of 50 digits; double precision of the textbook form misses the first by 1e-7
    "identical": ([[0.5, 0.3, 0.2]] * 4, -5.03655055176947),
    "one-hot flips": ([[1, 0], [0, 1]] * 2, -1435.99139356489),
    "identical one-hot": ([[1, 0, 0]] * 4, -22.8678697335354),
    "tiny class": (
        [[0.6, 0.4 - 1e-8, 1e-8], [0.5, 0.5 - 2e-8, 2e-8], [0.7, 0.3 - 1e-8, 1e-8], [0.55, 0.45 - 1e-8, 1e-8]],
        -0.278053730818487,
    ),
}


def gather(passes, kind=np.float64):
    moments = MonteCarloMoments()
    for probs in passes:
        moments.add(as_kind(probs, kind))
    return moments


def of_one_pixel(rows):
    return np.asarray(rows, float)[:, :, None, None]


def passes(least=4, most=6):
    """Float64 (T, ..., C, H, W), T >= 2, some probabilities exactly zero."""
    return probabilities(least, most).map(lambda probs: probs if len(probs) > 1 else probs.repeat(2, 0))


@kinds
def test_golden_maps(kind):
    moments = gather(GOLDEN["mc_probs"], kind)
    for name, expected in {
        "bald": GOLDEN["bald"],
        "total_entropy": GOLDEN["entropy_of_mc_mean"],
        "balanced_entropy": GOLDEN["balent"],
    }.items():
        score = getattr(moments, name)()
        assert score.dtype == kind
        np.testing.assert_allclose(np.asarray(score), expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(np.asarray(moments.balent()), GOLDEN["balent_acq"], rtol=1e-7, atol=0)
    assert (GOLDEN["balent"] >= 0).mean() > 0.3  # both branches are met


@kinds
def test_votes_and_deviations_by_hand(kind):
    """Four passes: two vote for class 0, one for 1, one is a draw, which counts for the first of the two."""
    moments = gather(of_one_pixel([[0.6, 0.4, 0], [0.5, 0.2, 0.3], [0, 1, 0], [0.1, 0.45, 0.45]]), kind)
    deviation = [np.std([0.6, 0.5, 0, 0.1]), np.std([0.4, 0.2, 1, 0.45]), np.std([0, 0.3, 0, 0.45])]
    assert moments.mean_deviation().item() == pytest.approx(np.mean(deviation))
    assert moments.variation_ratio().item() == pytest.approx(0.5)
    assert moments.vote_entropy().item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("name", VOTES)
def test_passes_that_agree_have_nothing_to_vote_on(name):
    moments = gather(of_one_pixel([[0.6, 0.4]] * 3))
    assert getattr(moments, name)().item() == pytest.approx(0, abs=1e-12)


@kinds
@pytest.mark.parametrize("name", VECTORS)
def test_golden_vectors(name, kind):
    vector = VECTORS[name]
    moments = gather(of_one_pixel(vector["P"]), kind)
    np.testing.assert_allclose(np.asarray(moments.mean())[:, 0, 0], vector["mean"], rtol=1e-12)
    np.testing.assert_allclose(np.asarray(moments.variance())[:, 0, 0], vector["var_ddof1"], rtol=1e-12)
    assert moments.total_entropy().item() == pytest.approx(vector["H"], abs=1e-12)
    assert moments.bald().item() == pytest.approx(vector["BALD"], abs=1e-12)
    assert moments.balanced_entropy().item() == pytest.approx(vector["BalEnt"], abs=1e-11)
    assert moments.balent().item() == pytest.approx(vector["BalEntAcq"], rel=1e-10)


@kinds
@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_passes_keep_full_precision(name, kind):
    rows, expected = DEGENERATE[name]
    assert gather(of_one_pixel(rows), kind).balanced_entropy().item() == pytest.approx(expected, rel=1e-10)


@modules
@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (1, 1, -0.1931471805599453),
        (2, 5, -0.4301508263479996),
        (0.3, 0.7, -0.1625573624255344),
        (12.5, 3.25, -1.0034855862319798),
        (200, 200, -2.272442486008518),
    ],
)
def test_posterior_entropy_of_known_distributions(module, a, b, expected):
    mean = a / (a + b)
    result = _posterior_entropy(module(np.array([mean])), module(np.array([mean * (1 - mean) / (a + b + 1)])))
    assert result.item() == pytest.approx(expected, abs=1e-13)


@given(st.floats(0.001, 0.999), st.floats(-2.5, 3))
def test_posterior_entropy_is_that_of_the_fitted_beta(mean, magnitude):
    """On both sides of where the series takes over."""
    precision = 10**magnitude
    result = _posterior_entropy(np.array([mean]), np.array([mean * (1 - mean) / (precision + 1)])).item()
    expected = stats.beta(mean * precision + 1, (1 - mean) * precision).entropy()
    assert result == pytest.approx(float(expected), rel=1e-7, abs=1e-9)


def test_rounding_makes_no_positive_posterior_entropy():
    """A uniform distribution's is zero, the largest there is."""
    mean, precision = np.full(1000, 1e-14), 1 + np.linspace(-1e-9, 1e-9, 1000)
    assert (_posterior_entropy(mean, mean * (1 - mean) / (precision + 1)) <= 0).all()


def test_series_are_exact_where_they_take_over():
    x = np.array([9.99, 10, 10.5, 12, 20])
    log_gamma, psi = _binet(x, np)
    stirling = (x - 0.5) * np.log(x) - x + 0.5 * math.log(2 * math.pi)
    np.testing.assert_allclose(log_gamma + stirling, special.gammaln(x), rtol=0, atol=5e-14)
    np.testing.assert_allclose(np.log(x) - psi, special.psi(x), rtol=0, atol=5e-14)


@given(passes())
def test_streaming_is_the_formula_over_all_passes(mc_probs):
    moments = gather(mc_probs)
    assert moments.count == len(mc_probs)
    np.testing.assert_allclose(moments.mean(), mc_probs.mean(0), rtol=0, atol=1e-14)
    np.testing.assert_allclose(moments.variance(), mc_probs.var(0, ddof=1), rtol=1e-9, atol=1e-16)
    np.testing.assert_allclose(moments.total_entropy(), entropy(mc_probs.mean(0)), rtol=0, atol=1e-12)
    disagreement = entropy(mc_probs.mean(0)) - entropy(mc_probs).mean(0)
    np.testing.assert_allclose(moments.bald(), disagreement.clip(0), rtol=0, atol=1e-12)


def test_small_variances_keep_their_digits():
    deviation = np.array([1.0, -1.0, 2.0, -2.0, 0.0]) * 1e-9
    moments = gather(of_one_pixel(np.stack([0.7 + deviation, 0.3 - deviation], 1)))
    assert moments.variance()[0].item() == pytest.approx(2.5e-18, rel=1e-6)


def test_memory_does_not_grow_with_the_passes():
    def held(count):
        moments = gather([GOLDEN["mc_probs"][0]] * count)
        return sum(np.asarray(value).nbytes for value in vars(moments).values())

    assert held(40) == held(2)


@kinds
def test_neither_what_goes_in_nor_what_comes_out_is_shared(kind):
    buffer = as_kind(GOLDEN["mc_probs"][0], kind)
    moments = MonteCarloMoments()
    for probs in GOLDEN["mc_probs"]:
        buffer[...] = as_kind(probs, kind)
        moments.add(buffer)
        np.testing.assert_array_equal(buffer, probs)
        moments.mean()[...] = 0
    np.testing.assert_allclose(np.asarray(moments.bald()), GOLDEN["bald"], rtol=0, atol=1e-9)


@given(passes(), st.data())
def test_order_of_passes_and_names_of_classes_do_not_matter(mc_probs, data):
    order = data.draw(st.permutations(range(len(mc_probs))))
    classes = data.draw(st.permutations(range(mc_probs.shape[-3])))
    once, again = gather(mc_probs), gather(mc_probs[order][..., classes, :, :])
    np.testing.assert_allclose(again.bald(), once.bald(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(again.balanced_entropy(), once.balanced_entropy(), rtol=1e-6, atol=1e-6)


@given(passes())
def test_bounds_and_order(mc_probs):
    moments = gather(mc_probs)
    disagreement, score, rank = moments.bald(), moments.balent(), moments.balent_rank()
    total, relative = moments.total_entropy(), moments.balanced_entropy()
    assert ((disagreement >= 0) & (disagreement <= math.log(max(2, mc_probs.shape[-3])))).all()
    assert np.isfinite(relative).all()
    assert (relative <= total / (total + math.log(2)) + 1e-12).all()
    assert ((score > 1) | (score < 0)).all()
    assert ((rank > -1 - 1e-12) & (rank <= 1)).all()
    order = score.ravel().argsort()
    assert (np.diff(rank.ravel()[order]) >= -1e-12).all()


@modules
def test_reciprocal_and_rank_around_the_pole(module):
    class Given(MonteCarloMoments):
        def balanced_entropy(self):
            return module(np.array([0.5, 1e-320, 0.0, -1e-9, -3.0]))

    assert np.isfinite(np.asarray(Given().balent())).all()
    np.testing.assert_allclose(np.asarray(Given().balent())[[0, 3, 4]], [2, -1e-9, -3])
    assert np.asarray(Given().balent())[1:3].min() > 1e300
    np.testing.assert_allclose(np.asarray(Given().balent_rank()), [0.5, 1, 1, -1e-9, -0.75])


@given(passes(), st.integers(2, 5))
def test_identical_passes_disagree_on_nothing(mc_probs, count):
    assert (gather([mc_probs[0]] * count).bald() == 0).all()


def test_rounding_makes_no_negative_disagreement():
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(5), 400).T.reshape(5, 20, 20)
    assert (gather([probs, probs * (1 + 1e-16 * rng.integers(-3, 4, probs.shape))]).bald() >= 0).all()


@pytest.mark.parametrize("score", SCORES)
def test_maps_of_many_blocks_are_scored_like_small_ones(score):
    mc_probs = np.tile(GOLDEN["mc_probs"], (9, 20))[..., :71, :]
    together, small = getattr(gather(mc_probs), score)(), getattr(gather(GOLDEN["mc_probs"]), score)()
    np.testing.assert_allclose(together, np.tile(small, (9, 20))[:71], rtol=1e-9)


def test_rows_wider_than_a_block():
    mc_probs = np.tile(GOLDEN["mc_probs"][..., :1, :], 20_000 // GOLDEN["mc_probs"].shape[-1])
    np.testing.assert_array_equal(bald(mc_probs)[:, -9:], bald(mc_probs[..., -9:]))


@pytest.mark.parametrize("score", SCORES)
@given(mc_probs=passes(6))
def test_any_leading_shape_is_a_batch(score, mc_probs):
    together = getattr(gather(mc_probs), score)()
    assert together.shape == (*mc_probs.shape[1:3], *mc_probs.shape[4:])
    for i, j in np.ndindex(mc_probs.shape[1:3]):
        alone = getattr(gather(mc_probs[:, i, j]), score)()
        np.testing.assert_allclose(alone, together[i, j], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("score", SCORES)
@given(mc_probs=passes())
def test_numpy_and_torch_agree(score, mc_probs):
    ours, theirs = getattr(gather(mc_probs), score)(), getattr(gather(mc_probs, torch.float64), score)()
    assert isinstance(theirs, torch.Tensor)
    assert theirs.dtype == torch.float64
    if score == "balent":  # the reciprocal of almost nothing may fall on either side
        ours, theirs = np.where(abs(ours) < 1e9, ours, 0), np.where(abs(ours) < 1e9, theirs, 0)
    np.testing.assert_allclose(theirs, ours, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("kind", [np.float32, torch.float32], ids=str)
def test_functions_are_the_streaming_form(kind):
    mc_probs = as_kind(GOLDEN["mc_probs"], kind)
    moments = gather(GOLDEN["mc_probs"].astype(np.float32))
    for function, score in ((bald, moments.bald()), (balent, moments.balent())):
        result = function(mc_probs)
        assert type(result) is type(mc_probs)
        assert str(result.dtype).endswith("float64")
        np.testing.assert_allclose(np.asarray(result), score, rtol=1e-7, atol=1e-12)
    noisy = power_bald(mc_probs, np.random.default_rng(3), 2.0)
    assert type(noisy) is type(mc_probs)
    noise = np.random.default_rng(3).gumbel(0, 0.5, noisy.shape)
    np.testing.assert_allclose(np.asarray(noisy), np.log(moments.bald()) + noise, rtol=1e-9)


@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_power_bald_draws_in_proportion_to_the_power(beta):
    strength = np.array([0.05, 0.1, 0.2, 0.4])
    two = np.stack([0.5 + strength, 0.5 - strength])[:, None]
    moments, rng = gather(np.stack([two, two[::-1]])), np.random.default_rng(0)
    first = [moments.power_bald(rng, beta).argmax() for _ in range(4000)]
    expected = moments.bald()[0] ** beta
    share = np.bincount(first, minlength=4) / len(first)
    np.testing.assert_allclose(share, expected / expected.sum(), rtol=0, atol=0.03)


def test_power_bald_is_finite_without_disagreement():
    assert np.isfinite(power_bald(of_one_pixel([[0.5, 0.5]] * 2), np.random.default_rng(0))).all()


@pytest.mark.parametrize("beta", [0.0, -1.0, math.nan])
def test_power_bald_needs_a_positive_beta(beta):
    with pytest.raises(ValueError, match="beta must be positive, got"):
        power_bald(GOLDEN["mc_probs"], np.random.default_rng(0), beta)


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("score", ["variance", *SCORES])
def test_one_pass_says_nothing_of_disagreement(score, count):
    with pytest.raises(ValueError, match=f"got {count} passes; use at least 2 passes; T = 1 says nothing"):
        getattr(gather(GOLDEN["mc_probs"][:count]), score)()


@pytest.mark.parametrize("function", [bald, balent, lambda p: power_bald(p, np.random.default_rng(0))])
def test_functions_need_two_passes(function):
    with pytest.raises(ValueError, match="got 1 passes; use at least 2"):
        function(GOLDEN["mc_probs"][:1])


@pytest.mark.parametrize("score", ["mean", "total_entropy"])
def test_one_pass_has_a_mean(score):
    getattr(gather(GOLDEN["mc_probs"][:1]), score)()
    with pytest.raises(ValueError, match="got 0 passes"):
        getattr(MonteCarloMoments(), score)()


@pytest.mark.parametrize(
    "other", [np.full((2, 1, 2), 0.5), np.full((1, 2, 1, 1), 0.5), torch.full((2, 1, 1), 0.5)], ids=str
)
def test_a_pass_unlike_the_first_is_an_error_and_is_not_counted(other):
    moments = gather(of_one_pixel([[0.5, 0.5]]))
    with pytest.raises(ValueError, match=r"this pass is (numpy|torch) .*, but the first was numpy \(2, 1, 1\)"):
        moments.add(other)
    assert moments.count == 1
