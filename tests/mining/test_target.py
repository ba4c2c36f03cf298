"""Scores of what was mined, against pixel-by-pixel definitions."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alenv import data
from alenv.mining.target import Target, average_precision, score_cells

PIXELS = st.integers(0, 5)


@pytest.fixture(scope="module")
def loaded(tiny):
    return data.load("coco", tiny[1])


@pytest.fixture(scope="module")
def target(tiny):
    return Target(*tiny)


@given(st.data(), st.integers(1, 12))
def test_scores_are_those_of_single_pixels(draw, cells):
    score = draw.draw(hnp.arrays(np.float32, cells, elements=st.sampled_from([-2, -1, 0, 0.5, 1])))
    own, rest = (draw.draw(hnp.arrays(np.int64, cells, elements=PIXELS)) for _ in range(2))
    own[0] += 1
    labels = np.concatenate([np.repeat([1, 0], pair) for pair in zip(own, rest, strict=True)])
    scores = np.repeat(score, own + rest)
    expected, recall = 0.0, 0.0
    for threshold in np.unique(scores)[::-1]:
        found = scores >= threshold
        expected += ((labels[found].sum() / labels.sum()) - recall) * labels[found].mean()
        recall = labels[found].sum() / labels.sum()
    assert average_precision(score, own, rest) == pytest.approx(expected)
    union = ((scores > 0) | (labels == 1)).sum()
    assert score_cells(score, own, rest).iou == pytest.approx(((scores > 0) & (labels == 1)).sum() / union)


def test_golden():
    """Ranks 1 and 3 of 4 are right: precision 1 and 2/3; the first two are predicted."""
    score = score_cells(np.array([3.0, 2.0, -1.0, -2.0]), np.array([1, 0, 1, 0]), np.array([0, 1, 0, 1]))
    assert score.average_precision == pytest.approx((1 + 2 / 3) / 2)
    assert score.iou == pytest.approx(1 / 3)


def test_a_class_that_is_not_there_has_no_score():
    score = score_cells(np.ones(3), np.zeros(3, int), np.ones(3, int))
    assert np.isnan([score.iou, score.average_precision]).all()


def test_nothing_mined_finds_nothing(target, loaded):
    score = target.score([], "person")
    masks = loaded.masks[loaded.splits["test"]]
    share = (masks == loaded.classes.index("person")).sum() / (masks != data.IGNORE).sum()
    assert score.iou == 0
    assert score.average_precision == pytest.approx(share)


def test_a_head_learns_from_what_was_mined(target, loaded):
    """Trained on the scored images themselves it is near the best that cells allow; on others it beats chance."""
    train = np.setdiff1d(np.arange(38), loaded.splits["test"])
    chance, learned = target.score([], "person"), target.score(train, "person")
    assert learned.average_precision > 1.2 * chance.average_precision
    assert learned.iou > 0


def test_order_and_repetition_do_not_matter(target):
    assert target.score([4, 1, 9], "person") == target.score([9, 4, 1, 4], "person")


def test_scores_do_not_depend_on_earlier_ones(target, tiny):
    before = target.score([0, 5, 7], "person")
    target.score([0, 1, 2, 3], "chair")
    assert target.score([0, 5, 7], "person") == before == Target(*tiny).score([0, 5, 7], "person")


def test_errors(target, tiny):
    with pytest.raises(ValueError, match=r"image 33 .*among those that are scored"):
        target.score([1, 33], "person")
    with pytest.raises(ValueError, match="unknown class 'persn'; did you mean 'person'"):
        target.score([1], "persn")
    with pytest.raises(ValueError, match="unknown split of coco 'tset'; did you mean 'test'"):
        Target(*tiny, split="tset")


@pytest.mark.slow
def test_more_images_of_dresses_find_dresses_better(ccp_root, squeezenet_weights):
    target, splits = Target("ccp"), data.load("ccp").splits
    few, many = (target.score(splits["train"][:n], "dress") for n in (5, 134))
    assert many.iou > few.iou + 0.05
    assert many.average_precision > few.average_precision + 0.05


def test_prefixes_are_scored_as_if_alone(target, loaded):
    """Each head starts from the last one, and ends at the same minimum within the fit's tolerance."""
    images = loaded.splits["train"][:12][::-1]
    together = target.score_prefixes(images, [2, 7, 12], "person")
    for score, length in zip(together, (2, 7, 12), strict=True):
        alone = target.score(images[:length], "person")
        assert score.iou == pytest.approx(alone.iou, abs=0.01)
        assert score.average_precision == pytest.approx(alone.average_precision, abs=0.01)
    assert together[0] != together[2]
