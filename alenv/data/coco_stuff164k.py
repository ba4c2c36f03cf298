"""COCO-Stuff 164k: all 118287 training and 5000 validation images of COCO, 171 classes of things and stuff.

A folder with the images as for ``coco``, and the pixel maps that ``stuffthingmaps_trainval2017.zip`` unpacks to:
``train2017/*.png`` and ``val2017/*.png`` in ``stuffthingmaps_trainval2017`` or in ``annotations``. They hold ids
less 1, and 255 where nothing is labelled. Classes, sizes and splits are those of ``coco_stuff10k``.
"""

from __future__ import annotations

from pathlib import Path

from alenv.data.coco import CELL, PARTS, REGION, SIZE, find_images, train_and_test
from alenv.data.coco_stuff10k import CLASSES, COLOURS, stuff_mask
from alenv.data.files import IMAGES, files_by_stem
from alenv.data.items import Files, Item, LabelledFiles, stretched_item


class CocoStuff164k(LabelledFiles):
    """The images: a folder that holds images and pixel maps of both parts."""

    name, folder = "coco_stuff164k", "coco"
    layout = "images/train2017/*.jpg, stuffthingmaps_trainval2017/train2017/*.png, and likewise val2017"
    page = "https://github.com/nightrome/cocostuff"
    classes, colours = CLASSES, COLOURS
    region, cell = REGION, CELL
    split_tables = ("hash",)

    def files(self, root: Path, split: str) -> Files:
        """List the images, see ``LabelledFiles``."""
        return train_and_test(*(_items(root, part) for part in PARTS))


def _items(root: Path, part: str) -> list[Item]:
    maps = root / "stuffthingmaps_trainval2017"
    labels = (maps if maps.is_dir() else root / "annotations") / part
    images = files_by_stem(find_images(root, part), IMAGES)
    return [stretched_item(stem, image, labels / f"{stem}.png", stuff_mask, SIZE) for stem, image in images.items()]
