"""Image and mask files on disk -> a store of uint8 arrays, with every file checked on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from alenv.data.store import Store, key, open_store


@dataclass(frozen=True)
class Pair:
    """One image and the mask that belongs to it."""

    name: str
    image: Path
    mask: Path


def find_pairs(folders: Mapping[Path, Path]) -> list[Pair]:
    """List the images of each image folder with the masks of the same name in its mask folder.

    Raises:
        FileNotFoundError: If a folder or a mask is missing.
    """
    return [
        _pair(image, masks)
        for images, masks in folders.items()
        for image in sorted(_listed(images))
        if image.suffix.lower() == ".png"
    ]


def _listed(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FileNotFoundError(
            f"there is no folder {folder}; is root={str(folder.parent)!r} the folder that contains {folder.name!r}?"
        )
    return list(folder.iterdir())


def _pair(image: Path, masks: Path) -> Pair:
    mask = masks / image.name
    if not mask.is_file():
        raise FileNotFoundError(
            f"the mask {mask} of {image} is missing; copy it there, or remove the image"
        )
    return Pair(image.name, image, mask)


def open_pairs(name: str, pairs: Sequence[Pair], labels: NDArray[np.uint8]) -> Store:
    """Decode pairs of one size into arrays ``images`` (n, h, w, 3) and ``masks`` (n, h, w), once.

    Args:
        name: Name of the store.
        pairs: At least one.
        labels: uint8 (256,), maps file label -> class index; 255 = ignore, 254 = must not occur.

    Raises:
        ValueError: If a file cannot be decoded, differs in size, or holds a label that must not occur.
    """

    def build(folder: Path) -> dict[str, Any]:
        h, w = _read(pairs[0].image, "RGB").shape[:2]
        images = _create(folder / "images.npy", (len(pairs), h, w, 3))
        masks = _create(folder / "masks.npy", (len(pairs), h, w))
        for i, pair in enumerate(pairs):
            images[i] = _sized(_read(pair.image, "RGB"), (h, w), pair.image)
            masks[i] = _relabel(_sized(_read(pair.mask), (h, w), pair.mask), labels, pair.mask)
        images.flush()
        masks.flush()
        return {"names": [pair.name for pair in pairs]}

    return open_store(name, key([_signature(pair) for pair in pairs], labels.tolist()), build)


def _signature(pair: Pair) -> list[Any]:
    status = [path.stat() for path in (pair.image, pair.mask)]
    return [pair.name, *((s.st_size, s.st_mtime_ns) for s in status)]


def _create(path: Path, shape: tuple[int, ...]) -> np.memmap:
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)


def _read(path: Path, mode: str | None = None) -> NDArray:
    """Decode one file; masks (no ``mode``) must hold one label per pixel."""
    try:
        with Image.open(path) as image:
            if mode is None and image.mode not in ("L", "P", "I", "I;16", "1"):
                raise ValueError(
                    f"the mask {path} has mode {image.mode}, not one label per pixel; "
                    "save it as an 8-bit grey or palette PNG of class indices"
                )
            return np.asarray(image.convert(mode) if mode else image)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(
            f"cannot read {path}: {error}; copy the file again from its source"
        ) from error


def _sized(array: NDArray, size: tuple[int, int], path: Path) -> NDArray:
    if array.shape[:2] != size:
        raise ValueError(
            f"{path} is {array.shape[1]}x{array.shape[0]}, but the set is {size[1]}x{size[0]}; "
            "images and masks of one set must have one size"
        )
    return array


def _relabel(mask: NDArray, labels: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
    top = int(mask.max())
    out = labels[np.minimum(mask, 255)]
    if top > 255 or (out == 254).any():
        bad = top if top > 255 else int(mask[out == 254].min())
        known = np.flatnonzero(labels != 254)
        raise ValueError(
            f"the mask {path} holds label {bad}; allowed are {known.min()}..{known.max()}: "
            "is it of another label set (say, 32 classes or colours)?"
        )
    return out
