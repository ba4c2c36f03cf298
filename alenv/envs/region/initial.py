"""What is labelled before the first pick."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alenv.data import SegmentationData
from alenv.envs.region.arguments import parse_initial
from alenv.errors import shown, unknown
from alenv.pool import UnlabelledPool
from alenv.regions import Ids, RegionGrid
from alenv.rng import Stream, keyed_rng

SCORED = ("reward", "holdout", "test")
"""Splits whose images may not be labelled: they are what policies are scored on."""


def initial_regions(
    initial: str, name: str, data: SegmentationData, grid: RegionGrid, pool: UnlabelledPool, episode: int
) -> Ids:
    """Return the ids of the regions that are labelled at the start.

    Args:
        initial: The environment's argument.
        name: Name of the pool split.
        data: The dataset.
        grid: Its regions.
        pool: The regions of the pool split.
        episode: Key of the episode's random draws.

    There must be as many images or regions as are asked for, see ``check_initial``.
    """
    kind, number = parse_initial(initial, name)
    if kind in ("none", "source"):
        return np.empty(0, np.int64)
    if kind == "train":
        return grid.of_images(data.splits["train"])
    rng, states = keyed_rng(episode, Stream.INITIAL), data.splits["state"]
    if kind == "random":
        return pool.sample(rng, number)
    return grid.of_images(states[np.argsort(rng.random(len(states)), kind="stable")[:number]])


def check_initial(initial: str, name: str, data: SegmentationData, grid: RegionGrid) -> None:
    """Check that there are as many images or regions as are to be labelled at the start.

    Raises:
        ValueError: If there are fewer.
    """
    kind, number = parse_initial(initial, name)
    there = len(data.splits["state"]) if kind == "state" else len(data.splits[name]) * grid.per_image
    if number > there:
        raise ValueError(f"initial={initial!r} asks for {number}, but there are {there}")


def named_regions(images: Sequence[str | int], data: SegmentationData, grid: RegionGrid) -> Ids:
    """Return the regions of images that are given by name or index.

    Raises:
        ValueError: If an image is unknown, is named twice, or belongs to a split that policies are scored on.
    """
    indices = np.array([_find(image, data) for image in images], np.int64)
    for image, count in zip(*np.unique(indices, return_counts=True), strict=True):
        if count > 1:
            raise ValueError(f"initial image {data.names[image]!r} is named twice; name it once")
    check_unscored(indices, data)
    return grid.of_images(np.unique(indices))


def check_unscored(images: Ids, data: SegmentationData) -> None:
    """Refuse to label images that policies are scored on.

    Raises:
        ValueError: If there is one of them.
    """
    for split in SCORED:
        inside = np.intersect1d(images, data.splits.get(split, []))
        if len(inside):
            name = data.names[int(inside[0])]
            raise ValueError(f"initial image {name!r} belongs to the split {split!r}, which is only for scoring")


def _find(image: str | int, data: SegmentationData) -> int:
    if isinstance(image, str):
        if image not in data.names:
            raise unknown("initial image", image, data.names)
        return data.names.index(image)
    if not 0 <= image < len(data.images):
        raise ValueError(f"initial image {shown(image)}: the dataset has images 0..{len(data.images) - 1}")
    return image
