"""Images and masks of the same names in two folders, all of one size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alenv.data.faults import report
from alenv.data.files import FORBIDDEN, IMAGES, MASKS, files_by_stem, misfit, read_image, read_mask, relabel
from alenv.data.items import open_items
from alenv.data.store import Store
from alenv.data.writing import Item, Size

__all__ = ["FORBIDDEN", "Pair", "find_pairs", "items_of_one_size", "open_pairs"]


@dataclass(frozen=True)
class Pair:
    """One image and the mask that belongs to it."""

    name: str
    image: Path
    mask: Path


def find_pairs(folders: Mapping[Path, Path]) -> list[Pair]:
    """List the images (PNG or JPEG) of each image folder with the PNG masks of the same stem in its mask folder.

    A pair is named by that stem and ``.png``, however the files spell it. Hidden files and folders are passed over.

    Raises:
        FileNotFoundError: If a folder or masks are missing.
        ValueError: If two files of a folder have one stem.
    """
    return [pair for images, masks in folders.items() for pair in _paired(images, masks)]


def _paired(images: Path, masks: Path) -> list[Pair]:
    found, there = files_by_stem(images, IMAGES), files_by_stem(masks, MASKS)
    missing = [
        f"the mask {masks / f'{stem}.png'} of {image} is missing; copy it there, or remove the image"
        for stem, image in found.items()
        if stem not in there
    ]
    report(missing, FileNotFoundError)
    return [Pair(f"{stem}.png", image, there[stem]) for stem, image in found.items() if stem in there]


def open_pairs(name: str, pairs: Sequence[Pair], labels: NDArray[np.uint8]) -> Store:
    """Write pairs of one size into arrays ``images`` (n, h, w, 3) and ``masks`` (n, h, w), once.

    Args:
        name: Of the store.
        pairs: See ``items_of_one_size``.
        labels: Likewise.

    Raises:
        FileNotFoundError: If files are missing; names them.
        ValueError: If files cannot be read, differ in size, or hold labels that must not occur; names all of them.
    """
    items, size = items_of_one_size(pairs, labels)
    return open_items(name, items, size, labels.tolist())


def items_of_one_size(pairs: Sequence[Pair], labels: NDArray[np.uint8]) -> tuple[list[Item], Size]:
    """Return pairs as items whose pixels stay as they are, and their size: that of the first mask.

    Args:
        pairs: At least one.
        labels: uint8 (256,), maps file label -> class index, 255 = ignore, or ``FORBIDDEN``.
    """
    size = _size(pairs)
    return [Item(pair.name, (pair.image, pair.mask), partial(_read, pair, size, labels)) for pair in pairs], size


def _size(pairs: Sequence[Pair]) -> Size:
    """Return the size of the first mask that can be read; what is wrong with the others is said with all the rest."""
    for pair in pairs:
        with suppress(ValueError):
            height, width = read_mask(pair.mask).shape
            return height, width
    return 1, 1


def _read(pair: Pair, size: Size, labels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    mask = read_mask(pair.mask)
    if mask.shape != size:
        raise misfit(pair.mask, mask.shape, size, "the set")
    return read_image(pair.image, size, "the set"), relabel(mask, labels, pair.mask)
