"""The source domain of a probe: labelled cells of other data, seen through the features of the target's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alenv.data import SegmentationData
from alenv.data.store import key, open_store
from alenv.segmenters.features import CellFeatures, count_labels

CELLS = 2**15
"""That are learned from, those of evenly spaced images: more would not fit beside the target's, nor teach more."""


@dataclass(frozen=True)
class SourceCells:
    """Features (n, D) and label counts (n, C) of the source's cells, and their hash."""

    x: Tensor
    counts: Tensor
    digest: str


def source_cells(target: CellFeatures, source: SegmentationData, cell: int) -> SourceCells:
    """Return the labelled cells of the source's split ``train``; cached.

    Args:
        target: Features of the target, whose projection is taken.
        source: With the classes of the target.
        cell: Side of a cell in pixels.

    Raises:
        ValueError: If cells do not tile the source's images.
    """
    h, w = source.images.shape[1:3]
    if h % cell or w % cell:
        raise ValueError(f"the source's images of {h} x {w} pixels are not tiled by the target's cells of {cell}")
    images, per_image = source.splits["train"], h * w // cell**2
    chosen = images[np.unique(np.linspace(0, len(images) - 1, max(CELLS // per_image, 1)).round().astype(np.int64))]

    def build(folder: Path) -> dict[str, Any]:
        np.save(folder / "vectors.npy", target.map(source.images[chosen]))
        return {}

    text = key(1, target.digest, source.manifest, chosen.tolist(), cell)
    store = open_store(f"source-{source.name}-{text}", text, build)
    counts = count_labels(source.masks[chosen], cell, len(source.classes))
    labelled = counts.any(-1)
    x, labels = store.arrays["vectors"][labelled], counts[labelled].astype(np.float32)
    return SourceCells(torch.from_numpy(x), torch.from_numpy(labels), store.digest)
