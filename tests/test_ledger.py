"""Ledger: the costs it states are those of a recount."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from alenv import arrays as arrays_module
from alenv.data import IGNORE
from alenv.ledger import Ledger, count_clicks, label_counts, label_histogram

C = 4
MASKS = arrays(
    np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.sampled_from([0, 1, 2, 3, IGNORE])
)
PURCHASES = st.lists(st.tuples(st.integers(0, 5), MASKS), max_size=6)


def clicks_of(mask):
    return int(count_clicks(mask[None], label_counts(mask[None]))[0])


def fill(purchases):
    ledger = Ledger(C)
    for image, mask in purchases:
        ledger.buy(np.array([image]), mask[None])
    return ledger


@given(PURCHASES)
def test_recount(purchases):
    ledger = fill(purchases)
    labels = [int(v) for _, mask in purchases for v in mask.ravel() if v != IGNORE]
    assert ledger.regions == len(purchases)
    assert ledger.pixels == len(labels)
    assert ledger.class_pixels.tolist() == [labels.count(c) for c in range(C)]
    assert ledger.images == {image for image, _ in purchases}
    assert ledger.clicks == sum(clicks_of(mask) for _, mask in purchases)


def test_regions_bought_together_are_those_bought_one_by_one(monkeypatch):
    """Also in blocks, as many large regions are counted."""
    monkeypatch.setitem(arrays_module.BLOCK, "cpu", 100)
    masks = np.random.default_rng(0).choice(np.array([0, 1, 2, 3, IGNORE], np.uint8), (7, 6, 5))
    images = np.array([3, 3, 0, 1, 0, 5, 3])
    together, apart = Ledger(C), fill(zip(images, masks, strict=True))
    together.buy(images, masks)
    together.buy(images[:0], masks[:0])
    assert together.class_pixels.tolist() == apart.class_pixels.tolist()
    assert (together.regions, together.clicks, together.images) == (apart.regions, apart.clicks, apart.images)


@pytest.mark.parametrize(
    ("mask", "clicks"),
    [
        (np.full((6, 6), 3), 1),  # one class, no boundary
        (np.full((6, 6), IGNORE), 0),  # nothing to label
        (np.arange(20)[:, None].repeat(20, 1) // 10, 2 + 2),  # two halves: 20 pixels of boundary
        (np.arange(20)[None].repeat(20, 0) // 10, 2 + 2),  # the same, side by side
        (np.pad(np.full((2, 3), 1), 2), 2 + 1),  # an island: perimeter 10
        (np.pad(np.full((3, 3), 1), 2), 2 + 2),  # perimeter 12: part of a click is a click
        (np.pad(np.full((2, 3), 1), 2, constant_values=IGNORE), 1 + 1),  # the border with ignored pixels counts
        (np.zeros((1, 1)), 1),
    ],
)
def test_clicks_of_known_masks(mask, clicks):
    assert clicks_of(mask.astype(np.uint8)) == clicks


@given(MASKS)
def test_clicks_do_not_depend_on_orientation_or_names(mask):
    names = np.full(256, IGNORE, np.uint8)
    names[:C] = [2, 0, 3, 1]
    assert clicks_of(mask) == clicks_of(mask.T) == clicks_of(mask[::-1]) == clicks_of(names[mask])


def test_histogram_leaves_ignored_pixels_out():
    histogram = label_histogram(np.array([[0, 1, 1], [IGNORE, 3, IGNORE]], np.uint8), C)
    assert histogram.tolist() == [1, 2, 0, 1]
    assert histogram.dtype == np.int64
