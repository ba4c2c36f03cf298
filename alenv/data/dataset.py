"""What a dataset is: before its images are read, and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from alenv.regions import Ids

IGNORE = 255
"""The mask value of pixels without a label: they are neither learned nor scored."""


@dataclass(frozen=True)
class SegmentationData:
    """A segmentation dataset in memory-mapped arrays.

    Attributes:
        name: Of the dataset, for names of caches and errors.
        images: uint8 (n, h, w, 3), RGB.
        masks: uint8 (n, h, w), class indices; 255 = ignore.
        classes: Names of the C classes, in index order.
        colours: uint8 (C, 3), RGB, for display.
        names: Names of the n images.
        splits: int64 image indices by split name (``state``, ``train``, ``reward``, ``eval``, ``test``, ...).
        manifest: Hash of all pixels, labels and splits as loaded.
    """

    name: str
    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    classes: tuple[str, ...]
    colours: NDArray[np.uint8]
    names: tuple[str, ...]
    splits: Mapping[str, NDArray[np.int64]]
    manifest: str


class Dataset(Protocol):
    """A dataset somewhere on disk, before its images are read. Subclasses inherit what has a value here.

    A class is made with the place where the data lie, or None for the usual places. Nothing is read from disk before
    ``load``, unless it says what the classes are.
    """

    classes: tuple[str, ...]
    """Names of the C classes, in index order."""
    colours: NDArray[np.uint8]
    """(C, 3), RGB, for display."""
    region: tuple[int, int]
    """Height and width of a region in pixels, unless the user chooses others."""
    cell: int
    """Side of a feature cell in pixels; divides image and region."""
    split_tables: tuple[str, ...]
    """Names of the split tables, the default first."""
    generated: bool = False
    """Whether the images are made on the spot: then this is a ``GeneratedDataset``."""
    background: str | None = None
    """The class that is no target of mining, if there is one."""

    def load(self, split: str) -> SegmentationData:
        """Return the data with the splits of one table.

        Raises:
            ValueError: If a file holds what it must not.
            FileNotFoundError: If the dataset or one of its files is missing.
        """


class GeneratedDataset(Dataset, Protocol):
    """A dataset that never runs out of images."""

    def fresh_pool(self, data: SegmentationData, images: Ids, episode: int, split: str) -> SegmentationData:
        """Return the data with newly made images in the place of some, keyed by the episode."""
