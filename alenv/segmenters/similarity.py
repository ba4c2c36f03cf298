"""How like the labelled regions others are: cosines between mean features."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alenv.regions import Ids, RegionGrid, by_image

ROWS = 1024
"""Regions that are compared with all labelled ones at once: bounds the memory where there are many of both."""


def compare(
    embedding: Tensor, regions: Ids, known: Tensor, labelled: Ids, grid: RegionGrid
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the largest and the mean cosine of regions to the labelled ones; -1 where there is none to compare with.

    Of single pixels there are tens of thousands, on both sides. The largest cosine of a pixel is therefore that to the
    labelled pixels of its own image alone: the time grows with the pixels and not with their square. The mean is over
    all images.

    Args:
        embedding: Unit vectors of the regions (n, D).
        regions: Their ids (n,).
        known: Unit vectors of the labelled regions (m, D).
        labelled: Their ids (m,).
        grid: The regions.
    """
    nearest = np.full(len(regions), -1, np.float32)
    if not len(known):
        return nearest, nearest.copy()
    if grid.dense:
        own = by_image(labelled, grid)
        for image, rows in by_image(regions, grid).items():
            if image in own:
                nearest[rows] = _nearest(embedding[rows], known[own[image]])
    else:
        nearest = _nearest(embedding, known)
    return nearest, (embedding @ known.T.mean(1)).numpy()


def _nearest(embedding: Tensor, known: Tensor) -> NDArray[np.float32]:
    return torch.cat([(part @ known.T).amax(1) for part in torch.split(embedding, ROWS)]).numpy()
