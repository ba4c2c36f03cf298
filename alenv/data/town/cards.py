"""Things that face the camera: trees, poles, signs, people, and the fronts of cars."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alenv.data.town.canvas import COLS, EYE, FAR, FOCAL, NEAR, ROWS, WIDTH, Camera, Canvas, mix
from alenv.data.town.noise import NOISE
from alenv.data.town.world import BLACK, GLASS, TREE, WARM, Light, Thing

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
        ("box", -1.0, -0.55, 0.94, 0.97, WARM, 1),
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
        ("box", -0.22, 0.22, 0.0, 0.36, BLACK, 0),
        ("box", -0.60, 0.60, 0.26, 0.52, 1, 0),
        ("box", -1.0, 1.0, 0.48, 0.86, 0, 0),
        ("disc", -0.55, 0.55, 0.83, 1.0, 2, 0),
        ("box", -0.15, 0.15, 0.30, 0.38, _RED, 1),
    ),
    "crossing bicyclist": (
        ("ring", -1.0, -0.1, 0.0, 0.42, BLACK, 0),
        ("ring", 0.1, 1.0, 0.0, 0.42, BLACK, 0),
        ("box", -0.45, 0.5, 0.30, 0.42, 1, 0),
        ("box", -0.35, 0.25, 0.42, 0.85, 0, 0),
        ("disc", -0.1, 0.3, 0.83, 1.0, 2, 0),
    ),
    "car": (
        ("box", -0.95, -0.6, 0.0, 0.25, BLACK, 0),
        ("box", 0.6, 0.95, 0.0, 0.25, BLACK, 0),
        ("box", -1.0, 1.0, 0.12, 0.64, 0, 0),
        ("box", -0.82, 0.82, 0.60, 1.0, 0, 0),
        ("box", -0.70, 0.70, 0.64, 0.93, GLASS, 0),
        ("box", -0.97, -0.68, 0.42, 0.56, 1, 1),
        ("box", 0.68, 0.97, 0.42, 0.56, 1, 1),
        ("box", -0.25, 0.25, 0.30, 0.40, _PLATE, 0),
    ),
}


def draw_card(canvas: Canvas, camera: Camera, thing: Thing, light: Light) -> None:
    """Draw a thing, or the front of a car."""
    depth, half = thing.z - camera.z, thing.width / 2
    if not NEAR < depth < FAR:
        return
    rows = camera.rows(thing.base, thing.base + thing.height, thing.z)
    cols = camera.columns(thing.x - abs(half), thing.x + abs(half), thing.z)
    if not (canvas.depth[rows, cols] > depth).any():  # hidden, or smaller than a pixel
        return
    s = (COLS[cols] - WIDTH / 2) * (depth / FOCAL) + (camera.x - thing.x)
    t = (camera.horizon - ROWS[rows, None]) * (depth / FOCAL) + (EYE - thing.base)
    colour, covered, glow = _card(thing, s / half, t / thing.height)
    canvas.paint((rows, cols), thing.label, colour, depth, covered, glow * np.float32(light.lamps))


def _card(thing: Thing, s: NDArray, t: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Colour, coverage and glow of a card at s (columns, -1..1) and t (rows, 0..1)."""
    parts = _PARTS[thing.kind]
    on_top = np.zeros((t.shape[0], s.shape[0]), np.intp)
    grain = NOISE[: t.shape[0], : s.shape[0]]
    for number, (shape, left, right, bottom, top, *_) in enumerate(parts, 1):
        across = (2 * s - left - right) / (right - left)
        up = (2 * t - bottom - top) / (top - bottom)
        np.copyto(on_top, number, where=_inside(shape, across, up, grain))
    colours = [thing.colours[paint] if isinstance(paint, int) else paint for *_, paint, _ in parts]
    glow = np.array([0, *(part[-1] for part in parts)], np.float32)
    texture = 1 + np.float32(1.1 if thing.label == TREE else 0.15) * grain
    return mix([BLACK, *colours], on_top) * texture, on_top > 0, glow.take(on_top)


def _inside(shape: str, s: NDArray, t: NDArray, grain: NDArray) -> NDArray:
    """Which pixels a part covers, in coordinates that run from -1 to 1 over it."""
    if shape == "box":
        return (np.abs(s) < 1) & (np.abs(t) < 1)
    reach = s * s + t * t
    if shape == "leaf":
        return reach < 1 + 0.5 * grain
    return (reach < 1) & (reach > 0.4) if shape == "ring" else reach < 1
