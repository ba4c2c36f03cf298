"""A pinhole camera and a depth-tested canvas, and how a canvas becomes a photograph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alenv.data.town.world import SIZE, Light

FOCAL, EYE = 95.0, 1.9
NEAR, FAR = 2.2, 110.0
HEIGHT, WIDTH = SIZE
ROWS, COLS = (np.arange(length, dtype=np.float32) + np.float32(0.5) for length in SIZE)


@dataclass(frozen=True)
class Camera:
    """Where a picture is taken from: metres across and along the street, row of the horizon."""

    x: float
    z: float
    horizon: float

    def columns(self, left: float, right: float, z: float) -> slice:
        """Pixel columns whose centres lie between two x at one z."""
        scale, middle = FOCAL / (z - self.z), WIDTH / 2
        return span((left - self.x) * scale + middle, (right - self.x) * scale + middle, WIDTH)

    def rows(self, bottom: float, top: float, z: float) -> slice:
        """Pixel rows whose centres lie between two heights at one z."""
        scale, middle = FOCAL / (z - self.z), self.horizon
        return span(middle - (top - EYE) * scale, middle - (bottom - EYE) * scale, HEIGHT)


@dataclass
class Canvas:
    """A picture in the making: albedo (3, h, w), glow, class and depth of every pixel."""

    albedo: NDArray = field(default_factory=lambda: np.zeros((3, *SIZE), np.float32))
    glow: NDArray = field(default_factory=lambda: np.zeros(SIZE, np.float32))
    label: NDArray = field(default_factory=lambda: np.zeros(SIZE, np.uint8))
    depth: NDArray = field(default_factory=lambda: np.full(SIZE, FAR, np.float32))

    def paint(
        self,
        area: tuple[slice, slice],
        label: NDArray | int,
        colour: NDArray,
        depth: NDArray | float,
        where: NDArray | bool = True,
        glow: NDArray | float = 0.0,
    ) -> None:
        """Paint what nothing nearer covers of an area; all arguments broadcast to its size."""
        seen = (self.depth[area] >= depth) & where
        np.copyto(self.albedo[:, *area], colour, where=seen)
        np.copyto(self.glow[area], np.asarray(glow, np.float32), where=seen)
        np.copyto(self.label[area], np.asarray(label, np.uint8), where=seen)
        np.copyto(self.depth[area], np.asarray(depth, np.float32), where=seen)


def develop(canvas: Canvas, light: Light, exposure: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Turn a canvas into a photograph: light, haze, lens blur, sensor noise.

    Args:
        canvas: From ``draw``.
        light: The weather and the hour.
        exposure: Gain of this frame.
        rng: Source of the noise.

    Returns:
        Image uint8 (96, 128, 3).
    """
    image = canvas.albedo * (planes(light.cast) * (1 - canvas.glow) + canvas.glow)
    haze = canvas.depth / (canvas.depth + np.float32(light.haze))
    image += (planes(light.horizon) - image) * np.where(canvas.depth < FAR, haze, 0)
    image = _blur(_blur(image * np.float32(exposure), 1), 2)
    # Triangular noise resembles normal noise and needs no logarithm (variance 1/6: hence 2.45).
    grain = rng.random((2, 3, *SIZE), dtype=np.float32)
    image = image * 255 + (grain[0] - grain[1]) * np.float32(2.45 * light.noise)
    return np.moveaxis(np.clip(image, 0, 255).astype(np.uint8), 0, -1)


def span(start: float, stop: float, limit: int) -> slice:
    """Pixels whose centres lie in [start, stop), cut to the picture."""
    first, last = int(np.ceil(start - 0.5)), int(np.ceil(stop - 0.5))
    return slice(min(max(first, 0), limit), max(min(last, limit), 0))


def planes(colour: ArrayLike) -> NDArray:
    """A colour as planes (3, 1, 1)."""
    return np.asarray(colour, np.float32)[:, None, None]


def mix(colours: Sequence[ArrayLike], which: NDArray) -> NDArray:
    """Planes (3, h, w) of colours chosen by an index per pixel."""
    return np.array(colours, np.float32).T.take(which, 1)


def _blur(image: NDArray, axis: int) -> NDArray:
    """Average with both neighbours along an axis (weights 1, 6, 1)."""
    image = np.moveaxis(image, axis, 0)
    blurred = 6 * image
    blurred[1:] += image[:-1]
    blurred[:-1] += image[1:]
    blurred[[0, -1]] += image[[0, -1]]
    return np.moveaxis(blurred / np.float32(8), 0, axis)
