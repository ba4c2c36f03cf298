"""RALIS features against golden values of an independent implementation, and what must hold for any predictions."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alenv import ralis_features

GOLDEN = np.load(Path(__file__).parent / "golden" / "ralis_features.npz")
CLASSES = 11


@pytest.fixture(scope="module")
def golden():
    """Histograms and pooled entropies of the eight regions."""
    counts = ralis_features.histogram(GOLDEN["region_pred"], CLASSES)
    return counts, np.concatenate([counts, ralis_features.pool_entropy(GOLDEN["region_entropy"])], 1)


def test_golden_state(golden):
    np.testing.assert_allclose(golden[1], GOLDEN["state_features"], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "labelled"), [("no_pool", slice(None)), ("nothing_labelled", slice(0))])
def test_golden_divergences_from_labels(golden, name, labelled):
    counts, features = golden
    features = np.concatenate(
        [features, ralis_features.divergence_histograms(counts, GOLDEN["labelled_hist"][labelled])], 1
    )
    np.testing.assert_allclose(features, GOLDEN[f"action_features_{name}"], rtol=0, atol=1e-5)


def test_golden_divergences_from_candidates(golden):
    full = GOLDEN["action_features_full"].reshape(8, -1)
    np.testing.assert_allclose(
        ralis_features.divergence_histograms(golden[0], golden[0]), full[:, -32:], rtol=0, atol=1e-5
    )


@given(st.integers(0, 999), st.integers(1, 9), st.integers(1, 40))
def test_histograms_equal_numpys(seed, n, m):
    rng = np.random.default_rng(seed)
    own, others = rng.integers(1, 50, (n, 5)).astype(float), rng.integers(1, 50, (m, 5)).astype(float)
    p, q = own / own.sum(1, keepdims=True), others / others.sum(1, keepdims=True)
    for row, counted in zip(p, ralis_features.divergence_histograms(own, others), strict=True):
        values = (row * np.log(row)).sum() - np.log(q) @ row
        expected = np.histogram(values, 32)[0]
        # a value that falls on an edge but for rounding may be counted on either side
        assert abs(np.cumsum(counted * m) - np.cumsum(expected)).max() <= 1.001
        assert counted.sum() == pytest.approx(1, abs=1e-5)


def test_equal_divergences_lie_in_the_middle():
    counted = ralis_features.divergence_histograms(np.array([[1.0, 3.0]]), np.array([[2.0, 2.0]] * 5))
    np.testing.assert_array_equal(counted, np.histogram(np.ones(5), 32)[0][None] / 5)


def test_divergences_that_hardly_differ_are_told_apart():
    """All others share most of their divergence from the row; float32 alone would see what is left in steps."""
    p, q = np.array([[0.5, 0.5]]), np.full((1000, 2), 1e-6)
    q[:, 0] -= np.linspace(0, 1e-12, 1000) ** 1.1
    q[:, 1] = 1 - q[:, 0]
    values = -np.log(q / q.sum(1, keepdims=True)) @ p[0]
    counted = ralis_features.divergence_histograms(p, q)[0] * 1000
    assert abs(np.cumsum(counted) - np.cumsum(np.histogram(values, 32)[0])).max() <= 2


def test_the_first_of_equal_classes_is_predicted():
    probs = np.array([[0.2, 0.4, 0.4], [0.5, 0, 0.5], [1 / 3] * 3]).T.reshape(1, 3, 1, 3)
    np.testing.assert_allclose(ralis_features.predicted_histogram(probs, 2), [[8, 4, 1e-7, 1e-7]])


def test_blocks_do_not_matter(monkeypatch):
    counts = np.random.default_rng(0).integers(1, 9, (50, 6)).astype(float)
    whole = ralis_features.divergence_histograms(counts, counts)
    monkeypatch.setattr(ralis_features, "BLOCK", 120)
    np.testing.assert_array_equal(ralis_features.divergence_histograms(counts, counts), whole)


@given(st.integers(0, 999), st.integers(8, 20), st.integers(8, 20), st.integers(1, 3))
def test_features_of_cells_equal_those_of_their_pixels(seed, rows, columns, unit):
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.ones(4), (3, rows, columns)).transpose(0, 3, 1, 2)
    labelled = ralis_features.histogram(rng.integers(0, 4, (5, 6, 6)), 4)
    features = ralis_features.candidate_features(probs, unit, labelled)
    assert features.shape == (3, len(ralis_features.candidate_names("abcd")))
    assert ((features >= 0) & (features <= 1)).all()
    pixels = probs.repeat(unit, 2).repeat(unit, 3)
    np.testing.assert_allclose(ralis_features.candidate_features(pixels, 1, labelled), features, atol=1e-5)


def test_labels_without_a_class_are_left_out():
    labels = np.array([[[0, 255, 1, 1]]])
    np.testing.assert_allclose(ralis_features.histogram(labels, 3), [[1, 2, 1e-7, 1e-7]])


def test_a_small_region_is_an_error_that_helps():
    with pytest.raises(ValueError, match="regions of 4 x 9 pixels cannot be pooled to 8 x 8; use larger ones"):
        ralis_features.pool_entropy(np.zeros((1, 4, 9)))


def test_in_the_environment():
    """State: the state split, seen through the model of the round; candidates know the labels so far."""
    import alenv  # noqa: F401  registers the ids

    env = gym.make("RegionSelect-v0", observation="ralis", picks=4, budget=12).unwrapped
    states = []
    obs, _ = env.reset(seed=0)
    for _ in range(5):
        assert env.observation_space.contains(obs)
        states.append(obs["state"])
        obs, *_ = env.step(0)
    assert obs["candidates"].shape == (20, len(env.feature_names))
    assert obs["state"].shape == (160, len(env.state_names))
    np.testing.assert_array_equal(states[0], states[3])
    assert (states[3] != states[4]).any()
    data, grid = env._campaign.data, env._campaign.grid
    probs = env._campaign.learner.predict(grid.of_images(data.splits["state"])[:7]).probs
    np.testing.assert_allclose(obs["state"][:7], ralis_features.region_features(probs, 4), atol=1e-6)
    labelled = ralis_features.histogram(grid.cut(data.masks, env._campaign.learner.labelled), 12)
    shown = env._campaign.learner.predict(env._current.candidates).probs
    np.testing.assert_allclose(
        obs["candidates"], ralis_features.candidate_features(shown, 4, labelled)[20:40], atol=1e-5
    )


def test_with_nothing_labelled_there_are_no_divergences_from_labels():
    env = gym.make("RegionSelect-v0", observation="ralis", initial="none", picks=3, candidates=4, budget=6)
    obs, _ = env.reset(seed=0)
    assert obs["candidates"].shape[0] == 4
    from_labelled = [name.startswith("divergence_from_labelled:") for name in env.unwrapped.feature_names]
    assert not obs["candidates"][:, from_labelled].any()
    for _ in range(3):
        obs, *_ = env.step(0)
    assert obs["candidates"][:, from_labelled].sum(1) == pytest.approx(1)


def test_single_pixels_have_no_such_features():
    with pytest.raises(ValueError, match="observation='ralis' pools the entropy of regions, which a pixel has not"):
        gym.make("RegionSelect-v0", observation="ralis", region="pixel", initial="none")
