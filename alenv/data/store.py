"""Arrays made once and memory-mapped ever after.

A store is a folder of ``.npy`` files with a ``manifest.json`` that names, for each array, its SHA-256, size and
modification time. It is built in a temporary folder and renamed, under a file lock: a killed build leaves nothing that
looks finished, and of two processes one builds while the other waits. A build that keeps a journal goes on in the
folder that it left.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import os
import secrets
import shutil
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

Build = Callable[[Path], dict[str, Any]]
MANIFEST = "manifest.json"
JOURNAL = "journal"
"""A file of builds that can go on where they ended, see ``parts``."""


class StoreWarning(UserWarning):
    """A store was damaged or out of date and is being rebuilt."""


@dataclass(frozen=True)
class Store:
    """Read-only arrays of one store.

    Attributes:
        arrays: Memory-mapped arrays by name.
        meta: What the builder returned (JSON values).
        digest: SHA-256 over names and contents of all arrays and over ``meta``.
    """

    arrays: Mapping[str, NDArray]
    meta: Mapping[str, Any]
    digest: str


def cache_folder() -> Path:
    """Return ``$ALENV_CACHE``, else ``alenv`` in the user's cache folder."""
    if chosen := os.environ.get("ALENV_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "alenv"


def key(*parts: object) -> str:
    """Return a short hash of JSON-like values, for file names and comparisons."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def open_store(name: str, source: str, build: Build) -> Store:
    """Open the store ``name``, building it first where it is missing, damaged or made from another source.

    Args:
        name: Folder name within the cache folder.
        source: What the arrays are made from (any string, such as a hash of file sizes and times).
        build: Called as ``build(folder)``: saves ``.npy`` files there and returns JSON metadata.

    Returns:
        The arrays, memory-mapped read-only.

    Raises:
        OSError: If the cache folder cannot be written.
    """
    folder = cache_folder() / name
    # Without the lock first: readers of a finished store never wait for one another, nor write anything.
    if (store := _read(folder, source, quiet=True)) is not None:
        return store
    _make_writable(folder.parent)
    with FileLock(f"{folder}.lock"):
        if (store := _read(folder, source)) is None:
            _build(folder, source, build)
            store = _read(folder, source)
    if store is None:
        raise OSError(f"the store {folder} was built but cannot be read back; does something else write there?")
    return store


def save_blocks(path: Path, rows: int, blocks: Iterable[NDArray]) -> None:
    """Write an array that is made block by block, as ``np.save`` would write the whole, which need not fit into memory.

    Args:
        path: The .npy file.
        rows: Length of the first axis of all blocks together.
        blocks: At least one; equal but for the length of their first axis.
    """
    with path.open("wb") as file:
        for number, block in enumerate(blocks):
            if number == 0:
                descr = np.lib.format.dtype_to_descr(block.dtype)
                header = {"descr": descr, "fortran_order": False, "shape": (rows, *block.shape[1:])}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(np.ascontiguousarray(block).data)


def _make_writable(cache: Path) -> None:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        if not os.access(cache, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise OSError(
            f"cannot write to the cache folder {cache} ({error.strerror}); "
            "set ALENV_CACHE to a folder that can be written"
        ) from error


def _build(folder: Path, source: str, build: Build) -> None:
    """Build a store beside its place, then move it there. The caller holds the lock."""
    temporary = _workplace(folder)
    try:
        meta = build(temporary)
        arrays = {path.stem: _entry(path) for path in sorted(temporary.glob("*.npy"))}
        manifest = {"source": source, "meta": meta, "arrays": arrays, "digest": _digest(arrays, meta)}
        (temporary / MANIFEST).write_text(json.dumps(manifest))
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
        (folder / JOURNAL).unlink(missing_ok=True)
    finally:
        if not _goes_on(temporary):
            shutil.rmtree(temporary, ignore_errors=True)


def _workplace(folder: Path) -> Path:
    """Return the folder that an ended build left to go on in, or a new one; other leavings are removed."""
    kept: Path | None = None
    for left in sorted(folder.parent.glob(f"{glob.escape(folder.name)}.*.tmp")):
        if kept is None and _goes_on(left):
            kept = left
        else:
            shutil.rmtree(left, ignore_errors=True)
    if kept is None:
        kept = folder.with_name(f"{folder.name}.{secrets.token_hex(8)}.tmp")  # nobody has put a link there
        kept.mkdir()
    return kept


def _goes_on(folder: Path) -> bool:
    """Whether a build can go on in a folder: it keeps a journal there, and the folder is no link and ours alone."""
    if folder.is_symlink() or not (folder / JOURNAL).is_file():
        return False
    return not hasattr(os, "geteuid") or folder.stat().st_uid == os.geteuid()


def _read(folder: Path, source: str, quiet: bool = False) -> Store | None:
    """Return the store, or None (with a warning unless ``quiet``) if it has to be built."""
    if not folder.exists():
        return None
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        if manifest["source"] != source:
            raise ValueError("it was made from other files or settings")
        meta, entries, digest = manifest["meta"], manifest["arrays"], manifest["digest"]
        if digest != _digest(entries, meta):
            raise ValueError(f"the contents of {MANIFEST} have changed")
        return Store({name: _open(folder, name, entry) for name, entry in entries.items()}, meta, digest)
    except Exception as error:  # whatever is wrong with a store, it can be made anew
        if not quiet:
            warnings.warn(f"rebuilding the cache {folder}: {error!r}", StoreWarning, stacklevel=4)
        return None


def _open(folder: Path, name: str, entry: Mapping[str, Any]) -> NDArray:
    """Map one array. Like git's index, trust an untouched file, and hash it again where its time stamp moved."""
    path = folder / f"{name}.npy"
    status = path.stat()
    if status.st_size != entry["size"]:
        raise ValueError(f"{path.name} has {status.st_size} bytes, expected {entry['size']}")
    if status.st_mtime_ns != entry["mtime_ns"]:
        if _sha256(path) != entry["sha256"]:
            raise ValueError(f"the contents of {path.name} have changed")
        with contextlib.suppress(OSError):  # somebody else's cache: then hash it every time
            os.utime(path, ns=(status.st_atime_ns, entry["mtime_ns"]))
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _entry(path: Path) -> dict[str, Any]:
    """Describe a finished array, and date it back: a write within the same tick of the clock must show."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns - 10**9))
    return {"sha256": _sha256(path), "size": status.st_size, "mtime_ns": path.stat().st_mtime_ns}


def _digest(entries: Mapping[str, Any], meta: Mapping[str, Any]) -> str:
    hashes = {name: entry["sha256"] for name, entry in entries.items()}
    return hashlib.sha256(json.dumps([hashes, meta], sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
