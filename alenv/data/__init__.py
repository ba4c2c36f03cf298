"""Datasets: images, masks and named splits, decoded once and memory-mapped.

A dataset is a class like the Protocol ``Dataset`` (or ``GeneratedDataset``), and one line in ``DATASETS``; or it is
yours, and named by its import path, see ``open_dataset``.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alenv.data.dataset import IGNORE, Dataset, GeneratedDataset, SegmentationData
from alenv.data.in_memory import from_arrays
from alenv.data.outside import load_outside, open_outside
from alenv.data.store import Store, cache_folder, key
from alenv.errors import unknown
from alenv.imports import is_path

__all__ = [
    "DATASETS",
    "IGNORE",
    "Dataset",
    "GeneratedDataset",
    "SegmentationData",
    "check_split",
    "find_root",
    "from_arrays",
    "from_store",
    "load",
    "open_dataset",
    "read",
]

DATASETS = {
    "scenes": "alenv.data.scenes:Scenes",
    "camvid": "alenv.data.camvid:CamVid",
    "ccp": "alenv.data.ccp:ClothingCoParsing",
    "coco": "alenv.data.coco:Coco",
    "coco_panoptic": "alenv.data.coco_panoptic:CocoPanoptic",
    "folder": "alenv.data.folder:Folder",
    "coco_json": "alenv.data.coco_json:CocoJson",
    "coco_stuff10k": "alenv.data.coco_stuff10k:CocoStuff10k",
    "coco_stuff164k": "alenv.data.coco_stuff164k:CocoStuff164k",
    "camvid32": "alenv.data.camvid32:CamVid32",
    "cityscapes": "alenv.data.cityscapes:Cityscapes",
    "cityscapes_full": "alenv.data.cityscapes:CityscapesFull",
    "cityscapes_quarter": "alenv.data.cityscapes:CityscapesQuarter",
    "gtav": "alenv.data.gtav:Gtav",
    "synthia": "alenv.data.synthia:Synthia",
    "voc": "alenv.data.voc:Voc",
    "voc_sbd": "alenv.data.voc:VocSbd",
    "ade20k": "alenv.data.ade20k:Ade20k",
}
"""Name: module and class. They are imported when they are asked for."""


def open_dataset(name: str, root: str | Path | None = None) -> Dataset:
    """Return a dataset of which no image has been read yet.

    Args:
        name: A name in ``DATASETS``, or ``package.module:name`` of a class that is made with the root, or of an object
            such as ``from_arrays`` returns; both have what the Protocol ``Dataset`` says.
        root: Where it lies; else ``$ALENV_DATA/<name>``, else ``<cache>/data/<name>``. Generated data need none.

    Raises:
        ValueError: If the name is unknown, leads to no dataset, or generated data are given a root.
    """
    if is_path(name):
        return open_outside(name, Path(root).expanduser() if root else None)
    if name not in DATASETS:
        raise unknown("dataset", name, DATASETS)
    module, _, kind = DATASETS[name].partition(":")
    opened: Dataset = getattr(importlib.import_module(module), kind)(Path(root).expanduser() if root else None)
    return opened


def check_split(name: str, dataset: Dataset, split: str | None) -> str:
    """Return the name of a split table; that of the dataset's first for None.

    Raises:
        ValueError: If there is no such table.
    """
    if split is not None and split not in dataset.split_tables:
        raise unknown(f"split of {name}", split, dataset.split_tables)
    return split or dataset.split_tables[0]


def load(name: str, root: str | Path | None = None, split: str | None = None) -> SegmentationData:
    """Load a dataset, decoding it into the cache on the first call.

    Args:
        name: See ``open_dataset``.
        root: See ``open_dataset``.
        split: Name of the split table; the dataset's first by default.

    Raises:
        ValueError: If a name is unknown, or a file holds what it must not.
        FileNotFoundError: If the dataset or one of its files is missing.
    """
    return read(name, open_dataset(name, root), split)


def read(name: str, dataset: Dataset, split: str | None = None) -> SegmentationData:
    """Load an open dataset, see ``load``.

    Raises:
        ValueError: Also if data of users are not what they should be.
    """
    table = check_split(name, dataset, split)
    return load_outside(name, dataset, table) if is_path(name) else dataset.load(table)


def from_store(
    name: str,
    store: Store,
    classes: tuple[str, ...],
    colours: NDArray[np.uint8],
    splits: Mapping[str, NDArray[np.int64]],
) -> SegmentationData:
    """Return the dataset whose ``images``, ``masks`` and ``names`` are in a store."""
    return SegmentationData(
        name=name,
        images=store.arrays["images"],
        masks=store.arrays["masks"],
        classes=classes,
        colours=colours,
        names=tuple(store.meta["names"]),
        splits=splits,
        manifest=key(store.digest, {part: images.tolist() for part, images in splits.items()}),
    )


def find_root(name: str, root: Path | None) -> Path:
    """Return the folder of a dataset on disk.

    Raises:
        FileNotFoundError: If none of the places has it; names all of them.
    """
    places = [root] if root else [cache_folder() / "data" / name]
    if not root and (data := os.environ.get("ALENV_DATA")):
        places.insert(0, Path(data).expanduser() / name)
    for place in places:
        if place.is_dir():
            return place
    looked = " or ".join(str(place) for place in places)
    raise FileNotFoundError(
        f"dataset {name!r}: there is no folder {looked}; pass root='...', "
        f"or set ALENV_DATA to the folder that contains {name!r}"
    )
