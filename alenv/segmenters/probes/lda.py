"""Linear discriminant analysis, in closed form: labels can be added and taken away exactly."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from alenv.outside import check_arrays
from alenv.segmenters.probes.heads import LARGEST, State, dropped

STATISTICS = ("counts", "sums", "moments")


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
        # within the classes: all second moments less those of the means
        scatter = self._moments - means.T @ self._sums
        covariance = scatter / total
        level = covariance.diagonal().mean().clamp_min(1e-6)
        covariance = covariance + self.shrinkage * level * torch.eye(len(covariance), dtype=torch.float64)
        weights = torch.linalg.solve(covariance, means.T).T
        # log-prior of (frequency)^1/2, and -1/2 m' S^-1 m
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
        return {name: getattr(self, f"_{name}").numpy().copy() for name in STATISTICS}

    def set_state(self, state: State) -> None:
        """Restore the statistics.

        Raises:
            ValueError: If they are none; nothing is changed then.
        """
        check_arrays("head", state, self.get_state(), LARGEST)
        if (state["counts"] < 0).any():
            raise ValueError(f"head.counts: {state['counts'].min()} is no number of pixels")
        for name in STATISTICS:
            setattr(self, f"_{name}", torch.tensor(state[name]))
        self.fit()
