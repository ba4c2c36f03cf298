"""What a street consists of, before it is drawn: classes, walls, things, light.

World coordinates are metres: x to the right of the street's middle, y up, z along the street.
Colours are RGB in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from numpy.typing import ArrayLike, NDArray

CLASSES = (
    "sky", "building", "road", "pavement", "tree", "car",
    "pole", "sign", "fence", "pedestrian", "bicyclist", "lane marking",
)  # fmt: skip
SKY, BUILDING, ROAD, PAVEMENT, TREE, CAR = range(6)
POLE, SIGN, FENCE, PEDESTRIAN, BICYCLIST, LANE = range(6, 12)
SIZE = (96, 128)

BLACK, GLASS, WARM = (0.08, 0.08, 0.09), (0.20, 0.24, 0.30), (1.0, 0.82, 0.45)


@dataclass(frozen=True)
class Thing:
    """Something that stands in the street, drawn as a card (a car also has a flank).

    Attributes:
        kind: What it looks like: a key of the table of parts.
        label: Class index of its pixels.
        x: Its middle, metres to the right of the street's middle.
        z: Distance along the street (at frame 0, in a street).
        width: Metres; negative mirrors the card.
        height: Metres.
        colours: Its own colours.
        base: Height of its foot over the ground.
        speed: Metres per frame across and along the street.
    """

    kind: str
    label: int
    x: float
    z: float
    width: float
    height: float
    colours: Sequence[ArrayLike]
    base: float = 0.0
    speed: tuple[float, float] = (0.0, 0.0)

    def at(self, frame: int) -> Thing:
        """Return the thing where its motion has brought it."""
        return replace(self, x=self.x + frame * self.speed[0], z=self.z + frame * self.speed[1])


@dataclass(frozen=True)
class Wall:
    """A stretch of facade or fence along the street, from z to z + length at one x.

    ``trim`` is the colour of the plinth or of the gaps between pickets, ``pitch`` the distance of
    windows or pickets, and ``offset`` picks its bricks and its lit windows.
    """

    label: int
    x: float
    z: float
    length: float
    height: float
    colour: NDArray
    trim: NDArray
    pitch: float
    offset: int


@dataclass(frozen=True)
class Light:
    """The weather and the hour: what turns one street into different pictures.

    ``sun`` is the contrast between sunlit and shaded sides, and its sign the side of the shade;
    ``haze`` the distance at which half of a colour is gone; ``lamps`` is 0 by day and 1 at dusk;
    ``noise`` a deviation in grey levels.
    """

    sky: NDArray
    horizon: NDArray
    cast: NDArray
    clouds: float
    sun: float
    haze: float
    lamps: float
    noise: float


@dataclass(frozen=True)
class Street:
    """A drive's world: it stays as it is while the camera passes through (some things move).

    ``half`` and ``edge`` are the distances from the middle to the kerb and to the pavement's far
    side. ``lines`` are painted along the street: (x of the middle, half width, period along z,
    painted share of it); ``crossings`` are the z at which zebra crossings begin. ``skyline`` closes
    the street: (class, height in pixels, colour).
    """

    half: float
    edge: float
    road: NDArray
    pavement: NDArray
    patches: float
    paint: float
    lines: Sequence[tuple[float, float, float, float]]
    crossings: Sequence[float]
    skyline: tuple[int, float, NDArray]
    walls: Sequence[Wall]
    things: Sequence[Thing]
    offset: int
