"""What a drive's world is made of: a theme from a shuffled deck, a street laid out for it, weather."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alenv.data.town.canvas import Camera
from alenv.data.town.things import Site, Theme, make_things
from alenv.data.town.world import BUILDING, FENCE, TREE, Light, Street, Wall

FRAMES = 20
"""Frames in a drive: the street is built that long."""
FRAME = 3
"""Purpose of the randomness of frame 0; the other frames count on."""
_DECK, _LAYOUT, _LIGHT = range(FRAME)

_THEMES = (
    Theme(0.0, 2.0, 1.5, 0.0, 0.0, 0.0, 0.0, 0.0, 4.0),  # bare
    Theme(22., 6.0, 3.0, 0.3, 0.5, 0.0, 0.0, 0.0, 4.0),  # avenue
    Theme(2.0, 6.0, 5.0, 3.0, 6.0, 0.8, 0.0, 1.0, 6.0),  # downtown
    Theme(4.0, 9.0, 10., 9.0, 0.0, 0.0, 0.2, 1.0, 2.5),  # arterial
    Theme(12., 9.0, 3.0, 0.3, 0.5, 0.0, 0.9, 0.0, 1.8),  # suburb
    Theme(14., 1.0, 2.0, 0.3, 0.5, 7.0, 0.6, 0.2, 1.5),  # park
    Theme(2.0, 2.0, 2.0, 1.0, 20., 1.5, 0.0, 0.0, 3.0),  # market
    Theme(5.0, 4.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.6, 3.0),  # plain
)  # fmt: skip
_FACADES = np.array([
    (.56, .37, .30), (.74, .67, .54), (.56, .55, .53), (.85, .83, .78), (.44, .36, .31),
    (.72, .60, .44), (.50, .55, .62), (.66, .49, .45), (.62, .62, .52), (.40, .40, .43),
])  # fmt: skip
_FENCES = np.array([
    [(.60, .38, .18), (.10, .07, .04)], [(.97, .97, .95), (.20, .24, .16)],
    [(.12, .46, .50), (.04, .08, .09)],
])  # fmt: skip


class Drive(NamedTuple):
    """The key of a drive: all that it shows follows from these numbers."""

    seed: int
    stream: int
    number: int

    def rng(self, purpose: int) -> np.random.Generator:
        """Return the only source of randomness: keyed, so that anything can be made alone."""
        return np.random.default_rng([*self, purpose])


def lay_out(drive: Drive) -> tuple[Street, Camera]:
    """Build a drive's world, and the camera's course through it (z: its step per frame)."""
    theme, rng = _theme(drive), drive.rng(_LAYOUT)
    half = rng.uniform(2.9, 4.6)
    edge = half + rng.uniform(1.6, 3.6)
    course = Camera(half / 2 - rng.uniform(0.0, 0.6), rng.uniform(0.4, 1.0), rng.uniform(40, 49))
    lines, crossings = _paint(rng, half, theme.paint)
    street = Street(
        half=half,
        edge=edge,
        road=rng.uniform(0.26, 0.46) + rng.uniform(-0.03, 0.03, 3),
        pavement=rng.uniform(0.42, 0.68) + rng.uniform(-0.05, 0.05, 3),
        patches=rng.uniform(0.05, 0.3),
        paint=rng.uniform(0.72, 0.95),
        lines=lines,
        crossings=crossings,
        skyline=_skyline(rng),
        walls=[*_facades(rng, edge, theme.storeys), *_fences(rng, edge, theme.fences)],
        things=make_things(Site(rng, half, edge, course.z), theme),
        offset=int(rng.integers(128)),
    )
    return street, course


def _theme(drive: Drive) -> Theme:
    """The drive's card in a deck that is shuffled anew for every eight drives."""
    block, place = divmod(drive.number, len(_THEMES))
    order = drive._replace(number=block).rng(_DECK).permutation(len(_THEMES))
    return _THEMES[order[place]]


def _paint(rng: np.random.Generator, half: float, chance: float) -> tuple[list, list]:
    """Middle line, edge lines and zebra crossings, in the drives that have paint at all."""
    if rng.random() >= chance:
        return [], []
    lines = [(0.0, 0.16, rng.uniform(4, 8), rng.uniform(0.4, 1.0))]
    if rng.random() < 0.6:
        lines += [(side * (half - 0.5), 0.13, 1.0, 1.0) for side in (-1, 1)]
    return lines, rng.uniform(8, 70, rng.integers(3)).tolist()


def _skyline(rng: np.random.Generator) -> tuple[int, float, NDArray]:
    """What closes the street far ahead: trees or buildings."""
    if rng.random() < 0.5:
        return TREE, rng.uniform(3, 8), np.array((0.20, 0.30, 0.14)) * rng.uniform(0.8, 1.4)
    return BUILDING, rng.uniform(4, 11), rng.choice(_FACADES)


def _facades(rng: np.random.Generator, edge: float, storeys: float) -> list[Wall]:
    """Two rows of buildings, of few colours per drive, with gaps."""
    walls, palette = [], rng.choice(_FACADES, 3)
    for side in (-1, 1):
        x, z = side * (edge + rng.uniform(0.5, 3.0)), -15.0
        while z < 130:
            length, tall = rng.uniform(8, 22), 0.8 + 3.0 * max(1.0, storeys * rng.uniform(0.5, 1.5))
            colour = np.clip(rng.choice(palette) * rng.uniform(0.8, 1.15), 0, 1)
            trim, pitch = colour * rng.uniform(0.5, 1.2), rng.uniform(2.2, 3.6)
            bricks = int(rng.integers(128))
            walls.append(Wall(BUILDING, x, z, length, tall, colour, trim, pitch, bricks))
            z += length + (rng.uniform(3, 12) if rng.random() < 0.35 else 0)
    return walls


def _fences(rng: np.random.Generator, edge: float, share: float) -> list[Wall]:
    """Stretches of one kind of fence along the pavement's far side."""
    colour, gap = rng.choice(_FENCES) * rng.uniform(0.85, 1.1)
    tall, pitch = rng.uniform(1.2, 2.0), rng.uniform(0.6, 1.0)
    return [
        Wall(FENCE, side * edge, z, rng.uniform(6, 12), tall, colour, gap, pitch, 0)
        for side in (-1, 1)
        for z in range(-10, 120, 12)
        if rng.random() < share
    ]


def weather(drive: Drive, domain: str) -> Light:
    """Return a drive's light; dusk is the same weather some hours later."""
    rng = drive.rng(_LIGHT)
    cloud, cast, side = rng.random(), rng.uniform(-0.1, 0.1, 3), 1 if rng.random() < 0.5 else -1
    blue, pale = np.array((0.36, 0.56, 0.86)), np.array((0.80, 0.84, 0.88))
    sky = blue * (1 - cloud) + pale * cloud * 0.9
    day = Light(
        sky=sky,
        horizon=0.6 * pale + 0.4 * sky,
        cast=(1 + cast) * rng.uniform(0.8, 1.25),
        clouds=0.4,
        sun=0.45 * (1 - cloud) * side,
        haze=rng.uniform(120, 600),
        lamps=0.0,
        noise=rng.uniform(1.5, 4),
    )
    if domain == "day":
        return day
    return replace(
        day,
        sky=sky * (0.32, 0.30, 0.48),
        horizon=np.array((0.72, 0.46, 0.36)) * (0.7 + 0.3 * cloud),
        cast=day.cast * (0.60, 0.50, 0.56),
        clouds=0.12,
        sun=0.0,
        lamps=1.0,
        noise=day.noise + 4,
    )
