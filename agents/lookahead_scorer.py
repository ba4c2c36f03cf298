"""The network of the look-ahead policy: gains of the candidates of a pool."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agents.equivariant import block, context, head, mean, standardise
from alenv.observation import CANDIDATE, PROGRESS, column

PER_CLASS = 5
"""What is known of a class in a candidate, see ``_per_class``."""


class Scorer(nn.Module):
    """Predicts gains, from their pool's mean and in units of their round's deviation.

    Candidates are treated alike, and so are classes: the output permutes with the candidates, of which there can be any
    number, and is the same for any order and number of classes.

    Args:
        scores: Number of acquisition channels.
        hidden: Width of the layers.
        start: The channel that it is before it learns anything; None for class-balanced entropy.
    """

    def __init__(self, scores: int, hidden: int, start: int | None = None) -> None:
        super().__init__()
        self.start = start
        self.by_class = nn.Sequential(*block(PER_CLASS, hidden // 2), *block(hidden // 2, hidden // 2))
        inputs = hidden // 2 + 2 * len(CANDIDATE) + scores + len(PROGRESS)
        self.encode = nn.Sequential(*block(inputs, hidden), *block(hidden, hidden))
        self.value = head(hidden)
        self.prior = nn.Parameter(torch.tensor(0.5))
        nn.init.zeros_(self.value[-1].weight)
        nn.init.zeros_(self.value[-1].bias)

    def forward(self, candidates: Tensor, state: Tensor, scores: Tensor, picked: Tensor, mask: Tensor) -> Tensor:
        """Return the values (B, N) of pools; masked ones mean nothing.

        Args:
            candidates: (B, N, F), as observed.
            state: (B, S), as observed.
            scores: (B, N, channels), as observed.
            picked: (B, C), mean probabilities of the classes in the picks of this round, added up.
            mask: (B, N), what can be picked.
        """
        classes = picked.shape[1]
        probs, rest = candidates[..., :classes], candidates[..., classes:]
        standard, standard_scores = (standardise(x, mask, of_variance=1e-8) for x in (rest, scores))
        shared = state[:, None, : len(PROGRESS)].expand(-1, candidates.shape[1], -1)
        # a sum over classes: the same for any number and any order of them
        of_classes = self.by_class(_per_class(probs, state, picked, mask)).sum(2)
        rows = self.encode(torch.cat([of_classes, rest, standard, standard_scores, shared], 2))
        common = context(rows, mask).expand(-1, rows.shape[1], -1)
        # the last layer starts at 0, so that untrained it is the heuristic
        correction = self.value(torch.cat([rows, common], 2))[..., 0]
        heuristic = (
            standard[..., column("balanced_entropy")] if self.start is None else standard_scores[..., self.start]
        )
        return correction + self.prior * heuristic


def _per_class(probs: Tensor, state: Tensor, picked: Tensor, mask: Tensor) -> Tensor:
    """Lay out what is known of each class in each candidate, (B, N, C, 5)."""
    centred = probs - mean(probs, mask)
    # roots: shares of a few per cent are many rare classes, and differences among them matter most
    frequency, iou = state[:, len(PROGRESS) :].chunk(2, 1)
    known = torch.stack([frequency.sqrt(), iou, picked.sqrt()], 2)[:, None].expand(-1, probs.shape[1], -1, -1)
    return torch.cat([torch.stack([probs, centred], 3), known], 3)
