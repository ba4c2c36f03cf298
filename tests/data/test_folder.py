"""A folder of one's own images and masks: what becomes of sizes, labels, colours and names, and what is refused."""

import json
import re
from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image

import alenv  # noqa: F401  registers the ids
from alenv import data
from alenv.data.dividing import SHARES, divide, prefix, together

pytestmark = pytest.mark.usefixtures("cache")

SIZES = ((40, 60), (60, 40), (50, 50), (32, 80))
TOML = """
size = [32, 32]
[[classes]]
name = "soil"
colour = [120, 80, 40]
[[classes]]
name = "leaf"
colour = [0, 200, 0]
[[classes]]
name = "stem"
colour = [0, 90, 0]
merge = "leaf"
[[classes]]
name = "void"
colour = [0, 0, 0]
ignore = true
"""
COLOURS = np.array([(120, 80, 40), (0, 200, 0), (0, 90, 0), (0, 0, 0)], np.uint8)


def save(path, array, palette=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    if palette is not None:
        image.putpalette(palette.ravel().tolist())
    image.save(path)


def quarters(size, labels=4):
    """Four vertical stripes of labels."""
    return (np.arange(size[1]) * labels // size[1]).astype(np.uint8)[None].repeat(size[0], 0)


def write(root, number=30, form="index", names="img_{:03d}", classes="soil\nleaf\nstem\nvoid\n", part=None):
    """Write images of four sizes, whose masks are stripes; the images have the colours of the labels."""
    rng = np.random.default_rng(0)
    for i in range(number):
        mask = quarters(SIZES[i % 4])
        noise = rng.integers(0, 9, (*mask.shape, 3), dtype=np.uint8)
        folders = (root / "images", root / "masks") if part is None else (root / "images" / part, root / "masks" / part)
        save(folders[0] / f"{names.format(i)}.{'jpg' if i % 2 else 'png'}", COLOURS[mask] // 2 + noise)
        path = folders[1] / f"{names.format(i)}.png"
        save(path, COLOURS[mask] if form == "colours" else mask, COLOURS if form == "palette" else None)
    (root / ("classes.toml" if "[[" in classes else "classes.txt")).write_text(classes)
    return root


def test_labels_are_the_lines_of_the_class_file_and_images_are_stretched(tmp_path):
    loaded = data.load("folder", write(tmp_path / "set"))
    assert loaded.classes == ("soil", "leaf", "stem", "void")
    assert loaded.images.shape == (30, 256, 256, 3)
    for image, mask in zip(loaded.images, loaded.masks, strict=True):
        np.testing.assert_allclose(np.bincount(mask.ravel()) / 256, [64] * 4, atol=3)
        np.testing.assert_allclose(image[128, [32, 96]], COLOURS[:2] // 2 + 4, atol=6)


def test_letter_boxes_keep_shapes(tmp_path):
    classes = 'resize = "letterbox"\nsize = [256, 256]\n' + TOML.replace("size = [32, 32]", "")
    loaded = data.load("folder", write(tmp_path / "set", classes=classes))
    first = list(loaded.names).index("img_000")  # 40 x 60 becomes 171 x 256
    mask, image = loaded.masks[first], loaded.images[first]
    assert (mask[:42] == 255).all()
    assert (mask[213:] == 255).all()
    assert not image[:42].any()
    assert [mask[128, x] for x in (10, 100, 150, 250)] == [0, 1, 1, 255]
    assert np.bincount(mask.ravel(), minlength=256)[[0, 1]].tolist() == [171 * 64, 171 * 128]
    np.testing.assert_allclose(image[128, [10, 100]], COLOURS[:2] // 2 + 4, atol=6)


@pytest.mark.parametrize("form", ["index", "palette", "colours"])
def test_masks_of_all_forms_mean_the_same(tmp_path, form):
    loaded = data.load("folder", write(tmp_path / "set", form=form, classes=TOML))
    assert loaded.classes == ("soil", "leaf")
    np.testing.assert_array_equal(loaded.colours, COLOURS[:2])
    square = list(loaded.names).index("img_002")
    assert loaded.images.shape[1:3] == (32, 32)
    assert [loaded.masks[square, 16, x] for x in (3, 12, 20, 28)] == [0, 1, 1, 255]


def test_an_environment_plays_on_it_and_pickles_with_its_root(tmp_path):
    root = write(tmp_path / "set", classes=TOML)
    env = gym.make("RegionSelect-v0", dataset="folder", root=str(root), budget=4, picks=2, candidates=3)
    env.reset(seed=0)
    rewards = [env.step(i)[1] for i in (0, 1, 0, 1)]
    assert np.isfinite(rewards).all()
    assert env.unwrapped.evaluate("test").shape == (2, 2)


def test_mining_without_weights_embeds_by_the_filter_bank(tmp_path):
    root = write(tmp_path / "set", classes=TOML)
    small = {"budget": 2, "candidates": 2, "positives": 1, "negatives": 0, "classes": "all"}
    env = gym.make("SingleClassMine-v0", dataset="folder", root=str(root), embeddings="filterbank", **small)
    assert env.reset(seed=0)[1]["target_class"] in ("soil", "leaf")


def test_a_changed_class_file_or_mask_shows(tmp_path):
    root = write(tmp_path / "set", classes=TOML)
    before = data.load("folder", root)
    assert data.load("folder", root).manifest == before.manifest
    (root / "classes.toml").write_text(TOML.replace('merge = "leaf"', ""))
    unmerged = data.load("folder", root)
    assert unmerged.classes == ("soil", "leaf", "stem")
    assert set(np.unique(unmerged.masks)) == {0, 1, 2, 255}
    save(root / "masks" / "img_000.png", quarters((40, 60), 3))
    changed = data.load("folder", root)
    assert (changed.masks[0] != before.masks[0]).any()


@pytest.mark.parametrize("layout", ["inside", "above"])
def test_official_parts_are_kept_apart(tmp_path, layout):
    root = tmp_path / "set"
    for part, number in (("train", 20), ("val", 6), ("test", 4)):
        write(root, number, part=part, classes=TOML)
    if layout == "above":
        for part in ("train", "val", "test"):
            (root / part).mkdir()
            for kind in ("images", "masks"):
                (root / kind / part).rename(root / part / kind)
    loaded = data.load("folder", root)
    parts = {split: {loaded.names[i].split("/")[0] for i in images} for split, images in loaded.splits.items()}
    official = {"reward": {"val"}, "holdout": {"val"}, "test": {"test"}}
    assert parts == {split: official.get(split, {"train"}) for split in SHARES}
    assert sum(map(len, loaded.splits.values())) == len(loaded.images) == 30


def test_a_seeded_split_is_written_and_can_be_kept_beside_the_data(tmp_path):
    root = write(tmp_path / "set", classes=TOML)
    tables = data.open_dataset("folder", root).split_tables
    assert tables == ("seed0", "seed1", "seed2", "seed3", "seed4")
    loaded = [data.load("folder", root, table) for table in ("seed0", "seed1")]
    assert loaded[0].splits["train"].tolist() != loaded[1].splits["train"].tolist()
    [written] = (tmp_path / "cache").glob("folder-*.seed1.json")
    (root / "splits.json").write_text(written.read_text())
    assert data.open_dataset("folder", root).split_tables == ("file",)
    assert data.load("folder", root).manifest == loaded[1].manifest
    splits = json.loads(written.read_text())
    splits["train"][0] = "img_099"
    (root / "splits.json").write_text(json.dumps(splits))
    with pytest.raises(ValueError, match=r"splits.json: unknown image 'img_099'; did you mean 'img_0"):
        data.load("folder", root)


@pytest.mark.parametrize("number", [20, 60, 5000])
def test_every_split_gets_its_share_of_images(number):
    splits = divide({"train": [f"{i}" for i in range(number)]}, 0)
    assert list(splits) == list(SHARES)
    assert sorted(name for chosen in splits.values() for name in chosen) == sorted(f"{i}" for i in range(number))
    unit = max(1, number // 24)
    for split, limit in (("state", 20), ("reward", 100), ("holdout", 100)):
        assert abs(len(splits[split]) - min(SHARES[split] * number, limit)) <= 2 * unit


def test_groups_are_kept_whole_where_there_are_many():
    names = [f"patient{p:02d}_{i:03d}" for p in range(20) for i in range(1 + p % 5)]
    splits = divide({"train": names}, 3)
    owners = {name: split for split, chosen in splits.items() for name in chosen}
    for patient in {prefix(name) for name in names}:
        assert len({owners[name] for name in names if prefix(name) == patient}) == 1


def test_few_groups_are_cut_into_blocks_of_neighbours():
    names = [f"drive{d}_{i}" for d in range(3) for i in range(80)]
    blocks = together(names, 6)
    assert len(blocks) == 24
    assert blocks[0] == [f"drive0_{i}" for i in range(10)]  # by number, not by letter
    splits = divide({"train": names}, 0)
    owners = {name: split for split, chosen in splits.items() for name in chosen}
    assert sum(owners[a] != owners[b] for a, b in pairwise(names)) <= 23


@pytest.mark.parametrize(
    ("name", "expected"),
    [("0001TP_006690", "0001TP"), ("frame12", "frame"), ("p3-slice7_left", "p3-slice"), ("12", ""), ("cat", "cat")],
)
def test_a_prefix_is_all_before_the_last_number(name, expected):
    assert prefix(name) == expected


def broken(root, what):
    """Break one thing of a whole folder."""
    image, mask = root / "images" / "img_000.png", root / "masks" / "img_000.png"
    if what == "no classes":
        (root / "classes.toml").unlink()
    elif what == "two class files":
        (root / "classes.txt").write_text("a")
    elif what == "label":
        save(mask, np.full((40, 60), 9, np.uint8))
    elif what == "colour":
        save(mask, np.full((40, 60, 3), (1, 2, 3), np.uint8))
    elif what == "size":
        save(mask, quarters((41, 60)))
    elif what == "no mask":
        mask.unlink()
    elif what == "unreadable":
        image.write_bytes(b"no image")
    elif what == "no images":
        for path in (root / "images").iterdir():
            path.unlink()
    elif what == "few images":
        for path in sorted((root / "images").iterdir())[4:]:
            path.unlink()
    else:
        (root / "classes.toml").write_text(what)
    return root


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no classes", r"there is no .*classes.txt: write the names of the classes there, one a line"),
        ("two class files", "has classes.txt and classes.toml; remove one"),
        ("label", r"img_000.png holds label 9; allowed are 0..3, 255"),
        ("colour", r"img_000.png holds the colour \(1, 2, 3\), which no class has; add it to the class file"),
        ("size", r"img_000.png is 60x40 .*but .*img_000.png is 60x41"),
        ("no mask", r"the mask .*img_000.png of .* is missing"),
        ("unreadable", r"cannot read .*img_000.png"),
        ("no images", "images holds no PNG or JPEG file"),
        ("few images", "4 images are too few to be divided into state, train, reward"),
        ("[[classes]]\nname = 'a'\ncolor = [1, 2, 3]", r"classes.toml: unknown key .*'color'; did you mean 'colour'"),
        ("[[classes]]\nname = 'a'\ncolour = [1, 2]", r"classes\[0\].colour=\[1, 2\]: expected"),
        ("[[classes]]\nname = 'a'\n[[classes]]\nname = 'a'", "'a' is there twice"),
        ("[[classes]]\nname = 'a'\nignore = true", "all of them are ignored"),
        ("[[classes]]\nname = 'a'\nignore = true\nmerge = 'b'", "is ignored and merged into 'b'; drop one"),
        ("background = 'sol'\n[[classes]]\nname = 'soil'", "unknown background 'sol'; did you mean 'soil'"),
        ("size = [997, 1499]\n[[classes]]\nname = 'soil'", "images of 1499x997 .*no cell of up to 16 pixels"),
        ("classes = 3", "classes=3: expected a list"),
        ("nothing", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, what, message):
    root = broken(write(tmp_path / "set", classes=TOML), what)
    with pytest.raises((ValueError, FileNotFoundError), match=re.compile(message, re.DOTALL)):
        data.load("folder", root)
