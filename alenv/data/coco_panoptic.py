"""COCO panoptic: masks of 80 things and 53 kinds of stuff.

A folder with ``annotations/panoptic_{train,val}2017.json``, the PNG files in folders of the same names beside them, and
images as for ``coco``. Crowds and pixels of no segment are ignored. Sizes and splits are those of ``coco``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from alenv.data import IGNORE
from alenv.data.coco import CELL, PARTS, REGION, SIZE, find_images, find_json, train_and_test
from alenv.data.coco_instances import Picture, by_id, read_content, read_entries
from alenv.data.coco_names import PANOPTIC_STUFF, THINGS
from alenv.data.faults import listed
from alenv.data.files import decode, rgb
from alenv.data.items import Files, Item, LabelledFiles, stretched_item
from alenv.data.resized import palette

CLASSES = (*THINGS.values(), *PANOPTIC_STUFF.values())
COLOURS = palette(len(CLASSES))


class Segment(msgspec.Struct, frozen=True):
    """One segment of an image; ``iscrowd`` may be left out."""

    id: int
    category_id: int
    iscrowd: Literal[0, 1] | bool = 0


class Panoptic(msgspec.Struct, frozen=True):
    """An entry of ``annotations``: the segments of one image."""

    image_id: int
    file_name: str
    segments_info: tuple[Segment, ...]


_INDEX = {category: index for index, category in enumerate([*THINGS, *PANOPTIC_STUFF])}


class CocoPanoptic(LabelledFiles):
    """Training and validation images: a folder that holds ``annotations`` and the images."""

    name, folder = "coco_panoptic", "coco"
    layout = "annotations/panoptic_train2017.json, panoptic_train2017/*.png, likewise val2017, and images/train2017 ..."
    page = "https://cocodataset.org/#download"
    classes, colours = CLASSES, COLOURS
    region, cell = REGION, CELL
    split_tables = ("hash",)

    def files(self, root: Path, split: str) -> Files:
        """List the images, see ``LabelledFiles``."""
        return train_and_test(*(_items(root, part) for part in PARTS))


def _items(root: Path, part: str) -> list[Item]:
    annotations = find_json(root, "panoptic", part)
    return panoptic_items(annotations, annotations.with_suffix(""), find_images(root, part))


def panoptic_items(annotations: Path, segments: Path, images: Path) -> list[Item]:
    """List the images of a panoptic JSON.

    Args:
        annotations: The JSON file.
        segments: Folder of the PNG files that it names.
        images: Folder of the images.

    Raises:
        ValueError: If entries cannot be used; names all of them.
    """
    content, faults = read_content(annotations), list[str]()
    pictures = by_id(read_entries(content, "images", Picture, annotations, faults), "image", annotations, faults)
    entries = read_entries(content, "annotations", Panoptic, annotations, faults)
    for entry in entries:
        if entry.image_id not in pictures:
            faults.append(f"{annotations}: the segments of image {entry.image_id}, which the file does not list")
    if faults:
        raise ValueError(listed(faults))
    return [
        _item(images / pictures[entry.image_id].file_name, segments / entry.file_name, entry.segments_info, annotations)
        for entry in sorted(entries, key=lambda entry: entry.image_id)
    ]


def _item(image: Path, segments: Path, infos: Sequence[Segment], annotations: Path) -> Item:
    item = stretched_item(image.stem, image, segments, partial(panoptic_mask, infos=infos), SIZE)
    return replace(item, files=(*item.files, annotations))


def panoptic_mask(path: Path, infos: Sequence[Segment]) -> NDArray[np.uint8]:
    """Read a panoptic PNG, whose colours are segment ids (R + 256 G + 65536 B): (h, w) of class indices.

    Args:
        path: The PNG file.
        infos: What the JSON says of each segment.

    Raises:
        ValueError: If a segment is not in the JSON, or has an unknown category.
    """
    ids = rgb(decode(path), path).astype(np.int64) @ np.array([1, 256, 65536])
    found, place = np.unique(ids, return_inverse=True)
    classes = {0: IGNORE} | {info.id: _class(path, info) for info in infos}
    if unknown := set(found.tolist()) - set(classes):
        raise ValueError(f"{path} holds segment {min(unknown)}, which its JSON does not list; take both from one copy")
    return np.array([classes[i] for i in found.tolist()], np.uint8)[place.reshape(ids.shape)]


def _class(path: Path, info: Segment) -> int:
    if info.category_id not in _INDEX:
        raise ValueError(
            f"segment {info.id} of {path} has category {info.category_id}, not one of COCO's {len(CLASSES)}; "
            "use the official annotations"
        )
    return IGNORE if info.iscrowd else _INDEX[info.category_id]
