"""The soft score and its influence, against numbers worked out by hand."""

import numpy as np
import pytest
import torch

from alenv.segmenters.probes import gains
from alenv.segmenters.probes.linear import LinearHead


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_soft_score_by_hand():
    """Two classes, three cells: a cell votes for class 0 with probability sigmoid(2 (a - b)), see the docstring."""
    logits = torch.tensor([[0.5, -1.0, 0.0], [0.0, 0.0, 0.3]])
    counts = torch.tensor([[8.0, 2.0, 0.0], [0.0, 6.0, 4.0]])
    p = sigmoid(2 * np.array([0.5, -1.0, -0.3]))
    hit = [p[0] * 8 + p[1] * 2, (1 - p[1]) * 6 + (1 - p[2]) * 4]
    predicted = [p[0] * 8 + p[1] * 8 + p[2] * 4, (1 - p[0]) * 8 + (1 - p[1]) * 8 + (1 - p[2]) * 4]
    iou = [hit[0] / (predicted[0] + 10 - hit[0]), hit[1] / (predicted[1] + 10 - hit[1])]
    for weights in ([1.0, 0.0], [0.0, 1.0], [0.25, 0.75]):
        expected = np.dot(weights, iou)
        assert gains._soft_iou(logits, counts, torch.tensor(weights)).item() == pytest.approx(expected, rel=1e-6)


def test_a_class_that_is_nowhere_counts_nothing():
    logits = torch.tensor([[60.0, 60.0], [0.0, 0.0]])
    counts = torch.tensor([[3.0, 5.0], [0.0, 0.0]])
    assert gains._soft_iou(logits, counts, torch.tensor([0.5, 0.5])).item() == pytest.approx(0.5)


def test_influence_is_in_points_of_the_score():
    """One feature, two classes, one group: minus 100 times slope over curvature times residual, all by hand.

    Both classes' weights are opposite, so with w = w_0 = -w_1 for feature and bias the minimum is a problem of two
    numbers, which is differentiated numerically.
    """
    x, counts = torch.tensor([[1.0], [-1.0], [2.0]]), torch.tensor([[16.0, 0.0], [4.0, 12.0], [9.0, 7.0]])
    x_new, new = torch.tensor([[[0.5], [1.5]]]), torch.tensor([[[2.0, 14.0], [16.0, 0.0]]])
    x_score, scored = torch.tensor([[0.3], [-0.7], [1.1]]), torch.tensor([[5.0, 1.0, 4.0], [3.0, 7.0, 2.0]])
    share = np.array([0.4, 0.6])
    head = LinearHead(1, 2, 16)
    head.tolerance = 1e-7
    head.add(x, counts)
    head.fit()
    frequency = counts.numpy().sum(0)
    pixel = frequency**-0.5 * frequency.sum() / (frequency**0.5).sum()

    def loss(w, x, n):
        a = 2 * (w[0] * x.numpy().ravel() + w[1])
        n = n.numpy().reshape(-1, 2) * pixel / 16
        return -(n[:, 0] * np.log(sigmoid(a)) + n[:, 1] * np.log(sigmoid(-a))).sum()

    def total(w):
        return loss(w, x, counts) + LinearHead.l2 * (w**2).sum()

    def score(w):
        p, n = sigmoid(4 * (w[0] * x_score.numpy().ravel() + w[1])), scored.numpy()
        hit = np.array([(p * n[0]).sum(), ((1 - p) * n[1]).sum()])
        predicted = np.array([(p * n.sum(0)).sum(), ((1 - p) * n.sum(0)).sum()])
        return 100 * (share * hit / (predicted + n.sum(1) - hit)).sum()

    def slope(function, w, h=1e-4):
        return np.array([(function(w + h * e) - function(w - h * e)) / (2 * h) for e in np.eye(2)])

    w = head.get_state()["weights"][0].astype(float)
    np.testing.assert_allclose(slope(total, w), 0, atol=1e-4)
    hessian = np.array([slope(lambda v, i=i: slope(total, v)[i], w) for i in range(2)])
    expected = -slope(score, w) @ np.linalg.solve(hessian, slope(lambda v: loss(v, x_new, new), w))
    result = gains.influence(head, x_new, new, x_score, scored, torch.tensor(share).float())
    assert result.shape == (1,)
    assert result.dtype == np.float64
    assert result[0] == pytest.approx(expected, rel=5e-3)
    assert abs(expected) > 0.1
