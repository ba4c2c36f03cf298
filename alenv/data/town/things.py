"""Everything that stands or moves in a street, drawn at random for a theme."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from alenv.data.town.world import BICYCLIST, CAR, PEDESTRIAN, POLE, SIGN, TREE, Thing


class Theme(NamedTuple):
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


# Rare classes have several looks, so that one example does not teach the class.
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
_GREY, _REAR, _HEADLAMP = (0.5, 0.5, 0.5), (0.75, 0.08, 0.08), (1.0, 0.95, 0.8)


class Site(NamedTuple):
    """Where things are put: the street's measures, and the camera's step per frame."""

    rng: np.random.Generator
    half: float
    edge: float
    step: float

    def along(self, nearest: float = 6.0, farthest: float = 45.0) -> float:
        """Draw a place along the street."""
        return self.rng.uniform(nearest, farthest)

    def side(self) -> int:
        """Draw the right or the left."""
        return 1 if self.rng.random() < 0.5 else -1


def make_things(site: Site, theme: Theme) -> list[Thing]:
    """Return everything that stands or moves, nearest first: what is hidden need not be drawn."""
    things: list[Thing] = []
    for make, rate in zip(_MAKERS, theme, strict=False):
        # Squared, so that most drives of a theme have less than its mean, and few twice as much.
        spread = site.rng.random()
        count = int(rate * 1.2 * (0.5 + 1.5 * spread * spread) + site.rng.random())
        for _ in range(count if rate else 0):
            things += make(site)
    return sorted(things, key=lambda thing: thing.z)


def _tree(site: Site) -> list[Thing]:
    rng, tall, z = site.rng, site.rng.uniform(4, 9), site.along()
    leaf = np.array((0.22, 0.34, 0.13)) * rng.uniform(0.7, 1.4) + rng.uniform(-0.04, 0.06, 3)
    x = site.side() * rng.uniform(site.half + 0.6, site.edge + 0.3)
    if rng.random() < 0.25:
        return [Thing("bush", TREE, x, z, 0.4 * tall, 0.2 * tall, [leaf])]
    bark = (0.25, 0.18, 0.13)
    return [Thing("tree", TREE, x, z, tall * rng.uniform(0.5, 0.8), tall, [leaf, bark])]


def _car(site: Site) -> list[Thing]:
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


def _pole(site: Site) -> list[Thing]:
    rng, side, z = site.rng, site.side(), site.along()
    x, colour = side * (site.half + 0.4), rng.choice(_POLES) * rng.uniform(0.85, 1.15)
    if rng.random() < 0.5:  # its arm reaches over the road
        reach = side * rng.uniform(2.0, 3.0)
        return [Thing("lamp", POLE, x, z, reach, rng.uniform(5, 7), [colour])]
    return [Thing("pole", POLE, x, z, rng.uniform(0.3, 0.5), rng.uniform(4, 8), [colour])]


def _sign(site: Site) -> list[Thing]:
    rng, z, size = site.rng, site.along(), site.rng.uniform(1.0, 1.7)
    x, base = site.side() * (site.half + rng.uniform(0.5, 1.0)), rng.uniform(1.9, 2.6)
    kind, width = ("disc", size) if rng.random() < 0.6 else ("board", size * rng.uniform(1.0, 2.0))
    colours = rng.choice(_SIGNS) * rng.uniform(0.8, 1.0)
    post = Thing("pole", POLE, x, z + 0.05, 0.14, base + 0.2, [_GREY])
    return [post, Thing(kind, SIGN, x, z, width, size, colours, base=base)]


def _pedestrian(site: Site) -> list[Thing]:
    rng, z = site.rng, site.along()
    x = site.side() * rng.uniform(site.half + 0.3, site.edge - 0.3)
    colours = [rng.choice(_CLOTHES) * rng.uniform(0.8, 1.1), rng.choice(_TROUSERS)]
    width, tall = rng.uniform(0.7, 0.95), rng.uniform(1.6, 2.0)
    speed = (rng.uniform(-0.05, 0.05), rng.uniform(-0.3, 0.3))
    return [Thing("pedestrian", PEDESTRIAN, x, z, width, tall, colours, speed=speed)]


def _bicyclist(site: Site) -> list[Thing]:
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


_MAKERS: tuple[Callable[[Site], list[Thing]], ...] = (
    _tree, _car, _pole, _sign, _pedestrian, _bicyclist,
)  # fmt: skip
