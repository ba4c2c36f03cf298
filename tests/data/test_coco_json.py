"""COCO JSON files as people's tools export them: layouts, ids, shapes and names of images."""

import json
import re

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle

import alenv  # noqa: F401  registers the ids
from alenv import data

pytestmark = pytest.mark.usefixtures("cache")

SIZES = ((40, 60), (60, 40), (50, 50), (32, 80))
CATEGORIES = [{"id": 3, "name": "leaf", "supercategory": "plant"}, {"id": 90, "name": "stem"}]
"""Ids with gaps, and without 0."""
TOML = "size = [32, 32]\n"


def shapes(i, size):
    """The left half is leaf, in one of the forms of a shape; the lower right quarter is stem."""
    h, w = size
    left = np.zeros(size, np.uint8)
    left[:, : w // 2] = 1
    counts = rle.encode(np.asfortranarray(left))["counts"].decode()
    forms = (
        [[0, 0, w // 2, 0, w // 2, h, 0, h]],
        [0, 0, w // 2, 0, w // 2, h, 0, h],
        {"size": [h, w], "counts": [0, h * (w // 2), h * (w - w // 2)]},
        {"size": [h, w], "counts": counts},
    )
    stem = [[w // 2, h // 2, w, h // 2, w, h, w // 2, h]]
    return [(3, forms[i % 4]), (90, stem), (90, []), (3, None)]


def write(root, numbers=range(30), json_name="annotations/instances_default.json", folder="images", **changes):
    """Write images of four sizes, and their annotations in one file."""
    table = {"images": [], "annotations": [], "categories": CATEGORIES, "info": {"contributor": ""}, "licenses": []}
    (root / folder).mkdir(parents=True, exist_ok=True)
    for i in numbers:
        size = SIZES[i % 4]
        Image.fromarray(np.full((*size, 3), 8 * i, np.uint8)).save(root / folder / f"photo_{i:02d}.png")
        table["images"].append({"id": 100 + i, "file_name": f"photo_{i:02d}.png", "height": size[0], "width": size[1]})
        for category, shape in shapes(i, size):
            number = len(table["annotations"])
            entry = {"id": number, "image_id": 100 + i, "category_id": category, "segmentation": shape, "bbox": []}
            table["annotations"].append(entry if i % 2 else {**entry, "iscrowd": 0})
    (root / json_name).parent.mkdir(exist_ok=True)
    (root / json_name).write_text(json.dumps({**table, **changes}))
    return root


def check(loaded, background=0):
    """Every mask is leaf on the left, background at the upper right and stem below it, whatever its shape."""
    classes = {name: i for i, name in enumerate(loaded.classes)}
    for mask in loaded.masks:
        inside = mask[(mask != 255).any(1)][:, (mask != 255).any(0)]
        h, w = inside.shape
        assert (inside[2:-2, 2 : w // 2 - 2] == classes["leaf"]).all()
        assert (inside[h // 2 + 2 : -2, w // 2 + 2 : -2] == classes["stem"]).all()
        assert (inside[2 : h // 2 - 2, w // 2 + 2 : -2] == background).all()


def cvat(root):
    return write(root, folder="images/default")


def label_studio(root):
    """Paths of the machine that the labels come from, with the other slashes."""
    write(root, json_name="result.json")
    table = json.loads((root / "result.json").read_text())
    for picture in table["images"]:
        picture["file_name"] = f"\\home\\me\\upload\\1\\{picture['file_name']}"
    (root / "result.json").write_text(json.dumps(table))
    return root


def roboflow(root):
    for part, numbers in (("train", range(20)), ("valid", range(20, 26)), ("test", range(26, 30))):
        write(root, numbers, f"{part}/_annotations.coco.json", part)
    return root


def several_files(root):
    """Two files that number their categories differently."""
    write(root, range(15), "annotations/a.json")
    return write(root, range(15, 30), "annotations/b.json", categories=[{"id": 3, "name": "leaf"}, *CATEGORIES[1:]])


@pytest.mark.parametrize("export", [cvat, label_studio, roboflow, several_files])
def test_exports_of_all_tools_are_read_alike(tmp_path, export):
    loaded = data.load("coco_json", export(tmp_path / "set"))
    assert loaded.classes == ("background", "leaf", "stem")
    assert len(loaded.images) == 30
    assert sorted(int(image[128, 128, 0]) for image in loaded.images) == [8 * i for i in range(30)]
    check(loaded)
    numbers = {split: {loaded.images[i, 128, 128, 0] // 8 for i in chosen} for split, chosen in loaded.splits.items()}
    if export is roboflow:
        assert numbers["test"] == set(range(26, 30))
        assert numbers["reward"] | numbers["holdout"] == set(range(20, 26))


def test_parts_may_have_images_of_the_same_names(tmp_path):
    root = tmp_path / "set"
    for part in ("train", "test"):
        write(root, range(12), f"{part}/_annotations.coco.json", part)
    loaded = data.load("coco_json", root)
    assert {loaded.names[i].split("/")[0] for i in loaded.splits["test"]} == {"test"}
    assert len(set(loaded.names)) == 24


def test_categories_are_matched_by_name_across_files(tmp_path):
    root = write(tmp_path / "set", range(15), "annotations/a.json")
    swapped = [{"id": 90, "name": "leaf"}, {"id": 3, "name": "stem"}]
    write(root, range(15, 30), "annotations/b.json", categories=swapped)
    loaded = data.load("coco_json", root)
    assert loaded.classes == ("background", "leaf", "stem")
    for i, mask in enumerate(loaded.masks):
        assert mask[128, 100] == (1 if i < 15 else 2)


def test_a_class_file_merges_ignores_and_resizes(tmp_path):
    root = write(tmp_path / "set")
    (root / "classes.toml").write_text(TOML + "[[classes]]\nname='leaf'\n[[classes]]\nname='stem'\nmerge='leaf'")
    loaded = data.load("coco_json", root)
    assert (loaded.classes, loaded.images.shape[1:3]) == (("leaf",), (32, 32))
    assert set(np.unique(loaded.masks)) == {0, 255}  # what no shape covers is ignored
    (root / "classes.toml").write_text(TOML + "[[classes]]\nname='leaf'")
    with pytest.raises(ValueError, match=r"unknown category, not in .*classes.toml: 'stem'"):
        data.load("coco_json", root)


def test_environments_play_on_it(tmp_path):
    root = write(tmp_path / "set")
    env = gym.make("RegionSelect-v0", dataset="coco_json", root=str(root), budget=2, picks=2, candidates=3)
    env.reset(seed=0)
    assert np.isfinite([env.step(i)[1] for i in (0, 1)]).all()
    small = {"budget": 2, "candidates": 2, "positives": 1, "negatives": 0, "classes": "all"}
    mine = gym.make("SingleClassMine-v0", dataset="coco_json", root=str(root), embeddings="filterbank", **small)
    assert mine.reset(seed=0)[1]["target_class"] in ("leaf", "stem")  # the background is no target


def test_real_annotations_of_coco_are_one_more_set(tmp_path, coco_tiny_root):
    loaded = data.load("coco_json", coco_tiny_root)
    assert len(loaded.images) == 38
    assert len(loaded.classes) == 81
    assert {loaded.names[i].split("/")[1] for i in loaded.splits["reward"]} == {"val2017"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"categories": [{"id": 3, "name": "leaf"}, {"id": 3, "name": "stem"}]}, "category 3 is there twice"),
        ({"categories": None}, "has no list 'categories'; is it a file of COCO annotations"),
        ({"annotations": []}, "has no shape with an area; export polygons or masks, not boxes alone"),
        (
            {
                "images": [{"id": 1, "file_name": "absent.png", "height": 4, "width": 4}],
                "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "segmentation": [[0, 0, 4, 0, 4, 4]]}],
            },
            "image 1, 'absent.png', is not below",
        ),
        (
            {"annotations": [{"id": 5, "image_id": 100, "category_id": 4, "segmentation": []}]},
            "annotation 5 of image 100: category_id=4 is not one of the file's categories",
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path, changes, message):
    root = write(tmp_path / "set", **changes)
    with pytest.raises((ValueError, FileNotFoundError), match=re.compile(message, re.DOTALL)):
        data.load("coco_json", root)


def test_an_ambiguous_image_and_an_empty_folder_are_refused(tmp_path):
    root = write(tmp_path / "set")
    write(root, [0], "annotations/instances_default.json", "other")
    with pytest.raises(FileNotFoundError, match=r"image 100, 'photo_00.png', may be .* or .*; write more of its path"):
        data.load("coco_json", root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"there is no JSON in .*empty.*; copy COCO annotations there"):
        data.open_dataset("coco_json", tmp_path / "empty")
