"""Windows of pixels: candidates by rank, whole pictures of which compete; shares of pixels; a source domain."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence

from alenv.acquisition import SCORES, ripu
from alenv.data import IGNORE, load
from alenv.data.adaptation import class_map
from alenv.envs.region.ranking import Ranker, make_ranker, rank
from alenv.metrics import mean_iou
from alenv.pool import UnlabelledPool
from alenv.regions import WindowGrid, make_windows

GRID = WindowGrid((14, 17), (3, 3))
RANKED = {
    "pooling": "ranked", "region": [3, 3], "picks": 40, "candidates": 4, "budget": 80, "initial": "none",
    "segmenter": "lda", "pool": "eval",
}  # fmt: skip
SOURCE = RANKED | {"split": "dusk", "initial": "source:scenes:day"}


def make(**kwargs):
    return gym.make("RegionSelect-v0", **kwargs).unwrapped


def chebyshev(a, b):
    return np.maximum(abs(a[1] - b[1]), abs(a[2] - b[2])) if a[0] == b[0] else np.inf


@pytest.mark.parametrize("picks", [3, 6, 12])
def test_candidates_hold_what_all_images_in_competition_and_what_equal_quotas_would_pick(one_after_the_other, picks):
    rng, images = np.random.default_rng(picks), np.array([1, 2, 5, 6, 7, 9])
    maps = {image: rng.random(GRID.shape) + 3 * (image == 5) for image in images.tolist()}
    pool = UnlabelledPool(images, GRID.per_image, 0)
    pool.take(np.array([2 * GRID.per_image + 40]))
    pool.close(GRID.overlapping(np.array([2 * GRID.per_image + 40])))
    found, ranked = rank(lambda image: (maps[image], None), pool, GRID, picks, 4)
    ids = found.ids.tolist()
    assert ids == sorted(set(ids))
    assert len(found.shown) == picks
    assert found.shown[0] == slice(0, len(ids))
    corners = GRID.corners(found.ids)
    assert all(chebyshev(a, b) > 2 for i, a in enumerate(corners) for b in corners[:i])
    values = {i: maps[i // GRID.per_image].ravel()[i % GRID.per_image] for i in ids}
    np.testing.assert_array_equal(ranked, [values[i] for i in ids])
    best = sorted(ids, key=values.get, reverse=True)[:picks]
    all_of_them = one_after_the_other(maps, pool, 10**6)
    quotas = one_after_the_other(maps, pool, 10**6, 4 * picks // 12)
    rest = [i for i in all_of_them if i not in quotas]
    assert ids == sorted(quotas + rest[: 4 * picks - len(quotas)])
    assert best == one_after_the_other(maps, pool, picks)
    assert set(one_after_the_other(maps, pool, picks // 6 * 6, picks // 6)) <= set(ids)


def test_windows_by_hand():
    array, ids = np.arange(2 * 14 * 17).reshape(2, 14, 17), np.array([0, 16, GRID.per_image + 179])
    np.testing.assert_array_equal(GRID.corners(ids), [[0, 0, 0], [0, 1, 1], [1, 11, 14]])
    np.testing.assert_array_equal(GRID.cut(array, ids)[1], array[0, 1:4, 1:4])
    np.testing.assert_array_equal(GRID.cut(array[:, ::2, ::2], ids, 2)[2], array[1, [[10], [12], [12]], [14, 14, 16]])
    np.testing.assert_array_equal(GRID.middle(array, ids), [array[0, 1, 1], array[0, 2, 2], array[1, 12, 15]])
    near = [i for i in range(GRID.per_image) if chebyshev(GRID.corner(i), (0, 1, 1)) < 3]
    np.testing.assert_array_equal(GRID.overlapping(ids[1:2]), near)
    with pytest.raises(ValueError, match="needs squares around a pixel"):
        make_windows((14, 17), (2, 2))


def test_windows_cover_whole_images():
    ids, covered = GRID.of_images(np.array([3, 1])), np.zeros((4, 14, 17), int)
    for image, y, x in GRID.corners(ids):
        covered[image, y : y + 3, x : x + 3] += 1
    assert (covered.min((1, 2)) == [0, 1, 0, 1]).all()
    assert len(ids) == 2 * 5 * 6
    assert GRID.disjoint(GRID.of_images(np.array([0]))[:4])
    assert not GRID.disjoint(np.array([0, 2]))
    assert not GRID.disjoint(np.array([0, 2 * GRID.shape[1]]))
    assert GRID.disjoint(np.array([0, 3, GRID.per_image]))


def test_full_size_images_are_ranked_without_overlap():
    grid = WindowGrid((1024, 2048), (3, 3))
    pool, rng = UnlabelledPool(np.arange(2), grid.per_image, 0), np.random.default_rng(0)
    found, _ = rank(lambda image: (rng.random(grid.shape, np.float32), None), pool, grid, 2330, 4)
    image, y, x = grid.locate(found.ids)
    covered = np.zeros((2, 1024, 2048), np.uint8)
    for dy in range(3):
        for dx in range(3):
            np.add.at(covered, (image, y + dy, x + dx), 1)
    assert covered.max() == 1
    assert covered.sum() == 9 * 4 * 2330


@pytest.mark.slow
def test_an_episode_of_windows_keeps_its_books_and_overlaps_nothing():
    env = make(**RANKED, scores=["ripu", "entropy", "image"])
    obs, info = env.reset(seed=0)
    assert env.observation_space.contains(obs)
    bought, over = [], False
    while not over:
        scores = env.observe_round()["scores"][0]
        _, _, over, _, info = env.step_round(np.argsort(-scores[:, 0], kind="stable")[: info["picks_left"]])
        bought += info["round_picked"].tolist()
    assert len(bought) == 80
    assert all(chebyshev(a, b) > 2 for i, a in enumerate(bought) for b in bought[:i])
    masks = np.array([env._campaign.data.masks[i, y : y + 3, x : x + 3] for i, y, x in bought])
    expected = np.bincount(masks[masks != IGNORE], minlength=len(info["class_pixels"]))
    np.testing.assert_array_equal(info["class_pixels"], expected)
    assert info["labelled_pixels"] == 720


@pytest.mark.slow
def test_checker_finds_nothing(recwarn):
    check_env(make(**RANKED, scores=["entropy"]), skip_render_check=True)
    assert not [str(w.message) for w in recwarn if "alenv" in str(w.message)]


@pytest.mark.slow
def test_channels_of_windows_are_those_of_pixels():
    """What ranks is what is shown; entropy is the mean over the window, RIPU that of its middle pixel."""
    env = make(**SOURCE, scores=["ripu", "entropy", "bald"], passes=3)
    env.reset(seed=0)
    scores, learner, grid = env.observe_round()["scores"][0], env._campaign.learner, env._campaign.grid
    ids = env._current.candidates
    ranker = make_ranker(env._campaign, env._arguments, env._episode, env._round)
    for column, score in enumerate(env._scores):
        for image in np.unique(ids // grid.per_image)[:2]:
            rows = ids // grid.per_image == image
            values, _ = ranker.maps(score, int(image))
            np.testing.assert_allclose(scores[rows, column], values.ravel()[ids[rows] % grid.per_image], atol=1e-5)
    maps = learner.maps(np.array([0]))
    assert maps.shape == (1, 12, 96, 128)
    np.testing.assert_allclose(maps.sum(1), 1, atol=1e-5)


def test_the_channel_that_ranks_is_not_computed_again_to_be_shown(monkeypatch):
    calls, ranked, maps = [], [], Ranker.maps
    spied = replace(SCORES["ripu"], function=lambda probs: calls.append(1) or ripu(probs))
    monkeypatch.setitem(SCORES, "ripu", spied)
    monkeypatch.setattr(Ranker, "maps", lambda *args: ranked.append(1) or maps(*args))
    env = make(**RANKED, scores=["ripu"])
    env.reset(seed=0)
    assert len(calls) == len(ranked) >= 240
    shown, ids, grid = env.observe_round()["scores"][0, :, 0], env._current.candidates, env._campaign.grid
    for row in (0, -1):
        image, y, x = grid.corner(int(ids[row]))
        assert shown[row] == ripu(env._campaign.learner.maps(np.array([image])))[0, y + 1, x + 1]


@pytest.mark.slow
def test_a_snapshot_of_ranked_candidates_goes_on_bit_for_bit():
    env, twin = (make(**SOURCE, scores=["entropy", "distance"]) for _ in range(2))
    env.reset(seed=0)
    for action in range(50):
        env.step(action)
    twin.set_state(env.get_state())
    for action in range(60, 75):
        assert data_equivalence(env.step(action), twin.step(action), exact=True)
    state = env.get_state()
    wrong = state | {"round": state["round"] | {"ranked": state["round"]["ranked"][::-1].copy()}}
    with pytest.raises(ValueError, match="ascending"):
        twin.set_state(wrong)
    ranked = state["round"]["ranked"]
    near = np.setdiff1d(env._campaign.grid.overlapping(ranked[:1]), ranked)
    near = near[env._campaign.pool.holds(near)]
    for one in near[[0, -1]]:
        wrong = np.sort(np.append(ranked[:-1], one))
        with pytest.raises(ValueError, match=r"round.ranked: two of these windows overlap"):
            twin.set_state(state | {"round": state["round"] | {"ranked": wrong}})
    assert data_equivalence(env.step(79), twin.step(79), exact=True)  # nothing was changed


def test_a_source_domain_teaches_before_the_first_pick():
    without, env = make(**RANKED | {"split": "dusk"}), make(**SOURCE)
    (_, blank), (_, info) = without.reset(seed=0), env.reset(seed=0)
    source = env._campaign.learner.given
    assert source > 0
    assert info["labels_given"] == blank["labels_given"] + source
    assert info["class_pixels"].sum() == info["labelled_pixels"] == 0
    assert info["miou"] > 20 > blank["miou"]
    assert len(env._campaign.learner._heads) == 3
    assert "source" in env.fingerprint()["learner"]


@pytest.mark.slow
def test_whole_images_can_be_labelled_at_the_start():
    """As for full supervision: they teach what they teach in other regions, and nothing is left of them."""
    windows = make(**RANKED, scores=["ripu"])
    tiles = make(**RANKED | {"pooling": "uniform", "region": None})
    kept, named = np.split(windows._loaded[0].splits["eval"], [2])
    (_, info), (_, same) = (env.reset(seed=0, options={"initial_images": named.tolist()}) for env in (windows, tiles))
    campaign = windows._campaign
    assert set(windows._current.candidates // campaign.grid.per_image) <= set(kept)
    assert info["miou"] == pytest.approx(same["miou"], abs=0.01)


@pytest.mark.slow
def test_the_source_weighs_what_is_best_on_the_reward_split():
    env = make(**SOURCE)
    _, info = env.reset(seed=0)
    while info["round"] == 0:  # without labels of the target the weight says nothing
        _, _, _, _, info = env.step(int(np.flatnonzero(env.action_masks())[0]))
    learner = env._campaign.learner
    found = [mean_iou(learner._confusion(learner._cells.of_split("reward"), head)) for head in learner._heads]
    assert len(set(found)) > 1
    assert info["miou"] == pytest.approx(max(found))


def test_classes_of_a_source_are_found_by_name():
    table = class_map("x", ("Sky", "vegetation", "dragon", "SignSymbol"), ("sign", "tree", "sky"))
    assert table[:5].tolist() == [2, 1, IGNORE, 0, IGNORE]
    with pytest.raises(ValueError, match="has none of the classes"):
        class_map("x", ("dragon",), ("sky",))


def test_shares_of_the_pixels():
    env, data = make(**RANKED | {"picks": "1%", "budget": "20%"}), load("scenes")
    picks = -(-len(data.splits["eval"]) * 96 * 128 // 900)
    assert (env.picks, env._budget) == (picks, 20 * picks)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"picks": "1"}, "such as '1%'"),
        ({"picks": "0%"}, "such as '1%'"),
        ({"picks": "1%", "region": None}, "need region="),
        ({"region": [24, 32]}, "needs squares"),
        ({"region": "image"}, "pass region="),
        ({"observation": "ralis"}, "goes with observation="),
        ({"scores": ["difficulty_score"]}, "not known of windows"),
        ({"initial": "state:2"}, "use 'none'"),
        ({"initial": "source:scenes:day", "pool": "train"}, "give away the labels"),
        ({"initial": "source:nowhere"}, "unknown dataset"),
        ({"initial": "source:scenes:day:day"}, "write 'source:<dataset>' or"),
        ({"initial": "source:no.where:day"}, "cannot be imported"),
    ],
)
def test_what_cannot_be_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        make(**RANKED | wrong).reset()
