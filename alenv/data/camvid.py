"""CamVid in the SegNet layout: 701 frames of 480x360, 11 classes, three split tables.

Folders ``train``, ``val``, ``test`` hold the images and ``trainannot``, ``valannot``, ``testannot`` masks of the
same names; frames may be JPEG. Split tables: ``blocked`` (temporal blocks of all drives; ``holdout`` = same
drives, ``test`` = official test), ``interleaved`` (Casanova et al., 2020) and ``disjoint`` (every subset from a drive
of its own).
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alenv.data import IGNORE, Dataset, SegmentationData, find_root, from_store
from alenv.data.files import FORBIDDEN
from alenv.data.pairs import find_pairs, open_pairs
from alenv.data.store import key

CLASSES = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign symbol", "fence", "car", "pedestrian", "bicyclist",
)  # fmt: skip
COLOURS = np.array(
    [
        (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0),
        (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
    ],
    dtype=np.uint8,
)  # fmt: skip


class CamVid(Dataset):
    """The frames: a folder that holds ``train``, ``trainannot`` and so on."""

    classes, colours = CLASSES, COLOURS
    region, cell = (90, 80), 10
    split_tables = ("blocked", "interleaved", "disjoint")

    def __init__(self, root: Path | None) -> None:
        self._root = root

    def load(self, split: str) -> SegmentationData:
        """Load the frames with the splits of one table.

        Args:
            split: One of ``split_tables``.

        Raises:
            FileNotFoundError: If a folder, a mask or a frame of the split is missing.
            ValueError: If a file cannot be read or holds a label other than 0..11 and 255.
        """
        root = find_root("camvid", self._root)
        pairs = find_pairs({root / part: root / f"{part}annot" for part in ("train", "val", "test")})
        splits = _splits(split, [pair.name for pair in pairs], root)
        store = open_pairs(f"camvid-{key(root.resolve())}", pairs, _labels())
        return from_store("camvid", store, CLASSES, COLOURS, splits)


def _labels() -> NDArray[np.uint8]:
    labels = np.full(256, FORBIDDEN, np.uint8)
    labels[: len(CLASSES)] = np.arange(len(CLASSES))
    labels[[len(CLASSES), IGNORE]] = IGNORE  # label 11 is "unlabelled" in this layout, and 255 in many copies of it
    return labels


def _splits(table: str, names: list[str], root: Path) -> dict[str, NDArray[np.int64]]:
    text = (resources.files("alenv.data") / "splits" / f"camvid_{table}.json").read_text()
    index = {name: i for i, name in enumerate(names)}
    lists = {k: v for k, v in json.loads(text).items() if k not in ("source", "unused")}
    missing = [name for part in lists.values() for name in part if name not in index]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} frames of the split {table!r} are not in {root} (first: {missing[0]}); "
            "the SegNet layout has 367 train, 101 val and 233 test frames: copy the missing ones there"
        )
    return {k: np.array([index[name] for name in part], np.int64) for k, part in lists.items()}
