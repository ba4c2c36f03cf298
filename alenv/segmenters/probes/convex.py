"""The minimum of a convex loss over the weights of a softmax layer: its curvature by class, and L-BFGS in that metric.

The Hessian of C classes and D dimensions is a matrix of (C D)^2. Of it only the C blocks on the diagonal are kept,
D x D each: cost and memory grow with the number of classes, not with its square. What they leave out is how classes
compete. Most of that is known beforehand: adding one vector to the weights of all classes changes no probability, so
gradients add up to zero over classes. Whatever the blocks propose is therefore centred over classes; without this the
minimum takes up to twice as many evaluations.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

PAIRS = 20
"""Steps of the past that L-BFGS remembers."""
CELLS = 2048
"""Cells whose curvature is added at once: their features stay in the processor's cache."""
EVALUATIONS = 300
"""After which it stops, wherever it is."""

Pair = tuple[Tensor, Tensor, float]
"""A step, the change of the gradient along it, and their product."""


class Curvature:
    """Blocks ``l2 I + sum_i m_i p_ic (1 - p_ic) x_i x_i'`` of the Hessian, one for each class c.

    Args:
        classes: Number of classes C.
        dimensions: Length D of a row of weights.
        l2: Curvature of the penalty.

    Attributes:
        blocks: float32 (C, D, D).
        inverse: Their inverses, as of the last ``factorise``.
    """

    def __init__(self, classes: int, dimensions: int, l2: float) -> None:
        self.blocks = l2 * torch.eye(dimensions).repeat(classes, 1, 1)

    def add(self, x: Tensor, probs: Tensor, mass: Tensor) -> None:
        """Add cells: features (D, n), probabilities (C, n) and weights m (n,)."""
        # the diagonal blocks of a cell's Hessian m (diag(p) - p p') x x'
        shares = probs * (1 - probs) * mass
        for start in range(0, len(mass), CELLS):
            part = x[:, start : start + CELLS]
            for block, share in zip(self.blocks, shares[:, start : start + CELLS], strict=True):
                block.addmm_(part * share, part.T)

    def factorise(self) -> None:
        """Take in what was added: ``precondition`` and ``colour`` are of the blocks at this moment."""
        self._factors = torch.linalg.cholesky(self.blocks)
        self.inverse = torch.cholesky_inverse(self._factors)

    def precondition(self, gradient: Tensor) -> Tensor:
        """Return nearly ``H^-1 g`` for gradients (C, D) that add up to zero over the classes."""
        return centred(torch.bmm(self.inverse, centred(gradient)[..., None])[..., 0])

    def colour(self, noise: Tensor) -> Tensor:
        """Return draws from nearly ``N(0, H^-1)``, made of standard normal noise (C, D, draws)."""
        return centred(torch.linalg.solve_triangular(self._factors.mT, noise, upper=True))


def centred(weights: Tensor) -> Tensor:
    """Take the mean over the classes, the first axis, away."""
    return weights - weights.mean(0)


def minimise(
    gradient_of: Callable[[Tensor], Tensor], start: Tensor, metric: Curvature, tolerance: float
) -> tuple[Tensor, int]:
    """Follow L-BFGS (Nocedal and Wright, 2006, algorithm 7.4) to the minimum of a convex function.

    It looks at gradients alone: values that agree in seven digits cannot be compared in float32, but of a convex
    function a step is too long only where the slope along it has turned.

    Args:
        gradient_of: Gradient at weights (C, D).
        start: Weights (C, D), centred.
        metric: First guess of the Hessian.
        tolerance: Where to stop: the Newton decrement ``(g' H^-1 g)^1/2``, the distance to the minimum in posterior
            standard deviations, with L-BFGS's own guess of H.

    Returns:
        The weights, and how often the gradient was evaluated.
    """
    weights, gradient, evaluations = start, gradient_of(start), 1
    pairs: list[Pair] = []
    while evaluations < EVALUATIONS:
        step = _direction(gradient, pairs, metric)
        downhill = _dot(gradient, step)
        if -downhill <= tolerance**2:
            break
        ahead, evaluations = gradient_of(weights + step), evaluations + 1
        while (uphill := _dot(ahead, step)) > -downhill and evaluations < EVALUATIONS:
            shorter = max(downhill / (downhill - uphill), 0.1)  # where the slope would vanish if it were a line
            step, downhill = shorter * step, shorter * downhill
            ahead, evaluations = gradient_of(weights + step), evaluations + 1
        change = ahead - gradient
        if (bend := _dot(step, change)) > 0:  # but for rounding it is
            pairs = [*pairs[1 - PAIRS :], (step, change, bend)]
        weights, gradient = weights + step, ahead
    return weights, evaluations


def _direction(gradient: Tensor, pairs: list[Pair], metric: Curvature) -> Tensor:
    """Return minus the gradient in the metric, corrected by what the last steps have seen of the Hessian."""
    # two loops, from the last step to the first and back (Nocedal and Wright, algorithm 7.4)
    rest, shares = gradient, []
    for step, change, bend in reversed(pairs):
        shares.append(_dot(step, rest) / bend)
        rest = rest - shares[-1] * change
    direction = metric.precondition(rest)
    if pairs:
        _, change, bend = pairs[-1]
        # as their equation 7.20 scales the identity: to the curvature along the last step
        direction = direction * (bend / _dot(change, metric.precondition(change)))
    for (step, change, bend), share in zip(pairs, reversed(shares), strict=True):
        direction = direction + (share - _dot(change, direction) / bend) * step
    return -direction


def _dot(a: Tensor, b: Tensor) -> float:
    return float((a * b).sum())
