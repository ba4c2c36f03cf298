"""COCO and COCO-Stuff: real samples of the formats, and a made-up COCO-Stuff 10k."""

import contextlib
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle
from pycocotools.coco import COCO
from scipy.io import loadmat, savemat

from alenv import data
from alenv.data import IGNORE, coco, coco_instances, coco_panoptic, splitting
from alenv.data.coco_names import PANOPTIC_STUFF, STUFF, THINGS

pytestmark = pytest.mark.usefixtures("cache")

PARTS = {"train2017": 32, "val2017": 6}


def instances(root, part):
    """The annotations as we read them, and as pycocotools does."""
    path = coco.find_json(root, "instances", part)
    with contextlib.redirect_stdout(io.StringIO()):
        return path, coco_instances.read_instances(path, THINGS), COCO(str(path))


def test_names():
    assert (len(THINGS), len(STUFF), len(PANOPTIC_STUFF)) == (80, 91, 53)
    assert (THINGS[1], THINGS[90], STUFF[92], STUFF[182]) == ("person", "toothbrush", "banner", "wood")
    assert PANOPTIC_STUFF[200] == "rug-merged"
    for name, classes in (("coco", 81), ("coco_panoptic", 133), ("coco_stuff10k", 171)):
        opened = data.open_dataset(name)
        assert len(set(opened.classes)) == len(np.unique(opened.colours, axis=0)) == classes
        assert all(side % opened.cell == 0 for side in (*opened.region, *coco.SIZE))


def test_category_names_are_those_of_the_annotations(coco_tiny_root, panoptic_root):
    _, _, theirs = instances(coco_tiny_root, "val2017")
    assert {c["id"]: c["name"] for c in theirs.dataset["categories"]} == THINGS
    content = json.loads((panoptic_root / "panoptic_examples.json").read_text())
    assert {c["id"]: c["name"] for c in content["categories"]} == THINGS | PANOPTIC_STUFF


@pytest.mark.parametrize("part", PARTS)
def test_instance_masks_follow_the_annotations(coco_tiny_root, part):
    """Pixel by pixel: a crowd is ignored, else the smallest instance is seen, else there is background."""
    _, ours, theirs = instances(coco_tiny_root, part)
    index = coco.INDEX
    assert sorted(index.values()) == list(range(1, 81))
    assert list(ours.pictures) == sorted(theirs.imgs)
    overlaps = 0
    for image in theirs.imgs:
        mask = coco_instances.instance_mask(ours, image, index)
        shapes = [(a, theirs.annToMask(a) > 0) for a in theirs.imgToAnns[image]]
        crowds = [shape for a, shape in shapes if a["iscrowd"]]
        crowd = np.any(crowds, 0) if crowds else np.zeros(mask.shape, bool)
        np.testing.assert_array_equal(mask == IGNORE, crowd)
        area = np.full(mask.shape, np.inf)
        expected = np.zeros(mask.shape, int)
        for a, shape in shapes:
            seen = shape & ~crowd & (shape.sum() < area)
            overlaps += np.isfinite(area[seen]).sum()
            area[seen], expected[seen] = shape.sum(), index[a["category_id"]]
        np.testing.assert_array_equal(np.where(crowd, 0, mask), expected)
    assert overlaps > 0


def test_load_instances(coco_tiny_root):
    loaded = data.load("coco", coco_tiny_root)
    assert loaded.images.shape == (38, 256, 256, 3)
    assert loaded.splits["test"].tolist() == list(range(32, 38))
    assert sorted(np.concatenate(list(loaded.splits.values()))) == list(range(38))
    assert loaded.classes[0] == coco.BACKGROUND
    # Stretching keeps shares: what covers a tenth of the picture does so afterwards.
    _, ours, _ = instances(coco_tiny_root, "train2017")
    original = coco_instances.instance_mask(ours, min(ours.pictures), coco.INDEX)
    share = [(mask == 0).mean() for mask in (original, loaded.masks[0])]
    assert share[0] == pytest.approx(share[1], abs=0.01)


def test_errors_of_instances(coco_tiny_root, tmp_path):
    root = shutil.copytree(coco_tiny_root, tmp_path / "coco")
    path = coco.find_json(root, "instances", "val2017")
    content = json.loads(path.read_text())
    victim = next((root / "images" / "val2017").glob("*.jpg"))
    victim.unlink()
    with pytest.raises(FileNotFoundError, match=f"there is no {victim}; unpack"):
        data.load("coco", root)
    path.write_text(json.dumps(content | {"categories": content["categories"][1:]}))
    with pytest.raises(ValueError, match=r"has 79 categories, .*COCO's 80 \(first difference: \(1, 'person'\)\)"):
        data.load("coco", root)
    path.write_text("{")
    with pytest.raises(ValueError, match=r"cannot read .* as COCO annotations"):
        data.load("coco", root)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"no .*instances_val2017\.json; is root="):
        data.load("coco", root)


@pytest.fixture
def panoptic(panoptic_root):
    """The sample's items, and per image what its JSON lists."""
    path = panoptic_root / "panoptic_examples.json"
    items = coco_panoptic.panoptic_items(path, panoptic_root / "panoptic_examples", panoptic_root / "input_images")
    entries = {entry["file_name"]: entry["segments_info"] for entry in json.loads(path.read_text())["annotations"]}
    return items, entries


def segments(entries):
    return [coco_panoptic.Segment(e["id"], e["category_id"], e.get("iscrowd", 0)) for e in entries]


def test_panoptic_masks_agree_with_the_segments_as_run_lengths(panoptic, panoptic_root):
    """The sample holds every segment a second time, in the format of detections."""
    content = json.loads((panoptic_root / "panoptic_coco_detection_format.json").read_text())
    names = list((THINGS | PANOPTIC_STUFF).values())
    by_id = THINGS | PANOPTIC_STUFF
    for file, infos in panoptic[1].items():
        mask = coco_panoptic.panoptic_mask(panoptic_root / "panoptic_examples" / file, segments(infos))
        expected = np.full(mask.shape, IGNORE)
        for a in content["annotations"]:
            if f"{a['image_id']:012d}.png" == file and not a["iscrowd"]:
                expected[rle.decode(a["segmentation"]) > 0] = names.index(by_id[a["category_id"]])
        np.testing.assert_array_equal(mask, expected)
        assert len(np.unique(mask)) > 5


def test_panoptic_items_are_stretched(panoptic):
    for item in panoptic[0]:
        image, mask = item.read()
        assert (image.shape, mask.shape) == ((256, 256, 3), (256, 256))


def test_load_panoptic(panoptic_root, tmp_path):
    root = tmp_path / "coco"
    for part in PARTS:
        shutil.copytree(panoptic_root / "input_images", root / part)
        shutil.copytree(panoptic_root / "panoptic_examples", root / "annotations" / f"panoptic_{part}")
        shutil.copy(panoptic_root / "panoptic_examples.json", root / "annotations" / f"panoptic_{part}.json")
    shares = dict.fromkeys(("state", "eval"), 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splitting, "shares", lambda images: shares)
        loaded = data.load("coco_panoptic", root)
    assert loaded.images.shape == (4, 256, 256, 3)
    assert loaded.splits["test"].tolist() == [2, 3]


def test_errors_of_panoptic(panoptic, panoptic_root):
    file, entries = next(iter(panoptic[1].items()))
    infos = segments(entries)
    path = panoptic_root / "panoptic_examples" / file
    with pytest.raises(ValueError, match=r"holds segment \d+, which its JSON does not list"):
        coco_panoptic.panoptic_mask(path, infos[1:])
    with pytest.raises(ValueError, match="has category 91, not one of COCO's 133"):
        coco_panoptic.panoptic_mask(path, [coco_panoptic.Segment(infos[0].id, 91), *infos[1:]])


LISTS = {"train": [f"COCO_train2014_{i:012d}" for i in range(12)], "test": ["COCO_train2014_000000000099"]}


@pytest.fixture
def stuff(tmp_path):
    """A COCO-Stuff 10k of 13 images, with all ids that occur."""
    root, rng = tmp_path / "coco_stuff10k", np.random.default_rng(0)
    ids = np.array([0, *THINGS, *STUFF])
    for folder in ("images", "annotations", "imageLists"):
        (root / folder).mkdir(parents=True)
    for part, names in LISTS.items():
        (root / "imageLists" / f"{part}.txt").write_text("\n".join(names) + "\n")
        for name in names:
            labels = rng.choice(ids, (256, 256)).astype(np.uint16)
            savemat(root / "annotations" / f"{name}.mat", {"S": labels, "captions": "none"})
            image = rng.integers(256, size=(256, 256, 3), dtype=np.uint8)
            Image.fromarray(image).save(root / "images" / f"{name}.jpg")
    return root


def test_stuff_ids_become_171_classes(stuff):
    loaded = data.load("coco_stuff10k", stuff)
    assert loaded.splits["test"].tolist() == [12]
    assert [loaded.names[12]] == LISTS["test"]
    assert set(np.unique(loaded.masks)) == {*range(171), IGNORE}
    ids = loadmat(stuff / "annotations" / f"{loaded.names[3]}.mat")["S"]
    names = {0: None} | THINGS | STUFF
    for i in np.unique(ids):
        (index,) = np.unique(loaded.masks[3][ids == i])
        assert names[i] == (None if index == IGNORE else loaded.classes[index])


def test_stuff_pixel_maps_are_read_in_the_place_of_mat_files(stuff):
    before = data.load("coco_stuff10k", stuff).masks[5].copy()
    path = stuff / "annotations" / f"{LISTS['train'][5]}.mat"
    ids = loadmat(path)["S"].astype(int)
    Image.fromarray(np.where(ids == 0, 255, ids - 1).astype(np.uint8)).save(path.with_suffix(".png"))
    path.unlink()
    with pytest.warns(UserWarning, match="made from other files"):
        after = data.load("coco_stuff10k", stuff).masks[5]
    np.testing.assert_array_equal(before, after)


def test_errors_of_stuff(stuff, tmp_path, monkeypatch):
    monkeypatch.delenv("ALENV_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"no folder .*coco_stuff10k; .*imageLists.*http\S+10k\S+zip"):
        data.load("coco_stuff10k")
    path = stuff / "annotations" / f"{LISTS['train'][0]}.mat"
    savemat(path, {"S": np.full((256, 256), 12, np.uint16)})
    with pytest.raises(ValueError, match="holds label 12"):
        data.load("coco_stuff10k", stuff)
    savemat(path, {"T": np.zeros(3)})
    with pytest.raises(ValueError, match=f"cannot read the label map S of {path}"):
        data.load("coco_stuff10k", stuff)
    (stuff / "imageLists" / "test.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"no .*test\.txt \(.*imageLists.*http\S+10k"):
        data.load("coco_stuff10k", stuff)
