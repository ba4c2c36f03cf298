"""The source domain of a network: other data, all of whose labels are given, for batches beside those of the target."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from alenv.data import SegmentationData
from alenv.ledger import label_histogram
from alenv.regions import Ids, RegionGrid
from alenv.segmenters.networks.frames import Frames
from alenv.segmenters.networks.training import Crops, crops


class Source:
    """Crops of the images of the split ``train``, each of which is as likely as another.

    Args:
        data: With the classes of the target.
        device: Where they are wanted.

    Attributes:
        frames: The images.
        given: Labelled pixels.
        facts: What a training on them depends on.
    """

    def __init__(self, data: SegmentationData, device: torch.device) -> None:
        self.frames = Frames(data, device)
        self._masks, self._images = data.masks, data.splits["train"]
        size = data.images.shape[1], data.images.shape[2]
        self._grid = RegionGrid(size, size)
        counts = sum(label_histogram(data.masks[image], len(data.classes)) for image in self._images)
        self.given = int(np.sum(counts))
        self.facts: dict[str, Any] = {"manifest": data.manifest, "class_pixels": np.atleast_1d(counts).tolist()}

    def draw(self, rng: np.random.Generator, count: int, side: int) -> Crops:
        """Draw crops anywhere in images."""
        images: Ids = self._images[rng.integers(len(self._images), size=count)]
        return crops(rng, self._grid, images, side)

    def crops(self, images: Ids, ys: NDArray[np.int64], xs: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the labels of crops, (n, height, width)."""
        return np.asarray(self._masks[images[:, None, None], ys[:, :, None], xs[:, None, :]])
