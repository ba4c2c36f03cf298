"""A dataset made up on the spot, of any number of images and classes: for what no dataset at hand reaches.

Every image is a draw of blocks, each of one class; classes are few or many, rare ones are rare, and each has a colour
that noise blurs, so that a model can learn most of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from alenv.data import DATASETS, Dataset, SegmentationData, from_store
from alenv.data.store import open_store

HEIGHT, WIDTH, BLOCK = 32, 64, 16
REGIONS = HEIGHT * WIDTH // BLOCK**2
"""Of an image."""
FIXED = {"state": 10, "reward": 50}
"""Images of splits that do not grow."""


class Made(Dataset):
    """Blocks of classes; ``images`` of the pool and ``classes`` are those of the last ``choose``."""

    region, cell = (BLOCK, BLOCK), 8
    split_tables = ("all",)
    images = 0

    def __init__(self, root: Path | None) -> None:
        pass

    def load(self, split: str) -> SegmentationData:
        """Make the images, or map those that were made before."""
        total, classes = sum(FIXED.values()) + self.images, len(self.classes)

        def build(folder: Path) -> dict[str, Any]:
            rng = np.random.default_rng(0)
            share = 1 / np.arange(1, classes + 1)
            shape = total, HEIGHT // BLOCK, WIDTH // BLOCK
            labels = rng.choice(classes, shape, p=share / share.sum()).astype(np.uint8)
            masks = labels.repeat(BLOCK, 1).repeat(BLOCK, 2)
            noise = rng.integers(-40, 41, (*masks.shape, 3), np.int8)
            np.save(folder / "masks.npy", masks)
            np.save(folder / "images.npy", (self.colours[masks].astype(np.int16) + noise).clip(0, 255).astype(np.uint8))
            return {"names": [str(i) for i in range(total)]}

        store = open_store(f"made-{total}-{classes}", "1", build)
        ends = np.cumsum([*FIXED.values(), self.images])
        sizes = {**FIXED, "train": self.images}
        splits = {name: np.arange(end - sizes[name], end) for name, end in zip(sizes, ends, strict=True)}
        return from_store("made", store, self.classes, self.colours, splits)


def choose(images: int, classes: int) -> None:
    """Make the dataset ``made`` known in this process, with so many images in its pool and so many classes."""
    DATASETS["made"] = f"{__name__}:{Made.__name__}"
    Made.images, Made.classes = images, tuple(f"class {i}" for i in range(classes))
    Made.colours = np.random.default_rng(1).integers(0, 256, (classes, 3), np.uint8)
