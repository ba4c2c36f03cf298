"""COCO: instance annotations as semantic masks of 80 things and a background.

A folder with ``annotations/instances_{train,val}2017.json`` and the images in ``images/train2017`` or ``train2017``,
and likewise for ``val2017``. Where instances overlap, the smaller one is seen; crowds are ignored, whatever else lies
there. Images and masks are stretched to 256 x 256, so pixel counts are shares of the image; each image takes 256 KiB of
cache.

Splits: ``test`` is the official validation set; the training set is divided by a hash of the names (see ``shares``).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alenv.data import Dataset, SegmentationData, find_root, from_store
from alenv.data.coco_instances import Instances, Picture, instance_mask, read_instances
from alenv.data.coco_names import THINGS
from alenv.data.files import read_image
from alenv.data.items import Item, open_items
from alenv.data.resized import cut, palette, shares, shuffled, stretched
from alenv.data.store import key

BACKGROUND = "background"
CLASSES = (BACKGROUND, *THINGS.values())
COLOURS = palette(len(CLASSES))
SIZE = (256, 256)
REGION = (64, 64)
CELL = 16
PARTS = ("train2017", "val2017")
INDEX = {category: index for index, category in enumerate(sorted(THINGS), start=1)}
"""Category ids, which have gaps, to class indices."""


class Coco(Dataset):
    """Training and validation images: a folder that holds ``annotations`` and the images."""

    classes, colours, background = CLASSES, COLOURS, BACKGROUND
    region, cell = REGION, CELL
    split_tables = ("hash",)

    def __init__(self, root: Path | None) -> None:
        self._root = root

    def load(self, split: str) -> SegmentationData:
        """Load training and validation images.

        Args:
            split: One of ``split_tables``.

        Raises:
            FileNotFoundError: If the folder or one of its files is missing.
            ValueError: If a file cannot be read, its categories are not COCO's 80, or annotations cannot be painted.
        """
        root = find_root("coco", self._root)
        train, test = (instance_items(find_json(root, "instances", part), find_images(root, part)) for part in PARTS)
        store = open_items(f"coco-{key(root.resolve())}", [*train, *test], SIZE, CLASSES)
        return from_store("coco", store, CLASSES, COLOURS, official_splits(train, test))


def instance_items(annotations: Path, images: Path) -> list[Item]:
    """List the images of an instance JSON, with masks of ``CLASSES``."""
    instances = read_instances(annotations, THINGS)
    return [_item(instances, picture, images, annotations) for picture in instances.pictures.values()]


def _item(instances: Instances, picture: Picture, images: Path, annotations: Path) -> Item:
    path = images / picture.file_name
    alone = Instances({picture.id: picture}, {picture.id: instances.shapes[picture.id]})
    whose = f"image {picture.id} of {annotations}, by its height and width,"
    return Item(path.stem, (path, annotations), partial(_read, path, alone, picture.id, whose))


def _read(path: Path, instances: Instances, image: int, whose: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    mask = instance_mask(instances, image, INDEX)
    return stretched(read_image(path, mask.shape, whose), SIZE), stretched(mask, SIZE)


def find_json(root: Path, kind: str, part: str) -> Path:
    """Return the annotations of one part.

    Raises:
        FileNotFoundError: If they are missing.
    """
    path = root / "annotations" / f"{kind}_{part}.json"
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}; is root={str(root)!r} the folder that contains 'annotations'?")
    return path


def find_images(root: Path, part: str) -> Path:
    """Return the folder of the images of one part: below ``images``, or at the top."""
    folder = root / "images" / part
    return folder if folder.is_dir() else root / part


def official_splits(train: Sequence[Item], test: Sequence[Item]) -> dict[str, NDArray[np.int64]]:
    """Return the splits of the items ``[*train, *test]``."""
    order = shuffled([item.name for item in train])
    return cut(order, shares(len(train))) | {"test": np.arange(len(train), len(train) + len(test))}
