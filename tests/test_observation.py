"""The compact observation, column by column, against formulas written out for one pixel after the other."""

import numpy as np
import scipy.stats

from alenv import observation

CLASSES = 4


def test_columns_are_what_the_docstring_says():
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(CLASSES) / 2, (5, 6, 3)).transpose(0, 3, 1, 2).astype(np.float32)
    counts, nearest, typical = np.array([10, 0, 500, 40]), rng.uniform(-1, 1, 5), rng.uniform(-1, 1, 5)
    weights = (counts / 550).clip(1e-4) ** -0.5
    weights /= weights.max()
    rows = observation.candidate_features(probs, counts, nearest, typical)
    assert rows.shape == (5, observation.candidate_size(CLASSES))
    for region, row in enumerate(rows):
        pixels = probs[region].reshape(CLASSES, -1).T.astype(float)
        doubt = scipy.stats.entropy(pixels, axis=1) / np.log(CLASSES)
        first, second = np.sort(pixels, 1)[:, ::-1][:, :2].T
        weight = weights[pixels.argmax(1)]
        expected = [
            *pixels.mean(0),
            doubt.mean(),
            doubt.min(),
            doubt.max(),
            2 * doubt.std(),
            1 - (first - second).mean(),
        ]
        expected += [(doubt > 0.5).mean(), (doubt * weight).mean(), weight.mean()]
        expected += [(1 + nearest[region]) / 2, (1 + typical[region]) / 2, 0]
        np.testing.assert_allclose(row, expected, rtol=0, atol=1e-6)


def test_state_is_shares_frequencies_and_scores():
    state = observation.state_features(0.5, 0.25, 0.1, np.array([1, 0, 3]), np.array([50.0, 0, 100]))
    np.testing.assert_allclose(state, [0.5, 0.25, 0.1, 0.25, 0, 0.75, 0.5, 0, 1], atol=1e-7)
    assert state.shape == (observation.state_size(3),)
    assert not observation.state_features(0, 0, 0, np.zeros(3, int), np.zeros(3)).any()
