"""EmbeddedImages: images as frozen embeddings, with the pixels of each class that they hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alenv.mining.cells import Cells


@dataclass(frozen=True)
class EmbeddedImages:
    """Embeddings and class quantities of n images.

    A class has one or more *modes* (looks); data without such knowledge have one mode per class. An image holds at
    most S modes, listed in rows of fixed width, so that a million images stay small.

    Attributes:
        name: Name of the data.
        embeddings: float32 (n, D), unit vectors.
        modes: int16 (n, S), the modes an image holds; -1 fills the row.
        pixels: int32 (n, S), how many pixels each of them has; 0 where there is no mode.
        mode_class: int16 (M,), the class of each mode.
        classes: Names of the C classes.
        heldout: Names of the classes that agents never train on.
        splits: int64 image indices by split name: ``train`` (policy images) and ``eval`` (new images) at least.
        manifest: Hash of all of it.
        cells: The same images as bags of cells, where that was asked for.
    """

    name: str
    embeddings: NDArray[np.float32]
    modes: NDArray[np.int16]
    pixels: NDArray[np.int32]
    mode_class: NDArray[np.int16]
    classes: tuple[str, ...]
    heldout: tuple[str, ...]
    splits: Mapping[str, NDArray[np.int64]]
    manifest: str
    cells: Cells | None = None
