"""What labels of regions would tell of the weights, whatever these labels are: the linear head's experimental design.

The posterior of the weights is taken for normal, with the Hessian's blocks ``B_c`` of the classes for its precision. A
cell x whose prediction is p adds ``F_c = m p_c (1 - p_c) x x'`` to them: its label is not needed. m is the weight that
the loss is expected to give it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alenv.segmenters.probes.heads import with_bias
from alenv.segmenters.probes.linear import LinearHead

REGIONS = 32
"""Regions at once: bounds the memory."""
TARGETS = 128
"""Of the candidates, spread evenly, whose predictions are to become certain."""

Rows = slice | NDArray[np.int64]


class Design:
    """The posterior after the labels so far, and after what was picked since.

    Args:
        head: The fitted head.
        cut: Features (r, cells, D) of some of the candidates.
        number: How many candidates there are.
    """

    def __init__(self, head: LinearHead, cut: Callable[[Rows], Tensor], number: int) -> None:
        self._head, self._cut, self._number = head, cut, number
        self._curvature = head.information()
        self._curvature.factorise()
        self._wanted: Tensor | None = None

    def pick(self, index: int, first: int) -> None:
        """Count a candidate as labelled."""
        x, probs, mass = self._predicted(np.array([index]))
        self._curvature.add(x[0].T, probs[0], mass[0])
        self._curvature.factorise()

    def leverage(self, rows: Rows) -> NDArray[np.float32]:
        """Return ``sum_c tr(B_c^-1 F_c)`` of a cell, the mean over the region: how little its labels are known.

        Zero where labels so far explain everything. But for the weights m, it is twice BALD to first order.
        """
        return self._of_regions(rows, partial(_quadratic, self._curvature.inverse))

    def information(self, rows: Rows) -> NDArray[np.float32]:
        """Return ``1/2 sum_c ln det(I + B_c^-1 F_c)`` in nats, F_c of all cells of a region together.

        What the region's labels tell of the weights, beyond those of the labels and picks before: picked greedily, it
        is BatchBALD (Kirsch et al., "BatchBALD", NeurIPS 2019, arXiv 1906.08158) in closed form; see Kirsch and Gal,
        "Unifying Approaches in Active Learning and Active Sampling via Fisher Information", arXiv 2208.00549.
        """
        return self._of_regions(rows, self._information)

    def reduction(self, rows: Rows) -> NDArray[np.float32]:
        """Return ``sum_c tr(B_c^-1 M_c B_c^-1 F_c)`` of a cell, the mean over the region; M_c the mean F_c of the pool.

        How much less the pool's predictions would vary: the first-order decrease of ``sum_c tr(B_c^-1 M_c)``, twice
        their expected excess loss, which BAIT lowers (Ash et al., "Gone Fishing", NeurIPS 2021, arXiv 2106.09675). But
        for the weights m, it is also twice EPIG towards the pool, to the lowest order in what is not known.
        """
        if self._wanted is None:
            self._wanted = self._targets()
        inverse = self._curvature.inverse
        return self._of_regions(rows, partial(_quadratic, inverse @ self._wanted @ inverse))

    def _information(self, x: Tensor, share: Tensor) -> Tensor:
        total, one = torch.zeros(len(x)), torch.eye(x.shape[2])
        for factor, weight in zip(torch.linalg.cholesky(self._curvature.inverse), share, strict=True):
            # B^-1 = L L' and F = X'X: ln det(I + B^-1 F) is that of I + (X L)'(X L), by its Cholesky factor
            root = (x * weight.sqrt()[..., None]) @ factor
            total += torch.linalg.cholesky(root.mT @ root + one).diagonal(dim1=1, dim2=2).log().sum(1)
        return total

    def _targets(self) -> Tensor:
        """Mean F of the cells of some candidates, (C, D + 1, D + 1)."""
        rows = np.unique(np.linspace(0, self._number - 1, TARGETS).round().astype(np.int64))
        x, probs, mass = self._predicted(rows)
        shares = (probs * (1 - probs) * mass[:, None]).movedim(1, 0).flatten(1)
        flat = x.flatten(0, 1)
        return torch.stack([(flat * share[:, None]).T @ flat for share in shares]) / len(flat)

    def _of_regions(self, rows: Rows, function: Callable[[Tensor, Tensor], Tensor]) -> NDArray[np.float32]:
        found, chosen = [torch.empty(0)], np.arange(self._number)[rows]
        for start in range(0, len(chosen), REGIONS):
            x, probs, mass = self._predicted(chosen[start : start + REGIONS])
            found.append(function(x, (probs * (1 - probs) * mass[:, None]).movedim(1, 0)))
        return torch.cat(found).numpy()

    def _predicted(self, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
        """Return features (r, cells, D + 1), probabilities (r, C, cells) and expected weights (r, cells)."""
        x = self._cut(rows)
        probs = self._head.logits(x.flatten(0, 1)).softmax(0)
        mass = self._head.expected_mass(probs)
        return with_bias(x), probs.view(-1, *x.shape[:2]).movedim(0, 1), mass.view(x.shape[:2])


def _quadratic(matrices: Tensor, x: Tensor, share: Tensor) -> Tensor:
    """Mean over the cells of ``sum_c share_c x' A_c x``: matrices (C, D, D), x (r, cells, D), share (C, r, cells)."""
    parts = (((x @ matrix) * x).sum(2) * weight for matrix, weight in zip(matrices, share, strict=True))
    return sum(parts, torch.zeros(share.shape[1:])).mean(1)
