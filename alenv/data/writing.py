"""Images and masks of one size into the files of a store, in one pass, with all that is wrong said at its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from alenv.data.faults import listed

Read = Callable[[], tuple[NDArray[np.uint8], NDArray[np.uint8]]]
"""Returns an image (h, w, 3) and its mask (h, w)."""


def write_items(folder: Path, size: Sequence[int], reads: Sequence[Read]) -> None:
    """Write ``images.npy`` (n, h, w, 3) and ``masks.npy`` (n, h, w), one item at a time.

    Args:
        folder: Of the store.
        size: Height and width of all items.
        reads: One for each.

    Raises:
        ValueError: If items cannot be read; names all of them.
    """
    faults = []
    with (folder / "images.npy").open("wb") as images, (folder / "masks.npy").open("wb") as masks:
        _begin(images, (len(reads), *size, 3))
        _begin(masks, (len(reads), *size))
        for read in reads:
            try:
                image, mask = read()
            except ValueError as error:
                faults.append(str(error))
                continue
            images.write(image.tobytes())
            masks.write(mask.tobytes())
    if faults:
        raise ValueError(listed(faults))


def _begin(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """Write the head of a .npy file. Its data follow in pieces: a memory map would crash on a full disk."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
