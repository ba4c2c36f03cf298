"""Items, each an image with its labels, decoded into a store once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from alenv.data.faults import absent, listed
from alenv.data.store import Store, key, open_store
from alenv.data.writing import Item, Size, part_length, write_items

__all__ = ["Item", "open_items"]

VERSION = 1
"""Part of the key of every store: raise it when images or masks come out differently."""


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
    status = _signatures({path for item in items for path in item.files})
    length = part_length(size)
    parts = (items[start : start + length] for start in range(0, len(items), length))
    make = partial(key, VERSION, size, labels)
    return [make(number, [(i.name, [status[f] for f in i.files]) for i in part]) for number, part in enumerate(parts)]


def _signatures(files: set[Path]) -> dict[Path, tuple[int, int]]:
    """Return size and time of each file."""
    if missing := sorted(path for path in files if not path.is_file()):
        raise FileNotFoundError(listed([f"{absent(path)}; unpack the dataset again" for path in missing]))
    return {path: ((status := path.stat()).st_size, status.st_mtime_ns) for path in files}
