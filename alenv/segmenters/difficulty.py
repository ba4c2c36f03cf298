"""DEAL's second branch: how difficult each cell of an image is, learned from where the first branch errs.

The probability attention of Xie et al. (ACCV 2020) gathers what the model says of similar cells; a logistic layer on
the result is trained to tell wrong cells from right ones. Here it stands beside a head on frozen features: the head's
own loss stays convex, so no gradient of the difficulty flows back into it, unlike in the paper.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from torch import Tensor

RIDGE = 1e-3
"""Weight of the squared weights in the loss: rare classes stay near the average difficulty."""

Vector = NDArray[np.float64]


def attend(probs: Tensor) -> Tensor:
    """Gather the probabilities of similar cells, ``sum_j softmax_j(p_i . p_j) p_j``, without the N x N matrix.

    Args:
        probs: float32 (images, N, C), class probabilities of the N cells of each image.

    Returns:
        (images, N, C), rows summing to one.
    """
    classes = probs.shape[-1]
    padded = torch.nn.functional.pad(probs, (0, -classes % 8))[:, None]  # zeros add nothing, and it is faster
    return torch.nn.functional.scaled_dot_product_attention(padded, padded, padded, scale=1.0)[:, 0, :, :classes]


class DifficultyBranch:
    """Logistic regression of errors on attended probabilities: logit ``w . (p + gamma a) + b``, gamma >= 0.

    It is fitted from scratch, so it is a function of its data alone.
    """

    def __init__(self, classes: int) -> None:
        self._parameters = np.zeros(classes + 2)

    def fit(self, probs: NDArray, attended: NDArray, right: NDArray, wrong: NDArray) -> None:
        """Minimise the balanced loss.

        Args:
            probs: (n, C), probabilities of the labelled cells.
            attended: (n, C), what ``attend`` made of them.
            right: (n,), share of each cell's labelled pixels that are predicted rightly.
            wrong: (n,), share of those that are not.
        """
        p, a = probs.astype(np.float64), attended.astype(np.float64)

        def objective(parameters: Vector) -> tuple[float, Vector]:
            weights, gamma = parameters[:-2], parameters[-1]
            loss, slope = balanced_loss(_logits(parameters, p, a), right, wrong)
            gradient = (p + gamma * a).T @ slope + 2 * RIDGE * weights
            value = loss + RIDGE * float(weights @ weights)
            return value, np.array([*gradient, slope.sum(), slope @ (a @ weights)])

        bounds: list[Any] = [(None, None)] * (p.shape[1] + 1) + [(0, None)]
        self._parameters = minimize(objective, np.zeros(p.shape[1] + 2), jac=True, method="L-BFGS-B", bounds=bounds).x

    def __call__(self, probs: NDArray, attended: NDArray) -> NDArray[np.float64]:
        """Return the difficulty in [0, 1] of cells: (..., C) and (..., C) -> (...)."""
        return expit(_logits(self._parameters, probs, attended))


def balanced_loss(logits: Vector, right: NDArray, wrong: NDArray) -> tuple[float, Vector]:
    """Cross-entropy of difficulty and error, as means over right and wrong cells, weighted by (cells + 1)^-1/2.

    Args:
        logits: (n,) of the difficulty.
        right: (n,), share of each cell that is right.
        wrong: (n,), share that is wrong. Where both are 0 there is no label.

    Returns:
        The loss, and its gradient by the logits (n,). A mean over no cell counts as 0.
    """
    number = np.array([right.sum(), wrong.sum()], np.float64)
    weight = (number + 1) ** -0.5
    weight = weight / weight.sum() / np.maximum(number, 1e-12)
    easy, hard = weight[0] * right, weight[1] * wrong
    # logaddexp(0, z) is -log(1 - sigmoid(z)) without overflow
    loss = easy @ np.logaddexp(0, logits) + hard @ np.logaddexp(0, -logits)
    return float(loss), easy * expit(logits) - hard * expit(-logits)


def _logits(parameters: Vector, probs: NDArray, attended: NDArray) -> NDArray[np.float64]:
    weights, bias, gamma = parameters[:-2], parameters[-2], parameters[-1]
    return (probs + gamma * attended) @ weights + bias
