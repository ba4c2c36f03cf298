"""The network of RALIS (Casanova et al., ICLR 2020, and the released code), with options beyond the paper."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from agents.equivariant import mean, standardise
from alenv.ralis_features import BINS

WIDTH = 128
"""Length of what the two branches make of a candidate and of the state."""


class QNetwork(nn.Module):
    """Q-values of the candidates of one pool: what a candidate shows, what the state shows, and a similarity gate.

    The output permutes with the candidates, of which there can be any number. Where the observation is ``compact``,
    there is no gate, the state is a vector, and candidates enter as they are and standardised over the legal ones.

    Args:
        candidate: Features of a candidate, channels included.
        state: Shape of the state: (regions, features) or (features,).
        compact: Whether the observation is ``compact`` rather than ``ralis``.
        scores: How many of the features are channels, which come last.
        norm: Normalisation before every layer, ``batch`` or ``layer``.
        dueling: Whether the value of the state is learned apart from the advantages of the candidates.
    """

    def __init__(
        self, candidate: int, state: Sequence[int], *, compact: bool, scores: int, norm: str, dueling: bool
    ) -> None:
        super().__init__()
        self._compact = compact
        gated, relative = (0, candidate) if compact else (2 * BINS, scores)
        self._parts = candidate - gated - scores, gated, scores
        self.region = nn.Sequential(_layer(state[-1], 256, norm, inputs=True), _layer(256, 128, norm))
        if len(state) == 2:
            self.region.append(_layer(128, 1, norm))
        self.state = _layer(state[0] if len(state) == 2 else 128, WIDTH, norm)
        self.action = nn.Sequential(
            _layer(self._parts[0] + relative, 512, norm, inputs=True), _layer(512, 256, norm), _layer(256, WIDTH, norm)
        )
        self.head = _layer(2 * WIDTH, 1, norm, rectified=norm == "layer")  # the released network rectifies nothing here
        self.gate = nn.Sequential(_layer(gated, 1, norm, inputs=True), nn.Sigmoid()) if gated else None
        self.value = _layer(WIDTH, 1, norm) if dueling else None

    def forward(self, candidates: Tensor, state: Tensor, mask: Tensor) -> Tensor:
        """Return Q-values.

        Args:
            candidates: (B, N, F), pools.
            state: (B, ...), or (1, ...) where all pools have one state.
            mask: (B, N), 1 where a candidate is legal.

        Returns:
            (B, N).
        """
        # channels have no scale of their own: only how a candidate compares with the others of its pool means something
        own, divergences, scores = candidates.split(self._parts, 2)
        relative = standardise(torch.cat([own, scores], 2) if self._compact else scores, mask, of_deviation=1e-4)
        seen = self.state(self.region(state).flatten(1))[:, None].expand(*candidates.shape[:2], -1)
        q = self.head(torch.cat([self.action(torch.cat([own, relative], 2)), seen], 2))[..., 0]
        if self.gate is not None:
            q = self.gate(divergences)[..., 0] * q
        if self.value is not None:  # advantages have mean 0, or a constant could move between them and the value
            q = self.value(seen)[..., 0] + q - mean(q[..., None], mask)[..., 0]
        return q


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation of the last axis, whatever comes before it."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (..., F)."""
        return super().forward(x.flatten(0, -2)).view_as(x)


def _layer(width: int, outputs: int, norm: str, inputs: bool = False, rectified: bool = True) -> nn.Sequential:
    """Norm, ReLU and a linear map; layer norm and ReLU would lose what is in inputs, so there they are left out."""
    linear = nn.Linear(width, outputs)
    if norm == "batch":
        return nn.Sequential(BatchNorm(width), nn.ReLU() if rectified else nn.Identity(), linear)
    return nn.Sequential(linear) if inputs else nn.Sequential(nn.LayerNorm(width), nn.ReLU(), linear)
