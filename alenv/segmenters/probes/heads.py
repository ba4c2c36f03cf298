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
from scipy.sparse.linalg import LinearOperator, cg
from torch import Tensor

from alenv.outside import check_arrays
from alenv.segmenters.probes.convex import Curvature, centred, minimise

State = dict[str, NDArray]
LARGEST = 1e15
"""Beyond all sums and weights of a head; float32 can still square it."""


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
        """Restore what ``get_state`` returned.

        Raises:
            ValueError: If it does not fit; nothing is changed then.
        """


class LinearHead:
    """Multinomial logistic regression with L2.

    Minimises ``sum_i sum_c w_c n_ic (-log p_c(x_i)) + l2/2 |W|^2``, n_ic the share of the cell's pixels with label c,
    w_c proportional to (frequency of c among the labels)^-1/2 with mean 1 over labelled pixels. The minimum is unique.
    L-BFGS starts from the last one, in the metric of the Hessian's blocks, one for each class: with few classes, five
    to fifteen evaluations of the gradient reach it.

    Args:
        dimensions: Length D of a feature vector.
        classes: Number of classes C.
        unit: Labelled pixels that count as one observation: a cell's, or 1 where single pixels are labelled.
    """

    l2 = 5.0
    tolerance = 1e-3
    """Where to stop: distance to the minimum in posterior standard deviations, per square root of the cells."""

    patience = 25
    """Evaluations after which the curvature is taken anew, at the minimum that was found, to polish it."""

    accuracy = 1e-3
    """Relative residual of the equations behind ``influence``."""

    def __init__(self, dimensions: int, classes: int, unit: int) -> None:
        self._unit = unit
        self._x = torch.empty(dimensions + 1, 0)  # feature by feature: the products are a tenth faster
        self._counts = torch.empty(0, classes)
        self._weights = torch.zeros(classes, dimensions + 1)
        self._curvature = Curvature(classes, dimensions + 1, self.l2)
        self._seen = 0  # cells that the curvature covers
        self._renewed = 0  # cells there were when it was last computed as a whole
        self.evaluations = 0
        """Evaluations of the gradient in the last fit."""

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
        self._update_curvature(targets.sum(0))
        self.evaluations = self._minimise(targets)
        if self.evaluations > self.patience:  # far from where the curvature was taken: so was the measure of closeness
            self._renewed = 0
            self._update_curvature(targets.sum(0))
            self.evaluations += self._minimise(targets)

    def _minimise(self, targets: Tensor) -> int:
        """Go to the minimum from the current weights; return the number of evaluations."""
        mass = targets.sum(0)

        def gradient(weights: Tensor) -> Tensor:
            residual = (weights @ self._x).softmax(0).mul_(mass).sub_(targets)
            return residual @ self._x.T + self.l2 * weights

        tolerance = self.tolerance * len(self._counts) ** 0.5
        self._weights, evaluations = minimise(gradient, self._weights, self._curvature, tolerance)
        return evaluations

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits (C, n) of features (n, D)."""
        return torch.addmm(*self.affine, x.T)

    @property
    def affine(self) -> tuple[Tensor, Tensor]:
        """Bias (C, 1) and weights (C, D) of the logits."""
        return self._weights[:, -1:], self._weights[:, :-1]

    def body(self, x: Tensor) -> Tensor:
        """Return the features themselves."""
        return x

    def samples(self, rng: np.random.Generator, passes: int) -> Iterator[Tensor]:
        """Yield weights from nearly the Laplace approximation of the posterior, ``N(W, H^-1)``."""
        noise = torch.from_numpy(rng.standard_normal((*self._weights.shape, passes), np.float32))
        self._curvature.factorise()
        yield from self._weights + self._curvature.colour(noise).movedim(-1, 0)

    def get_state(self) -> State:
        """Return weights and curvature; the cells are not part of it."""
        counters = np.array([self._seen, self._renewed])
        blocks = self._curvature.blocks.numpy().copy()
        return {"weights": self._weights.numpy().copy(), "curvature": blocks, "counters": counters}

    def set_state(self, state: State) -> None:
        """Restore weights and curvature, after the same cells were added again.

        Raises:
            ValueError: If they are none; nothing is changed then.
        """
        check_arrays("head", state, self.get_state(), LARGEST)
        seen, renewed = state["counters"].tolist()
        if torch.linalg.cholesky_ex(torch.tensor(state["curvature"])).info.any() or not 0 <= renewed <= seen:
            raise ValueError(f"head: curvature and counters={[seen, renewed]} are not those of a fit")
        self._weights = torch.tensor(state["weights"])
        self._curvature.blocks = torch.tensor(state["curvature"])
        self._seen, self._renewed = seen, renewed

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

    def influences(self, x: Tensor, gradient: Tensor) -> Tensor:
        """Estimate how much adding single cells would lower a function of the weights, for each label they can have.

        Args:
            x: Features (n, D).
            gradient: As for ``influence``.

        Returns:
            The decrease (C, n).
        """
        direction, probs = self._solve(gradient), self.logits(x).softmax(0)
        slope = torch.addmm(direction[:, -1:], direction[:, :-1], x.T)
        weight = self._unit * class_weights(self._counts, self._unit)
        return weight[:, None] * ((probs * slope).sum(0) - slope)

    def information(self) -> Curvature:
        """Return the Hessian's blocks at the current weights, of all cells; those that the fit carries along lag."""
        curvature = Curvature(len(self._weights), self._weights.shape[1], self.l2)
        curvature.add(self._x, (self._weights @ self._x).softmax(0), self._targets().sum(0))
        return curvature

    def expected_mass(self, probs: Tensor) -> Tensor:
        """Return the weight (n,) that the loss will give to cells of predictions (C, n), on average over labels."""
        return self._unit * class_weights(self._counts, self._unit) @ probs

    def _solve(self, gradient: Tensor) -> Tensor:
        """Return ``H^-1 g`` (C, D + 1), by conjugate gradients that the curvature by class preconditions."""
        mass = self._targets().sum(0)
        p = (self._weights @ self._x).softmax(0)
        self._curvature.factorise()

        def product(flat: NDArray) -> NDArray:
            direction = torch.from_numpy(flat).float().view_as(self._weights)
            logits = direction @ self._x
            bend = (logits - (p * logits).sum(0)).mul_(p).mul_(mass)
            return (bend @ self._x.T + self.l2 * direction).double().numpy().ravel()

        def precondition(flat: NDArray) -> NDArray:
            residual = torch.from_numpy(flat).float().view_as(self._weights)
            common = (residual - centred(residual)) / self.l2  # of all classes: only the penalty bends there
            return (self._curvature.precondition(residual) + common).double().numpy().ravel()

        square = (self._weights.numel(), self._weights.numel())
        hessian, inverse = (LinearOperator(square, call, dtype=np.float64) for call in (product, precondition))
        direction, failed = cg(hessian, gradient.double().numpy().ravel(), rtol=self.accuracy, M=inverse)
        if failed:
            raise RuntimeError(f"conjugate gradients did not reach accuracy={self.accuracy}: are features finite?")
        return torch.from_numpy(direction).float().view_as(self._weights)

    def _targets(self) -> Tensor:
        """Weighted label shares (C, n)."""
        return (self._counts * class_weights(self._counts, self._unit)).T.contiguous()

    def _update_curvature(self, mass: Tensor) -> None:
        """Add the new cells at the current weights; compute it anew when the cells have doubled."""
        if len(self._counts) >= 2 * self._renewed:
            self._curvature = Curvature(len(self._weights), self._weights.shape[1], self.l2)
            self._seen, self._renewed = 0, len(self._counts)
        new = slice(self._seen, None)
        self._curvature.add(self._x[:, new], (self._weights @ self._x[:, new]).softmax(0), mass[new])
        self._curvature.factorise()
        self._seen = len(self._counts)


class LdaHead:
    """Linear discriminant analysis with a shared covariance.

    Counts, sums and second moments of the cells add up, so a region is added (or taken away) in O(D^2) and the
    solution is exact. Every pixel counts once; priors are (frequency)^1/2, as the linear head's weights imply.

    Args:
        dimensions: Length D of a feature vector.
        classes: Number of classes C.
        unit: As for ``LinearHead``; without effect, since the scale of the counts has none.
    """

    shrinkage = 1e-2
    """Weight of a multiple of the identity in the covariance."""

    def __init__(self, dimensions: int, classes: int, unit: int = 1) -> None:
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
        return torch.addmm(*self.affine, x.T)

    @property
    def affine(self) -> tuple[Tensor, Tensor]:
        """Bias (C, 1) and weights (C, D) of the logits."""
        return self._bias, self._weights

    def body(self, x: Tensor) -> Tensor:
        """Return the features themselves."""
        return x

    def samples(self, rng: np.random.Generator, passes: int) -> Iterator[Tensor]:
        """Yield weights with some features dropped: there is no likelihood to take a posterior of."""
        return dropped(torch.cat([self._weights, self._bias], 1), rng, passes)

    def get_state(self) -> State:
        """Return the statistics; the solution follows from them."""
        return {name: getattr(self, f"_{name}").numpy().copy() for name in _LDA_STATE}

    def set_state(self, state: State) -> None:
        """Restore the statistics.

        Raises:
            ValueError: If they are none; nothing is changed then.
        """
        check_arrays("head", state, self.get_state(), LARGEST)
        if (state["counts"] < 0).any():
            raise ValueError(f"head.counts: {state['counts'].min()} is no number of pixels")
        for name in _LDA_STATE:
            setattr(self, f"_{name}", torch.tensor(state[name]))
        self.fit()


_LDA_STATE = ("counts", "sums", "moments")


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
    """Append a one to every vector, the last axis."""
    return torch.cat([x, torch.ones(*x.shape[:-1], 1)], -1)
