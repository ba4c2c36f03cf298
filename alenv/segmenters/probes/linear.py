"""The linear head: multinomial logistic regression, which is convex."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, cg
from torch import Tensor

from alenv.outside import check_arrays
from alenv.segmenters.probes.convex import Curvature, centred, minimise
from alenv.segmenters.probes.heads import LARGEST, State, class_weights, with_bias


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
        mass, residual = targets.sum(0), torch.empty_like(targets)  # one room: new memory costs as much as a product

        def gradient(weights: Tensor) -> Tensor:
            # by the logits the loss has the gradient m p - targets
            torch.mm(weights, self._x, out=residual)
            torch.softmax(residual, 0, out=residual).mul_(mass).sub_(targets)
            return residual @ self._x.T + self.l2 * weights

        tolerance = self.tolerance * len(self._counts) ** 0.5
        self._weights, evaluations = minimise(gradient, self._weights, self._curvature, tolerance)
        return evaluations

    def stand(self, weights: Tensor) -> None:
        """Take weights (C, D + 1) that were found elsewhere in the place of the minimum."""
        self._weights, self._renewed = weights, 0
        self._update_curvature(self._targets().sum(0))

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
        # a cell's gradient is (m p - targets) x', so its product with the direction needs no such matrix
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
            # H d = sum of m (diag(p) - p p') d x x', without the matrix H
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
