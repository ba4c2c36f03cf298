"""Procedural street scenes: the embedded dataset, made on the spot from a seed with NumPy alone.

Images come in *drives*: the camera rolls through one street, so neighbouring frames nearly repeat
each other. Every drive has a theme (market, park, arterial, ...), and themes come from a shuffled
deck: rare classes are concentrated in few drives, yet every split gets its share of them. ``day``
and ``dusk`` show the same streets in two lights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alenv.data.scenery import (
    BICYCLIST,
    BUILDING,
    CAR,
    CLASSES,
    FENCE,
    PEDESTRIAN,
    POLE,
    SIGN,
    SIZE,
    TREE,
    Camera,
    Light,
    Street,
    Thing,
    Wall,
    develop,
    draw,
)  # fmt: skip
from alenv.errors import unknown

__all__ = [
    "CLASSES", "COLOURS", "DOMAINS", "FRAMES", "REGION", "SIZE", "SPLITS",
    "fresh_pool", "render_drive", "render_split",
]  # fmt: skip

COLOURS = np.array(
    [
        (70, 130, 180), (70, 70, 70), (128, 64, 128), (244, 35, 232), (107, 142, 35), (0, 0, 142),
        (153, 153, 153), (220, 220, 0), (190, 153, 153), (220, 20, 60), (119, 11, 32),
        (255, 255, 255),
    ],
    dtype=np.uint8,
)  # fmt: skip
REGION = (24, 32)
SPLITS = {"state": 10, "train": 120, "reward": 100, "eval": 240, "holdout": 100, "test": 120}
DOMAINS = ("day", "dusk")
FRAMES = 20
"""Frames in a drive: the street is built that long."""

Rendered = tuple[NDArray[np.uint8], NDArray[np.uint8]]
Pool = tuple[NDArray[np.uint8], NDArray[np.uint8], list[str]]

# Frames taken of each drive, and their distance: pools repeat themselves, the sets that score vary.
_TAKEN = {
    "state": (1, 1), "train": (15, 1), "reward": (2, 10),
    "eval": (15, 1), "holdout": (2, 10), "test": (3, 8),
}  # fmt: skip
_FIRST_DRIVE = {split: 1000 * position for position, split in enumerate(SPLITS)}
_NAMED, _FRESH = 0, 1  # streams of drives
_DECK, _LAYOUT, _LIGHT, _FRAME = 0, 1, 2, 3  # purposes; frames count on from the last


class _Theme(NamedTuple):
    """What to expect in a drive: things in its street, and chances."""

    trees: float
    cars: float
    poles: float
    signs: float
    pedestrians: float
    bicyclists: float
    fences: float  # share of the street that has them
    paint: float  # chance that the road has any
    storeys: float


_THEMES = (
    _Theme(0.0, 2.0, 1.5, 0.0, 0.0, 0.0, 0.0, 0.0, 4.0),  # bare
    _Theme(22., 6.0, 3.0, 0.3, 0.5, 0.0, 0.0, 0.0, 4.0),  # avenue
    _Theme(2.0, 6.0, 5.0, 3.0, 6.0, 0.8, 0.0, 1.0, 6.0),  # downtown
    _Theme(4.0, 9.0, 10., 9.0, 0.0, 0.0, 0.2, 1.0, 2.5),  # arterial
    _Theme(12., 9.0, 3.0, 0.3, 0.5, 0.0, 0.9, 0.0, 1.8),  # suburb
    _Theme(14., 1.0, 2.0, 0.3, 0.5, 7.0, 0.6, 0.2, 1.5),  # park
    _Theme(2.0, 2.0, 2.0, 1.0, 20., 1.5, 0.0, 0.0, 3.0),  # market
    _Theme(5.0, 4.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.6, 3.0),  # plain
)  # fmt: skip

# Colours of things. Rare classes have several looks, so that one example does not teach the class.
_FACADES = np.array([
    (.56, .37, .30), (.74, .67, .54), (.56, .55, .53), (.85, .83, .78), (.44, .36, .31),
    (.72, .60, .44), (.50, .55, .62), (.66, .49, .45), (.62, .62, .52), (.40, .40, .43),
])  # fmt: skip
_CARS = np.array([
    (.84, .86, .92), (.09, .09, .11), (.30, .34, .42), (.60, .64, .72), (.10, .15, .34),
    (.16, .30, .36), (.42, .40, .44),
])  # fmt: skip
_CLOTHES = np.array([
    (.72, .08, .46), (.50, .10, .60), (.90, .45, .66), (.42, .14, .34), (.80, .74, .82),
])  # fmt: skip
_TROUSERS = np.array([(.10, .10, .12), (.14, .16, .34), (.25, .25, .27)])  # fmt: skip
_VESTS = np.array([(.66, 1., .05), (1., .50, .02), (.02, .88, .66)])  # fmt: skip
_HELMETS = np.array([(.95, .95, .92), (.85, .30, .10), (.10, .10, .12)])  # fmt: skip
_SIGNS = np.array([
    [(.92, .03, .05), (.97, .97, .97)], [(.02, .14, .92), (.95, .95, .98)],
    [(1., .80, .02), (.06, .06, .06)],
])  # fmt: skip
_POLES = np.array([(.10, .20, .15), (.72, .74, .76), (.34, .26, .20)])  # fmt: skip
_FENCES = np.array([
    [(.60, .38, .18), (.10, .07, .04)], [(.97, .97, .95), (.20, .24, .16)],
    [(.12, .46, .50), (.04, .08, .09)],
])  # fmt: skip
_GREY, _REAR, _HEADLAMP = (0.5, 0.5, 0.5), (0.75, 0.08, 0.08), (1.0, 0.95, 0.8)


def render_drive(
    seed: int, drive: int, frames: Sequence[int], domain: str = "day"
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw frames of one drive.

    Args:
        seed: Non-negative; another seed is another town.
        drive: Non-negative number of the drive.
        frames: Which frames, each in 0..19; a frame does not depend on the others asked for.
        domain: ``day`` or ``dusk``: the same street in another light.

    Returns:
        Images uint8 (n, 96, 128, 3) and masks uint8 (n, 96, 128) of class indices.

    Raises:
        ValueError: If the domain is unknown, a number is negative or a frame is outside the drive.
    """
    return _render(seed, _NAMED, drive, frames, domain)


def render_split(seed: int, split: str, domain: str = "day") -> Pool:
    """Draw a named split; no two splits share a drive.

    Args:
        seed: Non-negative; another seed is another town.
        split: A key of ``SPLITS``.
        domain: ``day`` or ``dusk``.

    Returns:
        Images uint8 (n, 96, 128, 3), masks uint8 (n, 96, 128), and names like ``train-d03-f07``.

    Raises:
        ValueError: If the split or the domain is unknown, or the seed is negative.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    return _render_pool(seed, _NAMED, split, split, SPLITS[split], domain)


def fresh_pool(seed: int, images: int = 120, domain: str = "day") -> Pool:
    """Draw a pool like ``train``, from drives that no named split and no other seed contains.

    Args:
        seed: Non-negative; another seed is another pool.
        images: How many, at least one.
        domain: ``day`` or ``dusk``.

    Returns:
        Images uint8 (n, 96, 128, 3), masks uint8 (n, 96, 128), and names like ``fresh-d03-f07``.

    Raises:
        ValueError: If the domain is unknown, the seed negative or no image is asked for.
    """
    if images < 1:
        raise ValueError(f"images={images}: a pool has at least one image")
    return _render_pool(seed, _FRESH, "train", "fresh", images, domain)


def _render_pool(seed: int, stream: int, like: str, name: str, images: int, domain: str) -> Pool:
    """Drives one after another, taken as those of a split are, until there are enough images."""
    taken, apart = _TAKEN[like]
    rendered, names = [], []
    for drive, start in enumerate(range(0, images, taken)):
        frames = [apart * i for i in range(min(taken, images - start))]
        rendered.append(_render(seed, stream, _FIRST_DRIVE[like] + drive, frames, domain))
        names += [f"{name}-d{drive:02d}-f{frame:02d}" for frame in frames]
    pictures, masks = zip(*rendered, strict=True)
    return np.concatenate(pictures), np.concatenate(masks), names


def _render(seed: int, stream: int, drive: int, frames: Sequence[int], domain: str) -> Rendered:
    """Draw frames of a drive of either stream."""
    if domain not in DOMAINS:
        raise unknown("domain", domain, DOMAINS)
    if outside := [frame for frame in frames if not 0 <= frame < FRAMES]:
        raise ValueError(f"frame {outside[0]} is outside the drive; take frames of 0..{FRAMES - 1}")
    street, course = _lay_out(seed, stream, drive)
    light = _light(_rng(seed, stream, drive, _LIGHT), domain)
    images = np.empty((len(frames), *SIZE, 3), np.uint8)
    masks = np.empty((len(frames), *SIZE), np.uint8)
    for i, frame in enumerate(frames):
        rng = _rng(seed, stream, drive, _FRAME + frame)
        sway, pitch, gain = rng.uniform(-1, 1, 3).tolist()
        camera = Camera(course.x + 0.08 * sway, course.z * frame, course.horizon + 0.5 * pitch)
        canvas = draw(street, camera, frame, light)
        images[i], masks[i] = develop(canvas, light, 1 + 0.06 * gain, rng), canvas.label
    return images, masks


def _rng(seed: int, stream: int, drive: int, purpose: int) -> np.random.Generator:
    """The only source of randomness: keyed, so that anything can be made alone."""
    return np.random.default_rng([seed, stream, drive, purpose])


def _theme(seed: int, stream: int, drive: int) -> _Theme:
    """The drive's card in a deck that is shuffled anew for every eight drives."""
    block, place = divmod(drive, len(_THEMES))
    order = _rng(seed, stream, block, _DECK).permutation(len(_THEMES))
    return _THEMES[order[place]]


def _lay_out(seed: int, stream: int, drive: int) -> tuple[Street, Camera]:
    """Build a drive's world, and the camera's course through it (z: its step per frame)."""
    theme, rng = _theme(seed, stream, drive), _rng(seed, stream, drive, _LAYOUT)
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
        things=_things(_Site(rng, half, edge, course.z), theme),
        offset=int(rng.integers(128)),
    )
    return street, course


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


class _Site(NamedTuple):
    """Where things are put: the street's measures, and the camera's step per frame."""

    rng: np.random.Generator
    half: float
    edge: float
    step: float

    def along(self, nearest: float = 6.0, farthest: float = 45.0) -> float:
        return self.rng.uniform(nearest, farthest)

    def side(self) -> int:
        return 1 if self.rng.random() < 0.5 else -1


def _things(site: _Site, theme: _Theme) -> list[Thing]:
    """Everything that stands or moves, nearest first: what is hidden need not be drawn."""
    things: list[Thing] = []
    for make, rate in zip(_MAKERS, theme, strict=False):
        # Squared, so that most drives of a theme have less than its mean, and few twice as much.
        spread = site.rng.random()
        count = int(rate * 1.2 * (0.5 + 1.5 * spread * spread) + site.rng.random())
        for _ in range(count if rate else 0):
            things += make(site)
    return sorted(things, key=lambda thing: thing.z)


def _tree(site: _Site) -> list[Thing]:
    rng, tall, z = site.rng, site.rng.uniform(4, 9), site.along()
    leaf = np.array((0.22, 0.34, 0.13)) * rng.uniform(0.7, 1.4) + rng.uniform(-0.04, 0.06, 3)
    x = site.side() * rng.uniform(site.half + 0.6, site.edge + 0.3)
    if rng.random() < 0.25:
        return [Thing("bush", TREE, x, z, 0.4 * tall, 0.2 * tall, [leaf])]
    bark = (0.25, 0.18, 0.13)
    return [Thing("tree", TREE, x, z, tall * rng.uniform(0.5, 0.8), tall, [leaf, bark])]


def _car(site: _Site) -> list[Thing]:
    """A car that is parked at the kerb, oncoming, or driving ahead."""
    rng, half, kind = site.rng, site.half, site.rng.random()
    paint = np.clip(rng.choice(_CARS) * rng.uniform(0.8, 1.2), 0, 1)
    if kind < 0.65:
        x, z, lamp, speed = site.side() * (half - rng.uniform(0.9, 1.3)), site.along(), _REAR, 0.0
    elif kind < 0.85:
        x, z, lamp, speed = -half / 2, site.along(15), _HEADLAMP, -0.5 * site.step
    else:
        x, z, lamp, speed = half / 2, site.along(9, 25), _REAR, site.step
    width, tall = rng.uniform(1.7, 2.0), rng.uniform(1.4, 1.9)
    return [Thing("car", CAR, x, z, width, tall, [paint, lamp], speed=(0.0, speed))]


def _pole(site: _Site) -> list[Thing]:
    rng, side, z = site.rng, site.side(), site.along()
    x, colour = side * (site.half + 0.4), rng.choice(_POLES) * rng.uniform(0.85, 1.15)
    if rng.random() < 0.5:  # its arm reaches over the road
        reach = side * rng.uniform(2.0, 3.0)
        return [Thing("lamp", POLE, x, z, reach, rng.uniform(5, 7), [colour])]
    return [Thing("pole", POLE, x, z, rng.uniform(0.3, 0.5), rng.uniform(4, 8), [colour])]


def _sign(site: _Site) -> list[Thing]:
    rng, z, size = site.rng, site.along(), site.rng.uniform(1.0, 1.7)
    x, base = site.side() * (site.half + rng.uniform(0.5, 1.0)), rng.uniform(1.9, 2.6)
    kind, width = ("disc", size) if rng.random() < 0.6 else ("board", size * rng.uniform(1.0, 2.0))
    colours = rng.choice(_SIGNS) * rng.uniform(0.8, 1.0)
    post = Thing("pole", POLE, x, z + 0.05, 0.14, base + 0.2, [_GREY])
    return [post, Thing(kind, SIGN, x, z, width, size, colours, base=base)]


def _pedestrian(site: _Site) -> list[Thing]:
    rng, z = site.rng, site.along()
    x = site.side() * rng.uniform(site.half + 0.3, site.edge - 0.3)
    colours = [rng.choice(_CLOTHES) * rng.uniform(0.8, 1.1), rng.choice(_TROUSERS)]
    width, tall = rng.uniform(0.7, 0.95), rng.uniform(1.6, 2.0)
    speed = (rng.uniform(-0.05, 0.05), rng.uniform(-0.3, 0.3))
    return [Thing("pedestrian", PEDESTRIAN, x, z, width, tall, colours, speed=speed)]


def _bicyclist(site: _Site) -> list[Thing]:
    """Somebody who rides along the kerb, or crosses the street."""
    rng, half, side, z = site.rng, site.half, site.side(), site.along(7, 40)
    vest = rng.choice(_VESTS) * rng.uniform(0.85, 1.0)
    colours = [vest, rng.choice(_TROUSERS), rng.choice(_HELMETS)]
    if rng.random() < 0.35:
        x, kind, width = rng.uniform(-half, half), "crossing bicyclist", 2.0
        speed = (0.2 * side, 0.0)
    else:
        x, kind, width = side * (half - rng.uniform(0.6, 1.6)), "bicyclist", 1.0
        speed = (0.0, 0.8 * site.step * side)
    return [Thing(kind, BICYCLIST, x, z, width, 2.0, colours, speed=speed)]


_MAKERS: tuple[Callable[[_Site], list[Thing]], ...] = (
    _tree, _car, _pole, _sign, _pedestrian, _bicyclist,
)  # fmt: skip


def _light(rng: np.random.Generator, domain: str) -> Light:
    """Draw the weather; dusk is the same weather some hours later."""
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
