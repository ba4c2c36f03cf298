"""Domain adaptation: a labelled source domain in the classes of a target."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from alenv import data as datasets
from alenv.data.dataset import IGNORE, Dataset, SegmentationData
from alenv.errors import shown

SYNONYMS = {
    "sidewalk": "pavement",
    "vegetation": "tree",
    "traffic sign": "sign",
    "signsymbol": "sign",
    "sign symbol": "sign",
    "person": "pedestrian",
    "rider": "bicyclist",
}
"""One name for what street scenes call differently."""


def parse_source(initial: str) -> tuple[str, str | None]:
    """Return the dataset and the split that ``initial="source:<dataset>[:<split>]"`` names.

    Args:
        initial: Its dataset is one of ours, or ``package.module:name`` of the user's.

    Raises:
        ValueError: If there is more after the split.
    """
    _, name, *rest = initial.split(":")
    if name not in datasets.DATASETS and rest:
        name, rest = f"{name}:{rest[0]}", rest[1:]
    if len(rest) > 1:
        raise ValueError(f"initial={shown(initial)}: write 'source:<dataset>' or 'source:<dataset>:<split>'")
    return name, rest[0] if rest else None


def open_source(name: str, split: str | None, target: Dataset) -> SegmentationData:
    """Return a source domain whose masks are in the classes of the target; ignored where it has no such class.

    Args:
        name: Of a dataset, which has a split ``train``; see ``data.open_dataset``.
        split: Name of its split table; its first for None.
        target: The dataset that is labelled.

    Raises:
        ValueError: If a name is unknown, or no class is common.
        FileNotFoundError: If the data are missing.
    """
    opened = datasets.open_dataset(name)
    table = class_map(name, opened.classes, target.classes)
    data = datasets.read(name, opened, split)
    if "train" not in data.splits:
        raise ValueError(f"source {name!r} has no split 'train', but {', '.join(data.splits)}; use another")
    same = opened.classes == target.classes
    masks = data.masks if same else table[data.masks]
    return replace(data, masks=masks, classes=target.classes, colours=target.colours)


def class_map(name: str, source: tuple[str, ...], target: tuple[str, ...]) -> NDArray[np.uint8]:
    """Return the target's class for each value of the source's masks, uint8 (256,), by name and ``SYNONYMS``.

    Raises:
        ValueError: If no class is common.
    """
    known = {_common(label): index for index, label in enumerate(target)}
    table = np.full(256, IGNORE, np.uint8)
    for index, label in enumerate(source):
        table[index] = known.get(_common(label), IGNORE)
    if (table == IGNORE).all():
        raise ValueError(f"source {name!r} has none of the classes {', '.join(target)}; use another")
    return table


def _common(name: str) -> str:
    name = name.lower().replace("_", " ")
    return SYNONYMS.get(name, name)
