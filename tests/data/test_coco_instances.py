"""COCO's annotations as people's tools write them: painted as pycocotools paints them, or refused entry by entry."""

import copy
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as rle

from alenv.data import coco, coco_panoptic
from alenv.data.coco_instances import IGNORE, instance_mask, read_instances
from alenv.data.coco_names import PANOPTIC_STUFF, THINGS

SQUARE = [[2, 2, 8, 2, 8, 8, 2, 8]]
SIZE = (12, 16)


def content(**changes):
    """One image with one square of class 1, with entries of the annotation changed."""
    annotation = {"id": 7, "image_id": 1, "category_id": 1, "iscrowd": 0, "segmentation": SQUARE, **changes}
    return {
        "info": {"year": 2024},
        "images": [{"id": 1, "file_name": "a.jpg", "height": SIZE[0], "width": SIZE[1], "license": 3}],
        "annotations": [{name: value for name, value in annotation.items() if value is not ...}],
        "categories": [{"id": i, "name": name, "supercategory": "x"} for i, name in THINGS.items()],
    }


def read(tmp_path, table):
    path = tmp_path / "instances_own.json"
    path.write_text(table if isinstance(table, str) else json.dumps(table))
    return read_instances(path, THINGS)


def mask(tmp_path, table):
    return instance_mask(read(tmp_path, table), 1, coco.INDEX)


@pytest.mark.parametrize("shape", [[], None, [[]], [[5, 5]], [[1, 1, 9, 9]], [5, 5, 9, 9], [[3, 3], [4, 4, 5, 5]]])
def test_shapes_without_area_are_nothing_to_paint(tmp_path, shape):
    assert not mask(tmp_path, content(segmentation=shape)).any()


def test_a_flat_list_is_one_polygon_and_the_crowd_flag_may_be_left_out(tmp_path):
    square = mask(tmp_path, content())
    assert square.sum() == 36
    np.testing.assert_array_equal(mask(tmp_path, content(segmentation=SQUARE[0])), square)
    np.testing.assert_array_equal(mask(tmp_path, content(iscrowd=...)), square)
    np.testing.assert_array_equal(mask(tmp_path, content(iscrowd=1)), np.where(square, IGNORE, 0))
    np.testing.assert_array_equal(mask(tmp_path, content(segmentation=[[1, 1], *SQUARE])), square)


@given(st.lists(st.booleans(), min_size=192, max_size=192))
def test_both_forms_of_run_lengths_are_painted(tmp_path_factory, pixels):
    tmp_path, inside = tmp_path_factory.getbasetemp(), np.array(pixels, np.uint8).reshape(SIZE)
    packed = rle.encode(np.asfortranarray(inside))
    flat = inside.ravel("F")
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat]))).tolist()
    runs = np.diff([0, *edges, len(flat)]).tolist()
    for counts in (packed["counts"].decode(), runs):
        shape = {"size": list(SIZE), "counts": counts}
        np.testing.assert_array_equal(mask(tmp_path, content(segmentation=shape)), inside)


def runs(**changes):
    return {"size": list(SIZE), "counts": [100, 50, 42], **changes}


FAULTS = {
    "unknown category": (content(category_id=12), "annotation 7 of image 1: category_id=12 is not one"),
    "category as text": (content(category_id="1"), "id 7.*category_id='1': expected an integer"),
    "no segmentation": (content(segmentation=...), "id 7.*'segmentation' is missing"),
    "polygon of pairs": (content(segmentation=[[[2, 2], [8, 2], [8, 8]]]), "7 of image 1: .*expected polygons as flat"),
    "odd polygon": (content(segmentation=[[2, 2, 8, 2, 8, 8, 2]]), "7 of image 1: .*expected polygons as flat"),
    "polygon of text": (content(segmentation=[["2", 2, 8, 2, 8, 8]]), "7 of image 1: .*expected polygons as flat"),
    "polygon far outside": (content(segmentation=[[2, 2, 1e30, 2, 8, 8]]), "7 of image 1: .*far outside the image"),
    "turned": (
        content(segmentation=runs(size=[16, 12])),
        r"7 of image 1: segmentation.size=\[16, 12\], but .*\[12, 16\]",
    ),
    "runs too long": (content(segmentation=runs(counts=[100, 50, 10**5])), "cover 100150 pixels of 192"),
    "runs too short": (content(segmentation=runs(counts=[1])), "cover 1 pixels of 192"),
    "negative runs": (content(segmentation=runs(counts=[300, -108])), "expected run lengths"),
    "packed runs of nonsense": (
        content(segmentation=runs(counts="zzz~~")),
        "7 of image 1: segmentation.counts='zzz~~'",
    ),
    "unlisted image": (content(image_id=2), "annotation 7 of image 2: the file does not list this image"),
    "crowd of text": (content(iscrowd="no"), "id 7.*iscrowd='no'"),
    "no table": ("[1]", "it holds .*, not a table"),
    "no JSON": ("{", "cannot read .* as COCO annotations"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_entries_that_cannot_be_used_are_named(tmp_path, fault):
    table, message = FAULTS[fault]
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path, table)
    assert "instances_own.json" in str(caught.value)


@pytest.mark.parametrize("name", ["height", "width", "id", "file_name"])
@pytest.mark.parametrize("value", [..., -1, "one", None])
def test_entries_of_images_likewise(tmp_path, name, value):
    table = content()
    table["images"][0].pop(name) if value is ... else table["images"][0].update({name: value})
    if (name, value) in (("id", -1), ("file_name", "one")):
        table["annotations"] = []
        read(tmp_path, table)
        return
    with pytest.raises(ValueError, match=rf"(?s)instances_own\.json: images\[0\] \(id .*{name}"):
        read(tmp_path, table)


def test_all_of_them_at_once_and_ids_that_occur_twice(tmp_path):
    table = content()
    table["annotations"] += [{**table["annotations"][0], "category_id": 999}, {**content(image_id=5)["annotations"][0]}]
    table["images"] *= 2
    with pytest.raises(ValueError, match="5 faults") as caught:
        read(tmp_path, table)
    text = str(caught.value)
    for part in (
        "image 1 is there twice",
        "annotation 7 is there twice",
        "category_id=999",
        "image 5: the file does not",
    ):
        assert part in text


@pytest.mark.parametrize("part", ["images", "annotations", "categories"])
def test_missing_lists_are_named(tmp_path, part):
    table = content()
    del table[part]
    with pytest.raises(ValueError, match=rf"instances_own\.json has no list '{part}'"):
        read(tmp_path, table)


def test_panoptic_entries(tmp_path):
    path = tmp_path / "panoptic_own.json"
    good = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 4, "width": 5}],
        "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": [{"id": 1, "category_id": 200}]}],
        "categories": [{"id": i, "name": name} for i, name in (THINGS | PANOPTIC_STUFF).items()],
    }

    def items(change):
        table = copy.deepcopy(good)
        change(table["annotations"][0])
        path.write_text(json.dumps(table))
        return coco_panoptic.panoptic_items(path, tmp_path, tmp_path)

    assert [item.name for item in items(lambda entry: None)] == ["a"]
    for change, message in (
        (lambda entry: entry.update(image_id=9), "image 9, which the file does not list"),
        (lambda entry: entry.pop("segments_info"), "'segments_info' is missing"),
        (lambda entry: entry["segments_info"][0].update(id="x"), r"segments_info\[0\].id='x'"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            items(change)
        assert str(path) in str(caught.value)
