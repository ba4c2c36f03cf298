"""COCO: instance annotations as semantic masks of 80 things and a background.

A folder with ``annotations/instances_{train,val}2017.json`` and the images in ``images/train2017`` or ``train2017``,
and likewise for ``val2017``. Where instances overlap, the smaller one is seen; crowds are ignored, whatever else lies
there. Images and masks are stretched to 256 x 256, so pixel counts are shares of the image; each image takes 256 KiB of
cache.

Splits: ``test`` is the official validation set; the training set is divided by a hash of the names (see ``shares``).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO

from alenv.data import IGNORE, SegmentationData, find_root, from_store
from alenv.data.coco_names import THINGS
from alenv.data.pairs import _image
from alenv.data.resized import Item, cut, open_items, palette, shares, shuffled, stretched
from alenv.data.store import key

BACKGROUND = "background"
CLASSES = (BACKGROUND, *THINGS.values())
COLOURS = palette(len(CLASSES))
SIZE = (256, 256)
REGION = (64, 64)
CELL = 16
GENERATED = False
SPLIT_TABLES = ("hash",)
PARTS = ("train2017", "val2017")


def load(root: Path | None, split: str) -> SegmentationData:
    """Load training and validation images.

    Args:
        root: The folder that holds ``annotations`` and the images.
        split: One of ``SPLIT_TABLES``.

    Raises:
        FileNotFoundError: If the folder or one of its files is missing.
        ValueError: If a file cannot be read, or its categories are not COCO's 80.
    """
    root = find_root("coco", root)
    train, test = (instance_items(find_json(root, "instances", part), find_images(root, part)) for part in PARTS)
    store = open_items(f"coco-{key(root.resolve())}", [*train, *test], SIZE, CLASSES)
    return from_store("coco", store, CLASSES, COLOURS, official_splits(train, test))


def instance_items(annotations: Path, images: Path) -> list[Item]:
    """List the images of an instance JSON, with masks of ``CLASSES``."""
    coco = read_json(annotations)
    index = category_index(annotations, coco, THINGS, first=1)
    return [_item(coco, image, images, annotations, index) for image in sorted(coco.imgs)]


def _item(coco: COCO, image: int, images: Path, annotations: Path, index: Mapping[int, int]) -> Item:
    path = images / coco.imgs[image]["file_name"]

    def read() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        return stretched(_image(path), SIZE), stretched(instance_mask(coco, image, index), SIZE)

    return Item(path.stem, (path, annotations), read)


def instance_mask(coco: COCO, image: int, index: Mapping[int, int]) -> NDArray[np.uint8]:
    """Paint the instances of an image, large ones first and crowds last: (h, w) of class indices, 0 where none is.

    Args:
        coco: The annotations.
        image: Id of the image.
        index: Category id -> class index.
    """
    mask = np.zeros((coco.imgs[image]["height"], coco.imgs[image]["width"]), np.uint8)
    shapes = [(a, coco.annToMask(a).astype(bool)) for a in coco.imgToAnns[image]]
    for annotation, shape in sorted(shapes, key=lambda pair: (pair[0]["iscrowd"], -pair[1].sum(), pair[0]["id"])):
        mask[shape] = IGNORE if annotation["iscrowd"] else index[annotation["category_id"]]
    return mask


def read_json(path: Path) -> COCO:
    """Read annotations, quietly."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return COCO(str(path))
    except (ValueError, KeyError, AssertionError) as error:
        raise ValueError(f"cannot read {path} as COCO annotations: {error!r}; copy it again") from error


def category_index(path: Path, coco: COCO, names: Mapping[int, str], first: int) -> dict[int, int]:
    """Map category ids to consecutive class indices, in the order of the ids, which have gaps.

    Raises:
        ValueError: If the categories are others than expected.
    """
    found = {category["id"]: category["name"] for category in coco.dataset["categories"]}
    if found != names:
        wrong = sorted(set(found.items()) ^ set(names.items()))
        raise ValueError(
            f"{path} has {len(found)} categories, but not COCO's {len(names)} (first difference: {wrong[0]}); "
            "use the official annotations"
        )
    return {category: index for index, category in enumerate(sorted(found), start=first)}


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
