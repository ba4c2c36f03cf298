"""Surfaces along the street: facades, fences, and the flanks of cars."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alenv.data.town.canvas import COLS, EYE, FOCAL, NEAR, ROWS, WIDTH, Camera, Canvas, mix, planes, span
from alenv.data.town.noise import NOISE, noise
from alenv.data.town.world import BLACK, BUILDING, GLASS, WARM, Light, Thing, Wall


def draw_wall(canvas: Canvas, camera: Camera, wall: Wall, light: Light) -> None:
    """Draw a facade with windows, or a fence with pickets, in perspective."""
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
    lit = window & (noise(y / 3.0, z / wall.pitch, 1, wall.offset) > 0.1) & (light.lamps > 0)
    colour = mix((wall.colour, wall.trim, GLASS, WARM), np.where(window, 2 + lit, y < 0.9))
    return colour * (1 + 0.25 * noise(y, z, 3, wall.offset)), lit * np.float32(light.lamps)


def _draw_pickets(wall: Wall, y: NDArray, z: NDArray, light: Light) -> tuple[NDArray, NDArray]:
    """Colour and glow of a fence: pickets with dark gaps, and a rail."""
    gap = (z % wall.pitch > 0.6 * wall.pitch) & (np.abs(y - 0.75 * wall.height) > 0.1)
    colour = mix((wall.colour, wall.trim), gap.astype(np.intp))
    return colour * (1 + 0.2 * noise(y, z, 5, wall.offset)), np.zeros_like(y)


def _draw_gable(canvas: Canvas, camera: Camera, wall: Wall) -> None:
    """The end of a building that faces the camera, seen where its neighbour is lower or missing."""
    left, right = (wall.x, wall.x + 12) if wall.x > 0 else (wall.x - 12, wall.x)
    area = camera.rows(0, wall.height, wall.z), camera.columns(left, right, wall.z)
    h, w = canvas.label[area].shape
    grain = np.float32(0.85) + np.float32(0.2) * NOISE[:h, :w]
    canvas.paint(area, wall.label, planes(wall.colour) * grain, wall.z - camera.z)


def draw_flank(canvas: Canvas, camera: Camera, car: Thing) -> None:
    """Draw the side of a car that the camera sees, with windows and wheels."""
    side = car.x - car.width / 2 if car.x > camera.x else car.x + car.width / 2
    plane = _plane(camera, side, car.z, car.z + 4.2, car.height)
    if plane is None:
        return
    area, y, along, depth = plane
    t, s = y / car.height, (along - car.z) / 4.2
    cabin = (t > 0.6) & (t < 1) & (s > 0.05) & (s < 0.75)
    glass = cabin & (t < 0.93) & (s > 0.1) & (s < 0.7)
    wheel = (t < 0.3) & (t > 0) & (np.abs(np.abs(s - 0.5) - 0.31) < 0.09)
    body = (t > 0.12) & (t <= 0.62)
    colours = np.multiply(car.colours[0], 0.85), GLASS, BLACK
    colour = mix(colours, np.where(wheel, 2, glass.astype(np.intp)))
    canvas.paint(area, car.label, colour, depth, cabin | wheel | body)


def _plane(camera: Camera, x: float, start: float, stop: float, height: float) -> tuple | None:
    """The plane at x between two z: area, y per pixel, z and depth per column; None if unseen."""
    near, far = max(start - camera.z, 0.6 * NEAR), stop - camera.z
    if far <= near:
        return None
    ends = sorted(FOCAL * (x - camera.x) / depth + WIDTH / 2 for depth in (near, far))
    rows, cols = camera.rows(0, height, near + camera.z), span(ends[0], ends[1], WIDTH)
    depth = FOCAL * (x - camera.x) / (COLS[cols] - WIDTH / 2)
    y = EYE - (ROWS[rows, None] - camera.horizon) * depth / FOCAL
    return ((rows, cols), y, depth + camera.z, depth) if y.size else None
