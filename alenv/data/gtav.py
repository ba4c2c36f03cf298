"""GTAV (Playing for Data): 24966 rendered street images with the 19 classes of Cityscapes.

A folder with ``images`` and ``labels`` of the same names: palette PNG of Cityscapes' ids. Sizes differ a little
(most are 1914 x 1052): all are stretched to 640 x 384. Splits follow a hash of the names; a tenth is ``test``.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from alenv.data.cityscapes import CLASSES, COLOURS, LABELS
from alenv.data.items import Files, LabelledFiles, read_relabelled, stretched_item
from alenv.data.pairs import find_pairs
from alenv.data.splitting import hashed_tenths

SIZE = (384, 640)


class Gtav(LabelledFiles):
    """The images: a folder that holds ``images`` and ``labels``."""

    name = folder = "gtav"
    layout = "images/00001.png ... and labels/00001.png ..., 24966 pairs"
    page = "https://download.visinf.tu-darmstadt.de/data/from_games"
    classes, colours = CLASSES, COLOURS
    region, cell = (64, 64), 16
    split_tables = ("hash",)

    def files(self, root: Path, split: str) -> Files:
        """List the images, see ``LabelledFiles``."""
        decode, pairs = partial(read_relabelled, labels=LABELS), find_pairs({root / "images": root / "labels"})
        items = [stretched_item(pair.mask.stem, pair.image, pair.mask, decode, SIZE) for pair in pairs]
        return Files(items, SIZE, hashed_tenths([item.name for item in items]))
