"""Images that nearly repeat each other, by a perceptual hash."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 16
BITS = SIDE * SIDE
NEAR = BITS // 4
"""Bits in which near-duplicates differ at most. Half of them differ by chance; the closest of some hundred other street
scenes or portraits differ in a third. CamVid's neighbouring frames, 1 s apart at low speed, are within a quarter."""
BLOCK = 4096


class Nearest(NamedTuple):
    """For each of m images, the image of another set that is most like it."""

    which: NDArray[np.int64]
    bits: NDArray[np.int64]
    """In which their hashes differ."""


def difference_hash(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return for ``SIDE`` x ``SIDE`` places whether it is brighter to the right: (h, w, 3) -> (BITS / 8,) bytes."""
    grey = Image.fromarray(image).convert("L").resize((SIDE + 1, SIDE), Image.Resampling.BOX)
    small = np.asarray(grey, np.int16)
    return np.packbits(small[:, 1:] > small[:, :-1])


def nearest(hashes: NDArray[np.uint8], others: NDArray[np.uint8]) -> Nearest:
    """Find for each hash (m, BITS / 8) the nearest of the others (n, BITS / 8), which are at least one."""
    right, index, bits = _signs(others).T, [], []
    for start in range(0, len(hashes), BLOCK):
        left, best, place = _signs(hashes[start : start + BLOCK]), -np.inf, np.zeros(1, np.int64)
        for first in range(0, right.shape[1], BLOCK):
            agree = left @ right[:, first : first + BLOCK]
            found = agree.argmax(1)
            top = agree[np.arange(len(left)), found]
            place, best = np.where(top > best, found + first, place), np.maximum(top, best)
        index.append(place)
        bits.append((BITS - best) / 2)
    return Nearest(np.concatenate(index), np.concatenate(bits).astype(np.int64))


def _signs(hashes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Bits as -1 and 1: an inner product is the bits that agree less those that differ."""
    return 2 * np.unpackbits(hashes, axis=1).astype(np.float32) - 1
