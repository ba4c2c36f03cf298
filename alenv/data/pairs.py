"""Image and mask files on disk -> a store of uint8 arrays, with every file checked on the way."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alenv.data.store import Store, key, open_store

FORBIDDEN = 254
"""Stands in a table of labels for those that must not occur."""


@dataclass(frozen=True)
class Pair:
    """One image and the mask that belongs to it."""

    name: str
    image: Path
    mask: Path


def find_pairs(folders: Mapping[Path, Path]) -> list[Pair]:
    """List the images (PNG or JPEG) of each image folder with the PNG masks of the same stem in its mask folder.

    A pair has the name of its mask.

    Raises:
        FileNotFoundError: If a folder or a mask is missing.
    """
    return [pair for images, masks in folders.items() for pair in _paired(images, masks)]


def _paired(images: Path, masks: Path) -> list[Pair]:
    names = [name for name in sorted(_listed(images)) if name.lower().endswith((".png", ".jpg"))]
    there = set(_listed(masks))
    pairs = [Pair(_mask_name(name), images / name, masks / _mask_name(name)) for name in names]
    for pair in pairs:
        if pair.name not in there:
            raise FileNotFoundError(
                f"the mask {pair.mask} of {pair.image} is missing; copy it there, or remove the image"
            )
    return pairs


def _mask_name(image: str) -> str:
    """Masks are PNG; a JPEG's has its stem."""
    return image if image.lower().endswith(".png") else f"{Path(image).stem}.png"


def _listed(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise FileNotFoundError(
            f"there is no folder {folder}; is root={str(folder.parent)!r} the folder that contains {folder.name!r}?"
        )
    return os.listdir(folder)


def open_pairs(name: str, pairs: Sequence[Pair], labels: NDArray[np.uint8]) -> Store:
    """Decode pairs of one size into arrays ``images`` (n, h, w, 3) and ``masks`` (n, h, w), once.

    Args:
        name: Name of the store.
        pairs: At least one.
        labels: uint8 (256,), maps file label -> class index, 255 = ignore, or ``FORBIDDEN``.

    Raises:
        ValueError: If a file cannot be decoded, differs in size, or holds a label that must not occur.
    """

    def build(folder: Path) -> dict[str, Any]:
        size = _image(pairs[0].image).shape[:2]
        with (folder / "images.npy").open("wb") as images, (folder / "masks.npy").open("wb") as masks:
            _begin(images, (len(pairs), *size, 3))
            _begin(masks, (len(pairs), *size))
            for pair in pairs:
                images.write(_sized(_image(pair.image), size, pair.image).tobytes())
                masks.write(_relabel(_sized(_mask(pair.mask), size, pair.mask), labels, pair.mask).tobytes())
        return {"names": [pair.name for pair in pairs]}

    return open_store(name, key([_signature(pair) for pair in pairs], labels.tolist()), build)


def _begin(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """Write the head of a .npy file. Its data follow in pieces: a memory map would crash on a full disk."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _signature(pair: Pair) -> list[Any]:
    status = [path.stat() for path in (pair.image, pair.mask)]
    return [pair.name, *((s.st_size, s.st_mtime_ns) for s in status)]


def _image(path: Path) -> NDArray[np.uint8]:
    return np.asarray(_decode(path).convert("RGB"))


def _mask(path: Path) -> NDArray:
    image = _decode(path)
    if image.mode not in ("L", "P", "I", "I;16", "1"):
        raise ValueError(
            f"the mask {path} has mode {image.mode}, not one label per pixel; "
            "save it as an 8-bit grey or palette PNG of class indices"
        )
    return np.asarray(image)


def _decode(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.copy()
    except Exception as error:  # of many types: what Pillow says of a broken file names no file
        raise ValueError(f"cannot read {path}: {error}; copy the file again from its source") from error


def _sized(array: NDArray, size: tuple[int, ...], path: Path) -> NDArray:
    if array.shape[:2] != size:
        raise ValueError(
            f"{path} is {array.shape[1]}x{array.shape[0]}, but the set is {size[1]}x{size[0]}; "
            "take all images and masks from one copy of the set"
        )
    return array


def _relabel(mask: NDArray, labels: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
    index = np.clip(mask, np.uint8(0), np.uint8(255))
    wrong = (mask != index) | (labels[index] == FORBIDDEN)
    if wrong.any():
        known = np.flatnonzero(labels != FORBIDDEN)
        raise ValueError(
            f"the mask {path} holds label {int(mask[wrong].min())}; allowed are {known.min()}..{known.max()}: "
            "is it of another label set (say, 32 classes or colours)?"
        )
    return labels[index]
