"""A folder of images and masks of one's own.

``images`` holds PNG or JPEG files of any sizes, ``masks`` a PNG of the same name for each: of labels (grey or palette),
or of colours that the class file names. ``classes.txt`` or ``classes.toml`` says what labels mean and how large images
become, see ``alenv.data.class_file``.

Both may be divided into ``train``, ``val`` and ``test``: as ``images/train`` and ``masks/train``, or as
``train/images`` and ``train/masks``. Splits are drawn by a seed, see ``alenv.data.dividing``: ``reward`` and
``holdout`` from ``val``, ``test`` from ``test``, and whatever else there is not from ``train``; or a file
``splits.json`` names the images of each.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alenv.data import find_root
from alenv.data.class_file import ClassFile, read_class_file
from alenv.data.items import Item
from alenv.data.pairs import Pair, find_pairs
from alenv.data.user_files import UserFiles

PARTS = ("train", "val", "test")


class Folder(UserFiles):
    """Images and masks of a folder, whose class file is read now.

    Args:
        root: The folder; else ``folder`` in the usual places.

    Raises:
        FileNotFoundError: If there is no such folder or no class file.
        ValueError: If the class file is none.
    """

    name = "folder"

    def __init__(self, root: Path | None) -> None:
        found = find_root(self.name, root)
        super().__init__(found, read_class_file(found))

    def items(self) -> list[tuple[str, Item]]:
        """List the images, see ``UserFiles``."""
        found = [(part, pair) for part, folders in _folders(self._root).items() for pair in find_pairs(folders)]
        if not found:
            raise FileNotFoundError(f"{self._root / 'images'} holds no PNG or JPEG file; copy the images there")
        several = len({part for part, _ in found}) > 1
        return [(part, _item(self._file, f"{part}/" * several + pair.image.stem, pair)) for part, pair in found]


def _folders(root: Path) -> dict[str, dict[Path, Path]]:
    """Return folders of images and of their masks, by part."""
    there = {}
    for part in PARTS:
        above, below = (root / "images" / part, root / "masks" / part), (root / part / "images", root / part / "masks")
        if folders := {images: masks for images, masks in (above, below) if images.is_dir()}:
            there[part] = folders
    return there or {"train": {root / "images": root / "masks"}}


def _item(file: ClassFile, name: str, pair: Pair) -> Item:
    return Item(name, (pair.image, pair.mask), partial(_read, file, pair))


def _read(file: ClassFile, pair: Pair) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return file.read(pair.image, pair.mask)
