"""Policies see (obs, info) and nothing else; the evaluator does the scoring."""

import json

import gymnasium as gym
import numpy as np
import pytest

import alenv  # noqa: F401  registers the ids
from agents.catalogue import make_policy
from agents.heuristics import POLICIES
from agents.play import Episode, evaluate
from alenv.metrics import mean_iou

SMALL = {"picks": 4, "budget": 12, "pool": "eval"}


def play(name, seeds=(0,), **kwargs):
    return list(evaluate(make_policy(name), "RegionSelect-v0", SMALL | kwargs, seeds))


class Spy:
    """Records what it is shown."""

    name, scores, oracle = "spy", ("margin",), False

    def reset(self, seed):
        self.seen = []

    def act(self, obs, info):
        self.seen.append((obs, info))
        return 0


@pytest.fixture(scope="module")
def start():
    """The first score of an episode; that of every policy."""
    return play("random", budget=1, picks=1)[0].metrics["miou/test"][0]


@pytest.mark.parametrize("name", [name for name in POLICIES if not name[-1].isdigit()])  # of exponents, one
def test_every_policy_plays_an_episode_by_the_rules(name, start):
    [episode] = play(name)
    assert episode.metrics["miou/test"][0] == start
    assert episode.policy == name
    assert episode.oracle == name.endswith("look_ahead")
    assert len(episode.actions) == len(episode.rewards) == 12
    assert episode.costs["regions"] == [0, 4, 8, 12]
    for unit in ("pixels", "clicks", "images"):
        assert episode.costs[unit][0] == 0
        assert (np.diff(episode.costs[unit]) >= 0).all()
    for split in ("reward", "holdout", "test"):
        assert len(episode.metrics[f"miou/{split}"]) == 4
        assert np.shape(episode.class_metrics[f"class_iou/{split}"]) == (4, 12)


def test_episodes_repeat_and_seeds_differ():
    first, second = play("random", seeds=(3, 4))
    again, _ = play("random", seeds=(3, 4))
    (alone,) = play("random", seeds=(4,))
    strip = lambda e: {**vars(e), "seconds": None}  # noqa: E731
    assert strip(first) == strip(again)
    assert strip(second) == strip(alone)
    assert first.actions != second.actions


def test_curve_is_what_a_replay_gives():
    [episode] = play("entropy")
    env = gym.make("RegionSelect-v0", **SMALL).unwrapped
    env.reset(seed=0)
    curve, rewards = [mean_iou(env.evaluate("test"))], []
    for action in episode.actions:
        _, reward, _, _, info = env.step(action)
        rewards.append(reward)
        if info["pick"] == 0:
            curve.append(mean_iou(env.evaluate("test")))
    assert curve == episode.metrics["miou/test"]
    assert rewards == episode.rewards


def test_a_policy_is_shown_its_channels_and_no_other_split():
    spy = Spy()
    [episode] = evaluate(spy, "RegionSelect-v0", SMALL, [0])
    assert episode.fingerprint["arguments"]["scores"] == ["margin"]
    for obs, info in spy.seen:
        assert set(obs) == {"candidates", "state", "scores", "action_mask"}
        assert obs["scores"].shape == (20, 1)
        assert not {"holdout", "test"} & set(info)


def test_greedy_takes_the_largest_legal_score():
    obs = {"scores": np.array([[1.0], [3.0], [9.0]]), "action_mask": np.array([1, 1, 0])}
    assert POLICIES["entropy"]().act(obs, {}) == 1


def test_look_ahead_beats_random_where_it_looks():
    """Summed over seeds, so that one unlucky first round does not decide."""
    kwargs, names = {"budget": 24, "picks": 4, "segmenter": "lda", "candidates": 8}, ("random", "look_ahead")
    final = {name: sum(e.metrics["miou/reward"][-1] for e in play(name, seeds=(0, 1), **kwargs)) for name in names}
    assert final["look_ahead"] > final["random"] + 2


def test_episode_survives_json():
    [episode] = play("margin")
    assert Episode.from_json(episode.to_json()) == episode


@pytest.mark.parametrize("text", ["", "[]", '{"policy": "random"}', "{"])
def test_damaged_episodes_are_refused(text):
    with pytest.raises(ValueError, match=r"entry|JSON"):
        Episode.from_json(text)


def test_unknown_entries_are_refused():
    entries = json.loads(play("margin")[0].to_json()) | {"extra": 1}
    with pytest.raises(ValueError, match="unknown entry 'extra'"):
        Episode.from_json(json.dumps(entries))


def test_policies_by_name_and_by_class():
    assert make_policy("random").name == "random"
    assert make_policy("agents.heuristics:Random").name == "random"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("entropi", "unknown policy 'entropi'; did you mean 'entropy'"),
        ("agents.heuristic:Random", "No module named"),
        ("agents.heuristics:Rndom", "did you mean 'Random'"),
        ("agents.heuristics:np", "no class with methods"),
        ("builtins:dict", "no class with methods"),
    ],
)
def test_bad_policies_are_named(spec, message):
    with pytest.raises(ValueError, match=message):
        make_policy(spec)
