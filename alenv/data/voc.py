"""Pascal VOC 2012: 1464 training and 1449 validation photos, 20 things and the background.

``VOCdevkit/VOC2012`` below the folder, as torchvision unpacks it, or its content. Masks are palette PNG; 255, the
border of things, is ignored. ``voc_sbd`` trains on the 10582 photos that also the Semantic Boundaries Dataset labels;
these labels lie in ``SegmentationClassAug`` beside the others, or in ``cls`` of SBD's ``benchmark_RELEASE/dataset`` or
of torchvision's folder ``SBD``. Sizes differ: photos are stretched to 384 x 288, the commonest shape. Split tables:
``hash`` (the training set, divided by a hash of the names) and ``official`` (see ``official_splits``; 100 photos for
the reward); ``test`` is the validation set.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from alenv.data import IGNORE
from alenv.data.files import FORBIDDEN, read_mask, relabel
from alenv.data.items import Files, Item, LabelledFiles, stretched_item
from alenv.data.splitting import hashed_splits, official_splits

CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "dining table", "dog", "horse", "motorbike", "person", "potted plant", "sheep", "sofa", "train", "tv monitor",
)  # fmt: skip
_INDEX = np.arange(len(CLASSES))[:, None]
COLOURS = (128 * (_INDEX >> np.arange(3) & 1) + 64 * (_INDEX >> np.arange(3, 6) & 1)).astype(np.uint8)
"""The palette of the masks: bits of the index, spread over the channels."""
LABELS = np.full(256, FORBIDDEN, np.uint8)
LABELS[[*range(len(CLASSES)), IGNORE]] = [*range(len(CLASSES)), IGNORE]
SIZE = (288, 384)
REWARD = 100


class Voc(LabelledFiles):
    """The photos of the segmentation task."""

    name = folder = "voc"
    layout = (
        "VOCdevkit/VOC2012 with JPEGImages/*.jpg, SegmentationClass/*.png, ImageSets/Segmentation/train.txt and val.txt"
    )
    page = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012"
    classes, colours, background = CLASSES, COLOURS, "background"
    region, cell = (48, 48), 16
    split_tables = ("hash", "official")

    def files(self, root: Path, split: str) -> Files:
        """List the photos, see ``LabelledFiles``."""
        voc = root / "VOCdevkit" / "VOC2012" if (root / "VOCdevkit").is_dir() else root
        train, test = self._train(root, voc), _listed(voc, "val")
        names = [item.name for item in train]
        splits = hashed_splits(names, test) if split == "hash" else official_splits(names, test, REWARD)
        return Files([*train, *(_item(voc, name) for name in test)], SIZE, splits)

    def _train(self, root: Path, voc: Path) -> list[Item]:
        return [_item(voc, name) for name in _listed(voc, "train")]


class VocSbd(Voc):
    """The photos of the segmentation task, and those that the Semantic Boundaries Dataset labels."""

    name = "voc_sbd"
    layout = (
        f"{Voc.layout}; and SegmentationClassAug/*.png there, or benchmark_RELEASE/dataset/cls/*.mat, or SBD/cls/*.mat"
    )
    page = f"{Voc.page} and http://home.bharathh.info/pubs/codes/SBD/download.html"

    def _train(self, root: Path, voc: Path) -> list[Item]:
        own = {*_listed(voc, "train"), *_listed(voc, "val")}
        more = [
            stretched_item(labels.stem, voc / "JPEGImages" / f"{labels.stem}.jpg", labels, read_labels, SIZE)
            for labels in _sbd(root, voc)
            if labels.stem not in own
        ]
        return [*super()._train(root, voc), *more]


def _sbd(root: Path, voc: Path) -> list[Path]:
    """Return SBD's label files."""
    places = {
        voc / "SegmentationClassAug": "*.png",
        root / "benchmark_RELEASE" / "dataset" / "cls": "*.mat",
        root / "SBD" / "cls": "*.mat",
    }
    for place, pattern in places.items():
        if place.is_dir():
            return sorted(path for path in place.glob(pattern) if not path.name.startswith("."))
    raise FileNotFoundError(f"there is no folder {' or '.join(map(str, places))}")


def _listed(voc: Path, part: str) -> list[str]:
    path = voc / "ImageSets" / "Segmentation" / f"{part}.txt"
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}")
    return path.read_text(encoding="utf-8").split()


def _item(voc: Path, name: str) -> Item:
    labels = voc / "SegmentationClass" / f"{name}.png"
    return stretched_item(name, voc / "JPEGImages" / f"{name}.jpg", labels, read_labels, SIZE)


def read_labels(path: Path) -> NDArray[np.uint8]:
    """Read class indices (h, w) from a mask, or from SBD's ``GTcls.Segmentation``.

    Raises:
        ValueError: If the file cannot be read, or holds a label that must not occur.
    """
    return relabel(_mat(path) if path.suffix == ".mat" else read_mask(path), LABELS, path)


def _mat(path: Path) -> NDArray:
    try:
        labels: NDArray = loadmat(path, variable_names=["GTcls"])["GTcls"]["Segmentation"].item()
    except Exception as error:  # of many types: what SciPy says of a broken file names no file
        raise ValueError(f"cannot read GTcls.Segmentation of {path}: {error!r}; copy the file again") from error
    return labels
