"""The generated pool: long-tailed, as hard as it says, the same everywhere and at every size."""

from itertools import combinations

import numpy as np
import pytest

from alenv import mining
from alenv.mining import load
from alenv.mining import mixture as module

GOLDEN_MODES = [[30, 60, 91, -1, -1, -1, -1, -1], [0, 1, 9, 140, -1, -1, -1, -1], [-1, -1, -1, -1, -1, -1, -1, -1]]
GOLDEN_PIXELS = [[8192, 512, 128, 0, 0, 0, 0, 0], [512, 1600, 2304, 1600, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0]]
GOLDEN_SUM = 11655136
GOLDEN_VECTOR = [-0.1218359, -0.0746005, -0.0438576]


@pytest.fixture(scope="module")
def pool():
    return load("mixture")


def presence(pool):
    classes = np.where(pool.modes >= 0, pool.mode_class[pool.modes], -1)
    return np.stack([(classes == c).any(1) for c in range(len(pool.classes))], 1)


def auc(score, positive):
    rank = score.argsort().argsort()[positive]
    n = positive.sum()
    return (rank.sum() - n * (n - 1) / 2) / (n * (len(score) - n))


def one_shot(pool, targets):
    present = presence(pool)
    return {
        c: np.mean(
            [auc(pool.embeddings @ pool.embeddings[i], present[:, c]) for i in np.flatnonzero(present[:, c])[:6]]
        )
        for c in targets
    }


def test_contract(pool):
    n = len(pool.embeddings)
    assert pool.embeddings.shape == (10_000, 64)
    assert pool.embeddings.dtype == np.float32
    assert (pool.modes.dtype, pool.pixels.dtype, pool.mode_class.dtype) == (np.int16, np.int32, np.int16)
    np.testing.assert_allclose(np.linalg.norm(pool.embeddings, axis=1), 1, atol=1e-5)
    assert ((pool.modes >= 0) == (pool.pixels > 0)).all()
    assert sorted([*pool.splits["train"], *pool.splits["eval"]]) == list(range(n))
    assert len(pool.heldout) == 12
    assert set(pool.heldout) < set(pool.classes)
    ordered = np.where(pool.modes < 0, 999, pool.modes)
    assert (np.diff(ordered, axis=1)[ordered[:, 1:] < 999] > 0).all()


def test_long_tail_and_modes(pool):
    counts = presence(pool).sum(0)
    expected = 10_000 * np.minimum(0.35, 0.7 / np.arange(1, 61))
    np.testing.assert_allclose(counts, expected, atol=5 * np.sqrt(expected.max()))
    assert counts[0] > 20 * counts[-1] > 20 * 50
    assert np.bincount(pool.mode_class).tolist() == [1, 2, 3, 4] * 15
    assert 2.5 < (pool.modes >= 0).sum(1).mean() < 3.5


def test_one_positive_is_a_weak_prototype(pool):
    measured = one_shot(pool, range(0, 60, 3))
    assert 0.6 < np.mean(list(measured.values())) < 0.75


def test_far_modes_are_unrelated_and_near_ones_are_not():
    world = module._world()
    cosine = world.directions @ world.directions.T
    for far in (True, False):
        of = world.mode_class[(world.mode_class // 4 % 2 == 1) == far]
        pairs = [cosine[i, j] for c in of for i, j in combinations(np.flatnonzero(world.mode_class == c), 2)]
        assert abs(np.mean(pairs)) < 0.1 if far else np.quantile(pairs, 0.05) > 0.5


def test_labels_are_golden():
    """Integers and comparisons alone: the same on every machine."""
    small = load("mixture:1000")
    assert small.modes[:3].tolist() == GOLDEN_MODES
    assert small.pixels[:3].tolist() == GOLDEN_PIXELS
    assert int(small.pixels.sum()) == GOLDEN_SUM
    np.testing.assert_allclose(small.embeddings[0, :3], GOLDEN_VECTOR, atol=1e-6)


def test_a_small_pool_is_the_start_of_a_large_one(pool):
    small = load("mixture:1500")
    for name in ("embeddings", "modes", "pixels"):
        np.testing.assert_array_equal(getattr(small, name), getattr(pool, name)[:1500])
    assert small.manifest != pool.manifest


def test_large_pools_are_mapped_and_hold_the_same(monkeypatch, tmp_path, pool):
    monkeypatch.setenv("ALENV_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "MAPPED", 1000)
    module.generate.cache_clear()
    mapped = load("mixture:12000")
    module.generate.cache_clear()
    assert isinstance(mapped.embeddings, np.memmap)
    for name in ("embeddings", "modes", "pixels"):
        np.testing.assert_array_equal(getattr(mapped, name)[:10_000], getattr(pool, name))
    assert (tmp_path / "mixture-12000" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mixtures",), "unknown dataset 'mixtures'; did you mean 'mixture'"),
        (("mixture:10",), "write a number of at least 1000"),
        (("mixture:many",), "write a number"),
        (("mixture", "/data"), "root='/data' has no effect"),
        (("mixture", None, "resnet50"), "embeddings='resnet50' has no effect"),
    ],
)
def test_bad_names(arguments, message):
    with pytest.raises(ValueError, match=message):
        mining.load(*arguments)
