"""Learners of many episodes on the same data: the reward split is evaluated in one matrix product for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from alenv.metrics import Confusion
from alenv.segmenters.probes.cells import winners
from alenv.segmenters.probes.lda import LdaHead
from alenv.segmenters.probes.learner import Learner
from alenv.segmenters.probes.linear import LinearHead
from alenv.segmenters.threads import THREADS, torch_threads

WIDTH = 32
"""Learners in one product: with more, the logits leave the processor's cache, and it is no faster."""
ROOM = 2**14
"""Learners times cells of the reward split in one product."""

Layer = tuple[Tensor, Tensor]
"""Bias (C, 1) and weights (C, D)."""


def evaluate(learners: Sequence[Learner]) -> list[Confusion]:
    """Return what ``learner.evaluate("reward")`` does for each of some twins, bit for bit.

    A product of many rows is taken only where its rows have the bits of the product of few, as they do in the libraries
    we know unless there are very few classes; elsewhere, and for ``mlp``, each learner is evaluated by itself.
    """
    found: list[Confusion] = []
    with torch_threads(THREADS):
        for start in range(0, len(learners), WIDTH):
            group = learners[start : start + WIDTH]
            heads = [learner._head for learner in group]
            layers = [head.affine for head in heads if isinstance(head, LdaHead | LinearHead)]
            if len(layers) > 1 and _alike(len(layers), *layers[0][1].shape):
                found += _confusions(layers, *group[0]._cells.labelled("reward"))
            else:
                found += [learner.evaluate("reward") for learner in group]
    return found


def _confusions(layers: Sequence[Layer], x: Tensor, counts: Tensor) -> list[Confusion]:
    """Return the confusion matrix of every layer over cells: features x (n, D), label counts (C, n).

    All parts share two rooms: memory that is asked for anew costs as much time as the product.
    """
    many, classes, parts = len(layers), len(counts), -(-len(x) * len(layers) // ROOM)
    bias, weights = (torch.cat(part) for part in zip(*layers, strict=True))
    rooms = torch.empty(2, len(weights) * -(-len(x) // parts))
    total = torch.zeros(classes, len(weights), dtype=torch.float64)
    for cells, labels in zip(x.T.tensor_split(parts, 1), counts.tensor_split(parts, 1), strict=True):
        logits, won = (room[: len(weights) * labels.shape[1]].view(len(weights), -1) for room in rooms)
        torch.addmm(bias, weights, cells, out=logits)
        won = winners(logits.view(many, classes, -1), out=won.view(many, classes, -1)).flatten(0, 1)
        total += labels @ won.T  # the other way round it takes twice as long
    return list(total.T.view(many, classes, classes).to(torch.int64).numpy())


@cache
def _alike(many: int, classes: int, dimensions: int) -> bool:
    """Say whether a product of the rows of many layers has the bits of products of one layer's, here."""
    draw = torch.Generator().manual_seed(0)
    shapes = [(many, classes, 1), (many, classes, dimensions), (dimensions, 2 * ROOM // many - 37)]
    bias, weights, x = (torch.randn(shape, generator=draw) for shape in shapes)
    apart = [torch.addmm(*layer, x) for layer in zip(bias, weights, strict=True)]
    parts = [torch.addmm(bias.flatten(0, 1), weights.flatten(0, 1), part) for part in x.tensor_split(2, 1)]
    return torch.equal(torch.cat(apart), torch.cat(parts, 1))
