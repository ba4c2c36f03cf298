"""What datasets share whose images differ in size and whose classes are many: one size, and colours."""

from __future__ import annotations

import colorsys

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


def letterboxed(array: NDArray[np.uint8], size: Size, fill: int) -> NDArray[np.uint8]:
    """Resize an image or a mask without a change of its shape, see ``stretched``, and fill up the rest evenly."""
    scale = min(wanted / side for wanted, side in zip(size, array.shape, strict=False))
    height, width = (max(1, round(scale * side)) for side in array.shape[:2])
    return centred(stretched(array, (height, width)), size, fill)


def palette(classes: int) -> NDArray[np.uint8]:
    """Return distinct colours (classes, 3): hues by the golden section, in three tints."""
    tints = ((0.55, 0.95), (0.9, 0.75), (0.75, 0.5))
    colours = [colorsys.hsv_to_rgb(0.618034 * c % 1, *tints[c % 3]) for c in range(classes)]
    return np.array([[round(255 * value) for value in colour] for colour in colours], np.uint8)
