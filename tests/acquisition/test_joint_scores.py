"""EPIG: cases by hand, the formula in plain loops, and what information theory demands."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from alenv.acquisition import bald, epig, joint

KINDS = [np.asarray, torch.tensor]


def one(rows):
    """Passes (T, C) as those of a single place (T, C, 1, 1)."""
    return np.asarray(rows, float)[:, :, None, None]


def plain(probs, targets):
    """Mean over targets of the divergence of the joint prediction from the product of both."""
    passes, total = len(probs), 0.0
    for target in np.moveaxis(targets, 1, 0):
        both = sum(np.outer(p, q) for p, q in zip(probs[:, :, 0, 0], target, strict=True)) / passes
        apart = np.outer(both.sum(1), both.sum(0))
        total += (both[both > 0] * np.log(both[both > 0] / apart[both > 0])).sum()
    return total / targets.shape[1]


def test_cases_by_hand():
    """Two passes that disagree by a bit; a target that follows them, one that is fixed, one that follows half-way."""
    flips = [[1, 0], [0, 1]]
    half = 0.5 * math.log(4 / 3) + 0.25 * math.log(2 / 3) + 0.25 * math.log(2)  # joint: 1/2, 0; 1/4, 1/4
    for target, expected in [(flips, math.log(2)), ([[0.5, 0.5]] * 2, 0), ([[1, 0], [0.5, 0.5]], half)]:
        assert epig(one(flips), np.array(target, float)[:, None])[0, 0] == pytest.approx(expected, abs=1e-12)


@given(st.integers(0, 2**32 - 1))
def test_formula_and_data_processing(seed):
    """A label tells of another no more than of the model, and no less than nothing."""
    rng = np.random.default_rng(seed)
    passes, classes, targets = rng.integers(2, 6), rng.integers(2, 5), rng.integers(1, 5)
    probs = np.moveaxis(rng.dirichlet(np.full(classes, 0.3), (passes, 2, 1, 3)), -1, -3)
    towards = rng.dirichlet(np.full(classes, 0.3), (passes, targets))
    score = epig(probs, towards)
    for i, j in np.ndindex(2, 3):
        assert score[i, 0, j] == pytest.approx(plain(probs[:, i, :, :, j : j + 1], towards), abs=1e-9)
    assert (score <= bald(probs) + 1e-9).all()


@pytest.mark.parametrize("kind", KINDS, ids=["numpy", "torch"])
def test_kind_and_blocks(kind, monkeypatch):
    rng = np.random.default_rng(0)
    probs = np.moveaxis(rng.dirichlet(np.ones(4), (3, 5, 2, 3)), -1, -3).astype(np.float32)
    targets = rng.dirichlet(np.ones(4), (3, 7)).astype(np.float32)
    whole = epig(probs, targets)
    monkeypatch.setattr(joint, "PLACES", 4)
    score = epig(kind(probs), kind(targets))
    assert type(score) is type(kind(probs))
    assert score.shape == (5, 2, 3)
    np.testing.assert_allclose(np.asarray(score), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 2, 3), (2, 0, 3), (3, 2, 3), (2, 2, 4)])
def test_other_passes_or_classes_are_refused(shape):
    targets = np.full(shape, 1 / shape[2])
    with pytest.raises(ValueError, match="expected two passes or more"):
        epig(np.full((shape[0] if shape[0] == 1 else 2, 3, 1, 1), 1 / 3), targets)
