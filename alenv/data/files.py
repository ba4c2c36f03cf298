"""Image and mask files on disk, read as people see them, or refused with the file, the cause and the remedy.

Phones and cameras store a picture as the sensor lay and add an EXIF note on how to turn it. An image is turned as every
viewer does, unless only its stored size fits its labels: then they were drawn by a program that ignores the note, and
the image stays as it is stored. Half turns, mirrorings and squares fit both ways: they are turned.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from alenv.data.faults import absent, listed

IMAGES = (".png", ".jpg", ".jpeg")
MASKS = (".png",)
FORBIDDEN = 254
"""Stands in a table of labels for those that must not occur."""

Size = tuple[int, ...]
"""Height and width in pixels."""


def files_by_stem(folder: Path, suffixes: Collection[str]) -> dict[str, Path]:
    """List the files of a folder by their names without suffix. Hidden ones and folders are passed over.

    Args:
        folder: Where they lie.
        suffixes: Those that count, in small letters; files may have them in capitals.

    Raises:
        FileNotFoundError: If the folder is missing, or a link leads nowhere.
        ValueError: If two files have one stem.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"there is no folder {folder}; is root={str(folder.parent)!r} the folder that contains {folder.name!r}?"
        )
    paths = [path for path in sorted(folder.iterdir()) if _counts(path, suffixes)]
    if broken := [f"{absent(path)}; mend or remove it" for path in paths if not path.exists()]:
        raise FileNotFoundError(listed(broken))
    found = {path.stem: path for path in paths}
    if doubles := [
        f"{found[path.stem]} and {path.name} have one name; remove one of them"
        for path in paths
        if found[path.stem] != path
    ]:
        raise ValueError(listed(doubles))
    return found


def _counts(path: Path, suffixes: Collection[str]) -> bool:
    return path.suffix.lower() in suffixes and not path.name.startswith(".") and not path.is_dir()


def read_image(path: Path, size: Size, labels: str) -> NDArray[np.uint8]:
    """Read an image beside labels of a size, as uint8 (h, w, 3), RGB.

    Grey of 16 bits is divided by 257, unless no value exceeds 255.

    Args:
        path: The file.
        size: Height and width of the labels.
        labels: What to call the labels in an error.

    Raises:
        ValueError: If it cannot be read, has values that no byte stands for, or fits the labels neither upright nor as
            it is stored.
    """
    stored = decode(path)
    for image in (upright(stored), stored):
        if image.size == size[::-1]:
            return rgb(image, path)
    raise misfit(path, upright(stored).size[::-1], size, labels)


def misfit(path: Path, size: Size, wanted: Size, whose: str) -> ValueError:
    """Return (not raise) an error for a file of the wrong size."""
    return ValueError(
        f"{path} is {size[1]}x{size[0]} (width x height), but {whose} is {wanted[1]}x{wanted[0]}; "
        "take all images and labels from one copy of the set"
    )


def decode(path: Path) -> Image.Image:
    """Read a picture as it is stored.

    Raises:
        ValueError: If it cannot be read.
    """
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except Exception as error:  # of many types: what Pillow says of a broken file names no file
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> ValueError:
    """Return (not raise) an error for a file that some library cannot read."""
    return ValueError(f"cannot read {path}: {error}; copy the file again from its source")


def upright(image: Image.Image) -> Image.Image:
    """Turn a picture as its EXIF note says. A note that cannot be read is ignored, as viewers do."""
    try:
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # of many types
        return image
    return image if turn is None else image.transpose(turn)


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture upright, by its EXIF orientation; ``ImageOps.exif_transpose`` also writes the other notes anew,
and fails on odd ones."""


def rgb(image: Image.Image, path: Path) -> NDArray[np.uint8]:
    """Return the colours of a picture, uint8 (h, w, 3).

    Raises:
        ValueError: If they are fractions, or numbers of more than 16 bits.
    """
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_bytes(np.asarray(image), path))
    return np.asarray(image.convert("RGB"))


def _bytes(grey: NDArray, path: Path) -> NDArray[np.uint8]:
    low, high = grey.min(), grey.max()
    if grey.dtype.kind == "f" or low < 0 or high > 65535:
        raise ValueError(
            f"the image {path} holds grey values {low} to {high} of type {grey.dtype}, which may mean any brightness; "
            "save it with 8 or 16 bits"
        )
    return ((grey.astype(np.uint32) + 128) // 257 if high > 255 else grey).astype(np.uint8)


def read_mask(path: Path) -> NDArray:
    """Read the labels of a mask, (h, w) of integers. Grey may be saved as colours, and with an opaque alpha channel.

    Raises:
        ValueError: If it cannot be read, or holds no single label per pixel.
    """
    image = decode(path)
    labels = np.asarray(upright(image))
    if image.mode in ("1", "L", "P") or image.mode.startswith("I"):
        return labels
    colours = labels[..., :-1] if image.mode in ("LA", "RGBA") else labels
    opaque = image.mode == "RGB" or (image.mode in ("LA", "RGBA") and (labels[..., -1] == 255).all())
    if not opaque or halved(path) or (colours != colours[..., :1]).any():
        raise ValueError(
            f"the mask {path} has mode {image.mode}, not one label per pixel; "
            "save it as an 8-bit grey or palette PNG of class indices"
        )
    return colours[..., 0]


def read_colours(path: Path, table: Mapping[tuple[int, ...], int]) -> NDArray[np.uint8]:
    """Read a mask whose colours stand for classes, (h, w) of class indices.

    Args:
        path: The file.
        table: Class index, or 255 = ignore, by red, green and blue.

    Raises:
        ValueError: If it cannot be read, or has a colour that is not in the table.
    """
    colours = rgb(upright(decode(path)), path).astype(np.int64) @ [65536, 256, 1]
    found, place = np.unique(colours, return_inverse=True)
    known = {(r * 256 + g) * 256 + b: index for (r, g, b), index in table.items()}
    if wrong := [code for code in found.tolist() if code not in known]:
        raise ValueError(
            f"the mask {path} holds {len(wrong)} colours that are no class, the first #{wrong[0]:06x}; "
            "take the masks as they were published (no JPEG, not resized smoothly)"
        )
    return np.array([known[code] for code in found.tolist()], np.uint8)[place.reshape(colours.shape)]


def halved(path: Path) -> bool:
    """Return whether colours are stored with 16 bits, of which Pillow keeps the upper 8: labels would all become 0.

    Raises:
        ValueError: If it cannot be read.
    """
    try:
        with Image.open(path) as image:
            return ";16" in str(image.tile)
    except Exception as error:
        raise unreadable(path, error) from error


def relabel(mask: NDArray, labels: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
    """Replace the labels of a file by class indices.

    Args:
        mask: Any shape, of any type of numbers.
        labels: uint8 (256,), maps file label -> class index, 255 = ignore, or ``FORBIDDEN``.
        path: The file, for the error.

    Raises:
        ValueError: If there is a label that must not occur.
    """
    index = np.clip(mask, np.uint8(0), np.uint8(255)).astype(np.uint8)
    wrong = (mask != index) | (labels[index] == FORBIDDEN)
    if wrong.any():
        raise ValueError(
            f"the mask {path} holds label {int(mask[wrong].min())}; allowed are {_ranges(labels)}: "
            "is it of another label set (say, 32 classes or colours)?"
        )
    return labels[index]


def _ranges(labels: NDArray[np.uint8]) -> str:
    known = np.flatnonzero(labels != FORBIDDEN)
    runs = np.split(known, np.flatnonzero(np.diff(known) > 1) + 1)
    return ", ".join(f"{run[0]}..{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
