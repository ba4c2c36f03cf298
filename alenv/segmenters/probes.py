"""Heads on frozen features: multinomial logistic regression (convex) and linear discriminant analysis (closed form).

Both are deterministic functions of the labelled cells, so a reward measured with them carries no training noise. A cell
holds the label counts of its pixels: training on cells equals training on pixels that share a feature vector.
Matrices are laid out as (classes, cells), because reductions over few classes then run along contiguous cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse.linalg import LinearOperator, cg
from torch import Tensor

State = dict[str, NDArray]


class Head(Protocol):
    """A classifier of cells."""

    def add(self, x: Tensor, counts: Tensor) -> None:
        """Take in newly labelled cells: features (n, D) and label counts (n, C), float32."""

    def fit(self) -> None:
        """Fit to all cells added so far."""

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits (C, n) of features (n, D)."""

    def body(self, x: Tensor) -> Tensor:
        """Return what the last layer sees of features (n, D): (n, D')."""

    def samples(self, rng: np.random.Generator, passes: int) -> Iterator[Tensor]:
        """Yield last layers (C, D' + 1), the bias last: one for each Monte-Carlo pass."""

    def get_state(self) -> State:
        """Return all that later results depend on, apart from the added cells."""

    def set_state(self, state: State) -> None:
        """Restore what ``get_state`` returned."""


class LinearHead:
    """Multinomial logistic regression with L2.

    Minimises ``sum_i sum_c w_c n_ic (-log p_c(x_i)) + l2/2 |W|^2``, n_ic the share of the cell's pixels with label c,
    w_c proportional to (frequency of c among the labels)^-1/2 with mean 1 over labelled pixels. The minimum is unique;
    L-BFGS starts from the last one, in coordinates in which the Hessian is close to the identity: there the gradient
    is the distance to the minimum in posterior standard deviations, and four to eight evaluations reach it.

    Args:
        dimensions: Length D of a feature vector.
        classes: Number of classes C.
        unit: Labelled pixels that count as one observation: a cell's, or 1 where single pixels are labelled.
    """

    l2 = 5.0
    tolerance = 4e-4
    """Where to stop: the largest coordinate of the gradient there, per square root of the number of cells."""

    patience = 25
    """Evaluations after which the Hessian is taken anew, at the minimum that was found, to polish it."""

    accuracy = 1e-3
    """Relative residual of the equations behind ``influence``."""

    def __init__(self, dimensions: int, classes: int, unit: int) -> None:
        self._unit = unit
        self._x = torch.empty(dimensions + 1, 0)  # feature by feature: the products are a tenth faster
        self._counts = torch.empty(0, classes)
        self._weights = torch.zeros(classes, dimensions + 1)
        self._hessian = self.l2 * torch.eye(self._weights.numel())
        self._seen = 0  # cells that the Hessian covers
        self._renewed = 0  # cells there were when it was last computed as a whole
        self.evaluations = 0
        """Evaluations of the objective in the last fit."""

    def add(self, x: Tensor, counts: Tensor) -> None:
        """Append cells, leaving out those without a label."""
        labelled = counts.sum(1) > 0
        self._x = torch.cat([self._x, with_bias(x[labelled]).T], 1)
        self._counts = torch.cat([self._counts, counts[labelled]])

    def fit(self) -> None:
        """Minimise, starting from the current weights."""
        if not len(self._counts):
            return
        targets = self._targets()
        mass = targets.sum(0)
        self._update_hessian(mass)
        self.evaluations = self._minimize(targets, mass)
        if self.evaluations > self.patience:  # far from where the Hessian was taken: so was the measure of closeness
            self._renew_hessian(mass)
            self.evaluations += self._minimize(targets, mass)

    def _minimize(self, targets: Tensor, mass: Tensor) -> int:
        """Go to the minimum from the current weights; return the number of evaluations."""
        factor = torch.linalg.cholesky(self._hessian)

        def objective(point: NDArray) -> tuple[float, NDArray]:
            weights = torch.linalg.solve_triangular(factor.T, _column(point), upper=True)
            weights = weights.view_as(self._weights)
            logits = weights @ self._x
            norm = logits.logsumexp(0)
            # float64 sums: the line search compares values that agree in seven digits
            loss = _sum(mass * norm) - _sum(targets * logits) + self.l2 / 2 * _sum(weights.square())
            residual = logits.sub_(norm).exp_().mul_(mass).sub_(targets)
            gradient = (residual @ self._x.T + self.l2 * weights).view(-1, 1)
            slope = torch.linalg.solve_triangular(factor, gradient, upper=False)
            return loss, slope.double().numpy().ravel()

        start = (factor.T @ self._weights.view(-1, 1)).double().numpy().ravel()
        options = {"gtol": self.tolerance * len(self._counts) ** 0.5, "ftol": 0.0, "maxiter": 300, "maxcor": 20}
        result = minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
        weights = torch.linalg.solve_triangular(factor.T, _column(result.x), upper=True)
        self._weights = weights.view_as(self._weights)
        return result.nfev

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits (C, n) of features (n, D)."""
        return torch.addmm(self._weights[:, -1:], self._weights[:, :-1], x.T)

    def body(self, x: Tensor) -> Tensor:
        """Return the features themselves."""
        return x

    def samples(self, rng: np.random.Generator, passes: int) -> Iterator[Tensor]:
        """Yield weights from the Laplace approximation of the posterior, ``N(W, H^-1)``."""
        factor = torch.linalg.cholesky(self._hessian)
        noise = torch.from_numpy(rng.standard_normal((len(factor), passes), np.float32))
        for shift in torch.linalg.solve_triangular(factor.T, noise, upper=True).T:
            yield self._weights + shift.view_as(self._weights)

    def get_state(self) -> State:
        """Return weights and Hessian; the cells are not part of it."""
        counters = np.array([self._seen, self._renewed])
        return {"weights": self._weights.numpy().copy(), "hessian": self._hessian.numpy().copy(), "counters": counters}

    def set_state(self, state: State) -> None:
        """Restore weights and Hessian, after the same cells were added again."""
        self._weights = torch.tensor(state["weights"])
        self._hessian = torch.tensor(state["hessian"])
        self._seen, self._renewed = state["counters"].tolist()

    def gradient(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Differentiate a function of the logits of ``x`` (n, D) by the weights, (C, D + 1)."""
        weights = self._weights.clone().requires_grad_()
        logits = torch.addmm(weights[:, -1:], weights[:, :-1], x.T)
        return torch.autograd.grad(function(logits), weights)[0]

    def influence(self, x: Tensor, counts: Tensor, gradient: Tensor) -> Tensor:
        """Estimate how much adding groups of cells would lower a function of the weights.

        The first-order effect ``g' H^-1 g_i`` of one more term in the sum (influence function; Koh and Liang, 2017),
        with the exact Hessian H at the current weights.

        Args:
            x: Features (groups, cells, D).
            counts: Label counts (groups, cells, C).
            gradient: Gradient g (C, D + 1) of the function that is to be lowered.

        Returns:
            The decrease for each group, (groups,).
        """
        direction = self._solve(gradient)
        flat = x.flatten(0, 1)
        targets = (counts.flatten(0, 1) * class_weights(self._counts, self._unit)).T
        residual = self.logits(flat).softmax(0) * targets.sum(0) - targets
        slope = torch.addmm(direction[:, -1:], direction[:, :-1], flat.T)
        return (residual * slope).sum(0).view(x.shape[:2]).sum(1)

    def _solve(self, gradient: Tensor) -> Tensor:
        """Return ``H^-1 g`` (C, D + 1), by conjugate gradients: the fit's Hessian lags behind, but preconditions."""
        factor = torch.linalg.cholesky(self._hessian)
        mass = self._targets().sum(0)
        p = (self._weights @ self._x).softmax(0)

        def product(flat: NDArray) -> NDArray:
            direction = _column(flat).view_as(self._weights)
            logits = direction @ self._x
            bend = (logits - (p * logits).sum(0)).mul_(p).mul_(mass)
            return (bend @ self._x.T + self.l2 * direction).double().numpy().ravel()

        def precondition(flat: NDArray) -> NDArray:
            return torch.cholesky_solve(_column(flat), factor).double().numpy().ravel()

        square = (len(factor), len(factor))
        hessian, inverse = (LinearOperator(square, call, dtype=np.float64) for call in (product, precondition))
        direction, failed = cg(hessian, gradient.double().numpy().ravel(), rtol=self.accuracy, M=inverse)
        if failed:
            raise RuntimeError(f"conjugate gradients did not reach accuracy={self.accuracy}: are features finite?")
        return _column(direction).view_as(self._weights)

    def _targets(self) -> Tensor:
        """Weighted label shares (C, n)."""
        return (self._counts * class_weights(self._counts, self._unit)).T.contiguous()

    def _update_hessian(self, mass: Tensor) -> None:
        """Add the new cells at the current weights; compute it anew when the cells have doubled."""
        if len(self._counts) >= 2 * self._renewed:
            self._renew_hessian(mass)
        else:
            new = slice(self._seen, None)
            self._hessian += _curvature(self._x[:, new].T, self._weights, mass[new])
            self._seen = len(self._counts)

    def _renew_hessian(self, mass: Tensor) -> None:
        """Compute the Hessian at the current weights."""
        self._hessian = self.l2 * torch.eye(self._weights.numel()) + _curvature(self._x.T, self._weights, mass)
        self._seen = self._renewed = len(self._counts)


class LdaHead:
    """Linear discriminant analysis with a shared covariance.

    Counts, sums and second moments of the cells add up, so a region is added (or taken away) in O(D^2) and the
    solution is exact. Every pixel counts once; priors are (frequency)^1/2, as the linear head's weights imply.

    Args:
        dimensions: Length D of a feature vector.
        classes: Number of classes C.
    """

    shrinkage = 1e-2
    """Weight of a multiple of the identity in the covariance."""

    def __init__(self, dimensions: int, classes: int) -> None:
        self._counts = torch.zeros(classes, dtype=torch.float64)
        self._sums = torch.zeros(classes, dimensions, dtype=torch.float64)
        self._moments = torch.zeros(dimensions, dimensions, dtype=torch.float64)
        self._weights = torch.zeros(classes, dimensions)
        self._bias = torch.zeros(classes, 1)

    def add(self, x: Tensor, counts: Tensor, sign: int = 1) -> None:
        """Add the statistics of cells, or take them away with ``sign=-1``."""
        x, counts = x.double(), counts.double() * sign
        self._counts += counts.sum(0)
        self._sums += counts.T @ x
        self._moments += (x * counts.sum(1, keepdim=True)).T @ x

    def fit(self) -> None:
        """Solve for weights and bias; a class without a label is never predicted."""
        total = self._counts.sum()
        if total == 0:  # nothing labelled yet, or all of it taken away again
            self._weights, self._bias = torch.zeros_like(self._weights), torch.zeros_like(self._bias)
            return
        means = self._sums / self._counts.clamp_min(1)[:, None]
        scatter = self._moments - means.T @ self._sums
        covariance = scatter / total
        level = covariance.diagonal().mean().clamp_min(1e-6)
        covariance = covariance + self.shrinkage * level * torch.eye(len(covariance), dtype=torch.float64)
        weights = torch.linalg.solve(covariance, means.T).T
        bias = 0.5 * (self._counts / total).log() - 0.5 * (weights * means).sum(1)
        self._weights, self._bias = weights.float(), bias.float()[:, None]

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits (C, n) of features (n, D)."""
        return torch.addmm(self._bias, self._weights, x.T)

    def body(self, x: Tensor) -> Tensor:
        """Return the features themselves."""
        return x

    def samples(self, rng: np.random.Generator, passes: int) -> Iterator[Tensor]:
        """Yield weights with some features dropped: there is no likelihood to take a posterior of."""
        return dropped(torch.cat([self._weights, self._bias], 1), rng, passes)

    def get_state(self) -> State:
        """Return the statistics and the solution."""
        return {name: getattr(self, f"_{name}").numpy().copy() for name in _LDA_STATE}

    def set_state(self, state: State) -> None:
        """Restore the statistics and the solution."""
        for name in _LDA_STATE:
            setattr(self, f"_{name}", torch.tensor(state[name]))


_LDA_STATE = ("counts", "sums", "moments", "weights", "bias")


DROPOUT = 0.2
"""Share of features that a Monte-Carlo pass without a posterior leaves out."""


def dropped(weights: Tensor, rng: np.random.Generator, passes: int) -> Iterator[Tensor]:
    """Yield last layers (C, D + 1) with random columns set to zero and the others scaled up; the bias stays."""
    for _ in range(passes):
        kept = torch.from_numpy(rng.random(weights.shape[1] - 1) >= DROPOUT) / (1 - DROPOUT)
        yield weights * torch.cat([kept.float(), torch.ones(1)])


def class_weights(counts: Tensor, unit: int) -> Tensor:
    """Weight of one pixel of each class (C,); a class counts as one unit of pixels at least.

    Args:
        counts: Label counts of the cells (n, C).
        unit: Labelled pixels that count as one observation.
    """
    frequency = counts.sum(0)
    if not frequency.any():
        return torch.full_like(frequency, 1 / unit)
    weights = frequency.clamp_min(unit).rsqrt()
    return weights * (frequency.sum() / (weights * frequency).sum() / unit)


def with_bias(x: Tensor) -> Tensor:
    """Append a column of ones."""
    return torch.cat([x, torch.ones(len(x), 1)], 1)


def _column(flat: NDArray) -> Tensor:
    return torch.from_numpy(flat).float()[:, None]


def _sum(values: Tensor) -> float:
    return float(values.sum(dtype=torch.float64))


def _curvature(x: Tensor, weights: Tensor, mass: Tensor) -> Tensor:
    """Hessian of the log-loss, ``sum_i m_i (diag(p_i) - p_i p_i') (x) x_i x_i'``, as a matrix (C D, C D)."""
    classes, dimensions = weights.shape
    p = (weights @ x.T).softmax(0)
    blocks = torch.empty(classes, dimensions, classes, dimensions)
    for a in range(classes):
        for b in range(a, classes):
            share = p[a] * (mass * ((1.0 if a == b else 0.0) - p[b]))
            block = (x.T * share) @ x
            blocks[a, :, b] = block
            blocks[b, :, a] = block
    return blocks.view(classes * dimensions, -1)
