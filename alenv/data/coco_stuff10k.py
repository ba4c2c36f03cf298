"""COCO-Stuff 10k: 9000 training and 1000 test images, 171 classes of things and stuff, densely labelled.

The folder that the archive unpacks to: ``images/NAME.jpg``, ``annotations/NAME.mat`` (field ``S``: ids 0 to 182, 0
where nothing is labelled) and ``imageLists/{train,test}.txt``. In the place of a ``.mat`` file there may be the
``.png`` of the same image from COCO-Stuff's pixel maps, which hold the id less 1, and 255 where nothing is labelled.
Eleven of the 91 thing ids never occur, so 171 classes remain. Sizes are those of ``coco``; ``test`` is the official
list, and the other is divided by a hash of the names.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from alenv.data import IGNORE
from alenv.data.coco import CELL, REGION, SIZE, train_and_test
from alenv.data.coco_names import STUFF, THINGS
from alenv.data.files import FORBIDDEN, read_mask, relabel
from alenv.data.items import Files, Item, LabelledFiles, stretched_item
from alenv.data.resized import palette

ARCHIVE = "http://calvin.inf.ed.ac.uk/wp-content/uploads/data/cocostuffdataset/cocostuff-10k-v1.1.zip"
CLASSES = (*THINGS.values(), *STUFF.values())
COLOURS = palette(len(CLASSES))


class CocoStuff10k(LabelledFiles):
    """The images of both lists: a folder that holds ``images``, ``annotations`` and ``imageLists``."""

    name = folder = "coco_stuff10k"
    layout = "images/*.jpg, annotations/*.mat, imageLists/train.txt and test.txt"
    page = f"{ARCHIVE} (2 GB)"
    classes, colours = CLASSES, COLOURS
    region, cell = REGION, CELL
    split_tables = ("hash",)

    def files(self, root: Path, split: str) -> Files:
        """List the images, see ``LabelledFiles``."""
        return train_and_test(*([_item(root, name) for name in _listed(root, part)] for part in ("train", "test")))


def _listed(root: Path, part: str) -> list[str]:
    path = root / "imageLists" / f"{part}.txt"
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}")
    return path.read_text(encoding="utf-8").split()


def _item(root: Path, name: str) -> Item:
    image, labels = root / "images" / f"{name}.jpg", root / "annotations" / f"{name}.mat"
    if not labels.is_file() and labels.with_suffix(".png").is_file():
        labels = labels.with_suffix(".png")
    return stretched_item(name, image, labels, stuff_mask, SIZE)


def stuff_mask(path: Path) -> NDArray[np.uint8]:
    """Read the label map of one image, ``.mat`` or ``.png``: (h, w) of class indices.

    Raises:
        ValueError: If it cannot be read, or holds a label that must not occur.
    """
    return relabel(_mat(path) if path.suffix == ".mat" else _png(path), _labels(), path)


def _mat(path: Path) -> NDArray:
    try:
        return loadmat(path, variable_names=["S"])["S"]
    except Exception as error:  # of many types: what SciPy says of a broken file names no file
        raise ValueError(f"cannot read the label map S of {path}: {error!r}; unpack {ARCHIVE} again") from error


def _png(path: Path) -> NDArray:
    less_one = read_mask(path).astype(np.int64)
    return np.where(less_one == 255, 0, less_one + 1)


def _labels() -> NDArray[np.uint8]:
    labels = np.full(256, FORBIDDEN, np.uint8)
    labels[[*THINGS, *STUFF]] = np.arange(len(CLASSES))
    labels[0] = IGNORE
    return labels
