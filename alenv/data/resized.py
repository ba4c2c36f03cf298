"""What datasets share whose images differ in size and whose classes are many: one size, colours, splits."""

from __future__ import annotations

import colorsys
import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Size = tuple[int, int]
"""Height and width in pixels."""


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
