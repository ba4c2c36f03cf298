"""A look at every image of a dataset: what is in it, and what is wrong with it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from alenv.data import IGNORE, Dataset, read
from alenv.data.duplicates import difference_hash
from alenv.data.items import Files, ImageFiles, Item
from alenv.data.processes import cores, in_processes
from alenv.data.writing import WORTH, Size, part_length, read_item


@dataclass(frozen=True)
class Look:
    """What one image holds.

    Attributes:
        pixels: int32 (C + 1,), of each class, and without a label.
        hash: See ``difference_hash``.
        odd: What a reader should know of it, or nothing.
    """

    pixels: NDArray[np.int32]
    hash: NDArray[np.uint8]
    odd: str = ""


@dataclass(frozen=True)
class Survey:
    """What a dataset holds.

    Attributes:
        looks: By index, of the images that can be read.
        faults: What is wrong with the others.
        seconds: That reading took.
        processes: That read.
    """

    looks: dict[int, Look]
    faults: list[str]
    seconds: float
    processes: int


def contents(name: str, dataset: Dataset, split: str) -> Files:
    """Return the images of any dataset; one that is not made of files is loaded."""
    if isinstance(dataset, ImageFiles):
        return dataset.find(split)[1]
    data = read(name, dataset, split)
    items = [Item(item, (), partial(_row, data.images, data.masks, i)) for i, item in enumerate(data.names)]
    return Files(items, (data.masks.shape[1], data.masks.shape[2]), data.splits)


def _row(images: NDArray[np.uint8], masks: NDArray[np.uint8], row: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return np.asarray(images[row]), np.asarray(masks[row])


def survey(name: str, files: Files, classes: int) -> Survey:
    """Read every image, in parallel.

    Args:
        name: Of the dataset, for the progress bar.
        files: What there is.
        classes: C.
    """
    length = part_length(files.size)
    starts = range(0, len(files.items), length)
    tasks = [(files.items[start : start + length], files.size, classes) for start in starts]
    processes = cores() if len(tasks) >= WORTH and files.items[0].files else 1
    found: dict[int, Look | str] = {}
    begin = time.monotonic()
    with tqdm(total=len(files.items), desc=f"reading {name}", disable=None) as bar:
        for number, looks in in_processes(_look_at_all, tasks, processes):
            found |= dict(enumerate(looks, number * length))
            bar.update(len(looks))
    looked = {i: look for i in sorted(found) if not isinstance(look := found[i], str)}
    faults = [fault for i in sorted(found) if isinstance(fault := found[i], str)]
    return Survey(looked, faults, time.monotonic() - begin, processes)


def _look_at_all(items: Sequence[Item], size: Size, classes: int) -> list[Look | str]:
    return [_look_at(item, size, classes) for item in items]


def _look_at(item: Item, size: Size, classes: int) -> Look | str:
    """Return what an image holds, or what is wrong with it."""
    try:
        image, mask = read_item(item, size)
    except (ValueError, OSError) as error:
        return str(error)
    pixels = np.bincount(mask.ravel(), minlength=256)
    if strange := [label for label in np.flatnonzero(pixels).tolist() if classes <= label != IGNORE]:
        return f"item {item.name!r} has label {strange[0]}, but there are {classes} classes"
    counts = np.append(pixels[:classes], pixels[IGNORE]).astype(np.int32)
    return Look(counts, difference_hash(image), _oddity(image, counts))


def _oddity(image: NDArray[np.uint8], pixels: NDArray[np.int32]) -> str:
    oddities = []
    if pixels[-1] == pixels.sum():
        oddities.append("no pixel has a label")
    if (image == image[0, 0]).all():
        oddities.append("all pixels have one colour")
    return " and ".join(oddities)
