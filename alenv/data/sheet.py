"""A contact sheet of a dataset: images beside their labels, and the colours of the classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from alenv.data import IGNORE
from alenv.data.items import Files, Item
from alenv.data.writing import Size, read_item

SHOWN = 24
"""Images, at most, at equal distances in the list of all."""
COLUMNS = 4
_SIDE, _GAP, _LINE, _ENTRY = 200, 10, 16, 200
_WIDTH = COLUMNS * (2 * _SIDE + _GAP) + _GAP
_PAPER, _INK, _FAULT = (250, 249, 246), (38, 40, 46), (200, 60, 50)
_UNLABELLED = (255, 255, 255)


def sheet(title: str, classes: Sequence[str], colours: NDArray[np.uint8], files: Files) -> Image.Image:
    """Draw some of the images, each with its mask to the right; white pixels have no label.

    Args:
        title: Written above.
        classes: Names of the C classes; those that occur in these images are explained below.
        colours: uint8 (C, 3).
        files: What there is.
    """
    chosen = [files.items[i] for i in np.unique(np.linspace(0, len(files.items) - 1, SHOWN).round().astype(int))]
    height = round(_SIDE * files.size[0] / files.size[1])
    pictures, present = [], set[int]()
    table = np.full((256, 3), _UNLABELLED, np.uint8)
    table[: len(colours)] = colours
    for item in chosen:
        picture, labels = _panels(item, files.size, table, height)
        pictures.append(picture)
        present |= labels
    return _page(title, chosen, pictures, [(classes[i], tuple(colours[i].tolist())) for i in sorted(present)])


def _panels(item: Item, size: Size, table: NDArray[np.uint8], height: int) -> tuple[Image.Image, set[int]]:
    """Return an image beside its mask, and the classes in it."""
    picture = Image.new("RGB", (2 * _SIDE, height), _PAPER)
    try:
        image, mask = read_item(item, size)
    except (ValueError, OSError):
        ImageDraw.Draw(picture).text((6, 6), "cannot be read", _FAULT, ImageFont.load_default(14))
        return picture, set()
    picture.paste(Image.fromarray(image).resize((_SIDE, height), Image.Resampling.BILINEAR), (0, 0))
    picture.paste(Image.fromarray(table[mask]).resize((_SIDE, height), Image.Resampling.NEAREST), (_SIDE, 0))
    return picture, set(np.unique(mask).tolist()) - {IGNORE}


def _page(
    title: str, items: Sequence[Item], pictures: Sequence[Image.Image], legend: Sequence[tuple[str, tuple[int, ...]]]
) -> Image.Image:
    pitch = pictures[0].height + _LINE + _GAP
    top = 2 * _GAP + _LINE
    bottom = top + -(-len(pictures) // COLUMNS) * pitch
    across = _WIDTH // _ENTRY
    page = Image.new("RGB", (_WIDTH, bottom + -(-len(legend) // across) * (_LINE + 4) + _GAP), _PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((_GAP, _GAP), title, _INK, ImageFont.load_default(15))
    for place, (item, picture) in enumerate(zip(items, pictures, strict=True)):
        row, column = divmod(place, COLUMNS)
        corner = _GAP + column * (2 * _SIDE + _GAP), top + row * pitch
        page.paste(picture, corner)
        draw.text((corner[0], corner[1] + picture.height + 1), item.name[-60:], _INK, ImageFont.load_default(11))
    for place, (name, colour) in enumerate(legend):
        row, column = divmod(place, across)
        left, upper = _GAP + column * _ENTRY, bottom + row * (_LINE + 4)
        draw.rectangle((left, upper, left + 12, upper + 12), colour, _INK)
        draw.text((left + 18, upper - 1), name, _INK, ImageFont.load_default(12))
    return page
