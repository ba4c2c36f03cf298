"""Acquisition channels in the environment: what the functions say of the model's predictions, region by region."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from alenv import acquisition, arrays
from alenv.acquisition import POSTERIOR, SCORES, MonteCarloMoments, epig, weighted_k_means
from alenv.observation import column
from alenv.rng import Stream, keyed_rng

SMALL = {"picks": 4, "budget": 12}
PIXEL = {"region": "pixel", "initial": "random:60", "pooling": "global", "candidates": 40}


@pytest.fixture(scope="module", params=["linear", "lda", "mlp"])
def started(request):
    """An environment with all channels in the second round, and its observation there."""
    import alenv  # noqa: F401  registers the ids

    env = gym.make("RegionSelect-v0", **SMALL, segmenter=request.param, scores=known(request.param)).unwrapped
    env.reset(seed=0)
    for _ in range(5):
        obs, *_ = env.step(3)
    return env, obs


def known(segmenter):
    """Channels that there are for a segmenter."""
    return [name for name in SCORES if segmenter == "linear" or POSTERIOR.isdisjoint(SCORES[name].needs)]


def shown(env):
    return env._current.candidates[env._current.current]


def channel(env, obs, name):
    return obs["scores"][:, env._arguments.scores.index(name)]


def test_bounds_are_declared_and_kept(started):
    env, obs = started
    assert env.observation_space.contains(obs)
    assert np.isfinite(obs["scores"]).all()
    for name in env._arguments.scores:
        assert np.ptp(channel(env, obs, name)) > 0, name


@pytest.mark.parametrize("name", ["entropy", "margin", "least_confidence"])
def test_plain_channels_are_the_mean_of_the_map(started, name):
    env, obs = started
    maps = getattr(acquisition, name)(env._campaign.learner.predict(shown(env)).probs)
    np.testing.assert_allclose(channel(env, obs, name), maps.mean((1, 2)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("name", "exponent"), [("", 0.5), ("_0.25", 0.25), ("_0.75", 0.75), ("_1.0", 1.0)])
def test_balanced_channels_have_the_labels_so_far(started, name, exponent):
    env, obs = started
    probs = env._campaign.learner.predict(shown(env)).probs
    expected = acquisition.class_balanced_entropy(probs, env._campaign.class_pixels, exponent).mean((1, 2))
    np.testing.assert_allclose(channel(env, obs, f"class_balanced_entropy{name}"), expected, rtol=1e-4)


def test_monte_carlo_channels_come_from_one_set_of_keyed_passes(started):
    env, obs = started
    moments = MonteCarloMoments()
    for probs in env._campaign.learner.passes(shown(env), keyed_rng(env._episode, Stream.PASSES, 1), 20):
        moments.add(probs)
    np.testing.assert_allclose(channel(env, obs, "bald"), moments.bald().mean((1, 2)), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(channel(env, obs, "balent"), moments.balent_rank().mean((1, 2)), rtol=1e-3, atol=1e-5)


def test_joint_predictions_are_of_the_same_passes_towards_the_pool(started):
    env, obs = started
    round_ = env._current
    samples = np.stack(
        list(env._campaign.learner.passes(round_.candidates, keyed_rng(env._episode, Stream.PASSES, 1), 20))
    )
    places = np.moveaxis(samples, 2, -1).reshape(20, -1, samples.shape[2])
    targets = places[:, np.linspace(0, places.shape[1] - 1, 64).round().astype(int)]
    expected = epig(samples[:, round_.current], targets).mean((1, 2))
    np.testing.assert_allclose(channel(env, obs, "epig"), expected, rtol=1e-4, atol=1e-6)


def test_clusters_are_of_all_candidates_of_the_round_as_many_as_picks(started):
    env, obs = started
    prediction = env._campaign.learner.predict(env._current.candidates)
    label, distance = weighted_k_means(
        prediction.embedding, acquisition.entropy(prediction.probs).mean((1, 2)), env.picks
    )
    np.testing.assert_array_equal(channel(env, obs, "cluster"), label[env._current.current])
    np.testing.assert_allclose(channel(env, obs, "cluster_distance"), distance[env._current.current], rtol=1e-4)


def test_gradients_keep_away_from_the_round_s_picks(started):
    """At the start of a round, from zero."""
    env, obs = started
    gradients = env._campaign.learner.gradients(np.append(env._current.picked, shown(env))).reshape(21, -1)
    pick, others = gradients[0], gradients[1:]
    np.testing.assert_allclose(channel(env, obs, "spread"), ((others - pick) ** 2).sum(1), rtol=1e-3)
    cosine = others @ pick / np.linalg.norm(others, axis=1) / np.linalg.norm(pick)
    np.testing.assert_allclose(channel(env, obs, "agreement"), cosine, atol=1e-5)
    fresh = gym.make("RegionSelect-v0", **SMALL, segmenter=env._arguments.segmenter, scores=["spread"]).unwrapped
    obs, _ = fresh.reset(seed=0)
    norms = (fresh._campaign.learner.gradients(shown(fresh)) ** 2).sum((1, 2))
    np.testing.assert_allclose(obs["scores"][:, 0], norms, rtol=1e-4)


def test_gradients_are_those_of_the_loss_of_the_predicted_classes():
    """By differentiation."""
    env = gym.make("RegionSelect-v0", **SMALL).unwrapped
    env.reset(seed=0)
    learner, region = env._campaign.learner, shown(env)[:1]
    cells = learner._cells.of_regions(region)[0]
    labels = learner._head.logits(cells).argmax(0)
    loss = lambda logits: torch.nn.functional.cross_entropy(logits.T, labels)  # noqa: E731
    expected = learner._head.gradient(loss, cells)[:, :-1]
    np.testing.assert_allclose(learner.gradients(region)[0], expected, rtol=1e-3, atol=1e-6)


def test_covered_is_what_is_near_to_a_label_or_pick(started):
    env, obs = started
    prediction = env._campaign.learner.predict(env._current.candidates)
    distance, nearest = 1 - prediction.embedding @ prediction.embedding.T, prediction.nearest
    predicted = prediction.probs.mean((2, 3)).argmax(1)
    radius = acquisition.pure_radius(distance, predicted)
    picked = np.flatnonzero(np.isin(env._current.candidates, env._current.picked))
    left = (1 - nearest >= radius) & (distance[picked] >= radius).all(0)
    expected = ((distance < radius) & left).mean(1)[env._current.current]
    np.testing.assert_allclose(channel(env, obs, "uncovered"), expected, atol=1.5 / len(predicted))
    assert expected.any()


@pytest.mark.parametrize("name", ["leverage", "information", "reduction", "spread", "uncovered"])
def test_what_was_picked_is_known_after_a_restart(name):
    """The same values from a snapshot in the middle of a round, and lower ones than before the picks."""
    env, other = (gym.make("RegionSelect-v0", **SMALL, pooling="global", scores=[name]).unwrapped for _ in range(2))
    before = env.reset(seed=0)[0]["scores"]
    for _ in range(3):
        after = env.step(int(before[:, 0].argmax()))[0]["scores"]
        assert (after <= before * (1 + 1e-4) + 1e-6).all() or name == "spread"
        before = after
    other.set_state(env.get_state())
    np.testing.assert_allclose(other._observe()["scores"], after, rtol=1e-6)


def test_gains_of_classes_are_channels_by_number():
    names = [f"class_gain_{k}" for k in range(12)]
    env = gym.make("RegionSelect-v0", **SMALL, scores=[*names, "pseudo_gain"]).unwrapped
    scores = env.reset(seed=0)[0]["scores"]
    predicted = env._campaign.learner.predict(env._current.candidates).probs.argmax(1)
    expected = scores[:, :12].sum(1) / len(np.unique(predicted))
    np.testing.assert_allclose(scores[:, 12], expected, rtol=2e-2, atol=2e-3)
    with pytest.raises(ValueError, match=r"'class_gain_12': the classes of 'scenes' have numbers from 0 to 11"):
        gym.make("RegionSelect-v0", scores=["class_gain_12"])


@pytest.mark.parametrize("method", ["reduction", "pick"])
def test_channels_repeat_whatever_the_number_of_threads(method, monkeypatch):
    """Those of later picks are computed in the model's settings, too."""
    from alenv.segmenters.probes.design import Design

    threads, own = [], getattr(Design, method)
    monkeypatch.setattr(Design, method, lambda *args: threads.append(torch.get_num_threads()) or own(*args))
    before = torch.get_num_threads()
    env = gym.make("RegionSelect-v0", **SMALL, scores=["reduction"])
    try:
        torch.set_num_threads(2)
        env.reset(seed=0)
        for _ in range(3):
            env.step(0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(threads) == {1}


@pytest.mark.parametrize(
    ("name", "segmenter"), [("leverage", "lda"), ("pseudo_gain", "mlp"), ("spread", "fpn_resnet50")]
)
def test_what_a_segmenter_does_not_know_is_refused(name, segmenter):
    with pytest.raises(ValueError, match=f"score '{name}' is not known for segmenter='{segmenter}'; use .*'linear'"):
        gym.make("RegionSelect-v0", segmenter=segmenter, scores=[name])


@pytest.mark.parametrize("name", ["ripu", "cbda", "difficulty_score"])
def test_channels_of_whole_images_are_cut_from_their_maps(started, name):
    """Windows reach over the region's border, attention over the whole image."""
    env, obs = started
    learner, grid = env._campaign.learner, env._campaign.grid
    for row, region in enumerate(shown(env)):
        image, y, x = grid.corner(int(region))
        probs = learner.maps(np.array([image]))
        maps = {
            "ripu": lambda p: acquisition.ripu(p),
            "cbda": lambda p: acquisition.cbda(p, env._campaign.class_pixels),
            "difficulty_score": lambda p, i=image: learner.difficulty(np.array([i])),
        }[name](probs)[0]
        a, b, h, w = (v // learner._cell for v in (y, x, *grid.region))
        assert channel(env, obs, name)[row] == pytest.approx(maps[a : a + h, b : b + w].mean(), rel=1e-3, abs=1e-5)


def test_difficulty_entropy_takes_its_levels_from_the_image(started):
    env, obs = started
    learner, grid = env._campaign.learner, env._campaign.grid
    image, y, x = grid.corner(int(shown(env)[0]))
    levels = acquisition.difficulty_levels(learner.difficulty(np.array([image])))[0]
    a, b, h, w = (v // learner._cell for v in (y, x, *grid.region))
    expected = acquisition.level_entropy(levels[a : a + h, b : b + w], 8)
    assert channel(env, obs, "difficulty_entropy")[0] == pytest.approx(float(expected), abs=1e-3)


def test_predicted_class_is_that_of_the_mean(started):
    env, obs = started
    probs = env._campaign.learner.predict(shown(env)).probs
    np.testing.assert_array_equal(channel(env, obs, "predicted_class"), probs.mean((2, 3)).argmax(1))


def test_image_is_the_index_of_the_image(started):
    env, obs = started
    np.testing.assert_array_equal(channel(env, obs, "image"), env._campaign.grid.locate(shown(env))[0])


@pytest.mark.parametrize("kwargs", [SMALL, SMALL | PIXEL], ids=["regions", "pixels"])
def test_distance_is_to_the_nearest_label_or_pick(kwargs):
    """Of a single pixel, within its image."""
    env = gym.make("RegionSelect-v0", **kwargs, scores=["distance"]).unwrapped
    obs, _ = env.reset(seed=0)
    for _ in range(kwargs["picks"] - 1):
        prediction, picked = env._campaign.learner.predict(shown(env)), env._current.picked
        picks = np.full(len(prediction.embedding), -1, np.float32)
        if len(picked):
            cosine = prediction.embedding @ env._campaign.learner.predict(picked).embedding.T
            image, other = (env._campaign.grid.locate(ids)[0] for ids in (shown(env), picked))
            seen = np.where(env._campaign.grid.pixels & (image[:, None] != other), -1, cosine)
            picks = seen.max(1)
        np.testing.assert_allclose(obs["scores"][:, 0], 1 - np.maximum(prediction.nearest, picks), atol=1e-5)
        np.testing.assert_allclose(
            obs["candidates"][:, column("nearest_picked")], (1 + picks) / 2 if len(picked) else 0, atol=1e-5
        )
        obs, *_ = env.step(int(obs["scores"][:, 0].argmax()))


def test_only_what_is_asked_for_is_computed(monkeypatch):
    from alenv.segmenters.probes.learner import Learner

    for name in ("passes", "maps", "difficulty"):
        monkeypatch.setattr(Learner, name, lambda *args, name=name: pytest.fail(f"{name} was not asked for"))
    env = gym.make("RegionSelect-v0", **SMALL, scores=["margin", "predicted_class", "distance"])
    env.reset(seed=0)
    env.step(0)


def test_more_passes_are_less_noise():
    """BALD of 100 passes lies nearer to that of 101 others than BALD of 2 does."""
    values = {}
    for passes in (2, 100, 101):
        env = gym.make("RegionSelect-v0", **SMALL, scores=["bald"], passes=passes)
        values[passes] = env.reset(seed=0)[0]["scores"][:, 0]
    error = {passes: abs(values[passes] - values[101]).mean() for passes in (2, 100)}
    assert error[100] < 0.3 * error[2]


def test_images_and_regions_are_scored_a_few_at_a_time(monkeypatch):
    """An image has 8,000 to 9,000 probabilities here, a region 576."""
    scores, names = [], ["ripu", "cbda", "difficulty_score", "difficulty_entropy", "margin", "predicted_class"]
    for elements in (1, 60_000, 10**9):
        monkeypatch.setitem(arrays.BLOCK, "cpu", elements)
        env = gym.make("RegionSelect-v0", **SMALL, scores=names)
        scores.append(env.reset(seed=0)[0]["scores"])
    np.testing.assert_array_equal(scores[0], scores[2])
    np.testing.assert_array_equal(scores[1], scores[2])
