"""Images and masks of one size into the files of a store: in parallel, part by part, all faults said at the end."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from alenv.data.faults import listed
from alenv.data.parts import Parts
from alenv.data.processes import cores, in_processes

PART = 2**24
"""Bytes of a part, about: what a kill loses at most, in each process."""
LONGEST = 64
"""Images in a part, at most."""
WORTH = 8
"""Parts that are worth the start of processes."""

Size = tuple[int, int]
"""Height and width in pixels."""
Read = Callable[[], tuple[NDArray[np.uint8], NDArray[np.uint8]]]
"""Returns an image (h, w, 3) and its mask (h, w)."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Item:
    """One image and its labels.

    Attributes:
        name: Unique within the dataset.
        files: What the image and the labels are read from: a change of any rebuilds the store.
        read: Returns image uint8 (height, width, 3) and class indices uint8 (height, width), of the store's size. A
            ``partial`` of a function of a module can be called in other processes, a closure cannot.
    """

    name: str
    files: tuple[Path, ...]
    read: Read


def part_length(size: Size) -> int:
    """Return how many images a part has."""
    return min(max(PART // needed(1, size), 1), LONGEST)


def needed(images: int, size: Size) -> int:
    """Return the bytes that images and masks take."""
    return 4 * images * size[0] * size[1]


def write_items(folder: Path, name: str, items: Sequence[Item], size: Size, sources: Sequence[str]) -> None:
    """Write ``images.npy`` (n, h, w, 3) and ``masks.npy`` (n, h, w), and go on where an ended build left off.

    Args:
        folder: Of the store.
        name: Of the dataset, for the progress bar.
        items: One for each image.
        size: Of all items.
        sources: For each part of ``part_length`` items, a hash of what it is made from.

    Raises:
        ValueError: If items cannot be read; names all of them.
        OSError: If the disk has too little room.
    """
    length = part_length(size)
    with Parts(folder, len(items), size, sources, length) as parts:
        done = parts.finished()
        tasks = {i: (items[i * length : (i + 1) * length], size) for i in range(len(sources)) if i not in done}
        left = sum(len(part) for part, _ in tasks.values())
        check_room(folder, needed(left, size))
        log.info("decoding %d of %d images of %s (once)", left, len(items), name)
        with tqdm(total=len(items), initial=len(items) - left, desc=f"decoding {name}", disable=None) as bar:
            faults = _write_parts(parts, tasks, bar)
    if faults:
        raise ValueError(listed(faults))


def _write_parts(parts: Parts, tasks: Mapping[int, tuple[Sequence[Item], Size]], bar: tqdm) -> list[str]:
    """Make and write parts; return what is wrong with their items, in order."""
    numbers, faults = list(tasks), dict[int, list[str]]()
    processes = cores() if len(tasks) >= WORTH else 1
    for place, (images, masks, wrong) in in_processes(_read_part, list(tasks.values()), processes):
        number = numbers[place]
        if wrong:
            faults[number] = wrong
        else:
            parts.write(number, images, masks)
        bar.update(len(tasks[number][0]))
    return [fault for number in sorted(faults) for fault in faults[number]]


def _read_part(items: Sequence[Item], size: Size) -> tuple[bytes, bytes, list[str]]:
    """Read items: the bytes of images and masks, and what is wrong."""
    images, masks, faults = list[bytes](), list[bytes](), list[str]()
    for item in items:
        try:
            image, mask = read_item(item, size)
        except ValueError as error:
            faults.append(str(error))
        else:
            images.append(image.tobytes())
            masks.append(mask.tobytes())
    return b"".join(images), b"".join(masks), faults


def read_item(item: Item, size: Size) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read one item.

    Raises:
        ValueError: If it cannot be read, or is not as the store needs it.
    """
    image, mask = item.read()
    for array, shape in ((image, (*size, 3)), (mask, size)):
        if array.dtype != np.uint8 or array.shape != shape:
            raise ValueError(
                f"item {item.name!r}: its read() returns {array.dtype} {array.shape}, not uint8 {shape}; "
                "resize images and masks to the size of the dataset"
            )
    return image, mask


def check_room(folder: Path, bytes_: int) -> None:
    """Check that a disk has room.

    Raises:
        OSError: With the bytes that are missing.
    """
    free = shutil.disk_usage(folder).free
    if bytes_ > free:
        raise OSError(
            f"the decoded images take {bytes_ / 2**30:,.1f} GiB, but {folder.parent} has room for {free / 2**30:,.1f}; "
            "make room there, or set ALENV_CACHE to a folder on another disk"
        )
