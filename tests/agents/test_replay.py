"""A trace is worth the same wherever it is replayed with the same model, and picks the same regions with any."""

from dataclasses import replace

import pytest

from agents.catalogue import make_policy
from agents.policy import evaluate
from agents.replay import replay

ENV = "RegionSelect-v0"
SMALL = {"picks": 4, "budget": 8, "pool": "eval"}


@pytest.fixture(scope="module")
def episode(_places):
    [episode] = evaluate(make_policy("bald"), ENV, SMALL, [3], ("holdout",))
    return episode


def test_replay_on_its_own_rung_repeats_every_bit(episode):
    again = replay(episode, ENV, SMALL, ("holdout",))
    assert again.rewards == episode.rewards
    assert again.curve == episode.curve
    assert (again.policy, again.seed, again.picked) == ("bald", 3, episode.picked)


def test_another_model_learns_from_the_same_regions(episode):
    again = replay(episode, ENV, SMALL | {"segmenter": "lda"}, ("holdout",))
    assert (again.actions, again.picked) == (episode.actions, episode.picked)
    assert again.rewards != episode.rewards
    for unit in ("regions", "pixels", "clicks", "images"):
        assert again.curve[unit] == episode.curve[unit]


def test_the_first_difference_is_named(episode):
    picked = [list(region) for region in episode.picked]
    picked[5] = [1, 2, 3]
    with pytest.raises(ValueError, match=r"policy 'bald', seed 3: pick 5 was region \[1, 2, 3\] .* replay with the"):
        replay(replace(episode, picked=picked), ENV, SMALL)


@pytest.mark.parametrize("budget", [4, 12])
def test_another_budget_is_refused(episode, budget):
    with pytest.raises(ValueError, match=r"ends after 8 picks|pick 4 was region .* is None"):
        replay(episode, ENV, SMALL | {"budget": budget})


def test_other_candidates_are_refused(episode):
    with pytest.raises(ValueError, match="pick 0 was region"):
        replay(episode, ENV, SMALL | {"pool": "train"})
