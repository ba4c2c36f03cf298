"""Learner: scores against counting pixels, gains against refits, and no trace left in torch."""

import pickle
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from alenv.data import IGNORE

HEADS = ["linear", "lda"]
both = pytest.mark.parametrize("segmenter", HEADS)


def count_pixels(learner, data, images):
    """The confusion of label maps and masks, pixel by pixel."""
    confusion = np.zeros((len(data.classes),) * 2, np.int64)
    for image in images:
        mask, labels = data.masks[image], learner.label_map(image)
        np.add.at(confusion, (labels[mask != IGNORE], mask[mask != IGNORE]), 1)
    return confusion


def assert_same(first, second):
    for name in vars(first):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)


@both
@pytest.mark.parametrize("split", ["reward", "state"])
def test_confusion_equals_counting_pixels(scenes, segmenter, split):
    """Evaluated on cells, yet exact at full resolution; the reward split takes a path of its own."""
    learner = scenes.learner(segmenter, scenes.regions[:60])
    confusion = learner.evaluate(split)
    assert confusion.dtype == np.int64
    np.testing.assert_array_equal(confusion, count_pixels(learner, scenes.data, scenes.data.splits[split]))


@both
def test_untrained_model_counts_each_pixel_once(scenes, segmenter):
    """All logits tie there."""
    learner = scenes.learner(segmenter)
    masks = scenes.data.masks[scenes.data.splits["reward"]]
    labels = np.bincount(masks[masks != IGNORE], minlength=len(scenes.data.classes))
    np.testing.assert_array_equal(learner.evaluate("reward").sum(0), labels)
    np.testing.assert_array_equal(learner.evaluate("reward")[0], labels)


@both
def test_training_helps(scenes, segmenter):
    few, many = (scenes.learner(segmenter, scenes.regions[:n]) for n in (24, 300))
    scores = [scenes.reward(x.evaluate("reward")) for x in (scenes.learner(segmenter), few, many)]
    assert scores[0] + 5 < scores[1] < scores[2] - 3


@both
def test_predictions_are_probabilities_in_the_order_of_the_ids(scenes, segmenter):
    learner = scenes.learner(segmenter, scenes.regions[:60])
    ids = scenes.regions[60:90]
    prediction, backwards = learner.predict(ids), learner.predict(ids[::-1])
    h, w = (side // scenes.cell for side in scenes.grid.region)
    assert prediction.probs.shape == (30, len(scenes.data.classes), h, w)
    np.testing.assert_allclose(prediction.probs.sum(1), 1, atol=1e-5)
    for name in ("probs", "embedding", "nearest", "typical"):
        values = getattr(prediction, name)
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, getattr(backwards, name)[::-1], rtol=0, atol=1e-5, err_msg=name)
    for i in range(0, 30, 7):
        image, y, x = scenes.grid.corner(ids[i])
        labels = learner.label_map(image)[:: scenes.cell, :: scenes.cell]
        y, x = y // scenes.cell, x // scenes.cell
        assert (prediction.probs[i].argmax(0) == labels[y : y + h, x : x + w]).mean() > 0.99


def test_similarity_is_the_cosine_of_mean_features(scenes):
    learner = scenes.learner("lda", scenes.regions[:5], scenes.regions[5:9])
    mean = lambda ids: scenes.grid.cut(scenes.cells.vectors, ids, scenes.cell).mean((1, 2), dtype=np.float64)  # noqa: E731
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)  # noqa: E731
    ids = scenes.regions[5:20]
    cosine = unit(mean(ids)) @ unit(mean(scenes.regions[:9])).T
    prediction = learner.predict(ids)
    np.testing.assert_allclose(prediction.embedding, unit(mean(ids)), atol=1e-5)
    np.testing.assert_allclose(prediction.nearest, cosine.max(1), atol=1e-5)
    np.testing.assert_allclose(prediction.typical, cosine.mean(1), atol=1e-5)
    np.testing.assert_allclose(prediction.nearest[:4], 1, atol=1e-5)  # labelled themselves


@both
def test_no_regions_change_nothing(scenes, segmenter):
    none = np.empty(0, np.int64)
    learner = scenes.learner(segmenter, none)
    assert learner.predict(none).probs.shape[0] == 0
    assert (learner.predict(scenes.regions[:3]).nearest == -1).all()
    assert (learner.predict(scenes.regions[:3]).typical == -1).all()
    assert learner.gains(none, scenes.reward).shape == (0,)
    learner.fit(scenes.regions[:30])
    before = learner.evaluate("reward")
    learner.fit(none)
    # a linear head takes a few more steps from where it stopped
    assert abs(learner.evaluate("reward") - before).sum() <= 0.004 * before.sum()


@both
def test_reset_forgets_all(scenes, segmenter):
    learner = scenes.learner(segmenter, scenes.regions[:40])
    learner.reset()
    assert len(learner.labelled) == 0
    learner.fit(scenes.regions[40:80])
    fresh = scenes.learner(segmenter, scenes.regions[40:80])
    np.testing.assert_array_equal(learner.evaluate("reward"), fresh.evaluate("reward"))
    assert_same(learner.predict(scenes.regions[:9]), fresh.predict(scenes.regions[:9]))


@both
def test_two_fits_equal_one(scenes, segmenter):
    two = scenes.learner(segmenter, scenes.regions[:48], scenes.regions[48:96])
    one = scenes.learner(segmenter, scenes.regions[:96])
    images = scenes.data.splits["reward"]
    same = np.mean([np.mean(one.label_map(i) == two.label_map(i)) for i in images])
    assert same == 1 if segmenter == "lda" else same >= 0.999


@both
def test_a_snapshot_goes_on_bit_for_bit(scenes, segmenter):
    """In another learner and through bytes, although the labels are then added all at once."""
    learner = scenes.learner(segmenter, scenes.regions[:48], scenes.regions[48:49], scenes.regions[49:72])
    state = pickle.loads(pickle.dumps(learner.get_state()))
    other = scenes.learner(segmenter, scenes.regions[200:210])
    other.set_state(state)
    for _ in range(2):
        np.testing.assert_array_equal(other.labelled, learner.labelled)
        np.testing.assert_array_equal(other.evaluate("reward"), learner.evaluate("reward"))
        assert_same(other.predict(scenes.regions[90:130]), learner.predict(scenes.regions[90:130]))
        for remove in (False, True):
            gains = [x.gains(scenes.regions[:5], scenes.reward, remove) for x in (other, learner)]
            np.testing.assert_array_equal(*gains)
        for x in (other, learner):
            x.fit(scenes.regions[72:96])


@both
def test_labels_of_the_state_split_are_not_read_before_they_are_bought(scenes, segmenter):
    """Predictions depend on bought labels alone."""
    learner = scenes.learner(segmenter, scenes.regions[:30])
    other = scenes.learner(segmenter)
    blind = scenes.cells.counts.copy()
    images = scenes.grid.locate(scenes.regions[:30])[0]
    blind[np.setdiff1d(np.arange(len(blind)), images)] = 0
    other._counts = blind
    other.fit(scenes.regions[:30])
    assert_same(learner.predict(scenes.regions[:40]), other.predict(scenes.regions[:40]))


@both
def test_globals_are_left_alone(scenes, segmenter):
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(2)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    learner = scenes.learner(segmenter, scenes.regions[:30])
    learner.predict(scenes.regions[:5])
    learner.evaluate("reward")
    learner.gains(scenes.regions[:2], scenes.reward)
    learner.label_map(0)
    learner.set_state(learner.get_state())
    learner.replace(scenes.data, scenes.data.splits["state"][:2])
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    seen.append(torch.get_num_threads())
    torch.set_num_threads(before)
    assert seen == [2, 2]
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32


@both
def test_threads_of_the_caller_do_not_matter(scenes, segmenter):
    before, results = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        learner = scenes.learner(segmenter, scenes.regions[:48], scenes.regions[48:72])
        gains = learner.gains(scenes.regions[100:104], scenes.reward)
        results.append((learner.predict(scenes.regions[:50]), learner.evaluate("reward"), gains))
    torch.set_num_threads(before)
    assert_same(results[0][0], results[1][0])
    for one, two in zip(results[0][1:], results[1][1:], strict=True):
        np.testing.assert_array_equal(one, two)


def test_lda_gains_equal_refits(scenes):
    learner = scenes.learner("lda", scenes.regions[:48])
    new, now = scenes.regions[100:106], scenes.reward(learner.evaluate("reward"))
    gains = learner.gains(new, scenes.reward)
    refits = [scenes.learner("lda", scenes.regions[:48], new[i : i + 1]) for i in range(6)]
    np.testing.assert_allclose(gains, [scenes.reward(x.evaluate("reward")) - now for x in refits], atol=1e-3)
    assert abs(gains).max() > 0.01
    assert scenes.reward(learner.evaluate("reward")) == now


def test_lda_gains_of_labelled_regions_are_leave_one_out(scenes):
    labelled = scenes.regions[:30]
    learner = scenes.learner("lda", labelled)
    now = scenes.reward(learner.evaluate("reward"))
    without = [scenes.learner("lda", np.delete(labelled, i)) for i in range(6)]
    expected = [now - scenes.reward(x.evaluate("reward")) for x in without]
    np.testing.assert_allclose(learner.gains(labelled[:6], scenes.reward, remove=True), expected, atol=1e-3)
    assert np.abs(expected).max() > 0.01


def test_lda_gain_of_the_only_label_is_all_there_is(scenes):
    only = scenes.regions[:1]
    learner, untrained = scenes.learner("lda", only), scenes.learner("lda")
    expected = scenes.reward(learner.evaluate("reward")) - scenes.reward(untrained.evaluate("reward"))
    assert learner.gains(only, scenes.reward, remove=True).item() == pytest.approx(expected)


def test_linear_gains_before_any_label_are_finite(scenes):
    assert np.isfinite(scenes.learner("linear").gains(scenes.regions[:5], scenes.reward)).all()


def test_linear_gains_rank_regions_as_refits_do(scenes):
    """Influence on a soft score stands in for the true change of the reward, early in an episode."""
    learner = scenes.learner("linear", scenes.regions[:24])
    now, new = scenes.reward(learner.evaluate("reward")), scenes.regions[60:90]
    state, true = learner.get_state(), []
    for i in range(len(new)):
        learner.set_state(state)
        learner.fit(new[i : i + 1])
        true.append(scenes.reward(learner.evaluate("reward")) - now)
    learner.set_state(state)
    correlation = spearmanr(learner.gains(new, scenes.reward), true).statistic
    print("gains correlation", correlation)
    assert correlation > 0.6


def test_replaced_images_are_predicted_as_what_they_are(scenes):
    """A pool made anew: images and labels of some places are others', and only those."""
    data, grid = scenes.data, scenes.grid
    target, source = data.splits["train"][:2], data.splits["eval"][[5, 8]]
    images, masks = np.array(data.images), np.array(data.masks)
    images[target], masks[target] = images[source], masks[source]
    learner, other = scenes.learner("lda"), scenes.learner("lda")
    learner.replace(replace(data, images=images, masks=masks), target)
    learner.fit(grid.of_images(target))
    other.fit(grid.of_images(source))
    np.testing.assert_array_equal(learner.evaluate("reward"), other.evaluate("reward"))
    ids = grid.of_images(np.array([target[0], source[0], data.splits["train"][2]]))
    originals = grid.of_images(np.array([source[0], source[0], data.splits["train"][2]]))
    assert_same(learner.predict(ids), other.predict(originals))
    np.testing.assert_array_equal(scenes.learner("lda")._vectors, scenes.cells.vectors)


def test_unknown_split_is_an_error_that_helps(scenes):
    with pytest.raises(ValueError, match="unknown split 'rewards'; did you mean 'reward'"):
        scenes.learner().evaluate("rewards")
