"""Copies of an environment: whatever is asked of them first, they answer as the original would."""

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence

import alenv  # noqa: F401  registers the ids
from alenv.contact_sheet import Page
from alenv.mining import load

MADE = {
    "regions": (
        "RegionSelect-v0",
        {"picks": 3, "budget": 6, "candidates": 4, "segmenter": "lda", "render_mode": "ansi"},
    ),
    "mining": (
        "SingleClassMine-v0",
        {"dataset": "mixture:1000", "pool": "eval", "budget": 8, "candidates": 6, "skip": True, "render_mode": "ansi"},
    ),
}
MADE["batch"] = "SingleClassMine-v0", {**MADE["mining"][1], "num_envs": 3}
MADE["batch of regions"] = "RegionSelect-v0", {**MADE["regions"][1], "num_envs": 3}
BATCHES = ("batch", "batch of regions")
ALL = {
    "action_masks": lambda env: env.action_masks(),
    "candidate_gains": lambda env: env.candidate_gains(),
    "fingerprint": lambda env: env.fingerprint(),
    "get_state": lambda env: env.get_state(),
    "render": lambda env: env.render(),
}
OWN = {
    "regions": {
        "evaluate": lambda env: env.evaluate("test"),
        "observe_round": lambda env: env.observe_round(),
        "step": lambda env: env.step(1),
    },
    "mining": {
        "labelled": lambda env: env.labelled,
        "policy_images": lambda env: env.policy_images(),
        "step": lambda env: env.step(1),
    },
    "batch": {
        "call": lambda env: env.call("labelled"),
        "step": lambda env: env.step(np.array([1, 2, 3])),
        "reset of one": lambda env: env.reset(options={"reset_mask": np.array([False, True, False])}),
    },
}
OWN["batch of regions"] = {**OWN["batch"], "call": lambda env: env.call("observe_round")}
QUESTIONS = [(kind, name, ask) for kind in MADE for name, ask in (ALL | OWN[kind]).items()]
CHANGES = ("step", "reset of one")


def made(kind):
    env_id, kwargs = MADE[kind]
    return (gym.make_vec if kind in BATCHES else gym.make)(env_id, **kwargs).unwrapped


def started(kind):
    env = made(kind)
    env.reset(seed=2)
    for action in (2, 0, 3, 1):
        env.step(np.full(3, action) if kind in BATCHES else action)
    return env


@pytest.fixture(scope="module")
def originals():
    """One environment of each kind in mid-episode; tests ask copies."""
    return {kind: started(kind) for kind in MADE}


@pytest.mark.parametrize(("kind", "name", "ask"), QUESTIONS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_copy_answers_like_the_original(originals, kind, name, ask):
    """Also the copy of a copy that was asked nothing."""
    env = originals[kind]
    once = copy.deepcopy(env)
    twice = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(env))))
    expected = ask(copy.deepcopy(env) if name in CHANGES else env)
    for other in (once, twice):
        assert data_equivalence(ask(other), expected, exact=True)


@pytest.mark.parametrize("kind", MADE)
def test_a_copy_of_what_was_not_started_is_not_started_either(kind):
    env = pickle.loads(pickle.dumps(made(kind)))
    for ask in (ALL | OWN[kind]).values():
        if ask is not ALL["fingerprint"]:
            with pytest.raises(gym.error.ResetNeeded):
                ask(pickle.loads(pickle.dumps(env)))


def test_policy_images_tell_their_own_pixels():
    env, pool = started("mining"), load("mixture:1000")
    vectors, quantities = env.policy_images()
    [target] = [c for c, name in enumerate(pool.classes) if name == env._name]
    for image, vector, quantity in zip(pool.splits["train"][::17], vectors[::17], quantities[::17], strict=True):
        np.testing.assert_array_equal(vector, pool.embeddings[image])
        held = pool.modes[image] >= 0
        assert quantity == pool.pixels[image][held & (pool.mode_class[pool.modes[image]] == target)].sum()
    assert quantities.any()


def test_a_picture_shows_what_was_bought_and_for_what():
    """Three images bought, and two looks of a tenth of an image each: shares of a budget of eight."""
    env_id, kwargs = MADE["mining"]
    env, pool = gym.make(env_id, **kwargs, classes="all", positives=2, look_cost=0.1).unwrapped, load("mixture:1000")
    _, info = env.reset(seed=4, options={"target_class": "class_00"})
    seeds, total = env.labelled, 0.0
    for look, gains in ((True, None), (False, np.argmax), (True, None), (False, np.argmin), (False, np.argmax)):
        _, reward, _, _, info = env.step(6 if look else int(gains(env.candidate_gains())))
        total += reward
    page = env._page()
    assert isinstance(page, Page)
    assert (page.target, list(page.seeds), list(page.bought)) == (info["target_class"], seeds, env.labelled[3:])
    assert len(page.bought) == 3
    assert len(page.seeds) == 3
    positives = info["positives"]
    assert 0 < positives < 3
    assert page.spent == pytest.approx((positives / 8, (3 - positives) / 8, 0.2 / 8, 0))
    assert page.gain == pytest.approx(total)
    assert list(page.candidates) == env._images.tolist()
    target = pool.classes.index(page.target)
    for image in env.labelled:
        held = pool.modes[image] >= 0
        assert page.found[image] == pool.pixels[image][held & (pool.mode_class[pool.modes[image]] == target)].sum()
    assert sum(page.found.values()) == info["quantity"]
