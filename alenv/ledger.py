"""Ledger: every label that was bought, and what it cost in several units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alenv.data import IGNORE

PIXELS_PER_CLICK = 10
"""One click follows this many pixels of a boundary between classes (our choice, about one polygon vertex)."""


class Ledger:
    """Costs of the labels bought in an episode.

    Attributes:
        regions: Regions bought.
        pixels: Their labelled pixels; ignored ones are not counted.
        clicks: Estimated annotation clicks, see ``count_clicks``.
        images: Indices of the images that were opened.
        class_pixels: int64 (C,), labelled pixels of each class.
    """

    def __init__(self, classes: int) -> None:
        self.regions = 0
        self.clicks = 0
        self.images: set[int] = set()
        self.class_pixels = np.zeros(classes, np.int64)

    @property
    def pixels(self) -> int:
        """Labelled pixels bought."""
        return int(self.class_pixels.sum())

    def buy(self, image: int, mask: NDArray[np.uint8]) -> None:
        """Enter one region: its image and its labels (h, w)."""
        self.regions += 1
        self.clicks += count_clicks(mask)
        self.images.add(image)
        self.class_pixels += label_histogram(mask, len(self.class_pixels))


def label_histogram(mask: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
    """Count the pixels of each class, (C,), without the ignored ones."""
    return np.bincount(mask.ravel(), minlength=256)[:classes].astype(np.int64)


def count_clicks(mask: NDArray[np.uint8]) -> int:
    """Estimate the clicks that annotate a region: one to name each class, and one per 10 pixels of boundary.

    Args:
        mask: uint8 (h, w) labels; the border with ignored pixels counts as a boundary.
    """
    named = len(np.unique(mask[mask != IGNORE]))
    boundary = int((mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum())
    return named + -(-boundary // PIXELS_PER_CLICK)
