"""Frames: the pixels of a dataset, on the device where they are needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alenv.data import SegmentationData
from alenv.regions import Ids
from alenv.segmenters.networks import standardise

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
        return torch.from_numpy(np.asarray(pixels)).to(self._device)
