"""Datasets of arrays, and the cells and regions that tile them."""

import numpy as np
import pytest

from alenv.data import from_arrays
from alenv.data.tiling import tiling

SPLITS = {"state": [0], "train": [1], "reward": [2], "eval": [3], "test": [4]}


def arrays(**changes):
    arguments = {
        "images": np.zeros((5, 32, 48, 3), np.uint8),
        "masks": np.zeros((5, 32, 48), np.uint8),
        "classes": ["a", "b"],
        "splits": SPLITS,
    }
    return from_arrays(**{**arguments, **changes})


def test_a_manifest_covers_pixels_labels_classes_and_splits():
    images, masks = np.zeros((5, 32, 48, 3), np.uint8), np.zeros((5, 32, 48), np.uint8)
    images[4, 3, 2, 1] = masks[4, 3, 2] = 1
    changes = (
        {},
        {"images": images},
        {"masks": masks},
        {"classes": ["a", "c"]},
        {"splits": {**SPLITS, "holdout": [0]}},
    )
    with pytest.raises(ValueError, match="image 0 is in the splits 'state' and 'holdout'; what is scored is apart"):
        arrays(**changes[-1])
    made = [arrays(**change).load("given").manifest for change in (*changes[:-1], {})]
    assert len(set(made[:-1])) == 4
    assert made[-1] == made[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": np.zeros((5, 32, 48, 3))}, r"images: expected an array of uint8 \(n, h, w, 3\), not float64"),
        ({"images": np.zeros((4, 32, 48, 3), np.uint8)}, "differ in number or size"),
        (
            {"masks": np.full((5, 32, 48), 2, np.uint8)},
            "mask 0 holds label 2; there are 2 classes, and 255",
        ),
        ({"masks": [[0]]}, r"masks: expected an array of uint8 \(n, h, w\), not \[\[0\]\]"),
        ({"classes": []}, "expected 1 to 254 different names"),
        ({"classes": ["a", "a"]}, "expected 1 to 254 different names"),
        ({"splits": {k: v for k, v in SPLITS.items() if k != "eval"}}, "the split 'eval' is missing"),
        ({"splits": {**SPLITS, "test": [5]}}, "split 'test': expected different images of 0..4"),
        ({"splits": {**SPLITS, "train": []}}, "split 'train': expected different images"),
        ({"splits": {**SPLITS, "test": [1]}}, "image 1 is in the splits 'train' and 'test'"),
    ],
)
def test_what_is_wrong_is_said(changes, message):
    with pytest.raises(ValueError, match=message):
        arrays(**changes)


@pytest.mark.parametrize(
    ("size", "region", "cell"),
    [
        ((96, 128), (24, 32), 4),
        ((256, 256), (64, 64), 16),
        ((384, 256), (96, 64), 16),
        ((360, 480), (90, 120), 15),
        ((20, 30), (5, 6), 1),
        ((8, 8), (2, 2), 1),
        ((3, 5), (1, 1), 1),
    ],
)
def test_regions_and_cells_tile_images(size, region, cell):
    assert tiling(*size) == (region, cell)


def test_sides_without_a_common_divisor_are_refused():
    with pytest.raises(ValueError, match=r"images of 1499x997 \(width x height\): no cell of up to 16 pixels"):
        tiling(997, 1499)
