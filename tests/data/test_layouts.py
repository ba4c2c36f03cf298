"""Loaders in the layouts in which the sets are published: made-up copies with true names, ids, palettes and lists."""

import os
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from test_files import png_of_16_bits
from torchvision import datasets as theirs

import alenv  # noqa: F401  registers the ids
from alenv import data
from alenv.data import IGNORE, ade20k, camvid32, cityscapes, voc
from alenv.data.coco_names import STUFF, THINGS
from alenv.data.splitting import read_table

TRAIN, TEST = 24, 5
CITIES = {"train": ("aachen", "zurich"), "val": ("frankfurt",)}
PAGES = {
    "cityscapes": "cityscapes-dataset.com/downloads",
    "gtav": "visinf",
    "synthia": "synthia-dataset.net",
    "voc": "host.robots.ox.ac.uk",
    "voc_sbd": "bharathh",
    "ade20k": "sceneparsing",
    "camvid32": "mi.eng.cam.ac.uk",
    "coco_stuff164k": "cocostuff",
}


@pytest.fixture(autouse=True)
def _small(cache, monkeypatch):
    for module, number in ((cityscapes, 4), (ade20k, 4), (voc, 4)):
        monkeypatch.setattr(module, "REWARD", number)


class Maker:
    """Writes images and labels of several sizes, and remembers what each mask must become."""

    def __init__(self, root):
        self.root = root
        self.rng = np.random.default_rng(0)
        self.expected = {}

    def ids(self, known, name, classes):
        """Labels in blocks, so that a stretched mask can be compared: (h, w) of ids."""
        h, w = self.rng.integers(2, 4, 2)
        few = self.rng.choice(known, (h, w))
        few[0, 0] = known[-1]  # void, where a set has it
        self.expected[name] = np.array([classes.get(int(i), IGNORE) for i in few.flat]).reshape(h, w)
        return np.kron(few, np.ones((8, 8), int))

    def image(self, path, size):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(self.rng.integers(256, size=(*size, 3), dtype=np.uint8)).save(path)

    def mask(self, path, ids, palette=None):
        path.parent.mkdir(parents=True, exist_ok=True)
        mask = Image.fromarray(ids.astype(np.uint8))
        if palette is not None:
            mask.putpalette(palette.astype(np.uint8).tobytes())
        mask.save(path)

    def check(self, name, **arguments):
        """Load, and compare names, sizes and the middle of every block of every mask."""
        loaded = data.load(name, self.root, **arguments)
        assert set(loaded.names) == set(self.expected)
        assert loaded.images.shape[1:3] == loaded.masks.shape[1:]
        for item, mask in zip(loaded.names, loaded.masks, strict=True):
            wanted = self.expected[item]
            rows, columns = (
                ((np.arange(n) + 0.5) * whole / n).astype(int)
                for n, whole in zip(wanted.shape, mask.shape, strict=True)
            )
            np.testing.assert_array_equal(mask[np.ix_(rows, columns)], wanted)
        return loaded


IDS = {c.id: c.train_id for c in theirs.Cityscapes.classes if not c.ignore_in_eval}
"""The label ids that count, as torchvision has them."""


def make_cityscapes(root):
    maker = Maker(root)
    for part, cities in CITIES.items():
        for i in range(TRAIN if part == "train" else TEST):
            name = f"{cities[i % len(cities)]}_{i:06d}_000019"
            stem = Path(part) / cities[i % len(cities)] / name
            ids = maker.ids([*range(34), 255], name, IDS)
            maker.mask(root / "gtFine" / f"{stem}_gtFine_labelIds.png", ids)
            maker.mask(root / "gtFine" / f"{stem}_gtFine_instanceIds.png", ids)
            maker.image(root / "leftImg8bit" / f"{stem}_leftImg8bit.png", ids.shape)
    (root / "gtFine" / "val" / "frankfurt" / "x_gtFine_polygons.json").write_text("{}")
    (root / "leftImg8bit" / "train" / ".DS_Store").write_bytes(b"\0")
    return maker


def make_gtav(root):
    maker = Maker(root)
    for i in range(1, TRAIN + 1):
        ids = maker.ids(range(35), f"{i:05d}", IDS)
        maker.mask(root / "labels" / f"{i:05d}.png", ids, maker.rng.integers(256, size=(256, 3)))
        maker.image(root / "images" / f"{i:05d}.png", ids.shape)
    return maker


SYNTHIA = (
    "void", "sky", "building", "road", "sidewalk", "fence", "vegetation", "pole", "car", "traffic sign", "person",
    "bicycle", "motorcycle", "parking slot", "road work", "traffic light", "terrain", "rider", "truck", "bus",
    "train", "wall", "lane marking",
)  # fmt: skip
"""Its ids in order, in Cityscapes' words."""


def make_synthia(root):
    maker = Maker(root)
    classes = {i: cityscapes.CLASSES.index(name) for i, name in enumerate(SYNTHIA) if name in cityscapes.CLASSES}
    for i in range(TRAIN):
        ids = maker.ids(range(23), f"{i:07d}", classes)
        instances = maker.rng.integers(65536, size=ids.shape)
        path = root / "GT" / "LABELS" / f"{i:07d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if i % 4:
            png_of_16_bits(path, np.dstack([ids, instances, 0 * ids]).astype(np.uint16), 2)
        else:
            maker.mask(path, ids)
        maker.image(root / "RGB" / f"{i:07d}.png", ids.shape)
    return maker


def make_voc(root):
    maker, voc12 = Maker(root), root / "VOCdevkit" / "VOC2012"
    classes = {i: i for i in range(21)}
    lists = {"train": [f"2007_{i:06d}" for i in range(TRAIN)], "val": [f"2008_{i:06d}" for i in range(TEST)]}
    for name in [*lists["train"], *lists["val"]]:
        ids = maker.ids([*range(21), 255], name, classes)
        maker.mask(voc12 / "SegmentationClass" / f"{name}.png", ids, voc.COLOURS)
        maker.image(voc12 / "JPEGImages" / f"{name}.jpg", ids.shape)
    for part, names in lists.items():
        path = voc12 / "ImageSets" / "Segmentation" / f"{part}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(names) + "\n")
    return maker


def make_voc_sbd(root, kind="mat"):
    """Also labels those of the validation set, as SBD does: they must not be trained on."""
    maker = make_voc(root)
    voc12, sbd = root / "VOCdevkit" / "VOC2012", root / "benchmark_RELEASE" / "dataset" / "cls"
    for name in [f"2009_{i:06d}" for i in range(7)] + ["2007_000003", "2008_000001"]:
        known = maker.expected.get(name)
        ids = maker.ids(range(21), name, {i: i for i in range(21)})
        if known is None:
            maker.image(voc12 / "JPEGImages" / f"{name}.jpg", ids.shape)
        else:
            maker.expected[name] = known
        if kind == "mat":
            sbd.mkdir(parents=True, exist_ok=True)
            savemat(sbd / f"{name}.mat", {"GTcls": {"Segmentation": ids.astype(np.uint8), "Boundaries": [0]}})
        else:
            maker.mask(voc12 / "SegmentationClassAug" / f"{name}.png", ids)
    return maker


def make_ade20k(root):
    maker = Maker(root)
    for part, word, count in (("training", "train", TRAIN), ("validation", "val", TEST)):
        for i in range(1, count + 1):
            name = f"ADE_{word}_{i:08d}"
            ids = maker.ids(range(151), name, {i + 1: i for i in range(150)})
            maker.mask(root / "annotations" / part / f"{name}.png", ids)
            maker.image(root / "images" / part / f"{name}.jpg", ids.shape)
    return maker


def make_camvid32(root):
    maker = Maker(root)
    colours = np.concatenate([camvid32.COLOURS, [(0, 0, 0)]]).astype(np.uint8)
    for part in read_table("camvid_blocked").values():
        stem = part[0].removesuffix(".png")
        ids = maker.ids(range(32), stem, {i: i for i in range(31)})
        path = root / "LabeledApproved_full" / f"{stem}_L.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(colours[ids]).save(path)
        maker.image(root / "701_StillsRaw_full" / f"{stem}.png", ids.shape)
    return maker


def make_coco_stuff164k(root):
    maker = Maker(root)
    for part, count in (("train2017", TRAIN), ("val2017", TEST)):
        for i in range(count):
            name = f"{i + (part == 'val2017') * 1000:012d}"
            known = [*THINGS, *STUFF]
            ids = maker.ids([i - 1 for i in known] + [255], name, {i - 1: k for k, i in enumerate(known)})
            maker.mask(root / "stuffthingmaps_trainval2017" / part / f"{name}.png", ids)
            maker.image(root / "images" / part / f"{name}.jpg", ids.shape)
    return maker


MAKERS = {name.removeprefix("make_"): make for name, make in list(globals().items()) if name.startswith("make_")}


@pytest.fixture(params=PAGES)
def case(request, tmp_path, monkeypatch):
    monkeypatch.setattr(camvid32, "table_splits", lambda table, names, root: {"train": np.arange(len(names))})
    return request.param, MAKERS[request.param](tmp_path / "set")


def whole(splits, names):
    """All images are in a split; only those of ``official`` tables are in two that policies use."""
    return sorted(set(np.concatenate(list(splits.values())).tolist())) == [*range(len(names))]


def test_layout_is_read_and_labels_mean_what_the_authors_say(case):
    name, maker = case
    table = {} if name != "cityscapes" else {"split": "official"}
    loaded = maker.check("cityscapes_quarter" if name == "cityscapes" else name, **table)
    opened = data.open_dataset(name, maker.root)
    assert whole(loaded.splits, loaded.names)
    assert len(set(loaded.classes)) == len(loaded.classes) == len(np.unique(loaded.colours, axis=0))
    assert all(side % opened.cell == 0 for side in opened.region)
    size = opened.find(opened.split_tables[-1])[1].size
    assert all(whole % part == 0 for whole, part in zip(size, opened.region, strict=True))


def test_missing_files_say_what_is_expected_and_where_to_get_it(case):
    name, maker = case
    opened = data.open_dataset(name, maker.root)
    pattern = rf"there is no (folder )?\S.* \('{name}' is [^;]+\S.*{PAGES[name]}"
    image = opened.find(opened.split_tables[-1])[1].items[3].files[0]
    image.unlink()
    if name in ("voc", "voc_sbd"):  # the others list what is there
        with pytest.raises(FileNotFoundError, match=pattern):
            opened.load("official")
    for folder in maker.root.iterdir():
        folder.rename(folder.with_name(f"not_{folder.name}"))
    with pytest.raises(FileNotFoundError, match=pattern):
        opened.find(opened.split_tables[-1])
    with pytest.raises(FileNotFoundError, match=rf"no folder {maker.root}/x; .*{PAGES[name]}"):
        data.load(name, maker.root / "x")


def test_broken_files_are_all_named(case):
    name, maker = case
    opened = data.open_dataset(name, maker.root)
    items = opened.find(opened.split_tables[-1])[1].items
    wrong = [items[1].files[0], items[2].files[1]]
    for path in wrong:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    Image.new("RGB" if name == "camvid32" else "L", (16, 16), 200 if name != "camvid32" else (1, 2, 3)).save(
        items[3].files[1].with_suffix(".png")
    )
    with pytest.raises(ValueError, match=r"\d faults") as caught:
        opened.load(opened.split_tables[-1])
    assert all(str(path) in str(caught.value) for path in wrong)


def test_torchvision_finds_the_same_files(tmp_path):
    make_cityscapes(tmp_path / "cityscapes")
    (tmp_path / "cityscapes" / "leftImg8bit" / "train" / ".DS_Store").unlink()  # it falls over this
    _, files = data.open_dataset("cityscapes", tmp_path / "cityscapes").find("official")
    both = [theirs.Cityscapes(str(tmp_path / "cityscapes"), part, target_type="semantic") for part in CITIES]
    found = {(i, t[0]) for reader in both for i, t in zip(reader.images, reader.targets, strict=True)}
    assert found == {tuple(map(str, item.files)) for item in files.items}
    colours = {c.train_id: c.color for c in theirs.Cityscapes.classes if not c.ignore_in_eval}
    names = {c.train_id: c.name for c in theirs.Cityscapes.classes if not c.ignore_in_eval}
    assert [colours[i] for i in range(19)] == [tuple(colour) for colour in cityscapes.COLOURS.tolist()]
    assert tuple(names[i] for i in range(19)) == cityscapes.CLASSES
    make_voc(tmp_path / "voc")
    _, files = data.open_dataset("voc", tmp_path / "voc").find("official")
    both = [theirs.VOCSegmentation(str(tmp_path / "voc"), image_set=part) for part in ("train", "val")]
    found = [(i, t) for reader in both for i, t in zip(reader.images, reader.masks, strict=True)]
    assert found == [tuple(map(str, item.files)) for item in files.items]


def test_cityscapes_lists_of_ralis(tmp_path):
    """All stems of the paper, made of links to one image; ten of them are state and pool at once, as in the paper."""
    table = read_table("cityscapes_ralis")
    sizes = {"state": 10, "train": 150, "reward": 200, "eval": 2615}
    make_cityscapes(tmp_path)
    image = tmp_path / "leftImg8bit" / "train" / "aachen" / "aachen_000000_000019_leftImg8bit.png"
    for stem in sorted({stem for part in table.values() for stem in part}):
        path = tmp_path / "leftImg8bit" / "train" / stem.split("_")[0] / f"{stem}_leftImg8bit.png"
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            os.link(image, path)
    _, files = data.open_dataset("cityscapes", tmp_path).find("ralis")
    assert {part: len(images) for part, images in files.splits.items()} == sizes | {"test": TEST}
    names = [item.name for item in files.items]
    for part in sizes:
        assert {names[i] for i in files.splits[part]} == set(table[part])
    assert set(table["state"]) <= set(table["eval"])
    assert len(set(table["train"]) | set(table["reward"]) | set(table["eval"])) == 2965
    stem = table["train"][-1]
    os.unlink(tmp_path / "leftImg8bit" / "train" / stem.split("_")[0] / f"{stem}_leftImg8bit.png")
    with pytest.raises(FileNotFoundError, match=rf"1 images .*'cityscapes_ralis' .*first: {stem}"):
        data.open_dataset("cityscapes", tmp_path).find("ralis")


def test_official_tables_label_the_whole_training_set(tmp_path):
    splits = make_ade20k(tmp_path).check("ade20k", split="official").splits
    assert splits["train"].tolist() == splits["eval"].tolist()
    assert len(splits["reward"]) == 4
    assert sorted([*splits["eval"], *splits["reward"]]) == [*range(TRAIN)]
    assert set(splits["state"]) <= set(splits["eval"])
    assert splits["test"].tolist() == [*range(TRAIN, TRAIN + TEST)]


def test_official_tables_need_more_images_than_they_hold_back(tmp_path, monkeypatch):
    make_ade20k(tmp_path)
    monkeypatch.setattr(ade20k, "REWARD", TRAIN - 9)
    with pytest.raises(FileNotFoundError, match=r"24 training images, and .*'official' holds 15 .*sceneparsing"):
        data.load("ade20k", tmp_path, "official")


def test_labels_of_sbd_add_photos_but_none_of_the_validation_set(tmp_path):
    for kind in ("mat", "png"):
        root = tmp_path / kind
        loaded = make_voc_sbd(root, kind).check("voc_sbd", split="official")
        assert len(loaded.splits["eval"]) + len(loaded.splits["reward"]) == TRAIN + 7
        assert {loaded.names[i] for i in loaded.splits["test"]} == {f"2008_{i:06d}" for i in range(TEST)}


def test_camvid_has_its_published_colours():
    colours = dict(zip(camvid32.CLASSES, camvid32.COLOURS.tolist(), strict=True))
    published = {
        "animal": "408040",
        "bicyclist": "0080c0",
        "sky": "808080",
        "road": "804080",
        "traffic light": "004040",
    }
    assert {name: bytes(colours[name]).hex() for name in published} == published


def test_camvid_in_32_colours_has_the_split_tables_of_camvid(tmp_path):
    maker = make_camvid32(tmp_path)
    assert data.open_dataset("camvid32").split_tables == data.open_dataset("camvid").split_tables
    for table in ("blocked", "interleaved", "disjoint"):
        with pytest.raises(FileNotFoundError, match=rf"\d+ images of the split table 'camvid_{table}' are not in"):
            data.load("camvid32", maker.root, table)


def test_150_classes_are_played_drawn_and_mined(tmp_path, monkeypatch):
    monkeypatch.setattr(ade20k, "SIZE", (32, 48))
    monkeypatch.setattr(ade20k.Ade20k, "region", (16, 16))
    make_ade20k(tmp_path)
    kwargs = {"dataset": "ade20k", "root": str(tmp_path), "pool": "eval"}
    channels = ["entropy", "balent", "ripu", "cbda"]
    env = gym.make(
        "RegionSelect-v0",
        **kwargs,
        initial="state:1",
        picks=4,
        candidates=3,
        budget=8,
        scores=channels,
        render_mode="rgb_array",
    )
    obs, _ = env.reset(seed=0)
    assert env.observation_space.contains(obs)
    for _ in range(8):
        obs, _, ended, _, info = env.step(int(obs["action_mask"].argmax()))
    assert ended
    assert env.observation_space.contains(obs)
    assert len(info["class_iou"]) == len(info["class_pixels"]) == 150
    assert env.render().shape == (3 * 32, 3 * 48, 3)
    mine = gym.make(
        "SingleClassMine-v0",
        **kwargs,
        embeddings="filterbank",
        classes="all",
        candidates=3,
        budget=2,
        render_mode="rgb_array",
    )
    assert mine.observation_space.contains(mine.reset(seed=0)[0])
    assert mine.step(0)[4]["target_class"] in ade20k.CLASSES
    assert mine.render().ndim == 3
