"""Scores of what was mined, against pixel-by-pixel definitions."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alenv import data
from alenv.mining.target import Target, average_precision, cell_accuracy

PIXELS = st.integers(0, 5)


@pytest.fixture(scope="module")
def loaded(tiny):
    return data.load("coco", tiny[1])


@pytest.fixture(scope="module")
def target(tiny):
    return Target(*tiny)


@given(st.data(), st.integers(1, 12))
def test_accuracies_are_those_of_single_pixels(draw, cells):
    logit = draw.draw(hnp.arrays(np.float32, cells, elements=st.sampled_from([-2, -1, 0, 0.5, 1])))
    own, rest = (draw.draw(hnp.arrays(np.int64, cells, elements=PIXELS)) for _ in range(2))
    own[0] += 1
    labels = np.concatenate([np.repeat([1, 0], pair) for pair in zip(own, rest, strict=True)])
    logits = np.repeat(logit, own + rest)
    expected, recall = 0.0, 0.0
    for threshold in np.unique(logits)[::-1]:
        found = logits >= threshold
        expected += ((labels[found].sum() / labels.sum()) - recall) * labels[found].mean()
        recall = labels[found].sum() / labels.sum()
    assert average_precision(logit, own, rest) == pytest.approx(expected)
    union = ((logits > 0) | (labels == 1)).sum()
    assert cell_accuracy(logit, own, rest).iou == pytest.approx(((logits > 0) & (labels == 1)).sum() / union)


def test_golden():
    """Ranks 1 and 3 of 4 are right: precision 1 and 2/3; the first two are predicted."""
    accuracy = cell_accuracy(np.array([3.0, 2.0, -1.0, -2.0]), np.array([1, 0, 1, 0]), np.array([0, 1, 0, 1]))
    assert accuracy.average_precision == pytest.approx((1 + 2 / 3) / 2)
    assert accuracy.iou == pytest.approx(1 / 3)


def test_a_class_that_is_not_there_has_no_accuracy():
    accuracy = cell_accuracy(np.ones(3), np.zeros(3, int), np.ones(3, int))
    assert np.isnan([accuracy.iou, accuracy.average_precision]).all()


def test_nothing_mined_finds_nothing(target, loaded):
    accuracy = target.evaluate([], "person")
    masks = loaded.masks[loaded.splits["test"]]
    share = (masks == loaded.classes.index("person")).sum() / (masks != data.IGNORE).sum()
    assert accuracy.iou == 0
    assert accuracy.average_precision == pytest.approx(share)


def test_a_head_learns_from_what_was_mined(target, loaded):
    """Trained on the test images themselves it is near the best that cells allow; on others it beats chance."""
    train = np.setdiff1d(np.arange(38), loaded.splits["test"])
    chance, learned = target.evaluate([], "person"), target.evaluate(train, "person")
    assert learned.average_precision > 1.2 * chance.average_precision
    assert learned.iou > 0


def test_order_and_repetition_do_not_matter(target):
    assert target.evaluate([4, 1, 9], "person") == target.evaluate([9, 4, 1, 4], "person")


def test_accuracies_do_not_depend_on_earlier_ones(target, tiny):
    before = target.evaluate([0, 5, 7], "person")
    target.evaluate([0, 1, 2, 3], "chair")
    assert target.evaluate([0, 5, 7], "person") == before == Target(*tiny).evaluate([0, 5, 7], "person")


def test_errors(target, tiny):
    with pytest.raises(ValueError, match=r"image 33 .*among those that are tested"):
        target.evaluate([1, 33], "person")
    with pytest.raises(ValueError, match="unknown class 'persn'; did you mean 'person'"):
        target.evaluate([1], "persn")
    with pytest.raises(ValueError, match="unknown split of coco 'tset'; did you mean 'test'"):
        Target(*tiny, split="tset")


@pytest.mark.slow
def test_more_images_of_dresses_find_dresses_better(ccp_root, squeezenet_weights):
    target, splits = Target("ccp"), data.load("ccp").splits
    few, many = (target.evaluate(splits["train"][:n], "dress") for n in (5, 134))
    assert many.iou > few.iou + 0.05
    assert many.average_precision > few.average_precision + 0.05


def test_prefixes_are_evaluated_as_if_alone(target, loaded):
    """Each head starts from the last one, and ends at the same minimum within the fit's tolerance."""
    images = loaded.splits["train"][:12][::-1]
    together = target.evaluate_prefixes(images, [2, 7, 12], "person")
    for accuracy, length in zip(together, (2, 7, 12), strict=True):
        alone = target.evaluate(images[:length], "person")
        assert accuracy.iou == pytest.approx(alone.iou, abs=0.01)
        assert accuracy.average_precision == pytest.approx(alone.average_precision, abs=0.01)
    assert together[0] != together[2]
