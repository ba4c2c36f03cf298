"""Datasets: images, masks and named splits, decoded once and memory-mapped.

A dataset is a class like the Protocol ``Dataset`` (or ``GeneratedDataset``), and one line in ``DATASETS``.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from alenv.data.store import Store, cache_folder, key
from alenv.errors import unknown
from alenv.regions import Ids

IGNORE = 255
"""The mask value of pixels without a label: they are neither learned nor scored."""

DATASETS = {
    "scenes": "alenv.data.scenes:Scenes",
    "camvid": "alenv.data.camvid:CamVid",
    "ccp": "alenv.data.ccp:ClothingCoParsing",
    "coco": "alenv.data.coco:Coco",
    "coco_panoptic": "alenv.data.coco_panoptic:CocoPanoptic",
    "coco_stuff10k": "alenv.data.coco_stuff10k:CocoStuff10k",
}
"""Name: module and class. They are imported when they are asked for."""


@dataclass(frozen=True)
class SegmentationData:
    """A segmentation dataset in memory-mapped arrays.

    Attributes:
        name: Name in ``DATASETS``.
        images: uint8 (n, h, w, 3), RGB.
        masks: uint8 (n, h, w), class indices; 255 = ignore.
        classes: Names of the C classes, in index order.
        colours: uint8 (C, 3), RGB, for display.
        names: Names of the n images.
        splits: int64 image indices by split name (``state``, ``train``, ``reward``, ``eval``, ``test``, ...).
        manifest: Hash of all pixels, labels and splits as loaded.
    """

    name: str
    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    classes: tuple[str, ...]
    colours: NDArray[np.uint8]
    names: tuple[str, ...]
    splits: Mapping[str, NDArray[np.int64]]
    manifest: str


class Dataset(Protocol):
    """A dataset somewhere on disk, before its images are read. Subclasses inherit what has a value here.

    A class is made with the place where the data lie, or None for the usual places. Nothing is read from disk before
    ``load``, unless it says what the classes are.
    """

    classes: tuple[str, ...]
    """Names of the C classes, in index order."""
    colours: NDArray[np.uint8]
    """(C, 3), RGB, for display."""
    region: tuple[int, int]
    """Height and width of a region in pixels, unless the user chooses others."""
    cell: int
    """Side of a feature cell in pixels; divides image and region."""
    split_tables: tuple[str, ...]
    """Names of the split tables, the default first."""
    generated: bool = False
    """Whether the images are made on the spot: then this is a ``GeneratedDataset``."""
    background: str | None = None
    """The class that is no target of mining, if there is one."""

    def load(self, split: str) -> SegmentationData:
        """Return the data with the splits of one table.

        Raises:
            ValueError: If a file holds what it must not.
            FileNotFoundError: If the dataset or one of its files is missing.
        """


class GeneratedDataset(Dataset, Protocol):
    """A dataset that never runs out of images."""

    def fresh_pool(self, data: SegmentationData, images: Ids, episode: int, split: str) -> SegmentationData:
        """Return the data with newly made images in the place of some, keyed by the episode."""


def open_dataset(name: str, root: str | Path | None = None) -> Dataset:
    """Return a dataset of which no image has been read yet.

    Args:
        name: A name in ``DATASETS``.
        root: Where it lies; else ``$ALENV_DATA/<name>``, else ``<cache>/data/<name>``. Generated data need none.

    Raises:
        ValueError: If the name is unknown, or generated data are given a root.
    """
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
    dataset = open_dataset(name, root)
    return dataset.load(check_split(name, dataset, split))


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
