"""Dividing images among splits, so that those that belong together stay together.

Images whose names differ only in their last number (frames of a video, slices of a patient) are neighbours, and
neighbours in two splits would leak. Where there are many such groups, a group goes to one split as a whole. Where there
are few, their images are cut into blocks of consecutive ones, and a block is what goes to one split: only its ends have
neighbours elsewhere.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

GROUPS = 12
"""Groups that are enough to be kept whole."""
BLOCKS = 24
"""Blocks that few groups are cut into, about."""
SHARES = {"state": 0.08, "train": 0.32, "reward": 0.16, "eval": 0.24, "holdout": 0.08, "test": 0.12}
MOST = {"state": 20, "reward": 100, "holdout": 100}
"""Images at most, where there are many: these are read in every round, or at the start of every episode."""
OFFICIAL = {"val": ("reward", "holdout"), "test": ("test",)}
"""What the parts of an official split are divided into; all else is of the images for training."""


def divide(names: Mapping[str, Sequence[str]], seed: int) -> dict[str, list[str]]:
    """Divide images among the splits of ``SHARES``.

    Args:
        names: Of the images, by the part they belong to: ``train``, and perhaps ``val`` and ``test``.
        seed: Another seed is another division.

    Returns:
        Names of the images of every split.

    Raises:
        ValueError: If there are too few images.
    """
    taken = {split for part in names for split in OFFICIAL.get(part, ())}
    out: dict[str, list[str]] = {}
    for part, inside in names.items():
        splits = OFFICIAL.get(part, tuple(split for split in SHARES if split not in taken))
        out |= _divide(inside, splits, f"{seed} {part}")
    return {split: out[split] for split in SHARES}


def _divide(names: Sequence[str], splits: Sequence[str], key: str) -> dict[str, list[str]]:
    units = together(names, len(splits))
    if len(units) < len(splits):
        raise ValueError(f"{len(names)} images are too few to be divided into {', '.join(splits)}; add some")
    order = sorted(units, key=lambda unit: hashlib.sha256(f"{key} {unit[0]}".encode()).hexdigest())
    wanted, out = _sizes(len(names), splits), {split: list[str]() for split in splits}
    for place, unit in enumerate(order):
        empty = [split for split in splits if not out[split]]
        open_ = empty if len(order) - place == len(empty) else splits
        out[max(open_, key=lambda split: wanted[split] - len(out[split]))].extend(unit)
    return {split: sorted(chosen) for split, chosen in out.items()}


def _sizes(images: int, splits: Sequence[str]) -> dict[str, float]:
    """Return how many images each split should have; what the smaller ones need not goes to the largest."""
    total = sum(SHARES[split] for split in splits)
    sizes = {split: min(images * SHARES[split] / total, MOST.get(split, math.inf)) for split in splits}
    largest = max(splits, key=lambda split: (split == "eval", SHARES[split]))
    sizes[largest] += images - sum(sizes.values())
    return sizes


def together(names: Sequence[str], least: int) -> list[list[str]]:
    """Return the images that stay together: groups by prefix, or blocks of them.

    Args:
        names: Of all images.
        least: Units that are needed.
    """
    groups = defaultdict(list)
    for name in sorted(names, key=_natural):
        groups[prefix(name)].append(name)
    if len(groups) >= max(GROUPS, least):
        return list(groups.values())
    length = max(1, len(names) // BLOCKS)
    return [group[i : i + length] for group in groups.values() for i in range(0, len(group), length)]


def prefix(name: str) -> str:
    """Return a name without its last number and what follows it."""
    return re.sub(r"[\W_]*\d+\D*$", "", name)


def _natural(name: str) -> list[tuple[int, str]]:
    """Order names by their numbers: frame 2 before frame 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
