"""Cells: what probes learn from and are tested on, the frozen features of cells and the labels of their pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alenv.data import SegmentationData
from alenv.errors import unknown
from alenv.labels import region_counts
from alenv.regions import Ids, RegionGrid
from alenv.segmenters.features import CellFeatures, count_labels

CHUNK = 16384
"""Cells that are evaluated at once: the logits stay in the processor's cache."""


class Cells:
    """The cells of a dataset: by region, and by split.

    Args:
        data: Images and masks.
        grid: The regions.
        side: Of a cell, in pixels.
        features: Of all cells.

    Attributes:
        vectors: Features (images, rows, columns, D).
        counts: Label counts (images, rows, columns, C).
    """

    def __init__(self, data: SegmentationData, grid: RegionGrid, side: int, features: CellFeatures) -> None:
        self._data, self._grid, self._side = data, grid, side
        self.vectors, self.counts, self._map = features.vectors, features.counts, features.map
        self._resident: dict[tuple[str, ...], tuple[Tensor, Tensor]] = {}

    def replace(self, data: SegmentationData, images: Ids) -> None:
        """Go over to data in which some images are others; what twins share stays as it is."""
        self._data = data
        kept = {splits: x for splits, x in self._resident.items() if not np.isin(images, self._images(splits)).any()}
        self._resident = kept
        if not self.vectors.flags.writeable:
            self.vectors, self.counts = np.array(self.vectors), np.array(self.counts)
        self.vectors[images] = self._map(data.images[images])
        self.counts[images] = count_labels(data.masks[images], self._side, len(data.classes))

    def maps(self, regions: Ids) -> Tensor:
        """Return the features of regions as maps, (n, rows, columns, D)."""
        return torch.from_numpy(self._grid.cut(self.vectors, regions, self._side))

    def of_regions(self, regions: Ids) -> Tensor:
        """Return the features of the cells of regions, (n, cells, D)."""
        return self.maps(regions).flatten(1, 2)

    def labels(self, regions: Ids) -> NDArray[np.float32]:
        """Return the label counts of the cells of regions (n, cells, C); of a region that is one pixel, its label."""
        return region_counts(self._data.masks, self.counts, self._grid, regions)

    def of_split(self, split: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the cells of a split in chunks; those of the reward split, read every round, stay in memory."""
        if split == "reward":
            yield from chunks(*self.labelled(split))
        else:
            for image in self._images([split]):
                yield self._flat(np.array([image]))

    def labelled(self, *splits: str) -> tuple[Tensor, Tensor]:
        """Return features (n, D) and label counts (C, n) of the labelled cells of splits; they stay in memory.

        Raises:
            ValueError: If there is no such split.
        """
        if splits not in self._resident:
            x, counts = self._flat(self._images(splits))
            labelled = counts.sum(0) > 0
            # feature by feature in memory: the product with few classes is then a third faster
            self._resident[splits] = x[labelled].T.contiguous().T, counts[:, labelled]
        return self._resident[splits]

    def _images(self, splits: Sequence[str]) -> Ids:
        for split in splits:
            if split not in self._data.splits:
                raise unknown("split", split, self._data.splits)
        return np.concatenate([self._data.splits[split] for split in splits])

    def _flat(self, images: Ids) -> tuple[Tensor, Tensor]:
        """Return features (n, D) and label counts (C, n) of all cells of some images."""
        x = self.vectors[images].reshape(-1, self.vectors.shape[-1])
        counts = self.counts[images].reshape(-1, self.counts.shape[-1]).T.astype(np.float32)
        return torch.from_numpy(x), torch.from_numpy(counts)


def chunks(x: Tensor, counts: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield features (n, D) and counts (C, n) of no more than ``CHUNK`` cells each."""
    for start in range(0, len(x), CHUNK):
        yield x[start : start + CHUNK], counts[:, start : start + CHUNK]


def winners(logits: Tensor, out: Tensor | None = None) -> Tensor:
    """One-hot arg-max over the classes, (..., C, n); comparing with the maximum is far faster than ``argmax`` there."""
    won = torch.eq(logits, logits.amax(-2, keepdim=True), out=torch.empty_like(logits) if out is None else out)
    if won.sum() != logits.numel() // logits.shape[-2]:  # ties, as with weights that are all 0: the first class wins
        won = torch.zeros_like(logits).scatter_(-2, logits.argmax(-2, keepdim=True), 1.0)
    return won
