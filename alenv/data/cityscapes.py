"""Cityscapes: 2975 training and 500 validation street images, the 19 classes that are scored, at half size.

The folder that ``leftImg8bit_trainvaltest.zip`` and ``gtFine_trainvaltest.zip`` unpack to. Split tables: ``ralis``
(the lists of Casanova et al., 2020, whose ten ``state`` images are also in ``eval``) and ``official`` (see
``official_splits``; 300 images for the reward, the number that DEAL holds back). ``test`` is the official validation
set in both: the labels of the official test set are secret.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from alenv.data import IGNORE
from alenv.data.files import FORBIDDEN, IMAGES, files_by_stem
from alenv.data.items import Files, Item, LabelledFiles, read_relabelled, stretched_item
from alenv.data.splitting import named_splits, official_splits

CLASSES = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation", "terrain",
    "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
)  # fmt: skip
COLOURS = np.array(
    [
        (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153),
        (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60), (255, 0, 0),
        (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32),
    ],
    dtype=np.uint8,
)  # fmt: skip
LABELS = np.full(256, FORBIDDEN, np.uint8)
"""Ids in the files -> class indices; 255 is how id -1, licence plates, is stored."""
LABELS[[*range(35), IGNORE]] = IGNORE
LABELS[[7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]] = range(len(CLASSES))
REWARD = 300


class Cityscapes(LabelledFiles):
    """The finely labelled images: a folder that holds ``leftImg8bit`` and ``gtFine``."""

    name = folder = "cityscapes"
    layout = (
        "leftImg8bit/train/CITY/*_leftImg8bit.png, gtFine/train/CITY/*_gtFine_labelIds.png, and likewise val; "
        "2975 and 500 images"
    )
    page = "https://www.cityscapes-dataset.com/downloads, after registration"
    classes, colours = CLASSES, COLOURS
    size = 512, 1024
    region, cell = (64, 64), 16
    split_tables = ("ralis", "official")

    def files(self, root: Path, split: str) -> Files:
        """List the images of all cities, see ``LabelledFiles``."""
        train, val = (self._items(root, part) for part in ("train", "val"))
        names, test = [item.name for item in train], [item.name for item in val]
        if split == "official":
            return Files([*train, *val], self.size, official_splits(names, test, REWARD))
        splits = named_splits("cityscapes_ralis", names, root)
        return Files([*train, *val], self.size, splits | {"test": np.arange(len(names), len(names) + len(test))})

    def _items(self, root: Path, part: str) -> list[Item]:
        folder, decode = root / "leftImg8bit" / part, partial(read_relabelled, labels=LABELS)
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no folder {folder}")
        items = []
        for city in sorted(path for path in folder.iterdir() if path.is_dir()):
            for stem, image in files_by_stem(city, IMAGES).items():
                name = stem.removesuffix("_leftImg8bit")
                labels = root / "gtFine" / part / city.name / f"{name}_gtFine_labelIds.png"
                items.append(stretched_item(name, image, labels, decode, self.size))
        return items


class CityscapesFull(Cityscapes):
    """The same at full size, 2048 x 1024: four times the disk and the time."""

    name = "cityscapes_full"
    size = 1024, 2048
    region, cell = (128, 128), 32


class CityscapesQuarter(Cityscapes):
    """The same at 512 x 256, the size at which PixelPick was run."""

    name = "cityscapes_quarter"
    size = 256, 512
    region, cell = (32, 32), 8
