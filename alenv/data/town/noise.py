"""Noise from one table: the same on every machine, and fixed to where it is seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alenv.data.town.world import SIZE

NOISE = np.random.default_rng([20, 24]).random((128, 128), dtype=np.float32) - np.float32(0.5)


def noise(a: NDArray, b: NDArray, scale: float, offset: int) -> NDArray:
    """Noise in [-0.5, 0.5) fixed to two world coordinates, in squares of side 1 / scale."""
    rows, cols = (np.floor(axis * scale).astype(np.int32) for axis in (a, b))
    return NOISE[(rows + offset) & 127, cols & 127]


def smooth_noise(step: int) -> NDArray:
    """Noise of the picture's size, smooth over ``step`` pixels, that repeats from side to side."""
    values = NOISE[: SIZE[0] // step, : SIZE[1] // step]
    for axis, length in enumerate(SIZE):
        low = np.arange(length) // step
        part = (np.arange(length) % step / np.float32(step)).astype(np.float32)
        part = part[:, None] if axis == 0 else part
        high = (low + 1) % values.shape[axis]
        values = values.take(low, axis) * (1 - part) + values.take(high, axis) * part
    return values
