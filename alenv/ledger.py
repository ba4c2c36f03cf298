"""Ledger: every label that was bought, and what it cost in several units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alenv.arrays import blocks
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

    def buy(self, images: NDArray[np.int64], masks: NDArray[np.uint8]) -> None:
        """Enter regions: their images (n,) and their labels (n, h, w)."""
        self.regions += len(masks)
        self.images.update(images.tolist())
        for at in blocks(masks):
            labels = label_counts(masks[at])
            self.clicks += int(count_clicks(masks[at], labels).sum())
            self.class_pixels += labels[:, : len(self.class_pixels)].sum(0)


def label_histogram(mask: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
    """Count the pixels of each class, (C,), without the ignored ones."""
    return np.bincount(mask.ravel(), minlength=256)[:classes].astype(np.int64)


def label_counts(masks: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count the labels of each region: (n, h, w) -> (n, 256), the ignored ones too."""
    n = len(masks)
    own = masks.reshape(n, -1) + 256 * np.arange(n)[:, None]
    return np.bincount(own.ravel(), minlength=256 * n).reshape(n, 256)


def count_clicks(masks: NDArray[np.uint8], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Estimate the clicks that annotate regions: one to name each class, and one per 10 pixels of boundary.

    Args:
        masks: uint8 (n, h, w) labels; the border with ignored pixels counts as a boundary.
        labels: Their counts, see ``label_counts``.

    Returns:
        (n,).
    """
    named = (np.delete(labels, IGNORE, 1) > 0).sum(1)
    boundary = (masks[:, 1:] != masks[:, :-1]).sum((1, 2)) + (masks[:, :, 1:] != masks[:, :, :-1]).sum((1, 2))
    return named - (-boundary // PIXELS_PER_CLICK)
