"""SingleClassMine keeps Gymnasium's contracts, and its own."""

import math
import pickle
import re

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from hypothesis import given, settings
from hypothesis import strategies as st

import alenv  # noqa: F401  registers the ids
from alenv.envs.mining.draws import first_candidates, settle, settle_many
from alenv.mining import load

ID = "SingleClassMine-v0"
SMALL = {"dataset": "mixture:1000", "budget": 8, "candidates": 6, "classes": "all"}
SKIP = {**SMALL, "skip": True, "look_cost": 0.3}


def make(**kwargs):
    return gym.make(ID, **{**SMALL, **kwargs}).unwrapped


def rollout(env, actions, seed=None, options=None):
    """Take actions, after a reset if a seed is given, until the episode ends; returns everything that came back."""
    steps = [env.reset(seed=seed, options=options)] if seed is not None else []
    for action in actions:
        steps.append(env.step(action))
        if steps[-1][2]:
            break
    return steps


def in_new_process(kwargs, state, actions):
    env = gym.make("alenv:" + ID, **kwargs).unwrapped
    env.set_state(state)
    return rollout(env, actions)


def recount(pool, images, target):
    """Pixels of a class by mode, counted anew from what the images hold."""
    by_mode = {}
    for image in images:
        for mode, pixels in zip(pool.modes[image], pool.pixels[image], strict=True):
            if mode >= 0 and pool.classes[pool.mode_class[mode]] == target:
                by_mode[int(mode)] = by_mode.get(int(mode), 0) + int(pixels)
    return by_mode


@pytest.mark.parametrize("kwargs", [{}, SKIP, {"observation": "cosine"}, {"observation": "embedding"}])
def test_checkers_find_nothing(kwargs, recwarn):
    from stable_baselines3.common.env_checker import check_env as check_env_sb3  # spawned tests need not wait for it

    env = gym.make(ID, **kwargs)
    check_env(env.unwrapped, skip_render_check=False)
    check_env_sb3(env)
    assert not [str(w.message) for w in recwarn if "unconventional shape" not in str(w.message)]


def test_rewards_are_recounts():
    """Return, quantity and positives follow from the labelled images and the data alone."""
    env, pool = make(gain="log"), load("mixture:1000")
    for seed in range(5):
        _, info = env.reset(seed=seed)
        target, seeds, total = info["target_class"], env.labelled, 0.0
        for action in (0, 3, 5, 1, 2, 4, 0, 1):
            gains = env.candidate_gains()
            shown = list(env._row)
            _, reward, over, _, info = env.step(action)
            assert info["picked"] == shown[action]
            assert reward == pytest.approx(gains[action], abs=1e-12)
            total += reward
        assert over
        held = pool.pixels[(pool.modes >= 0) & (pool.mode_class[pool.modes] == pool.classes.index(target))]
        before, after = (recount(pool, images, target) for images in (seeds, env.labelled))
        worth = [sum(math.log1p(n / held.mean()) for n in counts.values()) for counts in (before, after)]
        assert total == pytest.approx(worth[1] - worth[0], abs=1e-12)
        assert info["gain"] == pytest.approx(total, abs=1e-12)
        assert info["quantity"] == sum(after.values())
        assert info["positives"] == sum(bool(recount(pool, [i], target)) for i in env.labelled[2:])


def test_seeds_hold_the_class_or_do_not():
    env, pool = make(positives=3, negatives=4), load("mixture:1000")
    for seed in range(8):
        _, info = env.reset(seed=seed)
        has = [bool(recount(pool, [i], info["target_class"])) for i in env.labelled]
        assert has == [True] * 3 + [False] * 4
        assert len(set(env.labelled)) == 7
        assert set(env.labelled) <= set(pool.splits["train"].tolist())


def test_candidates_are_new_distinct_and_of_the_pool():
    env = make(pool="eval", candidates=60, budget=300)
    env.reset(seed=1)
    pool = set(load("mixture:1000").splits["eval"].tolist())
    over = False
    while not over:
        assert len(set(env._row)) == 60
        assert not set(env._row) & set(env.labelled)
        assert set(env._row) <= pool
        over = env.step(0)[2]
    assert len(set(env.labelled)) == 302


@given(st.integers(0, 2**62 - 1), st.integers(0, 500), st.integers(2, 12), st.integers(0, 8), st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_draws_one_by_one_and_together(key, look, count, labelled, spare):
    """Two ways to settle candidates agree, and never show an image twice or again."""
    pool = np.arange(100, 100 + count + labelled + spare)
    taken = np.random.default_rng(0).permutation(pool)[:labelled]
    keys, looks = np.array([key, key, 7], np.uint64), np.array([look, look + 1, look])
    images = first_candidates(keys, looks, count, pool)
    rows = zip(images.tolist(), keys.tolist(), looks.tolist(), strict=True)
    alone = [settle(row, key, look, pool, set(taken.tolist())) for row, key, look in rows]
    settle_many(images, keys, looks, pool, np.tile(taken, (3, 1)))
    assert images.tolist() == alone
    for row in alone:
        assert len(set(row)) == count
        assert not set(row) & set(taken.tolist())


def test_draws_are_uniform():
    images = first_candidates(np.arange(5000, dtype=np.uint64) * 977, np.zeros(5000, int), 20, np.arange(50))
    assert np.bincount(images.ravel(), minlength=50).std() < 3 * np.sqrt(2000)
    assert abs(np.corrcoef(images[:, 0], images[:, 1])[0, 1]) < 0.05


def test_two_policies_meet_the_same_luck():
    """Slots differ only where what was labelled differs."""
    first, second = make(), make()
    start = rollout(first, [], seed=4), rollout(second, [], seed=4)
    assert data_equivalence(*start, exact=True)
    for step in range(8):
        bought = set(first.labelled) | set(second.labelled)
        for one, other in zip(first._row, second._row, strict=True):
            assert one == other or {one, other} & bought or step
        same = sum(a == b for a, b in zip(first._row, second._row, strict=True))
        assert same >= 4
        first.step(0)
        second.step(5)


@pytest.mark.parametrize("observation", ["cosine", "relational", "embedding"])
def test_same_seed_same_bits(observation):
    first, second = make(observation=observation), make(observation=observation)
    actions = [0, 1, 2, 3, 4, 5, 0, 1]
    assert data_equivalence(rollout(first, actions, seed=3), rollout(second, actions, seed=3), exact=True)
    again = [(env.reset(), rollout(env, actions)) for env in (first, second)]
    assert data_equivalence(*again, exact=True)
    assert not data_equivalence(again[0][0], first.reset(seed=3), exact=True)


def test_skip_costs_looks():
    env = make(skip=True, look_cost=0.25, budget=2)
    before, info = env.reset(seed=0)
    for looks in (1, 2, 3, 4):
        obs, reward, over, _, info = env.step(6)
        assert (info["looks"], info["picked"], reward, over) == (looks, -1, 0.0, False)
        assert obs["state"][5] == pytest.approx(0.25 * looks / 2)
    assert (obs["candidates"] != before["candidates"]).any()
    assert not env.action_masks()[6]
    assert obs["action_mask"].tolist() == [1] * 6 + [0]
    _, reward, over, _, info = env.step(6)
    assert (info["invalid_action"], info["looks"], reward, over) == (True, 4, 0.0, True)


def test_a_single_pick_ends_what_looks_have_left():
    env = make(skip=True, look_cost=0.25, budget=2)
    env.reset(seed=0)
    env.step(6)
    _, _, over, _, info = env.step(0)
    assert over
    assert info["picked"] >= 0


@pytest.mark.parametrize("kwargs", [SMALL, SKIP])
def test_snapshot_goes_on_in_a_spawned_process(kwargs, other_process):
    env = gym.make(ID, **kwargs).unwrapped
    rollout(env, [0, 5, 2], seed=5)
    state, actions = env.get_state(), [1, 4, 0, 3, 2]
    uninterrupted = [*rollout(env, actions), env.reset()]
    resumed = other_process.apply(in_new_process, (kwargs, state, actions))
    assert data_equivalence(uninterrupted[:-1], resumed, exact=True)
    copy = pickle.loads(pickle.dumps(env))
    assert data_equivalence((rollout(env, actions), env.reset()), (rollout(copy, actions), copy.reset()), exact=True)


def test_snapshots_of_other_data_are_refused():
    env = make()
    env.reset(seed=0)
    with pytest.raises(
        ValueError,
        match="the snapshot was taken with dataset='mixture:1000', this environment has dataset='mixture:2000'",
    ):
        make(dataset="mixture:2000").set_state(env.get_state())


def test_options_choose_the_class():
    env = make(classes="heldout")
    names = {env.reset(seed=seed)[1]["target_class"] for seed in range(30)}
    assert names <= set(load("mixture:1000").heldout)
    assert len(names) > 5
    name = sorted(names)[0]
    assert env.reset(seed=1, options={"target_class": name})[1]["target_class"] == name


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"dataset": "mixtures"}, "unknown dataset 'mixtures'; did you mean 'mixture'"),
        ({"dataset": "mixture:9"}, "write a number of at least 1000"),
        ({"root": "/data"}, "root='/data' has no effect"),
        ({"pool": "test"}, "unknown pool 'test'"),
        ({"classes": "heldouts"}, "unknown classes 'heldouts'; did you mean 'heldout'"),
        ({"classes": []}, r"classes=\[\]: expected"),
        ({"candidates": 1}, "candidates=1: expected an integer of at least 2"),
        ({"budget": 0}, "budget=0: expected an integer of at least 1"),
        ({"budget": 493}, "budget=493 with 2 seeds and candidates=6 needs more than the 500 images .* budget <= 492"),
        ({"skip": 1}, "skip=1: expected True or False"),
        ({"look_cost": 0}, "look_cost=0: expected a number above 0, at most 1"),
        ({"gain": "logs"}, "unknown gain 'logs'; did you mean 'log'"),
        ({"observation": "cosin"}, "did you mean 'cosine'"),
    ],
)
def test_bad_arguments_name_value_and_remedy(kwargs, message):
    with pytest.raises(ValueError, match=message):
        make(**kwargs)


@pytest.mark.parametrize(
    ("kwargs", "options", "message"),
    [
        ({}, {"target": "class_00"}, "unknown reset option 'target'; did you mean 'target_class'"),
        ({}, {"target_class": "class_0"}, "unknown class of mixture:1000 'class_0'; did you mean 'class_"),
        ({"classes": "train"}, {"target_class": "class_04"}, "'class_04' is not among classes='train'"),
        ({"classes": ["class_61"]}, None, "unknown class of mixture:1000 'class_61'"),
        ({"positives": 9, "classes": ["class_59"]}, None, r"'class_59' is in \d of the 500 images .* needs 10 with it"),
        ({"positives": 400}, None, "classes='all': none of them has enough images"),
    ],
)
def test_errors_that_need_the_data(kwargs, options, message):
    with pytest.raises(ValueError, match=message):
        make(**kwargs).reset(seed=0, options=options)


def test_a_class_needs_one_positive_more_than_the_seeds():
    pool, name = load("mixture:1000"), "class_50"
    have = sum(bool(recount(pool, [i], name)) for i in pool.splits["train"])
    make(positives=have - 1).reset(seed=0, options={"target_class": name})
    with pytest.raises(ValueError, match=f"'class_50' is in {have} of the 500 images .* needs {have + 1} with it"):
        make(positives=have).reset(seed=0, options={"target_class": name})


def test_fingerprints_tell_data_apart():
    assert make().fingerprint() == make().fingerprint()
    assert make(dataset="mixture:1500").fingerprint()["data"] != make().fingerprint()["data"]


def test_policy_images_are_for_new_images_only():
    env = make(pool="eval")
    env.reset(seed=0, options={"target_class": "class_00"})
    vectors, quantities = env.policy_images()
    assert vectors.shape == (500, 64)
    assert quantities.sum() == sum(recount(load("mixture:1000"), range(0, 1000, 2), "class_00").values())
    env = make()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="use pool='eval'"):
        env.policy_images()


def test_render():
    env = make(render_mode="ansi")
    rollout(env, [0, 1], seed=0)
    line = r"class_\d\d: bought 2 of 8 images, \d hold the class, \d+ pixels, gain \d\.\d{3}"
    assert re.fullmatch(line, env.render())
