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

from alenv.data.coco_instances import Instances, Picture, instance_mask, read_instances
from alenv.data.coco_names import THINGS
from alenv.data.files import read_image
from alenv.data.items import Files, Item, LabelledFiles
from alenv.data.resized import palette, stretched
from alenv.data.splitting import hashed_splits

BACKGROUND = "background"
CLASSES = (BACKGROUND, *THINGS.values())
COLOURS = palette(len(CLASSES))
SIZE = (256, 256)
REGION = (64, 64)
CELL = 16
PARTS = ("train2017", "val2017")
INDEX = {category: index for index, category in enumerate(sorted(THINGS), start=1)}
"""Category ids, which have gaps, to class indices."""


class Coco(LabelledFiles):
    """Training and validation images: a folder that holds ``annotations`` and the images."""

    name = folder = "coco"
    layout = "annotations/instances_train2017.json, instances_val2017.json, and images/train2017, images/val2017"
    page = "https://cocodataset.org/#download"
    classes, colours, background = CLASSES, COLOURS, BACKGROUND
    region, cell = REGION, CELL
    split_tables = ("hash",)

    def files(self, root: Path, split: str) -> Files:
        """List the images, see ``LabelledFiles``."""
        return train_and_test(
            *(instance_items(find_json(root, "instances", part), find_images(root, part)) for part in PARTS)
        )


def instance_items(annotations: Path, images: Path) -> list[Item]:
    """List the images of an instance JSON, with masks of ``CLASSES``."""
    instances = read_instances(annotations, THINGS)
    return [_item(instances, picture, images, annotations) for picture in instances.pictures.values()]


def _item(instances: Instances, picture: Picture, images: Path, annotations: Path) -> Item:
    path = images / picture.file_name
    whose = f"image {picture.id} of {annotations}, by its height and width,"
    return Item(path.stem, (path, annotations), partial(_read, path, instances.alone(picture.id), picture.id, whose))


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
    usual, above = root / "images" / part, root / part
    return above if above.is_dir() and not usual.is_dir() else usual


def train_and_test(train: Sequence[Item], test: Sequence[Item]) -> Files:
    """Return all images, with ``hashed_splits``."""
    splits = hashed_splits([item.name for item in train], [item.name for item in test])
    return Files([*train, *test], SIZE, splits)
