"""Procedural street scenes: the embedded dataset, made on the spot from a seed with NumPy alone.

Images come in *drives*: the camera rolls through one street, so neighbouring frames nearly repeat each other. Every
drive has a theme (market, park, arterial, ...), and themes come from a shuffled deck: rare classes are concentrated in
few drives, yet every split gets its share of them. The split tables ``day`` and ``dusk`` show the same streets in two
lights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alenv.data import GeneratedDataset, SegmentationData, from_store
from alenv.data.store import open_store
from alenv.data.town import world
from alenv.data.town.canvas import Camera, develop
from alenv.data.town.scenery import draw
from alenv.data.town.streets import FRAME, FRAMES, Drive, lay_out, weather
from alenv.errors import unknown
from alenv.regions import Ids

CLASSES, SIZE = world.CLASSES, world.SIZE
COLOURS = np.array(
    [
        (70, 130, 180), (70, 70, 70), (128, 64, 128), (244, 35, 232), (107, 142, 35), (0, 0, 142),
        (153, 153, 153), (220, 220, 0), (190, 153, 153), (220, 20, 60), (119, 11, 32), (255, 255, 255),
    ],
    dtype=np.uint8,
)  # fmt: skip
REGION = (24, 32)
CELL = 4
DOMAINS = ("day", "dusk")
SPLITS = {"state": 10, "train": 120, "reward": 100, "eval": 240, "holdout": 100, "test": 120}
SEED = 0
"""The town of the named splits."""

Rendered = tuple[NDArray[np.uint8], NDArray[np.uint8]]
Pool = tuple[NDArray[np.uint8], NDArray[np.uint8], list[str]]

# Frames taken of each drive, and their distance: pools repeat themselves, the sets that score vary.
_TAKEN = {"state": (1, 1), "train": (15, 1), "reward": (2, 10), "eval": (15, 1), "holdout": (2, 10), "test": (3, 8)}
_FIRST_DRIVE = {split: 1000 * position for position, split in enumerate(SPLITS)}
_NAMED, _FRESH = 0, 1  # streams of drives


class Scenes(GeneratedDataset):
    """The named splits of one town, and as many streets more as are asked for.

    Raises:
        ValueError: If a root is given: there is nothing to find.
    """

    classes, colours = CLASSES, COLOURS
    region, cell = REGION, CELL
    split_tables = DOMAINS
    generated = True

    def __init__(self, root: Path | None) -> None:
        if root is not None:
            raise ValueError(f"root={str(root)!r} has no effect on dataset='scenes', which is generated; drop it")

    def load(self, split: str) -> SegmentationData:
        """Load the splits in one light, of ``split_tables``."""

        def build(folder: Path) -> dict[str, Any]:
            images, masks, names = zip(*(render_split(SEED, part, split) for part in SPLITS), strict=True)
            np.save(folder / "images.npy", np.concatenate(images))
            np.save(folder / "masks.npy", np.concatenate(masks))
            return {"names": list(chain(*names))}

        store = open_store(f"scenes-{split}", _code(), build)
        ends = np.cumsum(list(SPLITS.values()))
        splits = {part: np.arange(end - SPLITS[part], end) for part, end in zip(SPLITS, ends, strict=True)}
        return from_store("scenes", store, CLASSES, COLOURS, splits)

    def fresh_pool(self, data: SegmentationData, images: Ids, episode: int, split: str) -> SegmentationData:
        """Return the data with images of newly generated drives in the place of some.

        Args:
            data: From ``load``.
            images: Which to replace; the new ones keep their names.
            episode: Key: every episode has drives of its own.
            split: Their light, one of ``split_tables``.
        """
        all_images, all_masks = np.array(data.images), np.array(data.masks)
        all_images[images], all_masks[images], _ = render_pool(episode, len(images), split)
        return replace(data, images=all_images, masks=all_masks)


def render_pool(seed: int, images: int = 120, domain: str = "day") -> Pool:
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
    return _render_drives(Drive(seed, _FRESH, _FIRST_DRIVE["train"]), "train", "fresh", images, domain)


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
    return _render_drives(Drive(seed, _NAMED, _FIRST_DRIVE[split]), split, split, SPLITS[split], domain)


def render_drive(seed: int, drive: int, frames: Sequence[int], domain: str = "day") -> Rendered:
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
    return _render(Drive(seed, _NAMED, drive), frames, domain)


def _render_drives(first: Drive, like: str, name: str, images: int, domain: str) -> Pool:
    """Drives one after another, taken as those of a split are, until there are enough images."""
    taken, apart = _TAKEN[like]
    rendered, names = [], []
    for i, start in enumerate(range(0, images, taken)):
        frames = [apart * j for j in range(min(taken, images - start))]
        rendered.append(_render(first._replace(number=first.number + i), frames, domain))
        names += [f"{name}-d{i:02d}-f{frame:02d}" for frame in frames]
    pictures, masks = zip(*rendered, strict=True)
    return np.concatenate(pictures), np.concatenate(masks), names


def _render(drive: Drive, frames: Sequence[int], domain: str) -> Rendered:
    """Draw frames of a drive of either stream."""
    if domain not in DOMAINS:
        raise unknown("domain", domain, DOMAINS)
    if outside := [frame for frame in frames if not 0 <= frame < FRAMES]:
        raise ValueError(f"frame {outside[0]} is outside the drive; take frames of 0..{FRAMES - 1}")
    (street, course), light = lay_out(drive), weather(drive, domain)
    images = np.empty((len(frames), *SIZE, 3), np.uint8)
    masks = np.empty((len(frames), *SIZE), np.uint8)
    for i, frame in enumerate(frames):
        rng = drive.rng(FRAME + frame)
        sway, pitch, gain = rng.uniform(-1, 1, 3).tolist()
        camera = Camera(course.x + 0.08 * sway, course.z * frame, course.horizon + 0.5 * pitch)
        canvas = draw(street, camera, frame, light)
        images[i], masks[i] = develop(canvas, light, 1 + 0.06 * gain, rng), canvas.label
    return images, masks


def _code() -> str:
    """Hash of the code that draws: other code, other pictures."""
    here = Path(__file__)
    files = [here, *sorted(here.with_name("town").glob("*.py"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
