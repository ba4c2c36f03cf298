"""The compact observation, column by column, against formulas written out for one pixel after the other."""

import numpy as np
import scipy.stats

from alenv import observation

CLASSES = ("road", "car", "bus", "sky")


def test_columns_are_what_the_docstring_says():
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(len(CLASSES)) / 2, (5, 6, 3)).transpose(0, 3, 1, 2).astype(np.float32)
    counts, nearest, typical = np.array([10, 0, 500, 40]), rng.uniform(-1, 1, 5), rng.uniform(-1, 1, 5)
    weights = (counts / 550).clip(1e-4) ** -0.5
    weights /= weights.max()
    rows = observation.candidate_features(probs, counts, nearest, typical)
    assert rows.shape == (5, len(observation.candidate_names(CLASSES)))
    for region, row in enumerate(rows):
        pixels = probs[region].reshape(len(CLASSES), -1).T.astype(float)
        doubt = scipy.stats.entropy(pixels, axis=1) / np.log(len(CLASSES))
        first, second = np.sort(pixels, 1)[:, ::-1][:, :2].T
        weight = weights[pixels.argmax(1)]
        expected = {f"probability:{name}": pixels[:, i].mean() for i, name in enumerate(CLASSES)} | {
            "entropy": doubt.mean(),
            "entropy_min": doubt.min(),
            "entropy_max": doubt.max(),
            "entropy_deviation": 2 * doubt.std(),
            "margin": 1 - (first - second).mean(),
            "uncertain": (doubt > 0.5).mean(),
            "balanced_entropy": (doubt * weight).mean(),
            "class_weight": weight.mean(),
            "nearest_labelled": (1 + nearest[region]) / 2,
            "typical_labelled": (1 + typical[region]) / 2,
            "nearest_picked": 0,
        }
        assert tuple(expected) == observation.candidate_names(CLASSES)
        np.testing.assert_allclose(row, list(expected.values()), rtol=0, atol=1e-6)


def test_state_is_shares_frequencies_and_scores():
    state = observation.state_features(0.5, 0.25, 0.1, np.array([1, 0, 3]), np.array([50.0, 0, 100]))
    np.testing.assert_allclose(state, [0.5, 0.25, 0.1, 0.25, 0, 0.75, 0.5, 0, 1], atol=1e-7)
    assert observation.state_names("ab") == ("budget", "round", "pick", "labelled:a", "labelled:b", "iou:a", "iou:b")
    assert state.shape == (len(observation.state_names("abc")),)
    assert not observation.state_features(0, 0, 0, np.zeros(3, int), np.zeros(3)).any()
