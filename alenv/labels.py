"""The labels of regions: the one place where what an annotator says of them is read from the data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alenv.regions import Ids, RegionGrid


def region_labels(masks: NDArray[np.uint8], grid: RegionGrid, regions: Ids) -> NDArray[np.uint8]:
    """Return the labels of regions.

    Args:
        masks: Of all images, (images, h, w).
        grid: The regions.
        regions: (n,).

    Returns:
        (n, region height, region width).
    """
    return grid.cut(masks, regions)


def region_counts(
    masks: NDArray[np.uint8], counts: NDArray[np.uint16], grid: RegionGrid, regions: Ids
) -> NDArray[np.float32]:
    """Count the labels of regions cell by cell; in regions that are one pixel, count that pixel alone.

    Args:
        masks: Of all images, (images, h, w).
        counts: Of all cells of these, (images, rows, columns, C), so that nothing is counted twice.
        grid: The regions.
        regions: (n,).

    Returns:
        (n, cells, C).
    """
    classes = counts.shape[-1]
    if grid.pixels:
        labels = region_labels(masks, grid, regions).reshape(-1, 1, 1)
        return (labels == np.arange(classes)).astype(np.float32)
    cut = grid.cut(counts, regions, grid.size[0] // counts.shape[1]).astype(np.float32)
    return cut.reshape(len(regions), cut.shape[1] * cut.shape[2], classes)
