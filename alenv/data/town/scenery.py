"""How a street is drawn: sky and ground here, then its walls, then the things in it.

Only elementwise arithmetic without transcendental functions is used, so that the pixels are the
same on every machine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alenv.data.town.canvas import COLS, EYE, FAR, FOCAL, ROWS, WIDTH, Camera, Canvas, mix, planes
from alenv.data.town.cards import draw_card
from alenv.data.town.noise import noise, smooth_noise
from alenv.data.town.walls import draw_flank, draw_wall
from alenv.data.town.world import LANE, PAVEMENT, ROAD, Light, Street

_CLOUDS = np.maximum(smooth_noise(16) + smooth_noise(8) / 2, 0)


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
        draw_wall(canvas, camera, wall, light)
    for thing in street.things:
        thing = thing.at(frame)
        if thing.kind == "car":
            draw_flank(canvas, camera, thing)
        draw_card(canvas, camera, thing, light)
    return canvas


def _draw_sky(canvas: Canvas, camera: Camera, street: Street, light: Light) -> None:
    """Sky with clouds, and far away the skyline that closes the street."""
    rows, cols = ROWS[:, None], COLS[None, :]
    height = np.clip(rows / np.float32(camera.horizon), 0, 1)
    clouds = np.float32(light.clouds) * np.roll(_CLOUDS, street.offset, 1)
    canvas.albedo[:] = planes(light.sky) * (1 - height) + planes(light.horizon) * height + clouds
    canvas.glow[:] = 1
    label, tall, colour = street.skyline
    top = camera.horizon - tall * (1 + noise(cols, 0 * cols, 1 / 6, street.offset))
    grain = 1 + 0.5 * noise(rows, cols, 0.5, street.offset)
    canvas.paint(np.s_[:, :], label, planes(colour) * grain, FAR - 1, rows > top)


def _draw_ground(canvas: Canvas, camera: Camera, street: Street, light: Light) -> None:
    """Road and its paint between two pavements. z is a column: a row of pixels has one depth."""
    first = int(np.ceil(camera.horizon + 0.5))
    depth = FOCAL * EYE / (ROWS[first:, None] - camera.horizon)
    x, z = (COLS - WIDTH / 2) * depth / FOCAL + camera.x, depth + camera.z
    beside = np.abs(x)
    paved, joint = beside > street.half, (z % 1.2 < 0.12) | (beside < street.half + 0.2)
    painted = _painted(street, x, z)
    colours = street.road, street.pavement, 0.8 * street.pavement, 3 * [street.paint]
    colour = mix(colours, np.where(painted, 3, np.where(paved, 1 + joint, 0)))
    grain = 1 + 0.18 * noise(z, x, 7, street.offset)
    grain += street.patches * noise(z, x, 0.45, street.offset)
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
