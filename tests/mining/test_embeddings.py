"""Datasets as mining pools: true to their masks, resumed after a kill, and never mixed with other data."""

import shutil

import numpy as np
import pytest
from PIL import Image, ImageOps

from alenv import data
from alenv.data import coco
from alenv.data.store import StoreWarning
from alenv.mining import embeddings
from alenv.mining.embeddings import embed_dataset


@pytest.fixture(scope="module")
def pool(tiny):
    return embed_dataset(*tiny)


@pytest.fixture
def fresh(tiny, cache, monkeypatch):
    """The same data, nothing embedded yet; and a count of the images that are."""
    calls = []
    original = embeddings._Embedder.__call__

    def counted(self, image):
        calls.append(None)
        return original(self, image)

    monkeypatch.setattr(embeddings._Embedder, "__call__", counted)
    return calls


def test_contract(pool):
    n, d = pool.embeddings.shape
    assert (n, pool.embeddings.dtype) == (38, np.float32)
    assert d == len(pool.splits["train"]) - 1  # fewer policy images than dimensions
    np.testing.assert_allclose(np.linalg.norm(pool.embeddings, axis=1), 1, rtol=1e-5)
    assert (pool.modes.dtype, pool.pixels.dtype, pool.mode_class.dtype) == (np.int16, np.int32, np.int16)
    assert pool.mode_class.tolist() == list(range(80))
    assert len(pool.classes) == 80


def test_quantities_recount_the_masks(pool, tiny):
    loaded = data.load("coco", tiny[1])
    assert coco.BACKGROUND not in pool.classes
    for image, mask in enumerate(loaded.masks):
        found, counts = np.unique(mask[(mask != 0) & (mask != data.IGNORE)], return_counts=True)
        expected = {loaded.classes[c]: k for c, k in zip(found, counts.tolist(), strict=True)}
        modes = pool.modes[image][pool.modes[image] >= 0]
        assert {pool.classes[m]: k for m, k in zip(modes, pool.pixels[image].tolist(), strict=False)} == expected
        assert not pool.pixels[image][pool.modes[image] < 0].any()
    assert (pool.modes[:, -1] >= 0).any()  # rows are no wider than they must be


def test_policy_images_are_all_but_the_new_ones(pool, tiny):
    loaded = data.load("coco", tiny[1])
    assert set(pool.splits) == {"train", "eval", "test"}
    assert sorted(np.concatenate(list(pool.splits.values()))) == list(range(38))
    for part in ("eval", "test"):
        np.testing.assert_array_equal(pool.splits[part], loaded.splits[part])


def test_components_see_policy_images_alone():
    rng = np.random.default_rng(0)
    pooled, train = rng.normal(size=(30, 50)).astype(np.float32), np.arange(10)
    other = pooled.copy()
    other[10:] = 7 * rng.normal(size=(20, 50))
    one, two = (embeddings._project(x, train) for x in (pooled, other))
    np.testing.assert_array_equal(one[:10], two[:10])
    assert one.shape == (30, 9)
    # Angles between policy images are those of the centred vectors: nine axes hold ten of them without loss.
    centred = pooled[:10] - pooled[:10].mean(0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    np.testing.assert_allclose(one[:10] @ one[:10].T, unit @ unit.T, atol=1e-5)


def test_a_killed_run_goes_on_where_it_stopped(tiny, pool, fresh, monkeypatch):
    monkeypatch.setattr(embeddings, "CHUNK", 10)
    embed = embeddings._Embedder.__call__

    def killed(self, image):
        if len(fresh) >= 25:
            raise KeyboardInterrupt
        return embed(self, image)

    with monkeypatch.context() as patch:
        patch.setattr(embeddings._Embedder, "__call__", killed)
        with pytest.raises(KeyboardInterrupt):
            embed_dataset(*tiny)
    fresh.clear()
    again = embed_dataset(*tiny)
    assert len(fresh) == 18
    np.testing.assert_array_equal(again.embeddings, pool.embeddings)
    assert again.manifest == pool.manifest
    fresh.clear()
    embed_dataset(*tiny)
    assert not fresh


def test_a_cache_of_other_data_is_rebuilt_and_that_is_said(tiny, fresh, tmp_path):
    root = shutil.copytree(tiny[1], tmp_path / "coco")
    before = embed_dataset("coco", str(root), "filterbank")
    image = next((root / "images" / "train2017").glob("*.jpg"))
    ImageOps.invert(Image.open(image).convert("RGB")).save(image)
    fresh.clear()
    with pytest.warns(StoreWarning, match=r"rebuilding the cache .*embeddings-coco.* other files or settings"):
        after = embed_dataset("coco", str(root), "filterbank")
    assert len(fresh) == 38
    assert after.manifest != before.manifest


def test_missing_weights_are_an_error(tiny, monkeypatch, tmp_path):
    monkeypatch.setenv("ALENV_WEIGHTS", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"no weights file .*squeezenet1_0_imagenet\.pth"):
        embed_dataset(*tiny[:2], None)
    with pytest.raises(ValueError, match="unknown features 'squeezenet'"):
        embed_dataset(*tiny[:2], "squeezenet")
    with pytest.raises(ValueError, match="unknown dataset 'cocoa'; did you mean 'coco'"):
        embed_dataset("cocoa", None, None)


def test_a_third_of_the_frequent_classes_is_held_out():
    names = tuple(f"class {i}" for i in range(30))
    splits = {"train": np.arange(20), "eval": np.arange(20, 40)}
    counts = np.ones((40, 30), np.int32)
    counts[4:20, 0] = counts[24:, 1] = 0  # too few policy images of the one, too few new ones of the other
    chosen = embeddings._heldout(names, counts, splits)
    assert len(chosen) == 9
    assert not {"class 0", "class 1"} & set(chosen)
    assert set(chosen) == set(embeddings._heldout(names[::-1], counts[:, ::-1], splits))


def test_backbone(tiny, fresh, squeezenet_weights, pool):
    """A network separates a class that the filter bank hardly does: it is really used."""
    network = embed_dataset(*tiny[:2], None)
    assert network.manifest != pool.manifest
    assert network.embeddings.shape == pool.embeddings.shape
    np.testing.assert_array_equal(network.pixels, pool.pixels)
    assert len(fresh) == 38


@pytest.mark.slow
def test_prototypes_rank_real_images(ccp_root, squeezenet_weights):
    """Three images of a class find more of it than chance among new ones, on average over classes."""
    pool = embed_dataset("ccp", None, None)
    assert pool.embeddings.shape == (1004, 64)
    assert {part: len(images) for part, images in pool.splits.items()} == {"train": 254, "eval": 450, "test": 300}
    assert "null" not in pool.classes
    assert len(pool.heldout) == 13
    rng, images, areas = np.random.default_rng(0), pool.splits["eval"], []
    for c in range(len(pool.classes)):
        holds = (pool.modes[images] == c).any(1)
        if 8 <= holds.sum() <= 440:
            for _ in range(10):
                seeds = rng.choice(np.flatnonzero(holds), 3, replace=False)
                left = np.setdiff1d(np.arange(450), seeds)
                cosine = pool.embeddings[images[left]] @ pool.embeddings[images[seeds]].mean(0)
                higher = cosine[holds[left]][:, None] > cosine[~holds[left]]
                areas.append(higher.mean())
    assert np.mean(areas) > 0.57
