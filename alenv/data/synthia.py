"""SYNTHIA-RAND-CITYSCAPES: 9400 rendered street images, 16 of Cityscapes' 19 classes.

The folder ``RAND_CITYSCAPES``: ``RGB`` and ``GT/LABELS`` of the same names. Labels are PNG of 16 bits a channel, the
first of which is the class; copies that were saved again with one channel of 8 bits are read too. Images of 1280 x 760
are stretched to 640 x 384. Splits follow a hash of the names; a tenth is ``test``. Terrain, truck and train have ids,
but never occur.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alenv.data import IGNORE
from alenv.data.cityscapes import CLASSES, COLOURS
from alenv.data.files import FORBIDDEN, halved, read_mask, relabel, unreadable
from alenv.data.gtav import SIZE
from alenv.data.items import Files, LabelledFiles, stretched_item
from alenv.data.pairs import find_pairs
from alenv.data.splitting import hashed_tenths

LABELS = np.full(256, FORBIDDEN, np.uint8)
"""Ids in the files -> class indices; void, parking slots, road works and lane markings have none."""
LABELS[[0, 13, 14, 22, IGNORE]] = IGNORE
LABELS[[3, 4, 2, 21, 5, 7, 15, 9, 6, 16, 1, 10, 17, 8, 18, 19, 20, 12, 11]] = range(len(CLASSES))


class Synthia(LabelledFiles):
    """The images: a folder that holds ``RGB`` and ``GT``."""

    name = folder = "synthia"
    layout = "RGB/0000000.png ... and GT/LABELS/0000000.png ..., the content of RAND_CITYSCAPES, 9400 pairs"
    page = "https://synthia-dataset.net/downloads, SYNTHIA-RAND-CITYSCAPES (CVPR16)"
    classes, colours = CLASSES, COLOURS
    region, cell = (64, 64), 16
    split_tables = ("hash",)

    def files(self, root: Path, split: str) -> Files:
        """List the images, see ``LabelledFiles``."""
        pairs = find_pairs({root / "RGB": root / "GT" / "LABELS"})
        items = [stretched_item(pair.mask.stem, pair.image, pair.mask, read_labels, SIZE) for pair in pairs]
        return Files(items, SIZE, hashed_tenths([item.name for item in items]))


def read_labels(path: Path) -> NDArray[np.uint8]:
    """Read class indices (h, w) from the first channel of 16 bits, or from a mask of one.

    Raises:
        ValueError: If the file cannot be read, or holds a label that must not occur.
    """
    return relabel(_first_channel(path) if halved(path) else read_mask(path), LABELS, path)


def _first_channel(path: Path) -> NDArray:
    """Read the lower bytes of the first channel: class ids are small. Left to itself, Pillow keeps the upper bytes."""
    try:
        with Image.open(path) as image:
            image.tile = [tile._replace(args="RGB;16L") for tile in image.tile]  # as if the lower bytes were the upper
            return np.asarray(image)[..., 0]
    except Exception as error:  # of many types
        raise unreadable(path, error) from error
