"""ADE20K in its form for scene parsing: 20210 training and 2000 validation images, 150 classes.

The folder that ``ADEChallengeData2016.zip`` unpacks to. Labels 1 to 150 are the classes; 0, all else, is ignored.
Sizes differ: images and masks are stretched to 336 x 256. Split tables: ``hash`` (the training set, divided by a hash
of the names) and ``official`` (see ``official_splits``; 500 images for the reward); ``test`` is the validation set.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from alenv.data import IGNORE
from alenv.data.files import FORBIDDEN
from alenv.data.items import Files, Item, LabelledFiles, read_relabelled, stretched_item
from alenv.data.pairs import find_pairs
from alenv.data.resized import palette
from alenv.data.splitting import hashed_splits, official_splits

CLASSES = (
    "wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed", "windowpane", "grass", "cabinet",
    "sidewalk", "person", "earth", "door", "table", "mountain", "plant", "curtain", "chair", "car", "water",
    "painting", "sofa", "shelf", "house", "sea", "mirror", "rug", "field", "armchair", "seat", "fence", "desk",
    "rock", "wardrobe", "lamp", "bathtub", "railing", "cushion", "base", "box", "column", "signboard",
    "chest of drawers", "counter", "sand", "sink", "skyscraper", "fireplace", "refrigerator", "grandstand", "path",
    "stairs", "runway", "case", "pool table", "pillow", "screen door", "stairway", "river", "bridge", "bookcase",
    "blind", "coffee table", "toilet", "flower", "book", "hill", "bench", "countertop", "stove", "palm",
    "kitchen island", "computer", "swivel chair", "boat", "bar", "arcade machine", "hovel", "bus", "towel", "light",
    "truck", "tower", "chandelier", "awning", "streetlight", "booth", "television receiver", "airplane",
    "dirt track", "apparel", "pole", "land", "bannister", "escalator", "ottoman", "bottle", "buffet", "poster",
    "stage", "van", "ship", "fountain", "conveyer belt", "canopy", "washer", "plaything", "swimming pool", "stool",
    "barrel", "basket", "waterfall", "tent", "bag", "minibike", "cradle", "oven", "ball", "food", "step", "tank",
    "trade name", "microwave", "pot", "animal", "bicycle", "lake", "dishwasher", "screen", "blanket", "sculpture",
    "hood", "sconce", "vase", "traffic light", "tray", "ashcan", "fan", "pier", "crt screen", "plate", "monitor",
    "bulletin board", "shower", "radiator", "glass", "clock", "flag",
)  # fmt: skip
LABELS = np.full(256, FORBIDDEN, np.uint8)
LABELS[0] = IGNORE
LABELS[1 : len(CLASSES) + 1] = range(len(CLASSES))
SIZE = (256, 336)
REWARD = 500


class Ade20k(LabelledFiles):
    """The images: a folder that holds ``images`` and ``annotations``."""

    name = folder = "ade20k"
    layout = "images/training/*.jpg, annotations/training/*.png, likewise validation, as in ADEChallengeData2016"
    page = "http://sceneparsing.csail.mit.edu"
    classes, colours = CLASSES, palette(len(CLASSES))
    region, cell = (64, 48), 16
    split_tables = ("hash", "official")

    def files(self, root: Path, split: str) -> Files:
        """List the images, see ``LabelledFiles``."""
        train, val = (_items(root, part) for part in ("training", "validation"))
        names, test = [item.name for item in train], [item.name for item in val]
        splits = hashed_splits(names, test) if split == "hash" else official_splits(names, test, REWARD)
        return Files([*train, *val], SIZE, splits)


def _items(root: Path, part: str) -> list[Item]:
    pairs = find_pairs({root / "images" / part: root / "annotations" / part})
    decode = partial(read_relabelled, labels=LABELS)
    return [stretched_item(pair.mask.stem, pair.image, pair.mask, decode, SIZE) for pair in pairs]
