"""LabelPool: what is left to label, and candidates that are the same luck for every policy."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alenv.pool import LabelPool

SEEDS = st.integers(0, 2**62 - 1)


@st.composite
def pools(draw, least=1):
    """A pool of 1 to 60 regions with gaps in the numbering, and an order in which to label them."""
    ids = draw(st.lists(st.integers(0, 500), min_size=least, max_size=60, unique=True))
    return LabelPool(np.array(ids, np.int64), draw(SEEDS)), np.array(draw(st.permutations(ids)), np.int64)


def lists(drawn):
    return [part.tolist() for part in drawn]


@given(pools(), st.integers(0, 60), st.integers(0, 9), st.integers(1, 8), st.integers(1, 8))
def test_draws_are_disjoint_unlabelled_and_shared_out_evenly(case, labelled, round_, picks, candidates):
    pool, order = case
    pool.take(order[:labelled])
    drawn = pool.draw(round_, picks, candidates)
    shown = [region for part in drawn for region in part.tolist()]
    left = len(pool)
    assert len(set(shown)) == len(shown) == min(left, picks * candidates)
    assert set(shown) <= set(pool.unlabelled.tolist())
    assert len(drawn) == min(picks, left)
    sizes = [len(part) for part in drawn]
    assert not sizes or max(sizes) - min(sizes) <= 1
    if left >= picks * candidates:
        assert sizes == [candidates] * picks


@given(pools(least=2), st.integers(0, 58), st.integers(0, 9), st.integers(1, 8), st.integers(1, 8))
def test_one_label_more_moves_each_pool_by_at_most_one_region(case, labelled, round_, picks, candidates):
    pool, order = case
    labelled = min(labelled, len(order) - 2)
    pool.take(order[:labelled])
    before = pool.draw(round_, picks, candidates)
    pool.take(order[labelled : labelled + 1])
    after = pool.draw(round_, picks, candidates)
    assert len(before) - len(after) in (0, 1)
    for old, new in zip(before, after, strict=False):
        assert len(set(old.tolist()) - set(new.tolist())) <= 1
        assert len(set(new.tolist()) - set(old.tolist())) <= 1


@given(pools(), st.integers(0, 60), st.integers(0, 9), st.randoms())
def test_a_draw_depends_on_what_is_labelled_and_not_on_how(case, labelled, round_, random):
    """Order of the ids, order of labelling and earlier draws leave no mark."""
    pool, order = case
    chosen = order[:labelled].tolist()
    pool.take(order[:labelled])
    random.shuffle(chosen)
    other = LabelPool(np.sort(order), pool._episode)
    for i, region in enumerate(chosen):
        other.draw(i, 2, 2)
        other.take(np.array([region]))
    assert lists(pool.draw(round_, 3, 4)) == lists(other.draw(round_, 3, 4)) == lists(pool.draw(round_, 3, 4))


def test_rounds_and_episodes_have_their_own_luck():
    draws = [str(LabelPool(np.arange(50), episode).draw(round_, 2, 5)) for episode in (0, 1) for round_ in (0, 1)]
    assert len(set(draws)) == 4


def test_candidates_are_uniform():
    """Each of 30 regions is shown in 6 of 30 places: 2000 rounds, five standard deviations."""
    pool = LabelPool(np.arange(30), 5)
    shown = np.concatenate([np.concatenate(pool.draw(round_, 2, 3)) for round_ in range(2000)])
    counts = np.bincount(shown, minlength=30)
    assert abs(counts - 400).max() < 5 * (2000 * 0.2 * 0.8) ** 0.5


def test_golden_draw():
    """Recorded episodes are replayed: the candidates of a key must never change."""
    pool = LabelPool(np.arange(100, 120), 2**60 + 3)
    pool.take(np.array([103, 111]))
    assert lists(pool.draw(2, 3, 2)) == GOLDEN


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
    pool = LabelPool(np.array([0, 2, 4, 6]), 1)
    pool.take(np.array([2]))
    with pytest.raises(ValueError, match=r"not in the pool or is labelled already|named twice"):
        pool.take(np.array(bad))
    assert pool.unlabelled.tolist() == [0, 4, 6]


@pytest.mark.parametrize("regions", [[], [3, 1]], ids=["empty", "exhausted"])
def test_nothing_left(regions):
    pool = LabelPool(np.array(regions, np.int64), 1)
    pool.take(np.array(regions, np.int64))
    pool.take(np.empty(0, np.int64))
    assert len(pool) == 0
    assert pool.draw(0, 3, 3) == []
    with pytest.raises(ValueError, match="region 3 is not in the pool"):
        pool.take(np.array([3]))


@given(pools(), st.integers(0, 60))
def test_a_snapshot_restores_and_is_not_a_view(case, labelled):
    pool, order = case
    pool.take(order[:labelled])
    state, before = pool.get_state(), lists(pool.draw(1, 3, 3))
    pool.take(order[labelled:])
    other = LabelPool(order, pool._episode)
    other.set_state(state)
    other.take(order[labelled:])
    for restored in (pool, other):
        restored.set_state(state)
        assert lists(restored.draw(1, 3, 3)) == before


GOLDEN = [[115, 117], [102, 114], [119, 108]]
