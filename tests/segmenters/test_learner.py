"""Learner: scores against counting pixels, gains against refits, and no trace left in torch."""

import pickle
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from alenv.acquisition import bald
from alenv.data import IGNORE
from alenv.regions import RegionGrid
from alenv.segmenters.probes.heads import DROPOUT, class_weights, dropped, with_bias
from alenv.segmenters.probes.learner import Learner
from alenv.segmenters.probes.linear import LinearHead
from alenv.segmenters.probes.mlp import MlpHead

both = pytest.mark.parametrize("segmenter", ["linear", "lda"])
every = pytest.mark.parametrize("segmenter", ["linear", "lda", "mlp"])


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch, request):
    """Steps of ``mlp`` are all alike: a few of them show the same, except what they lead to."""
    if request.node.originalname not in ("test_training_helps", "test_pixels_teach_what_their_cells_look_like"):
        monkeypatch.setattr(MlpHead, "steps", 15)


def gains(learner, scenes, regions, remove=False):
    """Gains where there are any."""
    return np.zeros(0) if learner._segmenter == "mlp" else learner.gains(regions, scenes.reward, remove)


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


@every
@pytest.mark.parametrize("split", ["reward", "state"])
def test_confusion_equals_counting_pixels(scenes, segmenter, split):
    """Evaluated on cells, yet exact at full resolution; the reward split takes a path of its own."""
    learner = scenes.learner(segmenter, scenes.regions[:60])
    confusion = learner.evaluate(split)
    assert confusion.dtype == np.int64
    np.testing.assert_array_equal(confusion, count_pixels(learner, scenes.data, scenes.data.splits[split]))


@every
def test_untrained_model_counts_each_pixel_once(scenes, segmenter):
    """All logits tie there."""
    learner = scenes.learner(segmenter)
    masks = scenes.data.masks[scenes.data.splits["reward"]]
    labels = np.bincount(masks[masks != IGNORE], minlength=len(scenes.data.classes))
    np.testing.assert_array_equal(learner.evaluate("reward").sum(0), labels)
    np.testing.assert_array_equal(learner.evaluate("reward")[0], labels)


@pytest.mark.parametrize("split", ["reward", "test"])
def test_a_cell_counts_however_few_of_its_pixels_are_labelled(scenes, split):
    learner = scenes.learner("lda")
    labels = scenes.cells.counts.argmax(-1)
    learner._cells.counts = (labels[..., None] == np.arange(scenes.cells.counts.shape[-1])).astype(np.uint16)
    of_class = np.bincount(labels[scenes.data.splits[split]].ravel(), minlength=len(scenes.data.classes))
    np.testing.assert_array_equal(learner.evaluate(split).sum(0), of_class)


@every
def test_training_helps(scenes, segmenter):
    few, many = (scenes.learner(segmenter, scenes.regions[:n]) for n in (24, 300))
    scores = [scenes.reward(x.evaluate("reward")) for x in (scenes.learner(segmenter), few, many)]
    assert scores[0] + 5 < scores[1] < scores[2] - 3


@every
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


@every
def test_many_regions_are_predicted_in_parts(scenes, segmenter, monkeypatch):
    """To the bit as all at once, the parts being of unequal sizes; 7 regions are no multiple of 3."""
    learner, regions = scenes.learner(segmenter, scenes.regions[:24]), scenes.regions[48:55]
    whole = learner.predict(regions)
    monkeypatch.setattr("alenv.segmenters.probes.learner.AT_ONCE", 3 * whole.probs[0, 0].size)
    assert [len(part) for part in learner._parts(regions)] == [3, 3, 1]
    assert_same(whole, learner.predict(regions))


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


@every
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


@every
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
            np.testing.assert_array_equal(*(gains(x, scenes, scenes.regions[:5], remove) for x in (other, learner)))
        passes = [list(x.passes(scenes.regions[:5], np.random.default_rng(1), 3)) for x in (other, learner)]
        np.testing.assert_array_equal(*passes)
        for x in (other, learner):
            x.fit(scenes.regions[72:96])


@every
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


@every
def test_globals_are_left_alone(scenes, segmenter):
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(2)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    learner = scenes.learner(segmenter, scenes.regions[:30])
    learner.predict(scenes.regions[:5])
    learner.evaluate("reward")
    gains(learner, scenes, scenes.regions[:2])
    learner.label_map(0)
    learner.maps(np.arange(2))
    learner.difficulty(np.arange(2))
    for _ in learner.passes(scenes.regions[:2], np.random.default_rng(0), 2):
        seen.append(torch.get_num_threads())
    learner.set_state(learner.get_state())
    learner.replace(scenes.data, scenes.data.splits["state"][:2])
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    seen.append(torch.get_num_threads())
    torch.set_num_threads(before)
    assert seen == [2, 2, 2, 2]
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32


@every
def test_threads_of_the_caller_do_not_matter(scenes, segmenter):
    before, results = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        learner = scenes.learner(segmenter, scenes.regions[:48], scenes.regions[48:72])
        passes = np.array(list(learner.passes(scenes.regions[:50], np.random.default_rng(1), 3)))
        parts = passes, learner.difficulty(np.arange(3)), gains(learner, scenes, scenes.regions[100:104])
        results.append((learner.predict(scenes.regions[:50]), learner.evaluate("reward"), *parts))
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
    np.testing.assert_array_equal(scenes.learner("lda")._cells.vectors, scenes.cells.vectors)


def test_unknown_split_is_an_error_that_helps(scenes):
    with pytest.raises(ValueError, match="unknown split 'rewards'; did you mean 'reward'"):
        scenes.learner().evaluate("rewards")


# --- Monte-Carlo passes -----------------------------------------------------------------------------------------------


@every
def test_passes_scatter_about_the_prediction_and_repeat_by_seed(scenes, segmenter):
    learner = scenes.learner(segmenter, scenes.regions[:48])
    some = scenes.regions[60:90]
    passes = np.array(list(learner.passes(some, np.random.default_rng(1), 40)))
    probs = learner.predict(some).probs
    assert passes.shape == (40, *probs.shape)
    np.testing.assert_allclose(passes.sum(2), 1, rtol=0, atol=1e-5)
    again = np.array(list(learner.passes(some, np.random.default_rng(1), 40)))
    np.testing.assert_array_equal(passes, again)
    assert (passes[0] != passes[1]).any()
    assert abs(passes.mean(0) - probs).mean() < 0.5 * passes.std(0).mean() + 0.01


def test_laplace_passes_scatter_as_the_hessian_says():
    """With two classes the posterior is known: the difference of their weights has twice the variance of one block."""
    rng = np.random.default_rng(0)
    head = LinearHead(3, 2, 1)
    head.add(torch.tensor(rng.normal(size=(60, 3))).float(), torch.eye(2)[rng.integers(2, size=60)])
    head.fit()
    samples = torch.stack(list(head.samples(np.random.default_rng(1), 40_000))).double()
    np.testing.assert_allclose(samples.mean(0), head._weights, rtol=0, atol=0.02)
    np.testing.assert_allclose(samples.sum(1), head._weights.sum(0).expand(40_000, -1), rtol=0, atol=1e-5)
    covariance = 2 * torch.linalg.inv(head._curvature.blocks[0].double())
    difference = (samples[:, 0] - samples[:, 1]).T
    np.testing.assert_allclose(torch.cov(difference), covariance, rtol=0, atol=0.03 * float(covariance.max()))


def test_doubt_ranks_regions_as_the_dense_posterior_does(scenes):
    """BALD with weights from the blocks by class, against weights from the whole Hessian."""
    learner = scenes.learner("linear", scenes.regions[:96])
    head, some = learner._head, scenes.regions[300:380]
    blocks = list(learner.passes(some, np.random.default_rng(0), 100))
    x = torch.from_numpy(scenes.grid.cut(scenes.cells.vectors, some, scenes.cell)).flatten(0, 2)
    noise = torch.randn(head._weights.numel(), 100, generator=torch.Generator().manual_seed(0))
    factor = torch.linalg.cholesky(whole_hessian(head))
    draws = torch.linalg.solve_triangular(factor.T, noise, upper=True).T.view(100, *head._weights.shape)
    dense = [_maps(((head._weights + draw) @ with_bias(x).T).softmax(0), blocks[0]) for draw in draws]
    ranks = [bald(np.array(passes)).reshape(len(some), -1).mean(1) for passes in (blocks, dense)]
    assert spearmanr(*ranks).statistic > 0.97


def _maps(probs, like):
    n, classes, rows, columns = like.shape
    return probs.reshape(classes, n, rows, columns).movedim(0, 1).numpy()


def whole_hessian(head):
    """``sum_i m_i (diag(p_i) - p_i p_i') (x) x_i x_i' + l2``, (C D, C D)."""
    x, p, mass = head._x, (head._weights @ head._x).softmax(0), head._targets().sum(0)
    size = head._weights.numel()
    bend = torch.diag_embed((p * mass).T) - torch.einsum("an,bn->nab", p * mass, p)
    return torch.einsum("nab,in,jn->aibj", bend, x, x).reshape(size, size) + head.l2 * torch.eye(size)


def test_dropped_columns_are_whole_and_the_mean_is_kept():
    weights = torch.arange(1.0, 13).view(2, 6)
    samples = torch.stack(list(dropped(weights, np.random.default_rng(0), 5000)))
    assert (samples[..., -1] == weights[:, -1]).all()
    gone = samples[..., :-1] == 0
    assert (gone[:, 0] == gone[:, 1]).all()
    assert gone.float().mean() == pytest.approx(DROPOUT, abs=0.01)
    np.testing.assert_allclose(samples.mean(0), weights, rtol=0.03)


def test_more_labels_leave_less_doubt(scenes):
    """The posterior narrows as labels come in: the reason for taking it."""
    spread = []
    for n in (24, 240):
        learner = scenes.learner("linear", scenes.regions[:n])
        passes = np.array(list(learner.passes(scenes.regions[300:330], np.random.default_rng(0), 10)))
        spread.append(passes.std(0).mean())
    assert spread[1] < 0.7 * spread[0]


def test_single_gains_of_a_perceptron_are_an_error_that_helps(scenes):
    with pytest.raises(ValueError, match="segmenter='mlp'; use 'linear' or 'lda'"):
        scenes.learner("mlp", scenes.regions[:4]).gains(scenes.regions[:1], scenes.reward)


# --- single pixels ----------------------------------------------------------------------------------------------------


@every
def test_pixels_teach_what_their_cells_look_like(scenes, segmenter):
    """Pixels of every cell of some regions, labelled one by one, make a model like those regions do."""
    size = scenes.grid.size
    pixels = RegionGrid(size, (1, 1))
    learner = Learner(scenes.data, pixels, scenes.cell, segmenter, scenes.features, None)
    rng, images = np.random.default_rng(0), scenes.data.splits["train"][:40]
    ids = np.concatenate([i * pixels.per_image + rng.choice(pixels.per_image, 40, replace=False) for i in images])
    learner.fit(ids[:800])
    few = scenes.reward(learner.evaluate("reward"))
    learner.fit(ids[800:])
    assert scenes.reward(learner.evaluate("reward")) > max(few, 30)
    prediction = learner.predict(ids[:30])
    assert prediction.probs.shape == (30, len(scenes.data.classes), 1, 1)
    np.testing.assert_allclose(prediction.nearest, 1, atol=1e-5)
    image, y, x = (int(v[0]) for v in pixels.locate(ids[:1]))
    whole = learner.maps(np.array([image]))[0]
    np.testing.assert_allclose(prediction.probs[0, :, 0, 0], whole[:, y // scenes.cell, x // scenes.cell], atol=1e-5)


@pytest.mark.parametrize("segmenter", ["linear", "mlp"])
def test_a_labelled_pixel_is_one_observation_as_a_labelled_cell_is(scenes, segmenter):
    """Not a sixteenth of one: the head would hardly move from its prior."""
    pixels = Learner(scenes.data, RegionGrid(scenes.grid.size, (1, 1)), scenes.cell, segmenter, scenes.features, None)
    ids = np.random.default_rng(0).choice(10 * pixels._grid.per_image, 50, replace=False)
    pixels.fit(ids)
    regions = scenes.learner(segmenter, scenes.regions[:2])
    for learner in (pixels, regions):
        head = learner._head
        mass = (head._counts * class_weights(head._counts, head._unit)).sum()
        assert mass == pytest.approx(float(head._counts.sum() / head._counts.sum(1).max()), rel=1e-3)


def test_a_pixel_has_its_own_label_and_none_where_the_mask_has_none(scenes):
    pixels = RegionGrid(scenes.grid.size, (1, 1))
    learner = Learner(scenes.data, pixels, scenes.cell, "lda", scenes.features, None)
    mask = scenes.data.masks[7]
    counts = learner._cells.labels(7 * pixels.per_image + np.arange(pixels.per_image))[:, 0]
    known = mask.ravel() != IGNORE
    np.testing.assert_array_equal(counts.argmax(1)[known], mask.ravel()[known])
    np.testing.assert_array_equal(counts.sum(1), known)


def test_many_rows_are_compared_in_parts(scenes, monkeypatch):
    learner = scenes.learner("lda", scenes.regions[:20])
    whole = learner.predict(scenes.regions[:50])
    monkeypatch.setattr("alenv.segmenters.similarity.ROWS", 7)
    np.testing.assert_allclose(learner.predict(scenes.regions[:50]).nearest, whole.nearest, atol=1e-6)


def test_a_pixel_is_compared_with_the_labelled_ones_of_its_image(scenes, monkeypatch):
    """By brute force, with images that have no labels, one, and many."""
    monkeypatch.setattr("alenv.segmenters.similarity.ROWS", 7)
    pixels = RegionGrid(scenes.grid.size, (1, 1))
    learner = Learner(scenes.data, pixels, scenes.cell, "lda", scenes.features, None)
    rng = np.random.default_rng(0)
    some = lambda image, count: image * pixels.per_image + rng.choice(pixels.per_image, count, replace=False)  # noqa: E731
    labelled = rng.permutation(np.concatenate([some(3, 1), some(5, 40), some(9, 25)]))
    regions = rng.permutation(np.concatenate([some(image, 20) for image in (2, 3, 5, 9)]))
    learner.fit(labelled[:30])
    learner.fit(labelled[30:])
    seen, known = learner.predict(regions), learner.predict(labelled).embedding
    for region, embedding, nearest, typical in zip(regions, seen.embedding, seen.nearest, seen.typical, strict=True):
        own = known[labelled // pixels.per_image == region // pixels.per_image]
        assert nearest == pytest.approx((own @ embedding).max(initial=-1), abs=1e-6)
        assert typical == pytest.approx((known @ embedding).mean(), abs=1e-6)
