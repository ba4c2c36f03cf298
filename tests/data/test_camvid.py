"""CamVid in the SegNet layout: a small made-up copy of it, and the real one where it is at hand."""

import hashlib
import itertools
import json
import re
import shutil
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alenv import data
from alenv.data import camvid, find_root
from alenv.data.pairs import find_pairs

PARTS = {"train": 367, "val": 101, "test": 233}
COUNTS = {
    "blocked": {"state": 10, "train": 63, "eval": 218, "reward": 72, "test": 233, "holdout": 72},
    "interleaved": {"state": 10, "train": 100, "eval": 257, "reward": 101, "test": 233},
    "disjoint": {"state": 10, "train": 101, "eval": 305, "reward": 114, "test": 171},
}
SIZE = (6, 8)


def table(name):
    return json.loads((resources.files("alenv.data") / "splits" / f"camvid_{name}.json").read_text())


def frames():
    """Every frame that any table names: all of CamVid."""
    lists = [names for name in COUNTS for part, names in table(name).items() if part != "source"]
    return sorted(set(itertools.chain(*lists)))


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """Two equal made-up sets, in folders called ``camvid``."""
    base, rng = tmp_path_factory.mktemp("copies"), np.random.default_rng(0)
    names = frames()
    ends = np.cumsum([0, *PARTS.values()])
    for part, start, stop in zip(PARTS, ends[:-1], ends[1:], strict=True):
        for folder in (part, f"{part}annot"):
            (base / "one" / "camvid" / folder).mkdir(parents=True)
        for name in names[start:stop]:
            image, mask = rng.integers(256, size=(*SIZE, 3)), rng.integers(12, size=SIZE)
            Image.fromarray(image.astype(np.uint8)).save(base / "one" / "camvid" / part / name)
            Image.fromarray(mask.astype(np.uint8)).save(base / "one" / "camvid" / f"{part}annot" / name)
    shutil.copytree(base / "one", base / "two", copy_function=shutil.copy)  # with other time stamps
    return base / "one" / "camvid", base / "two" / "camvid"


@pytest.fixture
def root(copies, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(copies[0], tmp_path / "camvid")


@pytest.fixture(autouse=True)
def _own_cache(request, tmp_path_factory, monkeypatch):
    """Made-up sets go to a cache of their own, and nothing is found by chance."""
    if "camvid_root" not in request.fixturenames:
        monkeypatch.setenv("ALENV_CACHE", str(tmp_path_factory.getbasetemp() / "camvid_cache"))
        monkeypatch.delenv("ALENV_DATA", raising=False)


def test_constants():
    opened = data.open_dataset("camvid")
    assert len(opened.classes) == len(np.unique(opened.colours, axis=0)) == 11
    assert opened.classes[8] == "car"
    assert all(side % opened.cell == 0 for side in opened.region)
    assert all(side % part == 0 for side, part in zip((360, 480), opened.region, strict=True))
    assert not opened.generated
    assert not hasattr(opened, "fresh_pool")


@pytest.mark.parametrize("name", COUNTS)
def test_split_tables_are_disjoint_and_of_the_stated_sizes(name):
    parts = {part: names for part, names in table(name).items() if part not in ("source", "unused")}
    assert {part: len(set(names)) for part, names in parts.items()} == COUNTS[name]
    names = list(itertools.chain(*parts.values(), table(name).get("unused", [])))
    assert len(set(names)) == len(names)
    assert len(frames()) == sum(PARTS.values())


def test_disjoint_table_has_a_drive_of_its_own_for_every_part():
    """Only ``state`` and ``reward`` share one, as the reference says."""
    drives = {part: {name.split("_")[0] for name in names} for part, names in table("disjoint").items()}
    assert [drives[part] for part in ("train", "eval", "test")] == [{"0006R0"}, {"0016E5"}, {"Seq05VD"}]
    assert drives["state"] == drives["reward"] == {"0001TP"}


@pytest.mark.parametrize("name", COUNTS)
def test_load(copies, name):
    loaded = data.load("camvid", copies[0], name)
    assert (loaded.images.shape, loaded.masks.shape) == ((701, *SIZE, 3), (701, *SIZE))
    assert loaded.images.dtype == loaded.masks.dtype == np.uint8
    assert {part: len(images) for part, images in loaded.splits.items()} == COUNTS[name]
    for part, images in loaded.splits.items():
        assert images.dtype == np.int64
        assert [loaded.names[i] for i in images] == table(name)[part]
    assert loaded.classes == camvid.CLASSES


def test_official_table_has_the_whole_training_set_as_pool(camvid_root):
    _, files = data.open_dataset("camvid", camvid_root).find("official")
    there = {part: {files.items[i].name for i in images} for part, images in files.splits.items()}
    official = {part: {path.name for path in (camvid_root / part).iterdir()} for part in PARTS}
    assert there["train"] == there["eval"] == official["train"]
    assert (there["reward"], there["test"]) == (official["val"], official["test"])
    assert there["state"] < there["eval"]


def test_label_11_is_ignored_and_the_others_are_kept(copies):
    loaded = data.load("camvid", copies[0])
    pairs = find_pairs({copies[0] / part: copies[0] / f"{part}annot" for part in PARTS})
    labels = np.stack([np.asarray(Image.open(pair.mask)) for pair in pairs])
    np.testing.assert_array_equal(loaded.masks, np.where(labels == 11, data.IGNORE, labels))
    assert (labels == 11).any()


def test_manifest_is_a_hash_of_pixels_labels_and_splits_alone(copies, root):
    manifests = [data.load("camvid", copies[0], name).manifest for name in data.open_dataset("camvid").split_tables]
    assert len(set(manifests)) == len(manifests)
    assert all(re.fullmatch("[0-9a-f]{16}", manifest) for manifest in manifests)
    assert data.load("camvid", copies[1]).manifest == manifests[0]
    path = next((root / "trainannot").iterdir())
    Image.fromarray((np.asarray(Image.open(path)) + 1) % 12).save(path)
    assert data.load("camvid", root).manifest != manifests[0]


def test_found_through_root_then_variable_then_cache(copies, tmp_path, monkeypatch):
    cached = tmp_path / "cache" / "data" / "camvid"
    monkeypatch.setenv("ALENV_CACHE", str(tmp_path / "cache"))
    with pytest.raises(FileNotFoundError, match=f"no folder {cached}; pass root=.* ALENV_DATA"):
        data.load("camvid")
    cached.parent.mkdir(parents=True)
    cached.symlink_to(copies[0])
    assert data.load("camvid").masks.shape == (701, *SIZE)
    monkeypatch.setenv("ALENV_DATA", str(tmp_path))
    assert find_root("camvid", None) == cached
    (tmp_path / "camvid").mkdir()
    assert find_root("camvid", None) == tmp_path / "camvid"
    assert find_root("camvid", copies[1]) == copies[1]


def test_wrong_root(tmp_path, monkeypatch):
    monkeypatch.setenv("ALENV_DATA", str(tmp_path))
    (tmp_path / "camvid").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no folder .*/nowhere; pass root='\.\.\.', or set ALENV_DATA"):
        data.load("camvid", tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=rf"no folder {tmp_path}/train; is root='{tmp_path}' the folder that"):
        data.load("camvid", tmp_path)


def test_wrong_names():
    with pytest.raises(ValueError, match="unknown split of camvid 'block'; did you mean 'blocked'"):
        data.load("camvid", split="block")
    with pytest.raises(ValueError, match="unknown dataset 'camvit'; did you mean 'camvid'"):
        data.load("camvit")


def test_missing_frame(root):
    for folder in ("train", "trainannot"):
        (root / folder / "0001TP_006780.png").unlink()
    with pytest.raises(FileNotFoundError, match=rf"1 images .* {root} \(first: 0001TP_006780\.png\); copy.*701"):
        data.load("camvid", root)


def test_mask_of_another_label_set(root):
    path = next((root / "valannot").iterdir())
    Image.fromarray(np.full(SIZE, 12, np.uint8)).save(path)
    with pytest.raises(ValueError, match=rf"{path} holds label 12; allowed are 0\.\.11, 255: .*32 classes"):
        data.load("camvid", root)


def test_real_files_are_those_of_the_tables(camvid_root):
    found = {part: [p.name for p in find_pairs({camvid_root / part: camvid_root / f"{part}annot"})] for part in PARTS}
    assert {part: len(names) for part, names in found.items()} == PARTS
    assert sorted(itertools.chain(*found.values())) == frames()
    assert found["val"] == sorted(table("interleaved")["reward"])


# Of all pixels in % (and images that contain the class), by official part: reference/datasets.md, section 1.
SHARES = {
    "train": "16.845 23.259 0.983 31.658 4.486 9.724 1.173 1.127 5.866 0.639 0.292 3.948",
    "val": "9.177 25.962 0.564 28.953 8.719 16.336 0.892 3.078 1.746 0.651 2.217 1.703",
    "test": "17.066 24.605 1.177 25.807 9.269 11.253 1.010 1.184 3.972 0.634 0.189 3.833",
}
IMAGES = {
    "train": "366 365 366 367 349 319 351 173 360 317 201 367",
    "val": "101 101 101 101 101 101 101 101 101 101 101 101",
    "test": "232 233 232 233 233 228 226 90 223 222 77 232",
}


@pytest.mark.slow
def test_real_class_shares(camvid_root):
    masks = np.asarray(data.load("camvid", camvid_root).masks).reshape(701, -1)
    pixels = np.stack([np.bincount(mask, minlength=256) for mask in masks])[:, [*range(11), data.IGNORE]]
    assert pixels.sum() == masks.size
    for part, counts in zip(PARTS, np.split(pixels, np.cumsum(list(PARTS.values()))[:-1]), strict=True):
        shares = 100 * counts.sum(0) / counts.sum()
        np.testing.assert_allclose(shares, np.array(SHARES[part].split(), float), rtol=0, atol=0.00051)
        assert (counts > 0).sum(0).tolist() == list(map(int, IMAGES[part].split()))


@pytest.mark.slow
def test_real_frames_are_decoded_exactly_and_occur_once(camvid_root):
    """By content: a frame under two names would leak from one split into another."""
    loaded = data.load("camvid", camvid_root)
    assert loaded.images.shape == (701, 360, 480, 3)
    assert len({hashlib.sha256(image.tobytes()).digest() for image in loaded.images}) == 701
    path = Path(camvid_root) / "test" / loaded.names[-1]
    np.testing.assert_array_equal(loaded.images[-1], np.asarray(Image.open(path).convert("RGB")))
