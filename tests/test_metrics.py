"""IoU and rewards against counting by hand."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from alenv.metrics import Reward, class_iou, mean_iou

CLASSES = ("sky", "road", "car", "pole")
CONFUSIONS = arrays(np.int64, (4, 4), elements=st.integers(0, 3) | st.integers(0, 10**9))
# Predicted in rows, labelled in columns: no pixel is labelled "pole", but 5 are taken for one.
EXAMPLE = np.array([[50, 5, 0, 0], [0, 20, 5, 0], [0, 0, 5, 0], [0, 5, 0, 0]])
IOU = [50 / 55, 20 / 35, 5 / 10, np.nan]


def test_iou_of_an_example():
    np.testing.assert_allclose(class_iou(EXAMPLE), IOU)
    assert mean_iou(EXAMPLE) == pytest.approx(100 * np.mean(IOU[:3]))


@given(arrays(np.uint8, (2, 60), elements=st.integers(0, 3)))
def test_iou_is_intersection_over_union_of_pixel_sets(maps):
    predicted, labels = maps
    confusion = np.zeros((4, 4), np.int64)
    np.add.at(confusion, (predicted, labels), 1)
    for c, iou in enumerate(class_iou(confusion)):
        hit, union = ((predicted == c) & (labels == c)).sum(), ((predicted == c) | (labels == c)).sum()
        if (labels == c).any():
            assert iou == pytest.approx(hit / union)
        else:
            assert np.isnan(iou)


@given(CONFUSIONS)
def test_iou_is_bounded_and_mean_iou_leaves_missing_classes_out(confusion):
    assume(confusion.any())
    iou = class_iou(confusion)
    present = confusion.sum(0) > 0
    np.testing.assert_array_equal(np.isnan(iou), ~present)
    assert ((iou[present] >= 0) & (iou[present] <= 1)).all()
    assert mean_iou(confusion) == pytest.approx(100 * iou[present].mean())
    assert Reward("miou", CLASSES)(confusion) == pytest.approx(mean_iou(confusion))


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("miou", [1 / 3, 1 / 3, 1 / 3, 0]),
        ("class:road", [0, 1, 0, 0]),
        ("class:pole", [0, 0, 0, 0]),  # does not occur: worth nothing rather than NaN
        ("balanced", [0, 0, 1, 0]),  # a third of the three classes that occur
    ],
)
def test_rewards_of_an_example(name, weights):
    reward = Reward(name, CLASSES)
    np.testing.assert_allclose(reward.weights(EXAMPLE), weights)
    assert reward(EXAMPLE) == pytest.approx(100 * np.dot(weights[:3], IOU[:3]))


def test_balanced_is_the_mean_of_the_worst_third():
    names = [str(c) for c in range(7)]
    confusion = np.diag([90, 10, 80, 30, 70, 20, 60]) + np.diag([10, 90, 20, 70, 30, 80, 40])[np.roll(range(7), 1)]
    iou = class_iou(confusion)
    assert Reward("balanced", names)(confusion) == pytest.approx(100 * np.sort(iou)[:3].mean())


@given(CONFUSIONS, st.sampled_from(["miou", "balanced", "class:car"]))
def test_weights_sum_to_one_over_classes_that_occur(confusion, name):
    assume(confusion[:, 2].any())
    weights = Reward(name, CLASSES).weights(confusion)
    assert weights.sum() == pytest.approx(1)
    assert not weights[confusion.sum(0) == 0].any()


@given(CONFUSIONS)
def test_balanced_never_exceeds_the_mean(confusion):
    assume(confusion.any())
    assert Reward("balanced", CLASSES)(confusion) <= mean_iou(confusion) + 1e-9


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("miuo", "unknown reward 'miuo'; did you mean 'miou'"),
        ("ballanced", "did you mean 'balanced'"),
        ("accuracy", "unknown reward 'accuracy'; known: balanced, class:<name>, miou"),
        ("miou:car", "unknown reward 'miou:car'"),
        ("class:cars", "unknown class in reward 'cars'; did you mean 'car'"),
        ("class", "unknown class in reward ''"),
    ],
)
def test_unknown_rewards_are_errors_that_help(name, message):
    with pytest.raises(ValueError, match=message):
        Reward(name, CLASSES)
