"""The arrays of a store while they are written, part by part, and the journal of the parts that are finished.

Parts are written in place, in any order. The journal gets a line for each, with a hash of what it was made from and
one of what was written. Whoever goes on after a kill, a full disk or a loss of power reads the parts again, and makes
anew those that are not as the journal says.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from alenv.data.store import JOURNAL, StoreWarning


class Parts:
    """``images.npy`` (n, h, w, 3) and ``masks.npy`` (n, h, w) in a folder; a context, which closes the files.

    Args:
        folder: The store's, new or left by a build that was ended.
        images: n.
        size: Height and width.
        sources: For each part, a hash of what it is made from.
        length: Images in a part; the last may have fewer.
    """

    def __init__(self, folder: Path, images: int, size: Sequence[int], sources: Sequence[str], length: int) -> None:
        self._sources = sources
        self._path = folder / JOURNAL
        self._journal = self._path.open("ab")
        shapes = {"images.npy": (images, *size, 3), "masks.npy": (images, *size)}
        self._files = [_begun(folder / name, shape) for name, shape in shapes.items()]
        self._starts = [file.tell() for file in self._files]
        self._strides = [length * int(np.prod(shape[1:])) for shape in shapes.values()]

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self._journal, *self._files):
            file.close()

    def finished(self) -> set[int]:
        """Return the parts that are in place, after a look at their bytes."""
        noted = dict(self._noted())
        good = {number for number, digest in noted.items() if digest == self._digest(number)}
        if bad := len(noted) - len(good):
            text = f"{bad} of the {len(noted)} parts that an ended build left are damaged: they are made again"
            warnings.warn(text, StoreWarning, stacklevel=2)
        return good

    def _noted(self) -> Iterator[tuple[int, str]]:
        """Yield the parts in the journal that are made from the right sources, and the hashes of their bytes."""
        known = {source: number for number, source in enumerate(self._sources)}
        for line in self._path.read_text(encoding="ascii", errors="replace").split("\n"):
            source, _, digest = line.partition(" ")
            if source in known and len(digest) == 64:  # not the line that was being written at the end
                yield known[source], digest

    def _digest(self, number: int) -> str:
        digest = hashlib.sha256()
        for file, start, stride in zip(self._files, self._starts, self._strides, strict=True):
            file.seek(start + number * stride)
            digest.update(file.read(stride))
        return digest.hexdigest()

    def write(self, number: int, images: bytes, masks: bytes) -> None:
        """Put a part in its place, and note it down."""
        contents = images, masks
        for file, start, stride, content in zip(self._files, self._starts, self._strides, contents, strict=True):
            file.seek(start + number * stride)
            file.write(content)
            file.flush()
        # A new line first: the one before may have been cut off.
        self._journal.write(f"\n{self._sources[number]} {hashlib.sha256(images + masks).hexdigest()}".encode())
        self._journal.flush()


def _begun(path: Path, shape: tuple[int, ...]) -> BinaryIO:
    """Open a .npy file of bytes behind its head, as long as it will be. A memory map would crash on a full disk."""
    file = path.open("r+b" if path.exists() else "w+b")
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    file.truncate(file.tell() + int(np.prod(shape)))
    return file
