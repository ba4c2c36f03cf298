"""Datasets of image files: which files there are, decoded into a store once.

A dataset says which images and labels belong together, how labels are read, and the size that all of them are brought
to. The store, the checks and the pictures of ``python -m alenv.data`` are the same for all.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alenv.data import Dataset, SegmentationData, find_root, from_store
from alenv.data.faults import absent, listed
from alenv.data.files import read_image, read_mask, relabel
from alenv.data.resized import stretched
from alenv.data.store import Store, key, open_store
from alenv.data.writing import Item, Size, part_length, write_items
from alenv.regions import Ids

__all__ = ["Files", "ImageFiles", "Item", "LabelledFiles", "open_items", "read_relabelled", "stretched_item"]

VERSION = 1
"""Part of the key of every store: raise it when images or masks come out differently."""


class Files(NamedTuple):
    """What a dataset consists of."""

    items: Sequence[Item]
    size: Size
    """That all items have once they are read."""
    splits: Mapping[str, Ids]
    """Indices of items by split."""


class ImageFiles(Dataset):
    """A dataset of image files, which are decoded into a store once. A subclass says which files these are."""

    name: str
    """Of the dataset, and of its store."""

    @abstractmethod
    def find(self, split: str) -> tuple[Path, Files]:
        """Return the folder of the dataset, and what it holds, with the splits of one table. No image is read yet.

        Raises:
            FileNotFoundError: If a folder, a list or a file is missing.
            ValueError: If a list holds what it must not.
        """

    @property
    def meaning(self) -> object:
        """What masks depend on besides their files, as JSON-like values."""
        return self.classes

    def load(self, split: str) -> SegmentationData:
        """Return the images, decoded on the first call, with the splits of one table.

        Raises:
            FileNotFoundError: If files are missing; names them.
            ValueError: If files cannot be read or hold what they must not; names all of them.
        """
        root, (items, size, splits) = self.find(split)
        store = open_items(f"{self.name}-{key(root.resolve())}", items, size, self.meaning)
        return from_store(self.name, store, self.classes, self.colours, splits)


class LabelledFiles(ImageFiles):
    """A published dataset in its published layout; errors about missing files say what that is, and where to get it.

    Args:
        root: Where the files lie; None for the usual places.
    """

    folder: str
    """Where it lies below ``$ALENV_DATA``."""
    layout: str
    """What that folder holds, in a few words."""
    page: str
    """Where to get it."""

    def __init__(self, root: Path | None) -> None:
        self._root = root

    @abstractmethod
    def files(self, root: Path, split: str) -> Files:
        """List the images in a folder, see ``find``."""

    def find(self, split: str) -> tuple[Path, Files]:
        """Return the folder, and what it holds, see ``ImageFiles``."""
        with self._explained():
            root = find_root(self.folder, self._root)
            return root, self.files(root, split)

    def load(self, split: str) -> SegmentationData:
        """Return the images, see ``ImageFiles``."""
        with self._explained():
            return super().load(split)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            where = f"({self.name!r} is {self.layout}; it comes from {self.page})"
            raise FileNotFoundError(f"{str(error).removesuffix(where).rstrip()} {where}") from None


def stretched_item(
    name: str, image: Path, labels: Path, decode: Callable[[Path], NDArray[np.uint8]], size: Size
) -> Item:
    """Return an image and its labels, both stretched to a size: smoothly, and by the nearest label.

    Args:
        name: Unique within the dataset.
        image: The file.
        labels: The file.
        decode: A function of a module, or a ``partial`` of one: reads class indices (h, w) from ``labels``.
        size: Height and width.
    """
    return Item(name, (image, labels), partial(_read_stretched, image, labels, decode, size))


def _read_stretched(
    image: Path, labels: Path, decode: Callable[[Path], NDArray[np.uint8]], size: Size
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    mask = decode(labels)
    return stretched(read_image(image, mask.shape, str(labels)), size), stretched(mask, size)


def read_relabelled(path: Path, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Read a mask and replace its labels, see ``relabel``."""
    return relabel(read_mask(path), labels, path)


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
        OSError: If the disk has too little room, or the cache folder cannot be written.
    """
    sources = _sources(items, size, labels)

    def build(folder: Path) -> dict[str, Any]:
        write_items(folder, name.rpartition("-")[0] or name, items, size, sources)
        return {"names": [item.name for item in items]}

    return open_store(name, key(len(items), sources), build)


def _sources(items: Sequence[Item], size: Size, labels: Sequence[object]) -> list[str]:
    """Return a hash of what each part of the store is made from."""
    status = signatures({path for item in items for path in item.files})
    length = part_length(size)
    parts = (items[start : start + length] for start in range(0, len(items), length))
    make = partial(key, VERSION, size, labels)
    return [make(number, [(i.name, [status[f] for f in i.files]) for i in part]) for number, part in enumerate(parts)]


def signatures(files: set[Path]) -> dict[Path, tuple[int, int]]:
    """Return size and time of each file."""
    if missing := sorted(path for path in files if not path.is_file()):
        raise FileNotFoundError(listed([f"{absent(path)}; unpack the dataset again" for path in missing]))
    return {path: ((status := path.stat()).st_size, status.st_mtime_ns) for path in files}
