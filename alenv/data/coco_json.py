"""COCO JSON files of any categories, as CVAT, Label Studio, Roboflow and others export them.

JSON files lie in the folder, in ``annotations``, or in ``train``, ``valid`` (or ``val``) and ``test``; which of these
an image is for is said by that folder, or by the name of the file (``instances_val.json``), and else it is for
training. Images lie anywhere below the folder: the end of a path must be what the JSON calls them.

Categories are classes by name, also where several files number them differently, and ``background`` is where no shape
is. ``classes.toml`` may say more (see ``alenv.data.class_file``): sizes, colours, what to merge or ignore; without a
class ``background`` there, what no shape covers is ignored. Where shapes overlap, the smaller one is seen, and crowds
are ignored. Splits are those of ``alenv.data.folder``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from alenv.data import IGNORE, find_root
from alenv.data.class_file import ClassFile, Entry, read_class_file
from alenv.data.coco_instances import Instances, Picture, instance_mask, read_categories, read_content, read_instances
from alenv.data.faults import report
from alenv.data.files import IMAGES, read_image
from alenv.data.items import Item
from alenv.data.user_files import FILE, UserFiles
from alenv.errors import unknown

BACKGROUND = "background"
PARTS = {"train": "train", "valid": "val", "val": "val", "test": "test"}


class CocoJson(UserFiles):
    """Images and shapes of a folder, whose categories are read now.

    Args:
        root: The folder; else ``coco_json`` in the usual places.

    Raises:
        FileNotFoundError: If there is no such folder, or no JSON in it.
        ValueError: If a file is none of COCO annotations, or the class file is none.
    """

    name = "coco_json"

    def __init__(self, root: Path | None) -> None:
        found = find_root(self.name, root)
        self._files = _annotations(found)
        super().__init__(found, _class_file(found, self._files))

    def items(self) -> list[tuple[str, Item]]:
        """List the images, see ``UserFiles``."""
        images, faults, items = _Images(self._root), list[str](), dict[str, tuple[str, Item]]()
        for path, part in self._files.items():
            instances = read_instances(path)
            _check_shapes(path, instances)
            for picture in instances.pictures.values():
                try:
                    image = images.find(path, picture)
                except FileNotFoundError as error:
                    faults.append(str(error))
                    continue
                name = image.relative_to(self._root).with_suffix("").as_posix()
                if name in items:
                    raise ValueError(f"{path}: image {picture.id} is {image}, which others annotate; merge them")
                read = partial(_read, self._file, image, path, instances.alone(picture.id), picture)
                items[name] = part, Item(name, (image, path), read)
        report(faults, FileNotFoundError)
        return list(items.values())


class _Images:
    """The images below a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._by_name = defaultdict[str, list[Path]](list)
        for path in sorted(root.rglob("*")):
            if path.suffix.lower() in IMAGES and path.is_file():
                self._by_name[path.name].append(path)

    def find(self, annotations: Path, picture: Picture) -> Path:
        """Return the image whose path ends as the JSON says; of several, that beside the JSON.

        Raises:
            FileNotFoundError: If there is none, or several.
        """
        wanted = PurePosixPath(picture.file_name.replace("\\", "/"))
        there = self._by_name.get(wanted.name, [])
        for parts in range(len(wanted.parts), 0, -1):  # exports keep paths of the machine that the labels come from
            ends = [path for path in there if path.parts[-parts:] == wanted.parts[-parts:]]
            beside = [path for path in ends if annotations.parent in path.parents]
            if len(found := beside if len(beside) == 1 else ends) == 1:
                return found[0]
            if ends:
                raise FileNotFoundError(
                    f"{annotations}: image {picture.id}, {picture.file_name!r}, may be {ends[0]} or {ends[1]}; "
                    "write more of its path into the JSON"
                )
        raise FileNotFoundError(f"{annotations}: image {picture.id}, {picture.file_name!r}, is not below {self._root}")


def _annotations(root: Path) -> dict[Path, str]:
    """Return the JSON files, each with the part that its images are for."""
    folders = {root: "", root / "annotations": "", **{root / name: part for name, part in PARTS.items()}}
    files = {
        path: part or next((PARTS[word] for word in PARTS if word in path.stem.lower()), "train")
        for folder, part in folders.items()
        for path in sorted(folder.glob("*.json"))
        if path.name != FILE
    }
    if not files:
        raise FileNotFoundError(
            f"there is no JSON in {root}, {root / 'annotations'} or {root / 'train'}; copy COCO annotations there"
        )
    return files


def _class_file(root: Path, files: Iterable[Path]) -> ClassFile:
    """Return the class file that lies there, which must know all categories; else one of the categories."""
    names = [name for path in files for name in read_categories(path, read_content(path)).values()]
    if not (root / "classes.toml").is_file():
        entries = dict.fromkeys((BACKGROUND, *names))
        return ClassFile(tuple(Entry(name) for name in entries), background=BACKGROUND)
    file = read_class_file(root)
    known = [entry.name for entry in file.entries]
    for name in names:
        if name not in known:
            raise unknown(f"category, not in {root / 'classes.toml'}:", name, known)
    return file


def _check_shapes(path: Path, instances: Instances) -> None:
    if not any(instances.shapes.values()):
        raise ValueError(f"{path} has no shape with an area; export polygons or masks, not boxes alone")


def _read(
    file: ClassFile, image: Path, annotations: Path, instances: Instances, picture: Picture
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    known = {entry.name: int(label) for entry, label in zip(file.entries, file.table(), strict=False)}
    index = {category: known[name] for category, name in instances.categories.items()}
    mask = instance_mask(instances, picture.id, index, known.get(BACKGROUND, IGNORE))
    whose = f"image {picture.id} of {annotations}, by its height and width,"
    return file.fit(read_image(image, mask.shape, whose), mask)
