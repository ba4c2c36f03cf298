"""Clothing Co-Parsing, reduced: 1004 street-fashion photos, 59 classes with a long tail.

A folder with ``images/0001.jpg`` ..., ``masks/0001.png`` ... of class indices and ``class_stats.json``, whose keys name
the classes in order. All photos are 256 wide and 373 to 406 high: they are cut or padded evenly at top and bottom to
384 (at most 11 rows are cut on a side, and 6 padded, with black and label 255).

Splits follow a hash of the names: ``test`` 300, ``eval`` 450, and 254 photos that come with labels, cut into ``state``
10, ``train`` 134, ``reward`` 60 and ``holdout`` 50; mining takes these four together as its policy images.
Class 0, ``null``, fills 77 % of the pixels: a class to segment, never a target of mining, and figures over many classes
leave it out (``BACKGROUND``).
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alenv.data import IGNORE
from alenv.data.files import FORBIDDEN, IMAGES, files_by_stem, read_image
from alenv.data.items import Files, Item, LabelledFiles, read_relabelled
from alenv.data.resized import centred, palette
from alenv.data.splitting import cut, shuffled

CLASSES = (
    "null", "accessories", "bag", "belt", "blazer", "blouse", "bodysuit", "boots", "bra", "bracelet", "cape",
    "cardigan", "clogs", "coat", "dress", "earrings", "flats", "glasses", "gloves", "hair", "hat", "heels",
    "hoodie", "intimate", "jacket", "jeans", "jumper", "leggings", "loafers", "necklace", "panties", "pants",
    "pumps", "purse", "ring", "romper", "sandals", "scarf", "shirt", "shoes", "shorts", "skin", "skirt",
    "sneakers", "socks", "stockings", "suit", "sunglasses", "sweater", "sweatshirt", "swimwear", "t-shirt",
    "tie", "tights", "top", "vest", "wallet", "watch", "wedges",
)  # fmt: skip
BACKGROUND = "null"
COLOURS = palette(len(CLASSES))
SIZE = (384, 256)
SPLITS = {"state": 10, "train": 134, "reward": 60, "holdout": 50, "eval": 450, "test": 300}


class ClothingCoParsing(LabelledFiles):
    """The photos: a folder ``ccp256`` that holds ``images``, ``masks`` and ``class_stats.json``."""

    name, folder = "ccp", "ccp256"
    layout = "images/0001.jpg ..., masks/0001.png ... with short side 256, and class_stats.json"
    page = "https://github.com/bearpaw/clothing-co-parsing"
    classes, colours, background = CLASSES, COLOURS, BACKGROUND
    region, cell = (64, 64), 16
    split_tables = ("hash",)

    def files(self, root: Path, split: str) -> Files:
        """List the photos, see ``LabelledFiles``."""
        _check_classes(root / "class_stats.json")
        photos = files_by_stem(root / "images", IMAGES)
        if len(photos) != sum(SPLITS.values()):
            raise FileNotFoundError(
                f"{root / 'images'} holds {len(photos)} photos, but the set has {sum(SPLITS.values())} with masks; "
                "copy the missing ones there, or remove what is not part of it"
            )
        return Files([_item(root, path) for path in photos.values()], SIZE, cut(shuffled(list(photos)), SPLITS))


def _item(root: Path, image: Path) -> Item:
    mask = root / "masks" / f"{image.stem}.png"
    return Item(image.stem, (image, mask), partial(_read, image, mask))


def _read(image: Path, mask: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    labels = read_relabelled(mask, _labels())
    photo = read_image(image, labels.shape, str(mask))
    return centred(photo, SIZE, 0), centred(labels, SIZE, IGNORE)


def _labels() -> NDArray[np.uint8]:
    labels = np.full(256, FORBIDDEN, np.uint8)
    labels[: len(CLASSES)] = np.arange(len(CLASSES))
    labels[IGNORE] = IGNORE
    return labels


def _check_classes(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}; is root={str(path.parent)!r} the folder that contains it?")
    names = json.loads(path.read_text())
    if tuple(names) != CLASSES:
        raise ValueError(
            f"{path} names other classes than Clothing Co-Parsing's {len(CLASSES)} "
            f"({', '.join(list(names)[:3])}, ...); take masks and names from one copy of the set"
        )
