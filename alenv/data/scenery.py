"""How a street is drawn: a pinhole camera, a depth-tested canvas, and three kinds of surface.

Ground lies flat, walls run along the street (facades, fences, flanks of cars), cards face the
camera (all else). World coordinates are metres: x to the right of the street's middle, y up, z
along the street. Colours are RGB in [0, 1]. Only elementwise arithmetic without transcendental
functions is used, so that the pixels are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

CLASSES = (
    "sky", "building", "road", "pavement", "tree", "car",
    "pole", "sign", "fence", "pedestrian", "bicyclist", "lane marking",
)  # fmt: skip
SKY, BUILDING, ROAD, PAVEMENT, TREE, CAR = range(6)
POLE, SIGN, FENCE, PEDESTRIAN, BICYCLIST, LANE = range(6, 12)
SIZE = (96, 128)
FOCAL, EYE = 95.0, 1.9
NEAR, FAR = 2.2, 110.0

_HEIGHT, _WIDTH = SIZE
_ROWS, _COLS = (np.arange(length, dtype=np.float32) + np.float32(0.5) for length in SIZE)
_NOISE = np.random.default_rng([20, 24]).random((128, 128), dtype=np.float32) - np.float32(0.5)

_BLACK, _GLASS, _WARM = (0.08, 0.08, 0.09), (0.20, 0.24, 0.30), (1.0, 0.82, 0.45)
_SKIN, _RED, _PLATE = (0.72, 0.52, 0.42), (0.75, 0.08, 0.08), (0.85, 0.85, 0.80)

# A card is a list of parts, later ones on top: shape, left, right (-1..1), bottom, top (0..1),
# paint (a colour, or an index into the thing's own colours), glow (shows when the lamps are on).
_PARTS: dict[str, tuple[tuple, ...]] = {
    "tree": (
        ("box", -0.12, 0.12, 0.0, 0.5, 1, 0),
        ("leaf", -1.0, 0.35, 0.30, 0.85, 0, 0),
        ("leaf", -0.3, 1.0, 0.36, 0.90, 0, 0),
        ("leaf", -0.7, 0.7, 0.45, 1.0, 0, 0),
    ),
    "bush": (("leaf", -1.0, 1.0, -0.3, 1.0, 0, 0),),
    "pole": (("box", -1.0, 1.0, 0.0, 1.0, 0, 0),),
    "lamp": (
        ("box", -0.12, 0.12, 0.0, 1.0, 0, 0),
        ("box", -1.0, 0.12, 0.965, 1.0, 0, 0),
        ("box", -1.0, -0.55, 0.94, 0.97, _WARM, 1),
    ),
    "disc": (("disc", -1.0, 1.0, 0.0, 1.0, 0, 0), ("disc", -0.6, 0.6, 0.2, 0.8, 1, 0)),
    "board": (("box", -1.0, 1.0, 0.0, 1.0, 0, 0), ("box", -0.75, 0.75, 0.38, 0.62, 1, 0)),
    "pedestrian": (
        ("box", -0.62, -0.06, 0.0, 0.50, 1, 0),
        ("box", 0.06, 0.62, 0.0, 0.50, 1, 0),
        ("box", -1.0, 1.0, 0.45, 0.84, 0, 0),
        ("disc", -0.5, 0.5, 0.82, 1.0, _SKIN, 0),
    ),
    "bicyclist": (
        ("box", -0.22, 0.22, 0.0, 0.36, _BLACK, 0),
        ("box", -0.60, 0.60, 0.26, 0.52, 1, 0),
        ("box", -1.0, 1.0, 0.48, 0.86, 0, 0),
        ("disc", -0.55, 0.55, 0.83, 1.0, 2, 0),
        ("box", -0.15, 0.15, 0.30, 0.38, _RED, 1),
    ),
    "crossing bicyclist": (
        ("ring", -1.0, -0.1, 0.0, 0.42, _BLACK, 0),
        ("ring", 0.1, 1.0, 0.0, 0.42, _BLACK, 0),
        ("box", -0.45, 0.5, 0.30, 0.42, 1, 0),
        ("box", -0.35, 0.25, 0.42, 0.85, 0, 0),
        ("disc", -0.1, 0.3, 0.83, 1.0, 2, 0),
    ),
    "car": (
        ("box", -0.95, -0.6, 0.0, 0.25, _BLACK, 0),
        ("box", 0.6, 0.95, 0.0, 0.25, _BLACK, 0),
        ("box", -1.0, 1.0, 0.12, 0.64, 0, 0),
        ("box", -0.82, 0.82, 0.60, 1.0, 0, 0),
        ("box", -0.70, 0.70, 0.64, 0.93, _GLASS, 0),
        ("box", -0.97, -0.68, 0.42, 0.56, 1, 1),
        ("box", 0.68, 0.97, 0.42, 0.56, 1, 1),
        ("box", -0.25, 0.25, 0.30, 0.40, _PLATE, 0),
    ),
}


@dataclass(frozen=True)
class Thing:
    """Something that stands in the street, drawn as a card (a car also has a flank).

    Attributes:
        kind: What it looks like: a key of the table of parts.
        label: Class index of its pixels.
        x: Its middle, metres to the right of the street's middle.
        z: Distance along the street at frame 0.
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


@dataclass(frozen=True)
class Camera:
    """Where a picture is taken from: metres across and along the street, row of the horizon."""

    x: float
    z: float
    horizon: float

    def columns(self, left: float, right: float, z: float) -> slice:
        """Pixel columns whose centres lie between two x at one z."""
        scale, middle = FOCAL / (z - self.z), _WIDTH / 2
        return _span((left - self.x) * scale + middle, (right - self.x) * scale + middle, _WIDTH)

    def rows(self, bottom: float, top: float, z: float) -> slice:
        """Pixel rows whose centres lie between two heights at one z."""
        scale, middle = FOCAL / (z - self.z), self.horizon
        return _span(middle - (top - EYE) * scale, middle - (bottom - EYE) * scale, _HEIGHT)


@dataclass
class Canvas:
    """A picture in the making: albedo (3, h, w), glow, class and depth of every pixel."""

    albedo: NDArray = field(default_factory=lambda: np.zeros((3, *SIZE), np.float32))
    glow: NDArray = field(default_factory=lambda: np.zeros(SIZE, np.float32))
    label: NDArray = field(default_factory=lambda: np.zeros(SIZE, np.uint8))
    depth: NDArray = field(default_factory=lambda: np.full(SIZE, FAR, np.float32))

    def paint(
        self,
        area: tuple[slice, slice],
        label: NDArray | int,
        colour: NDArray,
        depth: NDArray | float,
        where: NDArray | bool = True,
        glow: NDArray | float = 0.0,
    ) -> None:
        """Paint what nothing nearer covers of an area; all arguments broadcast to its size."""
        seen = (self.depth[area] >= depth) & where
        np.copyto(self.albedo[:, *area], colour, where=seen)
        np.copyto(self.glow[area], np.asarray(glow, np.float32), where=seen)
        np.copyto(self.label[area], np.asarray(label, np.uint8), where=seen)
        np.copyto(self.depth[area], np.asarray(depth, np.float32), where=seen)


def draw(street: Street, camera: Camera, frame: int, light: Light) -> Canvas:
    """Draw one frame of a drive.

    Args:
        street: The world.
        camera: Where it is seen from.
        frame: How many steps the things have moved.
        light: Sky, sun and lamps.

    Returns:
        The finished canvas; ``develop`` makes the photograph.
    """
    canvas = Canvas()
    _draw_sky(canvas, camera, street, light)
    _draw_ground(canvas, camera, street, light)
    for wall in street.walls:
        _draw_wall(canvas, camera, wall, light)
    for thing in street.things:
        _draw_thing(canvas, camera, thing, frame, light)
    return canvas


def develop(canvas: Canvas, light: Light, exposure: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Turn a canvas into a photograph: light, haze, lens blur, sensor noise.

    Args:
        canvas: From ``draw``.
        light: The weather and the hour.
        exposure: Gain of this frame.
        rng: Source of the noise.

    Returns:
        Image uint8 (96, 128, 3).
    """
    image = canvas.albedo * (_planes(light.cast) * (1 - canvas.glow) + canvas.glow)
    haze = canvas.depth / (canvas.depth + np.float32(light.haze))
    image += (_planes(light.horizon) - image) * np.where(canvas.depth < FAR, haze, 0)
    image = _blur(_blur(image * np.float32(exposure), 1), 2)
    # Triangular noise resembles normal noise and needs no logarithm (variance 1/6: hence 2.45).
    grain = rng.random((2, 3, *SIZE), dtype=np.float32)
    image = image * 255 + (grain[0] - grain[1]) * np.float32(2.45 * light.noise)
    return np.moveaxis(np.clip(image, 0, 255).astype(np.uint8), 0, -1)


def _span(start: float, stop: float, limit: int) -> slice:
    """Pixels whose centres lie in [start, stop), cut to the picture."""
    first, last = int(np.ceil(start - 0.5)), int(np.ceil(stop - 0.5))
    return slice(min(max(first, 0), limit), max(min(last, limit), 0))


def _planes(colour: ArrayLike) -> NDArray:
    """A colour as planes (3, 1, 1)."""
    return np.asarray(colour, np.float32)[:, None, None]


def _mix(colours: Sequence[ArrayLike], which: NDArray) -> NDArray:
    """Planes (3, h, w) of colours chosen by an index per pixel."""
    return np.array(colours, np.float32).T.take(which, 1)


def _noise(a: NDArray, b: NDArray, scale: float, offset: int) -> NDArray:
    """Noise in [-0.5, 0.5) fixed to two world coordinates, in squares of side 1 / scale."""
    rows, cols = (np.floor(axis * scale).astype(np.int32) for axis in (a, b))
    return _NOISE[(rows + offset) & 127, cols & 127]


def _smooth_noise(step: int) -> NDArray:
    """Noise of the picture's size, smooth over ``step`` pixels, that repeats from side to side."""
    values = _NOISE[: _HEIGHT // step, : _WIDTH // step]
    for axis, length in enumerate(SIZE):
        low = np.arange(length) // step
        part = (np.arange(length) % step / np.float32(step)).astype(np.float32)
        part = part[:, None] if axis == 0 else part
        high = (low + 1) % values.shape[axis]
        values = values.take(low, axis) * (1 - part) + values.take(high, axis) * part
    return values


_CLOUDS = np.maximum(_smooth_noise(16) + _smooth_noise(8) / 2, 0)


def _blur(image: NDArray, axis: int) -> NDArray:
    """Average with both neighbours along an axis (weights 1, 6, 1)."""
    image = np.moveaxis(image, axis, 0)
    blurred = 6 * image
    blurred[1:] += image[:-1]
    blurred[:-1] += image[1:]
    blurred[[0, -1]] += image[[0, -1]]
    return np.moveaxis(blurred / np.float32(8), 0, axis)


def _draw_sky(canvas: Canvas, camera: Camera, street: Street, light: Light) -> None:
    """Sky with clouds, and far away the skyline that closes the street."""
    rows, cols = _ROWS[:, None], _COLS[None, :]
    height = np.clip(rows / np.float32(camera.horizon), 0, 1)
    clouds = np.float32(light.clouds) * np.roll(_CLOUDS, street.offset, 1)
    canvas.albedo[:] = _planes(light.sky) * (1 - height) + _planes(light.horizon) * height + clouds
    canvas.glow[:] = 1
    label, tall, colour = street.skyline
    top = camera.horizon - tall * (1 + _noise(cols, 0 * cols, 1 / 6, street.offset))
    grain = 1 + 0.5 * _noise(rows, cols, 0.5, street.offset)
    canvas.paint(np.s_[:, :], label, _planes(colour) * grain, FAR - 1, rows > top)


def _draw_ground(canvas: Canvas, camera: Camera, street: Street, light: Light) -> None:
    """Road and its paint between two pavements. z is a column: a row of pixels has one depth."""
    first = int(np.ceil(camera.horizon + 0.5))
    depth = FOCAL * EYE / (_ROWS[first:, None] - camera.horizon)
    x, z = (_COLS - _WIDTH / 2) * depth / FOCAL + camera.x, depth + camera.z
    beside = np.abs(x)
    paved, joint = beside > street.half, (z % 1.2 < 0.12) | (beside < street.half + 0.2)
    painted = _painted(street, x, z)
    colours = street.road, street.pavement, 0.8 * street.pavement, 3 * [street.paint]
    colour = _mix(colours, np.where(painted, 3, np.where(paved, 1 + joint, 0)))
    grain = 1 + 0.18 * _noise(z, x, 7, street.offset)
    grain += street.patches * _noise(z, x, 0.45, street.offset)
    shaded = light.sun * x > abs(light.sun) * street.half * 0.35
    grain *= np.where(shaded, np.float32(1 - abs(light.sun)), np.float32(1))
    label = np.where(painted, LANE, np.where(paved, PAVEMENT, ROAD))
    canvas.paint(np.s_[first:, :], label, colour * grain, depth)


def _painted(street: Street, x: NDArray, z: NDArray) -> NDArray:
    """Where the ground is painted: lines along the street, zebra crossings over it."""
    painted = np.zeros(x.shape, bool)
    for middle, half, period, share in street.lines:
        painted |= (np.abs(x - middle) < half) & (z % period < share * period)
    for start in street.crossings:
        zebra = (np.abs(x) < street.half - 0.3) & (x % 1.0 < 0.5)
        painted |= zebra & (z > start) & (z < start + 3)
    return painted


def _draw_wall(canvas: Canvas, camera: Camera, wall: Wall, light: Light) -> None:
    """A facade with windows, or a fence with pickets, in perspective."""
    plane = _plane(camera, wall.x, wall.z, wall.z + wall.length, wall.height)
    if plane is None:
        return
    area, y, z, depth = plane
    texture = _draw_windows if wall.label == BUILDING else _draw_pickets
    colour, glow = texture(wall, y, z, light)
    colour *= np.float32(1 - light.sun * (0.5 if wall.x > 0 else -0.5))
    canvas.paint(area, wall.label, colour, depth, (y >= 0) & (y < wall.height), glow)
    if wall.label == BUILDING and wall.z - camera.z > NEAR:
        _draw_gable(canvas, camera, wall)


def _draw_windows(wall: Wall, y: NDArray, z: NDArray, light: Light) -> tuple[NDArray, NDArray]:
    """Colour and glow of a facade: bricks, rows of windows, a plinth."""
    across, up = z % wall.pitch / wall.pitch, y % 3.0
    window = (across > 0.3) & (across < 0.72) & (up > 0.9) & (up < 2.4)
    lit = window & (_noise(y / 3.0, z / wall.pitch, 1, wall.offset) > 0.1) & (light.lamps > 0)
    colour = _mix((wall.colour, wall.trim, _GLASS, _WARM), np.where(window, 2 + lit, y < 0.9))
    return colour * (1 + 0.25 * _noise(y, z, 3, wall.offset)), lit * np.float32(light.lamps)


def _draw_pickets(wall: Wall, y: NDArray, z: NDArray, light: Light) -> tuple[NDArray, NDArray]:
    """Colour and glow of a fence: pickets with dark gaps, and a rail."""
    gap = (z % wall.pitch > 0.6 * wall.pitch) & (np.abs(y - 0.75 * wall.height) > 0.1)
    colour = _mix((wall.colour, wall.trim), gap.astype(np.intp))
    return colour * (1 + 0.2 * _noise(y, z, 5, wall.offset)), np.zeros_like(y)


def _draw_gable(canvas: Canvas, camera: Camera, wall: Wall) -> None:
    """The end of a building that faces the camera, seen where its neighbour is lower or missing."""
    left, right = (wall.x, wall.x + 12) if wall.x > 0 else (wall.x - 12, wall.x)
    area = camera.rows(0, wall.height, wall.z), camera.columns(left, right, wall.z)
    h, w = canvas.label[area].shape
    grain = np.float32(0.85) + np.float32(0.2) * _NOISE[:h, :w]
    canvas.paint(area, wall.label, _planes(wall.colour) * grain, wall.z - camera.z)


def _plane(camera: Camera, x: float, start: float, stop: float, height: float) -> tuple | None:
    """The plane at x between two z: area, y per pixel, z and depth per column; None if unseen."""
    near, far = max(start - camera.z, 0.6 * NEAR), stop - camera.z
    if far <= near:
        return None
    ends = sorted(FOCAL * (x - camera.x) / depth + _WIDTH / 2 for depth in (near, far))
    rows, cols = camera.rows(0, height, near + camera.z), _span(ends[0], ends[1], _WIDTH)
    depth = FOCAL * (x - camera.x) / (_COLS[cols] - _WIDTH / 2)
    y = EYE - (_ROWS[rows, None] - camera.horizon) * depth / FOCAL
    return ((rows, cols), y, depth + camera.z, depth) if y.size else None


def _draw_thing(canvas: Canvas, camera: Camera, thing: Thing, frame: int, light: Light) -> None:
    """A thing where its motion has brought it: the flank of a car, then the card."""
    x, z = thing.x + frame * thing.speed[0], thing.z + frame * thing.speed[1]
    if thing.kind == "car":
        _draw_flank(canvas, camera, thing, x, z)
    depth, half = z - camera.z, thing.width / 2
    if not NEAR < depth < FAR:
        return
    rows = camera.rows(thing.base, thing.base + thing.height, z)
    cols = camera.columns(x - abs(half), x + abs(half), z)
    if not (canvas.depth[rows, cols] > depth).any():  # hidden, or smaller than a pixel
        return
    s = (_COLS[cols] - _WIDTH / 2) * (depth / FOCAL) + (camera.x - x)
    t = (camera.horizon - _ROWS[rows, None]) * (depth / FOCAL) + (EYE - thing.base)
    colour, covered, glow = _card(thing, s / half, t / thing.height)
    canvas.paint((rows, cols), thing.label, colour, depth, covered, glow * np.float32(light.lamps))


def _card(thing: Thing, s: NDArray, t: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Colour, coverage and glow of a card at s (columns, -1..1) and t (rows, 0..1)."""
    parts = _PARTS[thing.kind]
    on_top = np.zeros((t.shape[0], s.shape[0]), np.intp)
    grain = _NOISE[: t.shape[0], : s.shape[0]]
    for number, (shape, left, right, bottom, top, *_) in enumerate(parts, 1):
        across = (2 * s - left - right) / (right - left)
        up = (2 * t - bottom - top) / (top - bottom)
        np.copyto(on_top, number, where=_inside(shape, across, up, grain))
    colours = [thing.colours[paint] if isinstance(paint, int) else paint for *_, paint, _ in parts]
    glow = np.array([0, *(part[-1] for part in parts)], np.float32)
    texture = 1 + np.float32(1.1 if thing.label == TREE else 0.15) * grain
    return _mix([_BLACK, *colours], on_top) * texture, on_top > 0, glow.take(on_top)


def _inside(shape: str, s: NDArray, t: NDArray, grain: NDArray) -> NDArray:
    """Which pixels a part covers, in coordinates that run from -1 to 1 over it."""
    if shape == "box":
        return (np.abs(s) < 1) & (np.abs(t) < 1)
    reach = s * s + t * t
    if shape == "leaf":
        return reach < 1 + 0.5 * grain
    return (reach < 1) & (reach > 0.4) if shape == "ring" else reach < 1


def _draw_flank(canvas: Canvas, camera: Camera, car: Thing, x: float, z: float) -> None:
    """The side of a car that the camera sees, with windows and wheels."""
    side = x - car.width / 2 if x > camera.x else x + car.width / 2
    plane = _plane(camera, side, z, z + 4.2, car.height)
    if plane is None:
        return
    area, y, along, depth = plane
    t, s = y / car.height, (along - z) / 4.2
    cabin = (t > 0.6) & (t < 1) & (s > 0.05) & (s < 0.75)
    glass = cabin & (t < 0.93) & (s > 0.1) & (s < 0.7)
    wheel = (t < 0.3) & (t > 0) & (np.abs(np.abs(s - 0.5) - 0.31) < 0.09)
    body = (t > 0.12) & (t <= 0.62)
    colours = np.multiply(car.colours[0], 0.85), _GLASS, _BLACK
    colour = _mix(colours, np.where(wheel, 2, glass.astype(np.intp)))
    canvas.paint(area, car.label, colour, depth, cabin | wheel | body)
