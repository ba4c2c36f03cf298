"""Datasets of users, by import path: opened, and looked at before anything relies on them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from alenv.data.dataset import IGNORE, Dataset, SegmentationData
from alenv.errors import shown
from alenv.imports import cause, find
from alenv.outside import Positive, check_array, decode

FORM = "write 'package.module:name' of a class or object with what alenv.data.Dataset says"
SPLITS = ("state", "train", "reward", "eval", "test")
"""What every split table has; ``holdout`` may be there too."""
SCORED = ("reward", "holdout", "test")
"""Whose images no other split may hold."""
CLASSES = 254
"""At most: the other values of a mask are for pixels without a label, and for labels that must not occur."""
Text = Annotated[str, Meta(min_length=1)]


class _Said(msgspec.Struct):
    """What loaded data say of themselves, besides their arrays."""

    name: Text
    classes: tuple[Text, ...]
    names: tuple[Text, ...]
    splits: dict[Text, Any]
    manifest: Text


class _Facts(msgspec.Struct):
    """What an open dataset says of itself."""

    classes: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=CLASSES)]
    colours: NDArray
    region: tuple[Positive, Positive]
    cell: Positive
    split_tables: Annotated[tuple[Text, ...], Meta(min_length=1)]
    generated: bool
    background: str | None


def open_outside(path: str, root: Path | None) -> Dataset:
    """Open a dataset of a user.

    Args:
        path: ``package.module:name`` of a class, which is made with the root, or of an object.
        root: Of the data; objects have none.

    Raises:
        ValueError: If it cannot be imported, or lacks what a dataset must have.
    """
    found: Any = find("dataset", path, FORM)
    if not callable(getattr(found, "load", None)):
        raise ValueError(f"dataset {shown(path)} has no method 'load'; {FORM}")
    if isinstance(found, type):
        found = _made(path, found, root)
    elif root is not None:
        raise ValueError(f"root={str(root)!r} has no effect on dataset={path!r}, which is open already; drop it")
    _check_facts(path, found)
    opened: Dataset = found
    return opened


def _made(path: str, kind: Any, root: Path | None) -> Any:
    try:
        return kind(root)
    except OSError:
        raise  # it names the file
    except (Exception, SystemExit) as error:
        raise ValueError(f"dataset {shown(path)} cannot be made with root={root}: {cause(error)}") from error


def _check_facts(path: str, found: object) -> None:
    try:
        facts = {name: getattr(found, name) for name in _Facts.__struct_fields__ if hasattr(found, name)}
        said = decode(_Facts, facts, "attribute")
        check_array("colours", said.colours, np.empty((len(said.classes), 3), np.uint8))
        if len(set(said.classes)) < len(said.classes):
            raise ValueError(f"classes={shown(said.classes)}: a name is there twice")
        if any(side % said.cell for side in said.region):
            raise ValueError(f"cell={said.cell} does not divide region={said.region}")
        if said.background is not None and said.background not in said.classes:
            raise ValueError(f"background={said.background!r} is none of its classes")
    except ValueError as error:
        raise ValueError(f"dataset {shown(path)}: {error}; see alenv.data.Dataset for what it must have") from None
    except (Exception, SystemExit) as error:  # of a property
        raise ValueError(f"dataset {shown(path)} does not say what it is: {cause(error)}") from error


def load_outside(path: str, dataset: Dataset, split: str) -> SegmentationData:
    """Load a user's dataset.

    Raises:
        ValueError: If that fails, or returns no data, see ``check_data``.
        OSError: If files are missing, or cannot be read.
    """
    try:
        data = dataset.load(split)
    except (OSError, ValueError, MemoryError):
        raise  # they say what is wrong
    except (Exception, SystemExit) as error:
        raise ValueError(f"dataset {shown(path)} cannot be loaded, split {split!r}: {cause(error)}") from error
    check_data(path, dataset, data)
    return data


def check_data(path: str, dataset: Dataset, data: object) -> None:
    """Check what a user's ``load`` returned.

    Raises:
        ValueError: If it is not what ``SegmentationData`` says.
    """
    if not isinstance(data, SegmentationData):
        raise ValueError(
            f"dataset {shown(path)}: load returned a {type(data).__name__}, not alenv.data.SegmentationData"
        )
    try:
        decode(_Said, {name: getattr(data, name) for name in _Said.__struct_fields__}, "attribute")
        check_array("colours", data.colours, np.empty((len(data.classes), 3), np.uint8))
        check_pixels(data.images, data.masks, len(data.classes))
        check_splits(data.splits, len(data.images))
        if not data.name.isidentifier():
            raise ValueError(f"name={shown(data.name)} names files of the cache: write letters, digits and _")
        if data.classes != dataset.classes:
            raise ValueError(f"load returned classes {shown(data.classes)}, not {shown(dataset.classes)}")
        if len(set(data.names)) < len(data.images) or len(data.names) > len(data.images):
            raise ValueError(f"{len(set(data.names))} different names of {len(data.images)} images; name each once")
        if any(side % dataset.cell for side in data.masks.shape[1:]):
            raise ValueError(f"cell={dataset.cell} does not divide images of {data.masks.shape[1:]} pixels")
    except ValueError as error:
        raise ValueError(f"dataset {shown(path)}: {error}") from None


def check_pixels(images: NDArray[np.uint8], masks: NDArray[np.uint8], classes: int) -> None:
    """Check images and masks.

    Raises:
        ValueError: If shapes, types or labels are not what ``SegmentationData`` says.
    """
    _check_bytes("images", images, "(n, h, w, 3)")
    _check_bytes("masks", masks, "(n, h, w)")
    if images.shape != (*masks.shape, 3):
        raise ValueError(f"images {images.shape} and masks {masks.shape} differ in number or size")
    for i, mask in enumerate(masks):
        if (wrong := mask[(mask >= classes) & (mask != IGNORE)]).size:
            raise ValueError(f"mask {i} holds label {wrong[0]}; there are {classes} classes, and {IGNORE} for no label")


def _check_bytes(name: str, array: object, shape: str) -> None:
    if isinstance(array, np.ndarray) and array.dtype == np.uint8 and array.size and array.ndim == len(shape.split(",")):
        return
    got = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else shown(array)
    raise ValueError(f"{name}: expected an array of uint8 {shape}, not {got}")


def check_splits(splits: Mapping[str, NDArray[np.int64]], images: int) -> None:
    """Check a split table.

    Raises:
        ValueError: If a split is missing or empty, names images that are not there, or shares scored ones.
    """
    for name in SPLITS:
        if name not in splits:
            raise ValueError(f"the split {name!r} is missing; there must be {', '.join(SPLITS)}")
    for name, chosen in splits.items():
        check_array(f"split {name!r}", chosen, np.empty(np.size(chosen), np.int64))
        if not len(chosen) or not 0 <= chosen.min() <= chosen.max() < images or len({*chosen.tolist()}) < len(chosen):
            raise ValueError(f"split {name!r}: expected different images of 0..{images - 1}, at least one")
    for first, second in combinations(splits, 2):
        common = np.intersect1d(splits[first], splits[second])
        if len(common) and not {first, second}.isdisjoint(SCORED):
            raise ValueError(f"image {common[0]} is in the splits {first!r} and {second!r}; what is scored is apart")
