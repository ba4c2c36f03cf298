"""Datasets of arrays, for tests and notebooks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alenv.data.dataset import Dataset, SegmentationData
from alenv.data.outside import check_pixels, check_splits
from alenv.data.resized import palette
from alenv.data.store import key
from alenv.data.tiling import tiling
from alenv.errors import shown


class InMemory(Dataset):
    """Images that are there already, see ``from_arrays``."""

    split_tables = ("given",)

    def __init__(self, data: SegmentationData) -> None:
        self._data = data
        self.classes, self.colours = data.classes, data.colours
        self.region, self.cell = tiling(data.masks.shape[1], data.masks.shape[2])

    @property
    def digest(self) -> str:
        """Hash of all there is."""
        return self._data.manifest

    def load(self, split: str) -> SegmentationData:
        """Return the data."""
        return self._data


def from_arrays(
    images: NDArray[np.uint8], masks: NDArray[np.uint8], classes: Sequence[str], splits: Mapping[str, ArrayLike]
) -> InMemory:
    """Make a dataset of arrays.

    Arguments of an environment are JSON values, so it takes the dataset by its import path. Where this object is called
    ``leaves`` in a module ``plants``, that is ``gym.make("RegionSelect-v0", dataset="plants:leaves")``; in a notebook
    or script, ``dataset="__main__:leaves"``. Pickles and snapshots hold the path: they work wherever it can be imported
    and leads to equal data.

    Args:
        images: uint8 (n, h, w, 3), RGB.
        masks: uint8 (n, h, w), class indices; 255 = no label.
        classes: Names of the classes, at most 254.
        splits: Image indices by split name: ``state`` (features are fitted and first labels drawn there), ``train`` and
            ``eval`` (pools), ``reward``, ``test``, and ``holdout`` if suites score it.

    Raises:
        ValueError: If shapes, types, labels or splits are not so, or no cell tiles images of that size.
    """
    if len(set(classes)) < len(classes) or not 0 < len(classes) <= 254 or not all(classes):
        raise ValueError(f"classes={shown(list(classes))}: expected 1 to 254 different names")
    check_pixels(images, masks, len(classes))
    table = {name: np.asarray(chosen, np.int64) for name, chosen in splits.items()}
    check_splits(table, len(images))
    pixels = [hashlib.sha256(array.tobytes()).hexdigest() for array in (images, masks)]
    return InMemory(
        SegmentationData(
            name="arrays",
            images=images,
            masks=masks,
            classes=tuple(classes),
            colours=palette(len(classes)),
            names=tuple(f"{i:05d}" for i in range(len(images))),
            splits=table,
            manifest=key(images.shape, pixels, list(classes), {part: ids.tolist() for part, ids in table.items()}),
        )
    )
