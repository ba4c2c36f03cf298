"""The procedural scenes: reproducible, balanced over splits, repetitive where pools should be."""

import ast
import hashlib
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from alenv import data
from alenv.data import scenes
from alenv.data.store import StoreWarning

SCORED = ("reward", "holdout", "test")
ENOUGH = 16  # pixels that make a class visible in an image


@pytest.fixture(scope="session")
def loaded(_places):
    """The dataset by day, from the cache of this run."""
    return data.load("scenes")


@pytest.fixture(scope="session")
def scored(loaded):
    """Masks of the splits whose scores must not be noise."""
    return {split: loaded.masks[loaded.splits[split]] for split in SCORED}


@pytest.fixture
def few(tmp_path, monkeypatch):
    """Small splits, in a cache of their own."""
    monkeypatch.setenv("ALENV_CACHE", str(tmp_path))
    monkeypatch.setattr(scenes, "SPLITS", {"state": 2, "train": 2})
    return tmp_path


def test_constants_agree():
    assert len(scenes.CLASSES) == len(np.unique(scenes.COLOURS, axis=0)) == 12
    assert all(size % part == 0 for size, part in zip(scenes.SIZE, scenes.REGION, strict=True))
    assert all(side % scenes.CELL == 0 for side in scenes.REGION)


def test_shapes_and_types():
    images, masks = scenes.render_drive(0, 0, [0, 3], "dusk")
    assert (images.shape, images.dtype) == ((2, 96, 128, 3), np.uint8)
    assert (masks.shape, masks.dtype) == ((2, 96, 128), np.uint8)
    assert masks.max() < 12


@pytest.mark.parametrize("domain", scenes.DOMAINS)
def test_golden_frames(domain):
    """Anyone's machine must draw these bytes: results are compared across machines."""
    images, masks = scenes.render_drive(7, 1003, [0, 19], domain)
    assert hashlib.sha256(images.tobytes() + masks.tobytes()).hexdigest()[:16] == GOLDEN[domain]


def test_a_frame_alone_equals_the_frame_in_a_batch():
    batch = scenes.render_drive(1, 5, [0, 4, 9])
    alone = scenes.render_drive(1, 5, [9])
    again = scenes.render_drive(1, 5, [9, 0])
    for together, single, other in zip(batch, alone, again, strict=True):
        np.testing.assert_array_equal(together[2], single[0])
        np.testing.assert_array_equal(together[[2, 0]], other)


def test_a_split_is_made_of_its_drives():
    images, masks, names = scenes.render_split(2, "state")
    drive = scenes.render_drive(2, 3, [0])
    assert names[3] == "state-d03-f00"
    np.testing.assert_array_equal(images[3], drive[0][0])
    np.testing.assert_array_equal(masks[3], drive[1][0])


def test_global_generator_is_neither_read_nor_moved():
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = scenes.render_drive(0, 0, [0])[0]
    scenes.render_pool(0, 1)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    np.random.seed(6)  # noqa: NPY002
    np.testing.assert_array_equal(scenes.render_drive(0, 0, [0])[0], first)


def test_seeds_and_drives_differ():
    worlds = [scenes.render_drive(seed, drive, [0])[1] for seed in (0, 1) for drive in (0, 1, 8)]
    assert len({world.tobytes() for world in worlds}) == 6


def test_rendered_pools_differ_from_each_other_and_from_the_named_splits():
    pools = [scenes.render_pool(seed, 16)[1][::15] for seed in (0, 1)]
    named = scenes.render_drive(0, 0, [0])[1], scenes.render_drive(0, 1000, [0])[1]
    frames = [mask.tobytes() for masks in (*pools, *named) for mask in masks]
    assert len(set(frames)) == 2 + 2 + 1 + 1


def test_names_and_size_of_a_rendered_pool():
    images, masks, names = scenes.render_pool(3, 17)
    assert len(images) == len(masks) == len(names) == len(set(names)) == 17
    assert names[0] == "fresh-d00-f00"
    assert names[-1] == "fresh-d01-f01"


def test_splits_are_disjoint_and_have_drives_enough(monkeypatch):
    """Counts drives without drawing them."""
    drawn = []

    def note(drive, frames, domain):
        drawn.append(drive.number)
        return np.zeros((len(frames), 1)), np.zeros((len(frames), 1))

    monkeypatch.setattr(scenes, "_render", note)
    for split, images in scenes.SPLITS.items():
        before = len(drawn)
        assert len(set(scenes.render_split(0, split)[2])) == images
        assert len(drawn) - before >= 8
    assert len(set(drawn)) == len(drawn)


def test_classes_are_long_tailed(scored):
    shares = np.bincount(np.concatenate(list(scored.values())).ravel(), minlength=12)
    shares = dict(zip(scenes.CLASSES, 100 * shares / shares.sum(), strict=True))
    assert 20 < shares["road"] < 40
    assert 15 < shares["building"] < 35
    assert 2 < shares["car"] < 8
    rare = ("sign", "fence", "pedestrian", "bicyclist", "lane marking")
    assert all(0.15 < shares[name] < 1.5 for name in rare), shares


@pytest.mark.parametrize("split", SCORED)
def test_scored_splits_show_every_class_often(scored, split):
    pixels = np.stack([(scored[split] == c).sum((1, 2)) for c in range(12)])
    images = dict(zip(scenes.CLASSES, (pixels >= ENOUGH).sum(1).tolist(), strict=True))
    assert min(images.values()) >= 15, images


def test_rare_classes_are_concentrated_in_few_drives(scored):
    """Most bicyclists ride in six of the forty drives, and half of the drives have hardly any."""
    bicyclists = (scored["test"] == scenes.CLASSES.index("bicyclist")).sum((1, 2))
    by_drive = np.sort(bicyclists.reshape(40, 3).sum(1))
    assert by_drive[-6:].sum() > 0.5 * by_drive.sum()
    assert np.median(by_drive) < 0.1 * by_drive.mean()


def test_neighbouring_frames_nearly_repeat_each_other():
    drives = [scenes.render_drive(0, drive, [0, 1, 19])[1] for drive in range(6)]
    neighbours = np.mean([(d[0] == d[1]).mean() for d in drives])
    ends = np.mean([(d[0] == d[2]).mean() for d in drives])
    strangers = np.mean([(a[0] == b[0]).mean() for a in drives for b in drives if a is not b])
    assert neighbours > 0.85
    assert ends < neighbours - 0.05
    assert strangers < ends


def test_dusk_shows_the_same_streets_darker():
    day, day_masks = scenes.render_drive(0, 2, [0, 7], "day")
    dusk, dusk_masks = scenes.render_drive(0, 2, [0, 7], "dusk")
    np.testing.assert_array_equal(day_masks, dusk_masks)
    assert dusk.mean() < 0.75 * day.mean()


def test_load(loaded):
    assert {split: len(images) for split, images in loaded.splits.items()} == {
        "state": 10, "train": 120, "reward": 100, "eval": 240, "holdout": 100, "test": 120,
    }  # fmt: skip
    assert np.concatenate(list(loaded.splits.values())).tolist() == list(range(690))
    for split, images in loaded.splits.items():
        drives = {loaded.names[i].rpartition("-")[0] for i in images}
        assert len(drives) >= 8
        assert {drive.split("-")[0] for drive in drives} == {split}
    np.testing.assert_array_equal(loaded.images[loaded.splits["state"]], scenes.render_split(0, "state")[0])
    np.testing.assert_array_equal(loaded.masks[loaded.splits["state"]], scenes.render_split(0, "state")[1])


def test_golden_dataset(loaded):
    """All that anyone is scored on, to the last pixel."""
    pixels = hashlib.sha256(np.asarray(loaded.images).tobytes() + np.asarray(loaded.masks).tobytes()).hexdigest()[:16]
    assert pixels == GOLDEN["dataset"]


def test_no_image_occurs_twice(loaded):
    assert len({hashlib.sha256(image.tobytes()).digest() for image in loaded.images}) == 690


def test_all_splits_are_made_in_under_20_seconds():
    """On one core, extrapolated from the fastest of some drives."""

    def seconds(drive):
        before = time.process_time()
        scenes.render_drive(0, drive, range(10))
        return time.process_time() - before

    assert min(map(seconds, range(6))) * sum(scenes.SPLITS.values()) / 10 < 20


def test_each_light_has_a_store_and_a_manifest_of_its_own(few):
    day, dusk = data.load("scenes"), data.load("scenes", split="dusk")
    assert {path.name for path in few.iterdir() if path.is_dir()} == {"scenes-day", "scenes-dusk"}
    np.testing.assert_array_equal(day.masks, dusk.masks)
    assert dusk.images.mean() < day.images.mean()
    assert re.fullmatch("[0-9a-f]{16}", day.manifest)
    assert day.manifest != dusk.manifest
    assert data.load("scenes", split="dusk").manifest == dusk.manifest


def test_manifest_covers_splits(few, monkeypatch):
    before = data.load("scenes")
    monkeypatch.setattr(scenes, "SPLITS", {"state": 1, "train": 3})
    after = data.load("scenes")
    np.testing.assert_array_equal(before.images, after.images)
    assert before.manifest != after.manifest


def test_other_code_makes_the_store_anew(few, monkeypatch):
    before = data.load("scenes").manifest
    monkeypatch.setattr(scenes, "_code", lambda: "edited")
    with pytest.warns(StoreWarning, match="scenes-day"):
        assert data.load("scenes").manifest == before


def test_hash_of_the_code_covers_every_module_that_draws(tmp_path, monkeypatch):
    here = Path(scenes.__file__)
    shutil.copy(here, tmp_path)
    shutil.copytree(here.with_name("town"), tmp_path / "town", ignore=shutil.ignore_patterns("__pycache__"))
    before = scenes._code()
    monkeypatch.setattr(scenes, "__file__", str(tmp_path / here.name))
    assert scenes._code() == before
    hashes = {before}
    for path in [tmp_path / here.name, *(tmp_path / "town").iterdir()]:
        path.write_text(path.read_text() + "#")
        hashes.add(scenes._code())
    assert len(hashes) == 2 + len(list((tmp_path / "town").iterdir()))


def test_drawing_modules_import_nothing_else_of_the_library():
    """Or the hash of their code would not cover what they do."""
    for path in Path(scenes.__file__).with_name("town").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("alenv"):
                assert node.module.startswith("alenv.data.town.")


def test_fresh_pool_replaces_some_images_and_no_others(loaded):
    train = loaded.splits["train"]
    fresh = data.open_dataset("scenes").fresh_pool(loaded, train[:20], 7, "day")
    images, masks, _ = scenes.render_pool(7, 20)
    np.testing.assert_array_equal(fresh.images[train[:20]], images)
    np.testing.assert_array_equal(fresh.masks[train[:20]], masks)
    others = np.delete(np.arange(690), train[:20])
    np.testing.assert_array_equal(fresh.images[others], loaded.images[others])
    np.testing.assert_array_equal(fresh.masks[others], loaded.masks[others])
    assert not (loaded.masks[train[:20]] == masks).all((1, 2)).any()


def test_fresh_pool_depends_on_the_episode_alone(loaded):
    train = loaded.splits["train"][:4]
    first, second = (data.open_dataset("scenes").fresh_pool(loaded, train, episode, "dusk") for episode in (1, 2))
    again = data.open_dataset("scenes").fresh_pool(first, train, 2, "dusk")
    np.testing.assert_array_equal(again.images, second.images)
    np.testing.assert_array_equal(again.masks, second.masks)
    assert not (first.masks[train] == second.masks[train]).all((1, 2)).any()
    assert (
        second.images[train].mean()
        < data.open_dataset("scenes").fresh_pool(loaded, train, 2, "day").images[train].mean()
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scenes.render_split(0, "hold-out"), "unknown split 'hold-out'.*'holdout'"),
        (lambda: scenes.render_split(0, "state", "dust"), "unknown domain 'dust'.*'dusk'"),
        (lambda: scenes.render_pool(0, 1, "night"), "unknown domain 'night'.*day, dusk"),
        (lambda: scenes.render_drive(0, 0, [3, 20]), r"frame 20 .*0\.\.19"),
        (lambda: scenes.render_pool(0, 0), "images=0.*at least one"),
        (lambda: scenes.render_drive(-1, 0, [0]), "non-negative"),
        (lambda: data.load("scenes", "/somewhere"), "root='/somewhere' has no effect.*drop it"),
        (lambda: data.load("scenes", split="dawn"), "unknown split of scenes 'dawn'"),
    ],
)
def test_errors_say_what_to_do(call, message):
    with pytest.raises(ValueError, match=message):
        call()


GOLDEN = {"day": "4b453291d14cd85b", "dusk": "a360748a4d71bd5b", "dataset": "74978c2e7a4ef8c8"}
