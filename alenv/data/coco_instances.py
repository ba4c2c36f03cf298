"""COCO's instance annotations: a JSON that people's tools write in many ways, read strictly and painted.

Shapes without area (polygons of fewer than three points, empty lists, null) are nothing to paint, and no fault; one
flat list of numbers is one polygon. All entries that cannot be used are named at once, before any image is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle

from alenv.data.faults import listed, report
from alenv.errors import shown
from alenv.outside import LARGEST, Positive, decode

Entry = TypeVar("Entry")
IGNORE = 255


class Picture(msgspec.Struct, frozen=True):
    """An entry of ``images``."""

    id: int
    file_name: str
    height: Positive
    width: Positive


class Category(msgspec.Struct, frozen=True):
    """An entry of ``categories``."""

    id: int
    name: str


class Shape(msgspec.Struct, frozen=True):
    """An entry of ``annotations``: polygons, or run lengths; ``iscrowd`` may be left out."""

    id: int
    image_id: int
    category_id: int
    segmentation: list[Any] | dict[str, Any] | None
    iscrowd: Literal[0, 1] | bool = 0


@dataclass(frozen=True)
class Instances:
    """An instance JSON whose entries all fit each other.

    Attributes:
        pictures: By id, ascending.
        shapes: Of each picture, run lengths as pycocotools has them, with the annotation.
        categories: Names by id.
    """

    pictures: dict[int, Picture]
    shapes: dict[int, list[tuple[Shape, Mapping[str, Any]]]]
    categories: dict[int, str]

    def alone(self, image: int) -> Instances:
        """Return what there is of one picture."""
        return Instances({image: self.pictures[image]}, {image: self.shapes[image]}, self.categories)


def read_content(path: Path) -> dict[str, Any]:
    """Return the table of a JSON file.

    Raises:
        ValueError: If it is none; names the file.
    """
    try:
        content = msgspec.json.decode(path.read_bytes())
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ValueError(f"cannot read {path} as COCO annotations: {error}; copy it again") from None
    if not isinstance(content, dict):
        raise ValueError(f"cannot read {path} as COCO annotations: it holds {shown(content)}, not a table")
    return content


def read_entries(
    content: Mapping[str, Any], part: str, kind: type[Entry], path: Path, faults: list[str]
) -> list[Entry]:
    """Decode the entries of one list of a JSON, and note down those that do not fit.

    Args:
        content: The JSON's table.
        part: Name of the list.
        kind: What its entries are.
        path: The file, for the faults.
        faults: What is wrong is added here.

    Raises:
        ValueError: If there is no such list.
    """
    if not isinstance(content.get(part), list):
        raise ValueError(f"{path} has no list {part!r}; is it a file of COCO annotations?")
    found = []
    for place, entry in enumerate(content[part]):
        try:
            found.append(decode(kind, entry, "entry"))
        except ValueError as error:
            name = entry.get("id", entry.get("image_id")) if isinstance(entry, dict) else None
            faults.append(f"{path}: {part}[{place}] (id {shown(name)}): {error}")
    return found


def read_categories(path: Path, content: Mapping[str, Any]) -> dict[int, str]:
    """Return the names of a JSON's categories by id.

    Raises:
        ValueError: If one is none, or an id is there twice.
    """
    faults: list[str] = []
    found = by_id(read_entries(content, "categories", Category, path, faults), "category", path, faults)
    if faults:
        raise ValueError(listed(faults))
    return {number: category.name for number, category in found.items()}


def _check_categories(path: Path, found: Mapping[int, str], names: Mapping[int, str]) -> None:
    """Refuse a JSON whose categories are others than expected.

    Raises:
        ValueError: With the first difference.
    """
    if found != names:
        wrong = sorted(set(found.items()) ^ set(names.items()))
        raise ValueError(
            f"{path} has {len(found)} categories, but not COCO's {len(names)} (first difference: {wrong[0]}); "
            "use the official annotations"
        )


def read_instances(path: Path, names: Mapping[int, str] | None = None) -> Instances:
    """Read an instance JSON.

    Args:
        path: The file.
        names: What the categories must be, by id; None: any.

    Raises:
        ValueError: If it is none, has other categories, or entries that cannot be used; names all of them.
    """
    content, faults = read_content(path), list[str]()
    categories = read_categories(path, content)
    if names is not None:
        _check_categories(path, categories, names)
    pictures = by_id(read_entries(content, "images", Picture, path, faults), "image", path, faults)
    shapes = read_entries(content, "annotations", Shape, path, faults)
    by_id(shapes, "annotation", path, faults)
    painted: dict[int, list[tuple[Shape, Mapping[str, Any]]]] = {image: [] for image in sorted(pictures)}
    for shape in shapes:
        try:
            painted[_picture(shape, pictures).id] += _run_lengths(shape, pictures[shape.image_id], categories)
        except ValueError as error:
            faults.append(f"{path}: annotation {shape.id} of image {shape.image_id}: {error}")
    report(faults, ValueError)
    return Instances(dict(sorted(pictures.items())), painted, categories)


def by_id(entries: Sequence[Any], what: str, path: Path, faults: list[str]) -> dict[int, Any]:
    """Return entries by their ids; ids that occur twice are faults."""
    found: dict[int, Any] = {}
    for entry in entries:
        if entry.id in found:
            faults.append(f"{path}: {what} {entry.id} is there twice; remove one")
        found[entry.id] = entry
    return found


def _picture(shape: Shape, pictures: Mapping[int, Picture]) -> Picture:
    if shape.image_id not in pictures:
        raise ValueError("the file does not list this image; add it to 'images', or remove the annotation")
    return pictures[shape.image_id]


def _run_lengths(shape: Shape, picture: Picture, names: Mapping[int, str]) -> list[tuple[Shape, Mapping[str, Any]]]:
    """Return the shape as run lengths, or nothing if it has no area."""
    if shape.category_id not in names:
        raise ValueError(f"category_id={shape.category_id} is not one of the file's categories")
    size = [picture.height, picture.width]
    if isinstance(shape.segmentation, dict):
        return [(shape, _checked(shape.segmentation, size))]
    polygons = list(_polygons(shape.segmentation or [], picture))
    return [(shape, rle.merge(rle.frPyObjects(polygons, *size)))] if polygons else []


def _polygons(segmentation: list[Any], picture: Picture) -> Iterator[list[float]]:
    """Yield the polygons that have an area."""
    flat = segmentation and not any(isinstance(part, list) for part in segmentation)
    far = 10 * max(picture.height, picture.width)
    for polygon in [segmentation] if flat else segmentation:
        numbers = polygon if isinstance(polygon, list) else [polygon]
        if any(isinstance(x, bool) or not isinstance(x, int | float) for x in numbers) or len(numbers) % 2:
            raise ValueError(
                f"segmentation={shown(segmentation)}: expected polygons as flat lists [x, y, x, y, ...] of numbers"
            )
        if not all(math.isfinite(x) and abs(x) <= far for x in numbers):
            raise ValueError(f"segmentation={shown(segmentation)}: a point lies far outside the image")
        if len(numbers) >= 6:
            yield numbers


def _checked(segmentation: Mapping[str, Any], size: list[int]) -> Mapping[str, Any]:
    """Return run lengths, compressed, after a check that they fill the image: pycocotools would write past it."""
    given, counts = segmentation.get("size"), segmentation.get("counts")
    if given != size:
        raise ValueError(f"segmentation.size={shown(given)}, but the image's height and width are {size}")
    numbers = _decompressed(counts) if isinstance(counts, str) else counts
    if not isinstance(numbers, list) or any(type(n) is not int or not 0 <= n <= LARGEST for n in numbers):
        raise ValueError(f"segmentation.counts={shown(counts)}: expected run lengths, a list of integers or a string")
    if sum(numbers) != size[0] * size[1]:
        raise ValueError(f"segmentation.counts={shown(counts)} cover {sum(numbers)} pixels of {size[0] * size[1]}")
    found: Mapping[str, Any] = rle.frPyObjects({"size": size, "counts": numbers}, *size)
    return found


def _decompressed(text: str) -> list[int]:
    """Read compressed run lengths: 5 bits a character, least first, differences to the run before the last."""
    counts, number, shift = list[int](), 0, 0
    for character in text:
        code = ord(character) - 48
        number |= (code & 0x1F) << shift
        shift += 5
        if not code & 0x20:
            number -= (1 << shift) if code & 0x10 else 0
            counts.append(number + (counts[-2] if len(counts) > 2 else 0))
            number = shift = 0
    return counts


def instance_mask(instances: Instances, image: int, index: Mapping[int, int], ground: int = 0) -> NDArray[np.uint8]:
    """Paint the instances of an image, large ones first and crowds last: (h, w) of class indices.

    Args:
        instances: The annotations.
        image: Id of the image.
        index: Category id -> class index.
        ground: Class index where there is no instance.
    """
    picture = instances.pictures[image]
    mask = np.full((picture.height, picture.width), ground, np.uint8)
    shapes = [(shape, rle.decode(runs).astype(bool)) for shape, runs in instances.shapes[image]]
    for shape, inside in sorted(shapes, key=lambda pair: (bool(pair[0].iscrowd), -pair[1].sum(), pair[0].id)):
        mask[inside] = IGNORE if shape.iscrowd else index[shape.category_id]
    return mask
