"""CamVid as it was published: 701 frames of 960x720, masks of 32 colours, of which 31 are classes and black is void.

A folder with ``701_StillsRaw_full`` and ``LabeledApproved_full``, whose masks are called ``NAME_L.png``. Frames and
split tables are those of ``camvid``, which has a half of the size and 11 classes.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from alenv.data import IGNORE
from alenv.data.camvid import CamVid, table_splits
from alenv.data.files import IMAGES, files_by_stem, read_colours
from alenv.data.items import Files, LabelledFiles, stretched_item

CLASSES = (
    "animal", "archway", "bicyclist", "bridge", "building", "car", "cart luggage pram", "child", "column pole",
    "fence", "lane marking driving", "lane marking non-driving", "misc text", "motorcycle scooter", "other moving",
    "parking block", "pedestrian", "road", "road shoulder", "sidewalk", "sign symbol", "sky", "suv pickup truck",
    "traffic cone", "traffic light", "train", "tree", "truck bus", "tunnel", "vegetation misc", "wall",
)  # fmt: skip
COLOURS = np.array(
    [
        (64, 128, 64), (192, 0, 128), (0, 128, 192), (0, 128, 64), (128, 0, 0), (64, 0, 128), (64, 0, 192),
        (192, 128, 64), (192, 192, 128), (64, 64, 128), (128, 0, 192), (192, 0, 64), (128, 128, 64),
        (192, 0, 192), (128, 64, 64), (64, 192, 128), (64, 64, 0), (128, 64, 128), (128, 128, 192), (0, 0, 192),
        (192, 128, 128), (128, 128, 128), (64, 128, 192), (0, 0, 64), (0, 64, 64), (192, 64, 128), (128, 128, 0),
        (192, 128, 192), (64, 0, 64), (192, 192, 0), (64, 192, 0),
    ],
    dtype=np.uint8,
)  # fmt: skip
VOID = (0, 0, 0)
SIZE = (720, 960)


class CamVid32(LabelledFiles):
    """The frames: a folder that holds ``701_StillsRaw_full`` and ``LabeledApproved_full``."""

    name = folder = "camvid32"
    layout = "701_StillsRaw_full/*.png and LabeledApproved_full/*_L.png, 701 frames"
    page = "http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid"
    classes, colours = CLASSES, COLOURS
    region, cell = (180, 160), 20
    split_tables = CamVid.split_tables

    def files(self, root: Path, split: str) -> Files:
        """List the frames, see ``LabelledFiles``."""
        table = {tuple(colour): index for index, colour in enumerate(COLOURS.tolist())} | {VOID: IGNORE}
        decode, labels = partial(read_colours, table=table), root / "LabeledApproved_full"
        frames = files_by_stem(root / "701_StillsRaw_full", IMAGES)
        items = [stretched_item(stem, image, labels / f"{stem}_L.png", decode, SIZE) for stem, image in frames.items()]
        return Files(items, SIZE, table_splits(split, [f"{stem}.png" for stem in frames], root))
