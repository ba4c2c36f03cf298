"""What datasets share whose images differ in size and whose classes are many: one size, a store, colours, splits."""

from __future__ import annotations

import colorsys
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alenv.data.faults import absent, listed
from alenv.data.store import Store, key, open_store
from alenv.data.writing import Read, write_items

VERSION = 1
"""Part of the key of every store: raise it when images or masks come out differently."""

Size = tuple[int, int]
"""Height and width in pixels."""


@dataclass(frozen=True)
class Item:
    """One image and its labels.

    Attributes:
        name: Unique within the dataset.
        files: What the image and the labels are read from: a change of any rebuilds the store.
        read: Returns image uint8 (height, width, 3) and class indices uint8 (height, width), of the store's size.
    """

    name: str
    files: tuple[Path, ...]
    read: Read


def open_items(name: str, items: Sequence[Item], size: Size, *labels: object) -> Store:
    """Write items into arrays ``images`` (n, h, w, 3) and ``masks`` (n, h, w), once.

    Args:
        name: Name of the store.
        items: At least one.
        size: Of all images.
        labels: JSON-like values that the masks depend on besides the files.

    Raises:
        FileNotFoundError: If files are missing; names them.
        ValueError: If files cannot be read or hold what they must not; names all of them.
    """

    def build(folder: Path) -> dict[str, Any]:
        write_items(folder, size, [item.read for item in items])
        return {"names": [item.name for item in items]}

    files = {path for item in items for path in item.files}
    return open_store(name, key(VERSION, size, labels, [i.name for i in items], _signatures(files)), build)


def _signatures(files: set[Path]) -> list[Any]:
    if missing := sorted(path for path in files if not path.is_file()):
        raise FileNotFoundError(listed([f"{absent(path)}; unpack the dataset again" for path in missing]))
    status = [path.stat() for path in sorted(files)]
    return [(s.st_size, s.st_mtime_ns) for s in status]


def centred(array: NDArray[np.uint8], size: Size, fill: int) -> NDArray[np.uint8]:
    """Cut or pad evenly on both sides: (h, w, ...) -> (*size, ...). Every pixel that is kept stays as it is."""
    for axis, wanted in enumerate(size):
        surplus = array.shape[axis] - wanted
        before = abs(surplus) // 2
        if surplus > 0:
            array = np.take(array, range(before, before + wanted), axis)
        else:
            widths = [(before, -surplus - before) if a == axis else (0, 0) for a in range(array.ndim)]
            array = np.pad(array, widths, constant_values=fill)
    return array


def stretched(array: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Resize an image (h, w, 3), smoothly, or a mask (h, w), by the nearest label: shares of the area are kept."""
    method = Image.Resampling.BILINEAR if array.ndim == 3 else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(array).resize(size[::-1], method))


def palette(classes: int) -> NDArray[np.uint8]:
    """Return distinct colours (classes, 3): hues by the golden section, in three tints."""
    tints = ((0.55, 0.95), (0.9, 0.75), (0.75, 0.5))
    colours = [colorsys.hsv_to_rgb(0.618034 * c % 1, *tints[c % 3]) for c in range(classes)]
    return np.array([[round(255 * value) for value in colour] for colour in colours], np.uint8)


def shuffled(names: Sequence[str]) -> list[int]:
    """Return indices in an order that depends on the names alone, as if at random."""
    return sorted(range(len(names)), key=lambda i: hashlib.sha256(names[i].encode()).hexdigest())


def cut(order: Sequence[int], sizes: Mapping[str, int]) -> dict[str, NDArray[np.int64]]:
    """Cut an order of images into parts; the indices of a part ascend."""
    ends = np.cumsum(list(sizes.values()))
    return {
        part: np.sort(np.asarray(order[end - sizes[part] : end], np.int64))
        for part, end in zip(sizes, ends, strict=True)
    }


def shares(images: int) -> dict[str, int]:
    """Divide labelled images among the splits that policies use, for datasets that name only a test set."""
    sizes = {part: max(1, round(share * images)) for part, share in _SHARES.items()}
    return sizes | {"eval": images - sum(sizes.values())}


_SHARES = {"state": 0.02, "train": 0.26, "reward": 0.06, "holdout": 0.06}
