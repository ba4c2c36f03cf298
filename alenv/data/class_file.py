"""The class file of a user's dataset: what labels and colours of masks mean, and how large images become.

``classes.txt`` has a name a line, in the order of the labels 0, 1, ... ``classes.toml`` can say more::

    size = [360, 480]               # height and width; 256 x 256 by default
    resize = "stretch"              # or "letterbox", which keeps shapes
    background = "road"             # no target of mining

    [[classes]]                     # one for each label, in their order
    name = "road"
    colour = [128, 64, 128]         # of coloured masks, and for display

    [[classes]]
    name = "lane marking"
    merge = "road"                  # learned as this class

    [[classes]]
    name = "void"
    ignore = true                   # neither learned nor scored, like label 255
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from alenv.data.dataset import IGNORE
from alenv.data.files import FORBIDDEN, decode, read_image, read_mask, relabel, rgb, upright
from alenv.data.outside import CLASSES, Text
from alenv.data.resized import letterboxed, palette, stretched
from alenv.errors import unknown
from alenv.outside import Positive, decode_toml

Byte = Annotated[int, Meta(ge=0, le=255)]


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one label means."""

    name: Text
    colour: tuple[Byte, Byte, Byte] | None = None
    ignore: bool = False
    merge: Text | None = None

    def __post_init__(self) -> None:
        """Check that it is one or the other.

        Raises:
            ValueError: If it is both.
        """
        if self.ignore and self.merge is not None:
            raise ValueError(f"class {self.name!r} is ignored and merged into {self.merge!r}; drop one of them")


class ClassFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A class file.

    Attributes:
        entries: By label.
        size: Height and width that images get.
        resize: ``stretch`` keeps shares of the area, and every region can be worth its label; ``letterbox`` keeps
            shapes, and fills the rest with black and 255.
        background: Class that is no target of mining.
    """

    entries: Annotated[tuple[Entry, ...], Meta(min_length=1, max_length=CLASSES)] = msgspec.field(name="classes")
    size: tuple[Positive, Positive] = (256, 256)
    resize: Literal["stretch", "letterbox"] = "stretch"
    background: str | None = None

    def __post_init__(self) -> None:
        """Check what concerns several entries.

        Raises:
            ValueError: For the first that is wrong.
        """
        names, colours = Counter(entry.name for entry in self.entries), Counter(entry.colour for entry in self.entries)
        colours[None] = 0
        for value, count in (*names.items(), *colours.items()):
            if count > 1:
                raise ValueError(f"classes: {value!r} is there twice; labels differ in name and colour")
        if not self.names:
            raise ValueError("classes: all of them are ignored")
        if self.background is not None and self.background not in self.names:
            raise unknown("background", self.background, self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes, after merging."""
        return tuple(dict.fromkeys(entry.merge or entry.name for entry in self.entries if not entry.ignore))

    @property
    def colours(self) -> NDArray[np.uint8]:
        """A colour for each class (C, 3): that of its first entry that has one, else one of a palette."""
        colours = palette(len(self.names))
        for entry in reversed(self.entries):
            if entry.colour and not entry.ignore:
                colours[self.names.index(entry.merge or entry.name)] = entry.colour
        return colours

    def read(self, image: Path, mask: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Read an image and its class indices, in the common size.

        Raises:
            ValueError: If a file cannot be read, sizes differ, or there is a label or colour of no class.
        """
        labels = self._labels(mask)
        return self.fit(read_image(image, labels.shape, str(mask)), labels)

    def fit(self, image: NDArray[np.uint8], labels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Bring an image (h, w, 3) and its class indices (h, w) to the common size."""
        if self.resize == "letterbox":
            return letterboxed(image, self.size, 0), letterboxed(labels, self.size, IGNORE)
        return stretched(image, self.size), stretched(labels, self.size)

    def _labels(self, path: Path) -> NDArray[np.uint8]:
        """Return class indices (h, w): by colour, where there are colours that say it, else by label."""
        picture = upright(decode(path))
        if any(entry.colour for entry in self.entries) and picture.mode in ("P", "RGB", "RGBA"):
            coloured = rgb(picture, path)
            found = self._by_colour(coloured)
            if (known := found != FORBIDDEN).all():
                return found
            if picture.mode != "P" and (coloured != coloured[..., :1]).any():
                wrong = tuple(coloured[~known][0].tolist())
                raise ValueError(
                    f"the mask {path} holds the colour {wrong}, which no class has; add it to the class file"
                )
        return relabel(read_mask(path), self.table(), path)

    def _by_colour(self, coloured: NDArray[np.uint8]) -> NDArray[np.uint8]:
        codes, place = np.unique(coloured.astype(np.int64) @ _CODE, return_inverse=True)
        known = {
            int(np.array(entry.colour) @ _CODE): label
            for entry, label in zip(self.entries, self.table(), strict=False)
            if entry.colour
        }
        return np.array([known.get(code, FORBIDDEN) for code in codes.tolist()], np.uint8)[place].reshape(
            coloured.shape[:2]
        )

    def table(self) -> NDArray[np.uint8]:
        """Class index by label, (256,)."""
        table = np.full(256, FORBIDDEN, np.uint8)
        table[IGNORE] = IGNORE
        for label, entry in enumerate(self.entries):
            table[label] = IGNORE if entry.ignore else self.names.index(entry.merge or entry.name)
        return table


_CODE = np.array([65536, 256, 1])


def read_class_file(folder: Path) -> ClassFile:
    """Read the class file of a folder.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If there are two, or it is none.
    """
    files = [path for path in (folder / "classes.txt", folder / "classes.toml") if path.is_file()]
    if not files:
        raise FileNotFoundError(
            f"there is no {folder / 'classes.txt'}: write the names of the classes there, one a line, in the order of "
            "the labels 0, 1, ...; or classes.toml, where masks have colours (see alenv.data.class_file)"
        )
    if len(files) > 1:
        raise ValueError(f"{folder} has classes.txt and classes.toml; remove one of them")
    path = files[0]
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".toml":
            return decode_toml(ClassFile, text)
        return ClassFile(tuple(Entry(line.strip()) for line in text.splitlines() if line.strip()))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
