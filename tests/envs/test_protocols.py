"""Whole images, single pixels, and the ways to draw candidates: the same environment under other protocols."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence

from alenv.data import IGNORE
from alenv.ledger import count_clicks, label_counts

IMAGE = {"region": "image", "picks": 3, "candidates": 4, "budget": 9, "initial": "random:5"}
PIXEL = {"region": "pixel", "picks": 30, "candidates": 6, "budget": 90, "initial": "random:120", "pooling": "per_image"}
GLOBAL = {"picks": 4, "candidates": 5, "budget": 12, "pooling": "global"}
PER_IMAGE = {"picks": 4, "candidates": 5, "budget": 12, "pooling": "per_image"}
PROTOCOLS = {
    "image": IMAGE,
    "image, global": IMAGE | {"pooling": "global"},
    "pixel": PIXEL,
    "pixel, uniform": PIXEL | {"pooling": "uniform"},
    "pixel, global": PIXEL | {"pooling": "global", "picks": 6, "budget": 18},
    "global": GLOBAL,
    "per image": PER_IMAGE,
}
every = pytest.mark.parametrize("kwargs", PROTOCOLS.values(), ids=PROTOCOLS)


def make(**kwargs):
    return gym.make("RegionSelect-v0", **kwargs).unwrapped


def legal(env, rng):
    return int(rng.choice(np.flatnonzero(env.action_masks())))


def play(env, seed=0, steps=None):
    """Legal random picks; returns what came back, the reset first."""
    rng, seen = np.random.default_rng(seed), [env.reset(seed=seed)]
    while (len(seen) - 1 != steps) and not (len(seen) > 1 and seen[-1][2]):
        seen.append(env.step(legal(env, rng)))
    return seen


@every
def test_checker_finds_nothing(kwargs, recwarn):
    check_env(make(**kwargs, scores=["entropy", "distance", "image"]), skip_render_check=True)
    assert not [str(w.message) for w in recwarn if "alenv" in str(w.message)]


@every
def test_an_episode_keeps_its_books(kwargs):
    """Rewards telescope, nothing is bought twice, the labels bought and their cost are those of the masks."""
    env = make(**kwargs)
    first, *steps = play(env)
    info = steps[-1][-1]
    assert steps[-1][2]
    assert len(steps) == kwargs["budget"] == info["labelled_regions"]
    assert sum(step[1] for step in steps) == pytest.approx(info["miou"] - first[1]["miou"], abs=1e-9)
    picked = [tuple(step[-1]["picked"]) for step in steps]
    assert len(set(picked)) == len(picked)
    h, w = env._campaign.grid.region
    masks = [env._campaign.data.masks[i, y : y + h, x : x + w] for i, y, x in picked]
    known = np.concatenate([mask[mask != IGNORE] for mask in masks])
    np.testing.assert_array_equal(info["class_pixels"], np.bincount(known, minlength=len(info["class_pixels"])))
    assert info["labelled_pixels"] == len(known)
    assert info["images_opened"] == len({image for image, _, _ in picked})
    assert {image for image, _, _ in picked} <= set(env._campaign.data.splits["train"].tolist())
    assert info["cost_clicks"] == sum(count_clicks(mask[None], label_counts(mask[None])).sum() for mask in masks)


@every
def test_a_snapshot_in_mid_round_goes_on_bit_for_bit(kwargs):
    kwargs = kwargs | {"scores": ["bald", "ripu", "distance"]}
    env, twin = make(**kwargs), make(**kwargs)
    play(env, steps=kwargs["picks"] + 2)
    twin.set_state(env.get_state())
    rng = np.random.default_rng(1)
    for _ in range(kwargs["picks"]):
        np.testing.assert_array_equal(env.action_masks(), twin.action_masks())
        action = legal(env, rng)
        assert data_equivalence(env.step(action), twin.step(action), exact=True)


def test_an_image_is_one_region():
    env = make(**IMAGE)
    _, info = env.reset(seed=0)
    assert (
        info["labels_given"] - (env._campaign.data.masks[env._campaign.data.splits["reward"]] != IGNORE).sum()
        == (env._campaign.data.masks[env._campaign.learner.labelled] != IGNORE).sum()
    )
    assert len(env._campaign.pool) == len(env._campaign.data.splits["train"]) - 5
    *_, info = env.step(0)
    assert info["picked"][1:].tolist() == [0, 0]


def test_pixels_of_a_pool_come_from_one_image_and_images_take_turns():
    env = make(**PIXEL)
    env.reset(seed=0)
    current, per_image = env._current, env._campaign.grid.per_image
    images = [np.unique(current.candidates[part] // per_image) for part in current._candidates.shown]
    assert all(len(image) == 1 for image in images)
    assert len(np.unique(np.concatenate(images))) == PIXEL["picks"]


def test_a_pixel_costs_one_click_and_one_pixel():
    env = make(**PIXEL)
    *_, (_, _, _, _, info) = play(env)
    assert info["labelled_pixels"] <= info["labelled_regions"] == 90
    assert info["cost_clicks"] == info["labelled_pixels"]


def test_pixels_of_one_cell_look_alike():
    """The model knows a pixel by its feature cell."""
    env = make(**PIXEL, scores=["entropy", "ripu"])
    env.reset(seed=0)
    learner, grid, cell = env._campaign.learner, env._campaign.grid, env._campaign.learner._cell
    image, y, x = (v[:40] for v in grid.locate(env._current.candidates))
    maps = learner.maps(np.unique(image))
    row = np.searchsorted(np.unique(image), image)
    probs = learner.predict(env._current.candidates[:40]).probs[:, :, 0, 0]
    np.testing.assert_allclose(probs, maps[row, :, y // cell, x // cell], atol=1e-6)


def test_in_a_global_pool_every_pick_sees_all_and_none_twice():
    env = make(**GLOBAL, scores=["distance"])
    obs, _ = env.reset(seed=0)
    assert env.action_space.n == len(obs["action_mask"]) == 20
    first = obs["candidates"]
    for picked in range(1, 4):
        obs, _, _, _, info = env.step(picked)
        assert not info["invalid_action"]
        assert np.flatnonzero(obs["action_mask"] == 0).tolist() == list(range(1, picked + 1))
        np.testing.assert_array_equal(obs["candidates"][:, :-1], first[:, :-1])
        assert obs["scores"][picked, 0] == pytest.approx(0, abs=1e-6)
    _, _, _, _, info = env.step(2)
    assert info["invalid_action"]
    assert info["picked"].tolist() == [-1, -1, -1]
    assert (info["labelled_regions"], info["round"]) == (3, 1)


def test_the_last_round_of_a_global_pool_is_padded():
    env = make(**GLOBAL | {"budget": 6})
    *_, (obs, *_) = play(env, steps=4)
    assert obs["action_mask"].sum() == 10
    assert (obs["candidates"][10:] == 0).all()


def test_masked_gains_are_nan_in_a_global_pool():
    env = make(**GLOBAL, segmenter="lda")
    env.reset(seed=0)
    env.step(3)
    assert np.flatnonzero(np.isnan(env.candidate_gains())).tolist() == [3]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"region": "pixels"}, r"region='pixels': expected \[height, width\] in pixels, 'image' or 'pixel'"),
        ({"region": "pixel"}, "initial='state:2' labels whole images, .*; use 'random:n' or 'none'"),
        ({"region": "pixel", "initial": "none", "scores": ["difficulty_entropy"]}, "use 'difficulty_score'"),
        ({"pooling": "image"}, "unknown pooling 'image'; did you mean 'per_image'"),
        ({"scores": ["bald"], "passes": 1}, "score 'bald' compares Monte-Carlo passes, but passes=1; use passes >= 2"),
        ({"scores": "entropy"}, "scores='entropy': expected a list of names"),
        ({"passes": 0}, "passes=0: expected an integer of at least 1"),
        ({"segmenter": "mlp", "pick_gains": True}, "pick_gains=True needs segmenter='linear' or 'lda'"),
    ],
)
def test_bad_arguments_name_value_and_remedy(kwargs, message):
    with pytest.raises(ValueError, match=message):
        make(**kwargs)


def test_whole_images_cannot_be_given_as_pixels():
    with pytest.raises(ValueError, match="'initial_images' labels whole images, which region='pixel' cannot"):
        make(**PIXEL).reset(seed=0, options={"initial_images": [0]})


def test_more_initial_regions_than_there_are():
    with pytest.raises(ValueError, match="initial='random:999' asks for 999, but there are"):
        make(**IMAGE | {"initial": "random:999"}).reset(seed=0)
