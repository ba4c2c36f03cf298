"""What picks change of other candidates, by hand."""

import numpy as np

from alenv.envs.region.context import Coverage, Gradients


def test_coverage_by_hand():
    """Directions at 0, 10, 30, 40 and 90 degrees. The second class begins 20 degrees from the first, the radius."""
    angle = np.radians([0, 10, 30, 40, 90])
    embedding = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
    nearest = np.array([0, 0, 0, 0, 1], np.float32)  # the last one is labelled
    coverage = Coverage(embedding, nearest, np.array([0, 0, 1, 1, 1]))
    np.testing.assert_allclose(coverage.uncovered(slice(None)), [0.4, 0.4, 0.4, 0.4, 0])
    coverage.pick(2, 0)  # covers itself and 40 degrees
    np.testing.assert_allclose(coverage.uncovered(slice(1, 5)), [0.4, 0, 0, 0])


def test_distances_of_gradients_by_hand():
    gradients = Gradients(np.array([[[3, 0]], [[0, 4]], [[3, 4]], [[0, 0]]], np.float32))
    np.testing.assert_allclose(gradients.spread, [9, 16, 25, 0])
    gradients.pick(0, 0)
    np.testing.assert_allclose(gradients.spread, [0, 25, 16, 9])
    gradients.pick(1, 2)  # of those still to be shown
    np.testing.assert_allclose(gradients.spread[2:], [9, 9])
    np.testing.assert_allclose(gradients.agreement[2:], [0.8, 0], rtol=1e-6)
