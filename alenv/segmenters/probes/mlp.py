"""A small network on frozen features: one hidden layer, with dropout before the last."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from alenv.outside import check_arrays
from alenv.segmenters.probes.heads import DROPOUT, LARGEST, State, class_weights, dropped


class MlpHead:
    """A perceptron with one hidden layer of rectified units.

    It minimises the linear head's loss by a fixed number of Adam steps on random cells, from the weights that the last
    fit left. Not convex: the result depends on the order of labelling, and its score carries training noise, though
    the same order gives the same bits.

    Args:
        dimensions: Length D of a feature vector.
        classes: Number of classes C.
        unit: Labelled pixels that count as one observation.
    """

    hidden = 64
    steps = 150
    batch = 1024
    rate = 3e-3
    decay = 1e-2
    """Weight decay of AdamW."""

    def __init__(self, dimensions: int, classes: int, unit: int) -> None:
        self._unit = unit
        self._x = torch.empty(0, dimensions)
        self._counts = torch.empty(0, classes)
        rng = np.random.default_rng(0)
        first = rng.standard_normal((self.hidden, dimensions + 1)) * (2 / dimensions) ** 0.5
        first[:, -1] = 0
        self._first = torch.from_numpy(first).float()
        self._last = torch.zeros(classes, self.hidden + 1)

    def add(self, x: Tensor, counts: Tensor) -> None:
        """Append cells, leaving out those without a label."""
        labelled = counts.sum(1) > 0
        self._x = torch.cat([self._x, x[labelled]])
        self._counts = torch.cat([self._counts, counts[labelled]])

    def fit(self) -> None:
        """Train on; the cells seen so far seed the choice of batches."""
        if not len(self._counts):
            return
        targets = self._counts * class_weights(self._counts, self._unit)
        rng = np.random.default_rng(len(self._counts))
        parameters = [self._first.clone().requires_grad_(), self._last.clone().requires_grad_()]
        optimizer = torch.optim.AdamW(parameters, self.rate, weight_decay=self.decay)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, self.steps)
        for _ in range(self.steps):
            rows = torch.from_numpy(rng.integers(len(targets), size=self.batch))
            kept = torch.from_numpy(rng.random((self.batch, self.hidden), np.float32) >= DROPOUT) / (1 - DROPOUT)
            logits = _affine(_affine(self._x[rows], parameters[0]).relu() * kept, parameters[1])
            mass = targets[rows].sum(1)
            loss = (mass * logits.logsumexp(1)).sum() - (targets[rows] * logits).sum()
            optimizer.zero_grad()
            torch.autograd.backward(loss / mass.sum())
            optimizer.step()
            schedule.step()
        self._first, self._last = (parameter.detach() for parameter in parameters)

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits (C, n) of features (n, D)."""
        return torch.addmm(self._last[:, -1:], self._last[:, :-1], self.body(x).T)

    def body(self, x: Tensor) -> Tensor:
        """Return the hidden layer (n, hidden)."""
        return _affine(x, self._first).relu_()

    def samples(self, rng: np.random.Generator, passes: int) -> Iterator[Tensor]:
        """Yield last layers with some hidden units dropped, the same ones for all cells of a pass."""
        return dropped(self._last, rng, passes)

    def get_state(self) -> State:
        """Return both layers; the cells are not part of it."""
        return {"first": self._first.numpy().copy(), "last": self._last.numpy().copy()}

    def set_state(self, state: State) -> None:
        """Restore both layers, after the same cells were added again.

        Raises:
            ValueError: If they are none; nothing is changed then.
        """
        check_arrays("head", state, self.get_state(), LARGEST)
        self._first, self._last = torch.tensor(state["first"]), torch.tensor(state["last"])


def _affine(x: Tensor, weights: Tensor) -> Tensor:
    """Apply a layer whose last column is the bias."""
    return torch.addmm(weights[:, -1], x, weights[:, :-1].T)
