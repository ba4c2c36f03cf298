"""Learners that are evaluated together, or share their features, are as they would be alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from alenv.segmenters.probes import joint


def twins(scenes, segmenter, many):
    """Learners with other labels each, the first with none at all."""
    first = scenes.learner(segmenter)
    others = [first.twin() for _ in range(many - 1)]
    for i, learner in enumerate(others):
        learner.fit(scenes.regions[12 * i : 12 * i + 30])
    return [first, *others]


@pytest.mark.parametrize("segmenter", ["lda", "linear"])
@pytest.mark.parametrize("many", [1, 2, joint.WIDTH + 2])
def test_confusions_are_those_of_each_alone(scenes, segmenter, many):
    learners = twins(scenes, segmenter, many)
    expected = [learner.evaluate("reward") for learner in learners]
    np.testing.assert_array_equal(joint.evaluate(learners), expected)
    assert len({confusion.tobytes() for confusion in expected}) == many
    assert joint.evaluate([]) == []


def test_they_are_computed_together(scenes, monkeypatch):
    learners = twins(scenes, "lda", 3)
    expected = joint.evaluate(learners)
    monkeypatch.setattr(type(learners[0]), "evaluate", None)
    np.testing.assert_array_equal(joint.evaluate(learners), expected)


def test_products_whose_bits_depend_on_their_width_are_not_taken(scenes, monkeypatch):
    """As with very few classes in the library that torch uses."""
    learners = twins(scenes, "lda", 3)
    expected = joint.evaluate(learners)
    true = torch.addmm

    def wider_is_other(bias, weights, x):
        return true(bias, weights, x) * (1 + 1e-6 * (len(weights) > 12))

    monkeypatch.setattr(torch, "addmm", wider_is_other)
    joint._alike.cache_clear()
    monkeypatch.setattr(joint, "_confusions", None)
    np.testing.assert_array_equal(joint.evaluate(learners), expected)
    joint._alike.cache_clear()


def test_twins_share_features_until_images_are_replaced(scenes):
    one, alone = (scenes.learner("lda", scenes.regions[:48]) for _ in range(2))
    other = one.twin()
    other.fit(scenes.regions[:48])

    def told(learner):
        """Of regions of the pool, and of a score on it."""
        few = scenes.regions[48:52]
        return learner.predict(few).embedding, learner.gains(few, scenes.reward, splits=("train",))

    assert other._cells.vectors is one._cells.vectors
    pool, before = scenes.data.splits["train"], told(one)
    images = np.array(scenes.data.images)
    images[pool] = 255 - images[pool]
    for learner in (other, alone):
        learner.replace(replace(scenes.data, images=images), pool)
    for mine, first, new, expected in zip(told(one), before, told(other), told(alone), strict=True):
        np.testing.assert_array_equal(mine, first)
        np.testing.assert_array_equal(new, expected)
        assert not np.array_equal(new, first)
    np.testing.assert_array_equal(joint.evaluate([one, other]), [one.evaluate("reward")] * 2)
