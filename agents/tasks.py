"""Training tasks without end: any dataset, varied at random, as a dataset by import path.

``agents.tasks:scenes_17`` is variant 17 of the scenes, ``agents.tasks:ccp_3`` variant 3 of Clothing Co-Parsing, and so
on for every name of ``alenv.data.DATASETS`` and every number. A variant has other images in its pool, its reward split
and its first labels, other classes, and another camera; only labels that agents may learn from are in it. Datasets that
can be generated show newly made images, others the ones there are, seen through EfficientNet-Lite0.

    gym.make("RegionSelect-v0", **task("ccp", 3, budget=240))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from alenv import data as datasets
from alenv.data import IGNORE, Dataset, GeneratedDataset, SegmentationData, from_arrays
from alenv.regions import Ids

BLOCK = 5
"""Neighbouring images that stay together: frames of a drive that repeat each other must not be on both sides."""
STATES, LARGEST_POOL, LARGEST_REWARD = 10, 80, 40
"""Images with first labels, and at most in the pool and in the reward split."""
CLASSES = (4, 12)
"""Of a variant, where the dataset has as many."""
DROPPED = 0.1
"""Chance of a class to be left without labels."""
LIGHT = 0.2
"""Largest relative change of a colour."""
DIMENSIONS, CANDIDATES, SPENT = (24, 32, 48, 64), (10, 20, 30), (0.5, 1.0)
"""Of features, how many are shown for a pick, and which share of the budget is spent."""


@dataclass(frozen=True)
class Variant:
    """What is drawn for a variant.

    Attributes:
        splits: Images of the dataset, by split.
        groups: uint8 (256,), the class of every value of a mask.
        classes: Their names.
        flipped: Whether left is right.
        light: (3,), factors of red, green and blue.
    """

    splits: dict[str, Ids]
    groups: NDArray[np.uint8]
    classes: tuple[str, ...]
    flipped: bool
    light: NDArray[np.float64]


def draw(data: SegmentationData, number: int) -> Variant:
    """Draw a variant: the same number is the same variant.

    Args:
        data: Of which the splits ``state``, ``train`` and ``reward`` are divided anew.
        number: Non-negative.
    """
    rng = np.random.default_rng([number, 0, *data.name.encode()])
    groups, classes = _draw_classes(data.classes, rng)
    splits = _draw_splits(data, rng)
    return Variant(splits, groups, classes, bool(rng.random() < 0.5), rng.uniform(1 - LIGHT, 1 + LIGHT, 3))


def _draw_splits(data: SegmentationData, rng: np.random.Generator) -> dict[str, Ids]:
    known = _known(data)
    blocks = np.array_split(known, max(len(known) // BLOCK, 4))
    shuffled = [blocks[i] for i in rng.permutation(len(blocks))]
    first = min(STATES // BLOCK + 1, len(blocks) // 4)
    cut = first + (len(blocks) - first) * 2 // 3
    held, pool, reward = (np.concatenate(part) for part in (shuffled[:first], shuffled[first:cut], shuffled[cut:]))
    sizes = [int(rng.integers(largest // 2, largest + 1)) for largest in (LARGEST_POOL, LARGEST_REWARD)]
    pool = pool[: sizes[0]]
    return {"state": held[:-1][:STATES], "train": pool, "eval": pool, "reward": reward[: sizes[1]], "test": held[-1:]}


def _known(data: SegmentationData) -> Ids:
    """Return the images of which agents may see all labels."""
    return np.unique(np.concatenate([data.splits[name] for name in ("state", "train", "reward")]))


def _draw_classes(names: tuple[str, ...], rng: np.random.Generator) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Merge classes to random groups, and leave some without labels; at least two keep theirs."""
    low, high = (min(bound, len(names)) for bound in CLASSES)
    count = int(rng.integers(low, high + 1))
    group = rng.permutation(np.concatenate([np.arange(count), rng.integers(count, size=len(names) - count)]))
    dropped = (rng.random(count) < DROPPED) & (rng.permutation(count) >= 2)
    groups = np.full(256, IGNORE, np.uint8)
    groups[: len(names)] = np.where(dropped[group], IGNORE, group)
    members = [[name for name, own in zip(names, group, strict=True) if own == i] for i in range(count)]
    return groups, tuple("+".join(own) for own in members)


@cache
def make(name: str, number: int) -> Dataset:
    """Make a variant of a dataset.

    Raises:
        ValueError: If there is no such dataset.
        FileNotFoundError: If its files are missing.
    """
    base = datasets.open_dataset(name)
    data = datasets.read(name, base, None)
    variant = draw(data, number)
    if base.generated:
        fresh = int(np.random.default_rng([number, 2, *name.encode()]).integers(2**31))
        data = cast(GeneratedDataset, base).fresh_pool(data, _known(data), fresh, base.split_tables[0])
    made = vary(data, variant)
    made.region, made.cell = base.region, base.cell
    return made


def vary(data: SegmentationData, variant: Variant) -> Dataset:
    """Return the images of a variant, as it shows them."""
    images = np.unique(np.concatenate(list(variant.splits.values())))
    side = slice(None, None, -1 if variant.flipped else 1)
    lit = np.clip(data.images[images][:, :, side] * variant.light, 0, 255).astype(np.uint8)
    masks = variant.groups[data.masks[images][:, :, side]]
    splits = {part: np.searchsorted(images, ids) for part, ids in variant.splits.items()}
    return from_arrays(lit, masks, variant.classes, splits)


def task(name: str, number: int, budget: int, heads: Sequence[str] = ("linear",)) -> dict[str, Any]:
    """Return arguments of an environment in which a variant is played: what else is drawn for it.

    Args:
        name: Of the dataset.
        number: Of the variant.
        budget: The largest.
        heads: Segmenters, which take turns.
    """
    rng, base = np.random.default_rng([number, 1, *name.encode()]), datasets.open_dataset(name)
    halves = [side // 2 for side in base.region]
    regions = [list(base.region)] + [halves] * all(side % base.cell == 0 for side in halves)
    return {
        "dataset": f"agents.tasks:{name}_{number}",
        "features": "filterbank" if base.generated else "tf_efficientnet_lite0",
        "segmenter": heads[number % len(heads)],
        "dimensions": int(rng.choice(DIMENSIONS)),
        "candidates": int(rng.choice(CANDIDATES)),
        "budget": max(1, int(budget * rng.choice(SPENT))),
        "region": regions[int(rng.integers(len(regions)))],
    }


def __getattr__(name: str) -> Dataset:
    """Make the variant that an import path names."""
    base, _, number = name.rpartition("_")
    if base not in datasets.DATASETS or not number.isdecimal():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return make(base, int(number))
