"""A trace is worth the same wherever it is replayed with the same model, and picks the same regions with any."""

from dataclasses import replace

import pytest

from agents.catalogue import make_policy
from agents.episode import Episode
from agents.play import evaluate, play
from agents.recorders import MiningRecorder
from agents.replay import replay

ENV = "RegionSelect-v0"
SMALL = {"picks": 4, "budget": 8, "pool": "eval"}


@pytest.fixture(scope="module")
def episode(_places):
    [episode] = evaluate(make_policy("bald"), ENV, SMALL, [3], ("holdout",))
    return episode


def test_replay_on_its_own_rung_repeats_every_bit(episode):
    again = replay(episode)
    assert again.rewards == episode.rewards
    for part in ("costs", "metrics", "class_metrics", "given", "options", "kwargs"):
        assert getattr(again, part) == getattr(episode, part)
    assert (again.policy, again.seed, again.picked) == ("bald", 3, episode.picked)


def test_another_model_learns_from_the_same_regions(episode):
    again = replay(episode, SMALL | {"segmenter": "lda"})
    assert (again.actions, again.picked) == (episode.actions, episode.picked)
    assert again.rewards != episode.rewards
    for unit in ("regions", "pixels", "clicks", "images"):
        assert again.costs[unit] == episode.costs[unit]


def test_the_first_difference_is_named(episode):
    picked = [list(region) for region in episode.picked]
    picked[5] = [1, 2, 3]
    with pytest.raises(ValueError, match=r"policy 'bald', seed 3: pick 5 was \[1, 2, 3\] .* replay with the"):
        replay(replace(episode, picked=picked))


@pytest.mark.usefixtures("_places")
@pytest.mark.slow
def test_where_scores_decide_what_is_shown_they_are_those_of_the_trace():
    ranked = {
        "pooling": "ranked",
        "pool": "eval",
        "initial": "source:scenes:day",
        "split": "dusk",
        "region": [3, 3],
        "picks": 40,
        "budget": 80,
        "candidates": 2,
    }
    [played] = evaluate(make_policy("margin"), ENV, ranked, [3], ("holdout",))
    assert replay(played).rewards == played.rewards
    for scores in (["os:system"], 3, [["margin"]]):
        arguments = played.fingerprint["arguments"] | {"scores": scores}
        with pytest.raises(ValueError, match="score in the trace, not one of this package"):
            replay(replace(played, fingerprint=played.fingerprint | {"arguments": arguments}))


@pytest.mark.parametrize("budget", [4, 12])
def test_another_budget_is_refused(episode, budget):
    with pytest.raises(ValueError, match=r"ends after 8 picks|pick 4 was .* is None"):
        replay(episode, SMALL | {"budget": budget})


def test_other_candidates_are_refused(episode):
    with pytest.raises(ValueError, match="pick 0 was"):
        replay(episode, SMALL | {"pool": "train"})


def test_mining_is_replayed_from_its_record_alone():
    """With looks, which buy nothing, and a budget that the episode does not reach; as a file has it."""

    class Looks:
        name, scores, oracle, observation = "looks", (), False, "cosine"

        def reset(self, seed):
            self.step = 0

        def act(self, obs, info):
            assert info["target_class"] == "class_01"
            self.step += 1
            return 5 if self.step % 2 else 0

    kwargs = {"dataset": "mixture:1000", "pool": "eval", "candidates": 5, "skip": True, "budget": 10, "classes": "all"}
    options = {"target_class": "class_01"}
    made = play(Looks(), "SingleClassMine-v0", kwargs, [0, 7], lambda: MiningRecorder((3, 40), kwargs), options)
    for episode in made:
        assert episode.costs["images"] == [0, 3, sum(pick != [-1] for pick in episode.picked)]
        assert episode.metrics["gain"][-1] == pytest.approx(sum(episode.rewards))
        again = replay(Episode.from_json(episode.to_json()))
        assert {**vars(again), "seconds": 0, "fingerprint": 0} == {**vars(episode), "seconds": 0, "fingerprint": 0}
