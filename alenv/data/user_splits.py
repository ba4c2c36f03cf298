"""The split tables of a user's dataset: seeded ones, or the one that lies beside the data."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alenv.data import SegmentationData, from_store
from alenv.data.class_file import ClassFile
from alenv.data.dividing import divide
from alenv.data.items import Item, open_items
from alenv.data.outside import check_splits
from alenv.data.store import cache_folder, key
from alenv.errors import unknown
from alenv.files import write_whole
from alenv.outside import decode_json

FILE = "splits.json"
SEEDS = tuple(f"seed{seed}" for seed in range(5))


def split_tables(root: Path) -> tuple[str, ...]:
    """Return the names of the tables: a file beside the data is the only one."""
    return ("file",) if (root / FILE).is_file() else SEEDS


def load_divided(
    kind: str, root: Path, items: Sequence[tuple[str, Item]], file: ClassFile, table: str
) -> SegmentationData:
    """Decode a user's images and divide them by one table.

    A seeded table is written to the cache as well, as the file that could lie beside the data: to be looked at, or to
    be copied there and kept or changed.

    Args:
        kind: Name of the dataset.
        root: Its folder.
        items: Of all images, each with its part (``train``, ``val``, ``test``).
        file: What the classes are.
        table: One of ``split_tables``.

    Raises:
        FileNotFoundError: If files are missing; names them.
        ValueError: If images are too few or cannot be read, or ``splits.json`` names others, or lacks a split.
    """
    name, names = f"{kind}-{key(root.resolve())}", [item.name for _, item in items]
    splits = _read(root / FILE, names) if table == "file" else _draw(items, SEEDS.index(table))
    store = open_items(name, [item for _, item in items], file.size, repr(file))
    if table != "file":
        with contextlib.suppress(OSError):  # somebody else's cache
            write_whole(cache_folder() / f"{name}.{table}.json", json.dumps(splits, indent=1).encode())
    return from_store(kind, store, file.names, file.colours, _indices(splits, names))


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
