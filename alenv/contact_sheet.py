"""Pictures of a mining episode: a contact sheet of the candidates and of what was bought.

Candidates show nothing of their labels, so that a policy may look at the picture. What was bought is framed where it
holds the class, and says how many of its pixels it brought.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from alenv.tiles import SIDE, Colour, Tiles

COLUMNS = 10
MOST = 60
"""Candidates, and images bought, that a picture shows at most: the first ones, and the last ones."""
_MARGIN, _GAP, _HEADING, _HEAD = 14, 6, 26, 96
_PITCH = SIDE + _GAP
WIDTH = 2 * _MARGIN + COLUMNS * _PITCH - _GAP
_PAPER, _INK, _GREY, _EMPTY = (250, 249, 246), (38, 40, 46), (128, 130, 136), (234, 232, 227)
_FOUND, _OTHER, _LOOKED, _WASTED = (22, 150, 84), (150, 152, 158), (226, 160, 40), (200, 60, 50)


@dataclass(frozen=True)
class Page:
    """What a picture shows of an episode.

    Attributes:
        target: Name of the class.
        candidates: Images that can be picked now.
        seeds: Images that were labelled at the start, and ``bought``, since.
        found: Pixels of the class in each of them, by image.
        gain: The return so far.
        spent: Share of the budget that went into images with the class, images without it, looks, and illegal actions.
    """

    target: str
    candidates: Sequence[int]
    seeds: Sequence[int]
    bought: Sequence[int]
    found: Mapping[int, int]
    gain: float
    spent: tuple[float, ...]


class ContactSheet:
    """Draws pages of one size, (height, ``WIDTH``, 3).

    Args:
        pictures: Of the pool's images.
        candidates: K.
        budget: B.
    """

    def __init__(self, pictures: Tiles, candidates: int, budget: int) -> None:
        self._tiles = pictures
        self._look, self._label = lru_cache(512)(self._tiles.unlabelled), lru_cache(512)(self._tiles.labelled)
        self._shown, self._budget = candidates, budget
        self._split = _HEAD + _block(self._shown)
        self.height = self._split + _block(self._budget) + _MARGIN

    def draw(self, page: Page) -> NDArray[np.uint8]:
        """Return the picture, uint8 (height, WIDTH, 3)."""
        picture = Image.new("RGB", (WIDTH, self.height), _PAPER)
        draw = ImageDraw.Draw(picture)
        self._draw_head(picture, draw, page)
        self._draw_candidates(picture, draw, page)
        self._draw_bought(picture, draw, page)
        return np.array(picture)

    def _draw_head(self, picture: Image.Image, draw: ImageDraw.ImageDraw, page: Page) -> None:
        """The class, what was found of it, the budget, and at the right the images the episode started with."""
        kept = page.seeds[: COLUMNS // 2]
        right = WIDTH - _MARGIN - len(kept) * _PITCH
        for place, image in enumerate(kept):
            corner = (right + _GAP + place * _PITCH, _MARGIN)
            self._paste_label(picture, draw, corner, image, page, "seed")
        draw.rectangle((_MARGIN, _MARGIN + 4, _MARGIN + 14, _MARGIN + 18), self._tiles.colour(page.target), _INK)
        _write(draw, (_MARGIN + 22, _MARGIN), page.target, 20, _INK, right - _MARGIN - 22)
        have = sum(page.found[image] > 0 for image in page.bought)
        line = (
            f"{have} of {len(page.bought)} bought hold it · {sum(page.found.values()):,} pixels · gain {page.gain:.2f}"
        )
        _write(draw, (_MARGIN, _MARGIN + 31), line, 13, _INK, right - _MARGIN)
        _bar(draw, (_MARGIN, _MARGIN + 54, right - 8, _MARGIN + 64), page.spent)

    def _draw_candidates(self, picture: Image.Image, draw: ImageDraw.ImageDraw, page: Page) -> None:
        _write(draw, (_MARGIN, _HEAD + 4), f"candidates{_part('first', self._shown)}", 13, _GREY)
        for place, image in enumerate(page.candidates[:MOST]):
            corner = _corner(place, _HEAD)
            picture.paste(self._look(image), corner)
            _badge(draw, corner, str(place), _INK)

    def _draw_bought(self, picture: Image.Image, draw: ImageDraw.ImageDraw, page: Page) -> None:
        title = f"bought: {len(page.bought)} of {self._budget}{_part('last', len(page.bought))}"
        _write(draw, (_MARGIN, self._split + 4), title, 13, _GREY)
        first = max(0, len(page.bought) - MOST)
        for place in range(min(self._budget, MOST)):
            corner = _corner(place, self._split)
            if first + place < len(page.bought):
                number = first + place + 1
                self._paste_label(picture, draw, corner, page.bought[number - 1], page, str(number))
            else:
                draw.rectangle(_box(corner), _EMPTY)

    def _paste_label(
        self,
        picture: Image.Image,
        draw: ImageDraw.ImageDraw,
        corner: tuple[int, int],
        image: int,
        page: Page,
        name: str,
    ) -> None:
        picture.paste(self._label(image, page.target), corner)
        found = page.found[image]
        if found:
            draw.rectangle(_box(corner), outline=_FOUND, width=3)
            text = f"{found:,}"
            left = corner[0] + SIDE - 9 - int(_font(11).getlength(text))
            _badge(draw, (left, corner[1] + SIDE - 15), text, _FOUND)
        _badge(draw, corner, name, _FOUND if found else _INK)


def _block(count: int) -> int:
    """Height of a heading and its rows of tiles."""
    return _HEADING + -(-min(count, MOST) // COLUMNS) * _PITCH


def _corner(place: int, top: int) -> tuple[int, int]:
    row, column = divmod(place, COLUMNS)
    return _MARGIN + column * _PITCH, top + _HEADING + row * _PITCH


def _box(corner: tuple[int, int]) -> tuple[int, int, int, int]:
    return *corner, corner[0] + SIDE - 1, corner[1] + SIDE - 1


def _part(which: str, count: int) -> str:
    return f" (the {which} {MOST} of {count})" if count > MOST else ""


@cache
def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _write(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], text: str, size: int, colour: Colour, room: int = WIDTH
) -> None:
    """Write a line, cut where it would leave its room."""
    if _font(size).getlength(text) > room:
        while text and _font(size).getlength(text + "...") > room:
            text = text[:-1]
        text += "..."
    draw.text(corner, text, colour, _font(size))


def _badge(draw: ImageDraw.ImageDraw, corner: tuple[int, int], text: str, colour: Colour) -> None:
    width = int(_font(11).getlength(text)) + 8
    draw.rectangle((*corner, corner[0] + width, corner[1] + 14), colour)
    draw.text((corner[0] + 4, corner[1] + 1), text, (255, 255, 255), _font(11))


def _bar(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], shares: tuple[float, ...]) -> None:
    """The budget: what is spent, in colours, and what is left."""
    left, top, right, bottom = box
    draw.rectangle(box, _EMPTY)
    edge = 0.0
    for share, colour in zip(shares, (_FOUND, _OTHER, _LOOKED, _WASTED), strict=True):
        if share > 0:
            begin = left + edge * (right - left)
            edge += share
            draw.rectangle((begin, top, max(begin, left + edge * (right - left) - 1), bottom), colour)
