"""Frames: the pixels of a dataset, on the device where they are needed; and the labels that were bought of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alenv.data import IGNORE, SegmentationData
from alenv.labels import region_labels
from alenv.regions import Ids, RegionGrid
from alenv.segmenters.networks.architectures import standardise

SHARE = 4
"""A GPU keeps all images if its free memory is this many times their size; else they are sent batch by batch."""


class Frames:
    """Images as a network wants them.

    Args:
        data: The images, uint8.
        device: Where they are wanted.
    """

    def __init__(self, data: SegmentationData, device: torch.device) -> None:
        self._device = device
        self._images = data.images
        self._resident: Tensor | None = None
        if device.type == "cuda" and torch.cuda.mem_get_info(device)[0] > SHARE * data.images.nbytes:
            self._resident = torch.from_numpy(np.array(data.images)).to(device)

    def whole(self, images: Ids) -> Tensor:
        """Return whole images (n,) as float32 (n, 3, h, w), channels last."""
        return standardise(self._take(images))

    def crops(self, images: Ids, ys: NDArray[np.int64], xs: NDArray[np.int64]) -> Tensor:
        """Return crops, float32 (n, 3, height, width): rows ``ys`` (n, height) and columns ``xs`` (n, width)."""
        return standardise(self._take(images[:, None, None], ys[:, :, None], xs[:, None, :]))

    def replace(self, data: SegmentationData, images: Ids) -> None:
        """Go over to data in which some images are others."""
        self._images = data.images
        if self._resident is not None:
            self._resident[torch.from_numpy(images).to(self._device)] = self._send(data.images[images])

    def _take(self, *index: NDArray[np.int64]) -> Tensor:
        if self._resident is None:
            return self._send(self._images[index])
        place: Any = tuple(torch.from_numpy(part).to(self._device) for part in index)
        return self._resident[place]

    def _send(self, pixels: NDArray[np.uint8]) -> Tensor:
        tensor = torch.from_numpy(np.asarray(pixels))
        if self._device.type == "cuda":
            tensor = tensor.pin_memory()  # torch reuses it only after the copy
        return tensor.to(self._device, non_blocking=True)


class BoughtLabels:
    """The labels that were bought, and no others.

    Args:
        grid: The regions.

    Attributes:
        maps: Of each image with a labelled region, uint8 (h, w); ``IGNORE`` where nothing was bought.
    """

    def __init__(self, grid: RegionGrid) -> None:
        self._grid = grid
        self.maps: dict[int, NDArray[np.uint8]] = {}

    def take(self, masks: NDArray[np.uint8], regions: Ids) -> None:
        """Copy the labels of regions out of the masks of all images."""
        corners = self._grid.corners(regions).tolist()
        for (image, y, x), labels in zip(corners, region_labels(masks, self._grid, regions), strict=True):
            bought = self.maps.setdefault(image, np.full(self._grid.size, IGNORE, np.uint8))
            bought[y : y + labels.shape[0], x : x + labels.shape[1]] = labels

    def of_regions(self, regions: Ids) -> NDArray[np.uint8]:
        """Return the labels of regions (n, region height, region width)."""
        images, within = self._grid.group(regions)
        maps = [self.maps[image] for image in images.tolist()]
        return self._grid.cut(np.stack(maps), within) if maps else np.empty((0, *self._grid.region), np.uint8)

    def crops(self, images: Ids, ys: NDArray[np.int64], xs: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the labels of the crops that ``Frames.crops`` returns, (n, height, width)."""
        parts = zip(images.tolist(), ys[:, :, None], xs[:, None, :], strict=True)
        return np.stack([self.maps[image][y, x] for image, y, x in parts])
