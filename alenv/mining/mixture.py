"""Generated images: vectors that are noisy sums of what their images hold, of any size, with NumPy alone.

Sixty classes of Zipf-like frequency have one to four *modes* (looks). The modes of every other group of four classes
are unrelated directions, so that finding one says nothing of the others and exploring pays; those of the rest crowd
around a centre. An image holds up to eight classes, each in one mode and with some pixels; large objects show more.
Labels come from integers and comparisons only and are the same on every machine; vectors are to rounding.

Measured on 10,000 images: the cosine to one positive image finds the others of its class with a mean AUC of 0.71.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alenv.data.store import key, open_store
from alenv.mining.embedded import EmbeddedImages

IMAGES = 10_000
DIMENSIONS = 64
CLASSES = 60
SLOTS = 8
"""Classes that an image holds, at most."""
NOISE = 1.5
"""Length of the noise, in units of a typical object."""
CROWD = 0.6
"""Spread of the modes around their centre, in units of its length, where they have one."""
EACH = 4 * DIMENSIONS + 6 * SLOTS + 8
"""Bytes of an image."""
MAPPED = 100_000
"""Larger pools are written to the cache and memory-mapped."""
VERSION = 1
"""Part of the cache key: raise it when anything here changes the numbers."""

_CHUNK = 10_000
_LEVELS = np.arange(1, 9)
"""An object of level l has l^2 / 8 times its class's base of pixels."""


@dataclass(frozen=True)
class _World:
    """What images are drawn from.

    Attributes:
        frequency: Share of images that hold a class, (C,).
        first: First mode of each class, (C,).
        steps: Cumulative probability of a class's modes, (C, 4); 1 where there are no more.
        mode_class: int16 (M,).
        directions: float32 (M, D), unit vectors.
        base: Pixels of an object of a class, int64 (C,).
        mean: Expected vector, (D,).
    """

    frequency: NDArray[np.float64]
    first: NDArray[np.int64]
    steps: NDArray[np.float64]
    mode_class: NDArray[np.int16]
    directions: NDArray[np.float32]
    base: NDArray[np.int64]
    mean: NDArray[np.float32]


@cache
def generate(images: int = IMAGES) -> EmbeddedImages:
    """Return generated images; few of them are the start of many.

    Even images are the policy images (``train``), odd ones are new (``eval``). Every fifth class is held out.

    Args:
        images: From 1,000 to some millions.
    """
    arrays, digest = (_mapped if images > MAPPED else _in_memory)(images)
    names = tuple(f"class_{c:02d}" for c in range(CLASSES))
    return EmbeddedImages(
        name=f"mixture:{images}",
        embeddings=arrays["embeddings"],
        modes=arrays["modes"],
        pixels=arrays["pixels"],
        mode_class=_world().mode_class,
        classes=names,
        heldout=names[4::5],
        splits={"train": np.arange(0, images, 2), "eval": np.arange(1, images, 2)},
        manifest=key("mixture", VERSION, images, digest),
    )


def _in_memory(images: int) -> tuple[dict[str, NDArray], str]:
    chunks = list(_chunks(images))
    columns = zip(*chunks, strict=True)
    arrays = {name: np.concatenate(c) for name, c in zip(("embeddings", "modes", "pixels"), columns, strict=True)}
    for array in arrays.values():
        array.flags.writeable = False
    return arrays, _source(images)


def _mapped(images: int) -> tuple[Any, str]:
    def build(folder: Path) -> dict[str, Any]:
        open_array = np.lib.format.open_memmap
        parts = (("embeddings", np.float32, DIMENSIONS), ("modes", np.int16, SLOTS), ("pixels", np.int32, SLOTS))
        out = [open_array(folder / f"{n}.npy", "w+", dtype, (images, width)) for n, dtype, width in parts]
        for i, chunk in enumerate(_chunks(images)):
            for array, rows in zip(out, chunk, strict=True):
                array[i * _CHUNK : i * _CHUNK + len(rows)] = rows
        for array in out:
            array.flush()
        return {}

    store = open_store(f"mixture-{images}", _source(images), build)
    return store.arrays, _source(images)


def _source(images: int) -> str:
    """What the labels and, up to rounding, the vectors depend on."""
    return key(VERSION, images, DIMENSIONS, CLASSES, SLOTS, NOISE, CROWD)


def _chunks(images: int) -> Iterator[tuple[NDArray, NDArray, NDArray]]:
    for index, start in enumerate(range(0, images, _CHUNK)):
        keep = min(_CHUNK, images - start)
        yield tuple(array[:keep] for array in _chunk(_world(), index))  # type: ignore[misc]


def _chunk(world: _World, index: int) -> tuple[NDArray[np.float32], NDArray[np.int16], NDArray[np.int32]]:
    """Draw the vectors, modes and pixels of ``_CHUNK`` images."""
    rng = np.random.default_rng([2023, 1, index])
    modes, pixels = _labels(world, rng)
    weights = np.zeros((_CHUNK, len(world.mode_class)), np.float32)
    image, slot = np.nonzero(modes >= 0)
    weights[image, modes[image, slot]] = _strength(pixels[image, slot])
    vectors = rng.standard_normal((_CHUNK, DIMENSIONS), np.float32) * np.float32(NOISE / DIMENSIONS**0.5)
    vectors += weights @ world.directions - world.mean
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, modes, pixels


def _labels(world: _World, rng: np.random.Generator) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
    """Draw what each image holds, by ascending mode; of too many classes the surest stay."""
    # below 1 as often as the class occurs; of classes below 1 the smallest are kept
    ratio = rng.random((_CHUNK, CLASSES)) / world.frequency
    kept = np.argpartition(ratio, SLOTS, axis=1)[:, :SLOTS]
    held = np.sort(np.where(np.take_along_axis(ratio, kept, 1) < 1, kept, CLASSES), axis=1)
    empty, classes = held == CLASSES, held % CLASSES
    # inverse of the cumulative distribution: the mode is the number of its steps that a draw has passed
    look = (rng.random(held.shape)[:, :, None] >= world.steps[classes]).sum(2)
    pixels = world.base[classes] * rng.choice(_LEVELS, held.shape) ** 2 // 8
    modes = np.where(empty, -1, world.first[classes] + look)
    return modes.astype(np.int16), np.where(empty, 0, pixels).astype(np.int32)


def _strength(pixels: NDArray) -> NDArray[np.float64]:
    """How much an object of so many pixels shows in the vector."""
    return 0.4 + 0.6 * np.minimum(np.sqrt(pixels / 4096), 1.5)


@cache
def _world() -> _World:
    rng = np.random.default_rng([2023, 0])
    classes = np.arange(CLASSES)
    counts = 1 + classes % 4
    mode_class = np.repeat(classes, counts)
    centres = rng.standard_normal((CLASSES, DIMENSIONS))[mode_class]
    own = rng.standard_normal((len(mode_class), DIMENSIONS))
    far = (mode_class // 4 % 2 == 1)[:, None]
    directions = np.where(far, own, centres + CROWD * own)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    chance = np.where(np.arange(4) < counts[:, None], 0.5 ** np.arange(4), 0)
    chance /= chance.sum(1, keepdims=True)
    frequency, base = np.minimum(0.35, 0.7 / (classes + 1)), 256 * 2 ** (classes % 5)
    shown = frequency * _strength(base[:, None] * _LEVELS**2 // 8).mean(1)
    # what a vector holds on average of each mode: taken away, all vectors together have no direction
    share = (shown[:, None] * chance)[chance > 0]
    # past a class's last mode steps are 1, which no draw reaches
    steps = np.where(np.cumsum(chance > 0, 1) < counts[:, None], np.cumsum(chance, 1), 1)
    return _World(
        frequency=frequency,
        first=np.cumsum(counts) - counts,
        steps=steps,
        mode_class=mode_class.astype(np.int16),
        directions=directions.astype(np.float32),
        base=base,
        mean=(share @ directions).astype(np.float32),
    )
