"""A user's dataset, whose split tables are seeded ones, or the one that lies beside the data."""

from __future__ import annotations

import contextlib
import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alenv.data import SegmentationData
from alenv.data.class_file import ClassFile
from alenv.data.dividing import divide
from alenv.data.items import Files, ImageFiles, Item, signatures
from alenv.data.outside import check_splits
from alenv.data.store import cache_folder, key
from alenv.data.tiling import tiling
from alenv.errors import unknown
from alenv.files import write_whole
from alenv.outside import decode_json

FILE = "splits.json"
SEEDS = tuple(f"seed{seed}" for seed in range(5))


class UserFiles(ImageFiles):
    """A user's images, divided by one table.

    Args:
        root: Their folder.
        file: What the classes are.
    """

    def __init__(self, root: Path, file: ClassFile) -> None:
        self._root, self._file = root, file
        self.classes, self.colours, self.background = file.names, file.colours, file.background
        self.region, self.cell = tiling(*file.size)
        self.split_tables = ("file",) if (root / FILE).is_file() else SEEDS  # a file beside the data is the only one

    @abstractmethod
    def items(self) -> list[tuple[str, Item]]:
        """List all images, each with its part (``train``, ``val``, ``test``).

        Raises:
            FileNotFoundError: If files are missing; names them.
            ValueError: If entries cannot be used; names all of them.
        """

    @property
    def meaning(self) -> object:
        """What masks depend on besides their files."""
        return repr(self._file)

    def find(self, split: str) -> tuple[Path, Files]:
        """Return the folder, and what it holds, with the splits of one table.

        Raises:
            FileNotFoundError: If files are missing; names them.
            ValueError: If images are too few, or ``splits.json`` names others, or lacks a split.
        """
        items = self.items()
        names = [item.name for _, item in items]
        splits = _read(self._root / FILE, names) if split == "file" else _draw(items, SEEDS.index(split))
        return self._root, Files([item for _, item in items], self._file.size, _indices(splits, names))

    def digest(self) -> str:
        """Return a hash that changes when a file is edited, added or taken away, or the class file means another thing.

        Raises:
            FileNotFoundError: If files are missing; names them.
        """
        items = [item for _, item in self.items()]
        status = signatures({path for item in items for path in item.files})
        return key(self.meaning, [(item.name, [status[path] for path in item.files]) for item in items])

    def load(self, split: str) -> SegmentationData:
        """Return the images, see ``ImageFiles``.

        A seeded table is written to the cache as well, as the file that could lie beside the data: to be looked at, or
        to be copied there and kept or changed.
        """
        data = super().load(split)
        if split != "file":
            lists = {part: [data.names[i] for i in ids] for part, ids in data.splits.items()}
            with contextlib.suppress(OSError):  # somebody else's cache
                path = cache_folder() / f"{self.name}-{key(self._root.resolve())}.{split}.json"
                write_whole(path, json.dumps(lists, indent=1))
        return data


def _draw(items: Sequence[tuple[str, Item]], seed: int) -> Mapping[str, Sequence[str]]:
    parts: dict[str, list[str]] = {}
    for part, item in items:
        parts.setdefault(part, []).append(item.name)
    return divide(parts, seed)


def _read(path: Path, names: Sequence[str]) -> Mapping[str, Sequence[str]]:
    try:
        splits = decode_json(dict[str, tuple[str, ...]], path.read_bytes(), "split")
        known = set(names)
        for name in (name for chosen in splits.values() for name in chosen):
            if name not in known:
                raise unknown("image", name, names)
        check_splits(_indices(splits, names), len(names))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return splits


def _indices(splits: Mapping[str, Sequence[str]], names: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    place = {name: i for i, name in enumerate(names)}
    return {split: np.array(sorted(place[name] for name in chosen), np.int64) for split, chosen in splits.items()}
