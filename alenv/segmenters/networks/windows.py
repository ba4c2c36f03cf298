"""Windows: the part of a feature map that decides the logits of a region, at full resolution and exactly."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from alenv.regions import Ids, RegionGrid
from alenv.segmenters.networks.layers import bilinear


class Windows:
    """Cuts the features of regions out of those of whole images, and brings their logits to full resolution.

    The result is what resizing the logits of the whole image, and cutting then, would give: each window has as many
    features to its sides as the last layer and the interpolation reach.

    Args:
        grid: The regions.
        size: Height and width of the feature map of an image.
        reach: How many features to each side a logit depends on.
        device: Where features are.
    """

    def __init__(self, grid: RegionGrid, size: tuple[int, int], reach: int, device: torch.device) -> None:
        self._grid, self._reach = grid, reach
        (self._rows, self._top), (self._columns, self._left) = (
            _side(*lengths, reach) for lengths in zip(size, grid.size, grid.region, grid.steps, strict=True)
        )
        self._rows, self._columns = self._rows.to(device), self._columns.to(device)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a window, in features."""
        return self._rows.shape[2], self._columns.shape[2]

    def cut(self, features: Tensor, positions: Ids, regions: Ids) -> Tensor:
        """Cut windows out of feature maps.

        Args:
            features: (m, D, h', w').
            positions: (n,) which of the m maps each region lies in.
            regions: (n,) ids.

        Returns:
            (n, D, window height, window width).
        """
        _, row, column = self._grid.locate(regions)
        height, width = self.size
        padded = F.pad(features, (self._reach, width, self._reach, height))
        corners = zip(positions.tolist(), self._top[row].tolist(), self._left[column].tolist(), strict=True)
        return torch.stack([padded[i, :, y : y + height, x : x + width] for i, y, x in corners])

    def expand(self, logits: Tensor, regions: Ids) -> Tensor:
        """Bring the logits of windows (n, C, window height, window width) to (n, C, region height, region width)."""
        rows, columns = self._matrices(regions)
        with torch.autocast(logits.device.type, enabled=False):
            return rows[:, None] @ logits.float() @ columns[:, None].mT

    def mean(self, windows: Tensor, regions: Ids) -> Tensor:
        """Return the mean of features over the pixels of each region: windows (n, D, ., .) -> (n, D)."""
        rows, columns = (matrices.mean(1) for matrices in self._matrices(regions))
        # not a matrix product: there the bits of a region could depend on how many others there are
        return (windows.float() * rows[:, None, :, None] * columns[:, None, None, :]).sum((2, 3))

    def cells(self, windows: Tensor, regions: Ids, side: int) -> Tensor:
        """Return the mean features of cells of ``side`` pixels: windows (n, D, ., .) -> (n, cells, D)."""
        rows, columns = (
            matrices.view(len(regions), -1, side, matrices.shape[2]).mean(2) for matrices in self._matrices(regions)
        )
        with torch.autocast(windows.device.type, enabled=False):
            return (rows[:, None] @ windows.float() @ columns[:, None].mT).flatten(2).mT

    def _matrices(self, regions: Ids) -> tuple[Tensor, Tensor]:
        """For each region, what makes its pixels' rows of the window's rows, and the same for columns."""
        _, row, column = self._grid.locate(regions)
        return self._rows[torch.from_numpy(row)], self._columns[torch.from_numpy(column)]


def _side(source: int, target: int, part: int, step: int, reach: int) -> tuple[Tensor, np.ndarray]:
    """Windows along one side.

    Args:
        source: Features along the side of an image.
        target: Pixels along it.
        part: Pixels along the side of a region.
        step: Pixels from one region to the next.
        reach: How many features to each side a logit depends on.

    Returns:
        Matrices (parts, part, window) from the window's features to pixels; first feature of each window, counted
        in a map with ``reach`` zeros before it.
    """
    matrices = bilinear(source, target).unfold(0, part, step).mT
    # which features any pixel of a part is made of: from the first to the last, and as far around as logits reach
    used = matrices.any(1)
    first = used.int().argmax(1)
    last = source - 1 - used.flip(1).int().argmax(1)
    window = int((last - first).max()) + 1 + 2 * reach
    padded = F.pad(matrices, (reach, window))
    cut = torch.stack([m[:, start : start + window] for m, start in zip(padded, first.tolist(), strict=True)])
    return cut, first.numpy()
