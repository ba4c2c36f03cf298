"""Acquisition channels in the environment: what the functions say of the model's predictions, region by region."""

import gymnasium as gym
import numpy as np
import pytest

from alenv import acquisition, arrays
from alenv.acquisition import SCORES, MonteCarloMoments
from alenv.observation import column
from alenv.rng import Stream, keyed_rng

SMALL = {"picks": 4, "budget": 12}
PIXEL = {"region": "pixel", "initial": "random:60", "pooling": "global", "candidates": 40}


@pytest.fixture(scope="module", params=["linear", "lda", "mlp"])
def started(request):
    """An environment with all channels in the second round, and its observation there."""
    import alenv  # noqa: F401  registers the ids

    env = gym.make("RegionSelect-v0", **SMALL, segmenter=request.param, scores=list(SCORES)).unwrapped
    env.reset(seed=0)
    for _ in range(4):
        obs, *_ = env.step(3)
    return env, obs


def shown(env):
    return env._current.candidates[env._current.current]


def channel(obs, name):
    return obs["scores"][:, list(SCORES).index(name)]


def test_bounds_are_declared_and_kept(started):
    env, obs = started
    assert env.observation_space.contains(obs)
    assert np.isfinite(obs["scores"]).all()
    for name in SCORES:
        assert np.ptp(channel(obs, name)) > 0, name


@pytest.mark.parametrize("name", ["entropy", "margin", "least_confidence"])
def test_plain_channels_are_the_mean_of_the_map(started, name):
    env, obs = started
    maps = getattr(acquisition, name)(env._campaign.learner.predict(shown(env)).probs)
    np.testing.assert_allclose(channel(obs, name), maps.mean((1, 2)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("name", "exponent"), [("", 0.5), ("_0.25", 0.25), ("_0.75", 0.75), ("_1.0", 1.0)])
def test_balanced_channels_have_the_labels_so_far(started, name, exponent):
    env, obs = started
    probs = env._campaign.learner.predict(shown(env)).probs
    expected = acquisition.class_balanced_entropy(probs, env._campaign.class_pixels, exponent).mean((1, 2))
    np.testing.assert_allclose(channel(obs, f"class_balanced_entropy{name}"), expected, rtol=1e-4)


def test_monte_carlo_channels_come_from_one_set_of_keyed_passes(started):
    env, obs = started
    moments = MonteCarloMoments()
    for probs in env._campaign.learner.passes(shown(env), keyed_rng(env._episode, Stream.PASSES, 1), 20):
        moments.add(probs)
    np.testing.assert_allclose(channel(obs, "bald"), moments.bald().mean((1, 2)), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(channel(obs, "balent"), moments.balent_rank().mean((1, 2)), rtol=1e-3, atol=1e-5)


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
        assert channel(obs, name)[row] == pytest.approx(maps[a : a + h, b : b + w].mean(), rel=1e-3, abs=1e-5)


def test_difficulty_entropy_takes_its_levels_from_the_image(started):
    env, obs = started
    learner, grid = env._campaign.learner, env._campaign.grid
    image, y, x = grid.corner(int(shown(env)[0]))
    levels = acquisition.difficulty_levels(learner.difficulty(np.array([image])))[0]
    a, b, h, w = (v // learner._cell for v in (y, x, *grid.region))
    expected = acquisition.level_entropy(levels[a : a + h, b : b + w], 8)
    assert channel(obs, "difficulty_entropy")[0] == pytest.approx(float(expected), abs=1e-3)


def test_predicted_class_is_that_of_the_mean(started):
    env, obs = started
    probs = env._campaign.learner.predict(shown(env)).probs
    np.testing.assert_array_equal(channel(obs, "predicted_class"), probs.mean((2, 3)).argmax(1))


def test_image_is_the_index_of_the_image(started):
    env, obs = started
    np.testing.assert_array_equal(channel(obs, "image"), env._campaign.grid.locate(shown(env))[0])


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
