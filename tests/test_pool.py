"""UnlabelledPool: what is left to label, and candidates that are the same luck for every policy."""

import time
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alenv.pool import UnlabelledPool
from alenv.rng import Stream, keyed_rng

SEEDS = st.integers(0, 2**62 - 1)


POOLINGS = ["uniform", "per_image", "global", "image_clustered"]


@st.composite
def pools(draw, least=1):
    """A pool of one to ten images of one to nine regions, and an order in which to label these."""
    images = draw(st.lists(st.integers(0, 50), min_size=1, max_size=10, unique=True))
    per_image = draw(st.integers(least, 9))
    ids = [image * per_image + region for image in images for region in range(per_image)]
    pool = UnlabelledPool(np.array(images, np.int64), per_image, draw(SEEDS))
    return pool, np.array(draw(st.permutations(ids)), np.int64)


def lists(drawn):
    """What is shown for each pick."""
    return [drawn.ids[part].tolist() for part in drawn.shown]


def again(pool):
    return UnlabelledPool(pool.images, pool._per_image, pool._episode)


@pytest.mark.parametrize("pooling", POOLINGS)
@given(pools(), st.integers(0, 60), st.integers(0, 9), st.integers(0, 8), st.integers(1, 8))
def test_candidates_are_unlabelled_and_each_is_drawn_once(pooling, case, labelled, round_, picks, candidates):
    pool, order = case
    pool.take(order[:labelled])
    drawn = pool.draw(round_, range(round_ * picks, (round_ + 1) * picks), candidates, pooling)
    assert len(set(drawn.ids.tolist())) == len(drawn.ids)
    assert set(drawn.ids.tolist()) <= set(pool.unlabelled.tolist())
    assert set().union(*lists(drawn)) == set(drawn.ids.tolist())
    assert len(drawn.shown) <= min(picks, len(pool))
    if pooling != "per_image":
        assert len(drawn.ids) == min(len(pool), picks * candidates)
        assert len(drawn.shown) == min(picks, len(pool))
    if pooling == "global":
        assert all(part == slice(0, len(drawn.ids)) for part in drawn.shown)
        return
    assert sum(len(part) for part in lists(drawn)) == len(drawn.ids)
    assert all(1 <= len(part) <= candidates for part in lists(drawn))
    sizes = [len(part) for part in lists(drawn)]
    if pooling != "per_image" and sizes:
        assert max(sizes) - min(sizes) <= 1


@given(st.integers(1, 6), st.integers(1, 5), SEEDS, st.integers(1, 4), st.integers(1, 3), st.integers(0, 5))
def test_images_take_turns(images, laps, episode, picks, candidates, start):
    """After every lap each image has shown its regions equally often, whatever a round's number of picks is."""
    pool, seen = UnlabelledPool(np.arange(images) * 3, 40, episode), np.zeros(3 * images, int)
    for turn in range(0, laps * images * picks, picks):
        for part in lists(pool.draw(turn // picks, range(turn, turn + picks), candidates, "per_image")):
            assert len(part) == candidates
            assert len({region // 40 for region in part}) == 1
            seen[part[0] // 40] += 1
    assert (seen[::3] == laps * picks).all()


def test_turns_pass_over_images_without_regions():
    pool = UnlabelledPool(np.array([4, 7]), 3, 1)
    pool.take(np.array([12, 13, 14]))
    parts = lists(pool.draw(0, range(4), 1, "per_image"))
    assert sorted(parts) == [[21], [22], [23]]


def test_clusters_are_of_as_few_images_as_hold_enough():
    pool = UnlabelledPool(np.arange(30), 10, 7)
    seen = set()
    for round_ in range(200):
        ids = pool.draw(round_, range(4), 6, "image_clustered").ids
        assert len(ids) == 24
        assert len(np.unique(ids // 10)) == 3
        seen |= set((ids // 10).tolist())
    assert len(seen) == 30


@given(pools(), st.integers(0, 58), st.integers(0, 9), st.integers(1, 8), st.integers(1, 8))
def test_one_label_more_moves_each_pool_by_at_most_one_region(case, labelled, round_, picks, candidates):
    pool, order = case
    pool.take(order[:labelled])
    before = lists(pool.draw(round_, range(picks), candidates))
    pool.take(order[labelled : labelled + 1])
    after = lists(pool.draw(round_, range(picks), candidates))
    assert len(before) - len(after) in (0, 1)
    if len(pool) >= picks * candidates:
        for old, new in zip(before, after, strict=True):
            assert len(set(old) - set(new)) <= 1
            assert len(set(new) - set(old)) <= 1


@pytest.mark.parametrize("pooling", POOLINGS)
@given(pools(), st.integers(0, 60), st.integers(0, 9), st.randoms())
def test_a_draw_depends_on_what_is_labelled_and_not_on_how(pooling, case, labelled, round_, random):
    """Order of labelling and earlier draws leave no mark."""
    pool, order = case
    chosen = order[:labelled].tolist()
    pool.take(order[:labelled])
    random.shuffle(chosen)
    other = again(pool)
    for i, region in enumerate(chosen):
        other.draw(i, range(2), 2, pooling)
        other.take(np.array([region]))
    first, second, third = (lists(p.draw(round_, range(3, 6), 4, pooling)) for p in (pool, other, pool))
    assert first == second == third


def test_rounds_and_episodes_have_their_own_luck():
    keys = [(episode, round_) for episode in (0, 1) for round_ in (0, 1)]
    for pooling in POOLINGS:
        draws = [str(UnlabelledPool(np.arange(5), 10, e).draw(r, range(2), 5, pooling).ids) for e, r in keys]
        assert len(set(draws)) == 4


def test_candidates_are_uniform():
    """Each of 30 regions is shown in 6 of 30 places: 2000 rounds, five standard deviations."""
    pool = UnlabelledPool(np.arange(6), 5, 5)
    shown = np.concatenate([pool.draw(round_, range(2), 3).ids for round_ in range(2000)])
    counts = np.bincount(shown, minlength=30)
    assert abs(counts - 400).max() < 5 * (2000 * 0.2 * 0.8) ** 0.5


def test_golden_draw():
    """Recorded episodes are replayed: the candidates of a key must never change."""
    pool = UnlabelledPool(np.arange(20, 24), 5, 2**60 + 3)
    pool.take(np.array([103, 111]))
    for pooling, golden in GOLDEN.items():
        assert lists(pool.draw(2, range(6, 9), 2, pooling)) == golden


def test_a_huge_pool_costs_what_is_drawn_of_it():
    """Twenty million pixels: a draw that listed them all would need 160 MB."""
    pool = UnlabelledPool(np.arange(100), 200_000, 0)
    tracemalloc.start()
    for pooling in POOLINGS:
        assert len(pool.draw(0, range(100), 20, pooling).ids) == 2000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6


def test_the_last_regions_cost_no_more_than_the_first():
    """All of 10,000 take some 300 draws of a few: seconds, if each sorted all that were found before."""
    pool, start = UnlabelledPool(np.arange(10), 1000, 0), time.thread_time()
    assert len(np.unique(pool.sample(keyed_rng(0, Stream.CANDIDATES), 10_000))) == 10_000
    assert time.thread_time() - start < 0.3


@given(pools(), st.lists(st.integers(1, 6), max_size=20))
def test_labelled_and_unlabelled_make_all(case, sizes):
    pool, order = case
    for start, end in pairwise(np.cumsum([0, *sizes]).clip(max=len(order))):
        pool.take(order[start:end])
        assert sorted([*order[:end].tolist(), *pool.unlabelled.tolist()]) == sorted(order.tolist())
        assert len(pool) == len(order) - end
        assert (np.diff(pool.unlabelled) > 0).all()


@pytest.mark.parametrize("bad", [[2], [5], [-1], [99], [0, 4, 2], [4, 4]], ids=str)
def test_foreign_and_labelled_regions_are_errors_that_change_nothing(bad):
    pool = UnlabelledPool(np.array([0, 2, 4, 6]), 1, 1)
    pool.take(np.array([2]))
    assert pool.holds(np.array([0, 1, 2, 3, 4, 99])).tolist() == [True, False, False, False, True, False]
    with pytest.raises(ValueError, match=r"not in the pool or is labelled already|named twice"):
        pool.take(np.array(bad))
    assert pool.unlabelled.tolist() == [0, 4, 6]


@pytest.mark.parametrize("pooling", POOLINGS)
def test_nothing_left(pooling):
    pool = UnlabelledPool(np.array([1, 3]), 1, 1)
    pool.take(np.array([3, 1]))
    pool.take(np.empty(0, np.int64))
    assert len(pool) == 0
    assert lists(pool.draw(0, range(3), 3, pooling)) == []
    with pytest.raises(ValueError, match="region 3 is not in the pool"):
        pool.take(np.array([3]))


GOLDEN = {
    "uniform": [[118, 113], [106, 108], [102, 107]],
    "per_image": [[104, 102], [113, 112], [101, 100]],
    "global": [[118, 113, 106, 108, 102, 107]] * 3,
    "image_clustered": [[119, 116], [104, 101], [118, 115]],
}
