"""Hostile annotations and picture files, and what is right: the right pixels, or an error that names the file."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from alenv.data import coco, files
from alenv.data.class_file import read_class_file
from alenv.data.coco_instances import instance_mask, read_instances
from alenv.data.coco_names import THINGS
from hostile.benchmarks import damaged, toml

SIZE = (12, 16)
ANNOTATIONS: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "a.jpg", "height": SIZE[0], "width": SIZE[1]}],
    "annotations": [
        {"id": 7, "image_id": 1, "category_id": 1, "iscrowd": 0, "segmentation": [[2, 2, 8, 2, 8, 8, 2, 8]]},
        {"id": 8, "image_id": 1, "category_id": 90, "segmentation": {"size": [12, 16], "counts": [100, 50, 42]}},
        {"id": 9, "image_id": 1, "category_id": 5, "segmentation": {"size": [12, 16], "counts": "d3b1j2"}},
    ],
    "categories": [{"id": i, "name": name} for i, name in THINGS.items()],
}


def annotations() -> st.SearchStrategy[str]:
    """Texts of instance files."""
    return damaged(ANNOTATIONS).map(json.dumps) | st.text(max_size=40)


def check_annotations(folder: Path, text: str) -> None:
    """Read and paint them."""
    path = folder / "instances_own.json"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        instances = read_instances(path, THINGS)
    except ValueError as error:
        assert str(path) in str(error), error  # noqa: PT017 - either outcome is right
        return
    for image in instances.pictures:
        assert instance_mask(instances, image, coco.INDEX).dtype == np.uint8


def pictures() -> st.SearchStrategy[bytes]:
    """Contents of PNG and JPEG files with some bytes changed, or cut."""
    contents, exif = [], Image.Exif()
    exif.update({274: 3, 306: "2024:01:01 00:00:00", 33437: 2.8, 37380: -0.3})
    for kind in ("PNG", "JPEG", "TIFF"):
        buffer = io.BytesIO()
        Image.fromarray(np.arange(192, dtype=np.uint8).reshape(SIZE)).save(buffer, kind, exif=exif)
        contents.append(buffer.getvalue())
    places = st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), max_size=4)
    return st.tuples(st.sampled_from(contents), places, st.integers(0, 2000)).map(lambda case: _spoilt(*case))


def _spoilt(content: bytes, places: list[tuple[int, int]], length: int) -> bytes:
    spoilt = bytearray(content)
    for place, bits in places:
        spoilt[place % len(content)] ^= bits
    return bytes(spoilt[: max(length, 10)])


def check_picture(folder: Path, content: bytes) -> None:
    """Read it as an image and as a mask."""
    path = folder / "a.png"
    path.write_bytes(content)
    for read in (lambda: files.read_image(path, SIZE, "the set"), lambda: files.read_mask(path)):
        try:
            read()
        except ValueError as error:
            assert str(path) in str(error), error  # noqa: PT017 - either outcome is right


CLASSES: dict[str, Any] = {
    "size": [32, 48],
    "resize": "letterbox",
    "background": "soil",
    "classes": [
        {"name": "soil", "colour": [1, 2, 3]},
        {"name": "stem", "merge": "leaf"},
        {"name": "v", "ignore": True},
    ],
}


def class_files() -> st.SearchStrategy[str]:
    """Texts of class files."""
    return damaged(CLASSES).map(lambda tree: "\n".join(f"{k} = {toml(v)}" for k, v in tree.items())) | st.text(
        max_size=40
    )


def check_class_file(folder: Path, text: str) -> None:
    """Read it, and use it."""
    path = folder / "classes.toml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        file = read_class_file(folder)
    except ValueError as error:
        assert str(path) in str(error), error  # noqa: PT017 - either outcome is right
        return
    assert 0 < len(file.names) == len(file.colours)
    assert set(file.table()) <= {*range(len(file.names)), files.FORBIDDEN, 255}


CASES = {
    "annotations": (annotations, check_annotations),
    "pictures": (pictures, check_picture),
    "class files": (class_files, check_class_file),
}
"""By name what makes a strategy, and a check of what it draws in a folder."""
