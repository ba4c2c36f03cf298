"""Reinforcement learning on top of look-ahead: paired returns, PPO, resumable, and a policy like any other."""

import io

import numpy as np
import pytest
import torch
from rich.console import Console

from agents import improve
from agents.arguments import read_args
from agents.catalogue import make_policy
from agents.improve import Args, Run, returns, rollout, tensors
from agents.play import evaluate
from agents.training import train

QUIET = Console(file=io.StringIO())
START = "agents/pretrained/lookahead_lda_0.pt"
ENV = {"picks": 2, "candidates": 6, "segmenter": "lda"}
TINY = {"start": START, "budget": 4, "kwargs": ENV, "iterations": 4, "seeds": 2, "rollouts": 2, "batch": 8}
CHECKED = {"validate_every": 2, "validation_episodes": 2}


def args(**changes):
    return Args(**{**TINY, **CHECKED, **changes})


@pytest.fixture(scope="module")
def run():
    return Run(args())


def test_undiscounted_returns_are_the_area_that_is_left():
    scores = np.array([[10.0], [13.0], [12.0], [18.0]])
    left = [(scores[t + 1 :] - scores[t]).sum() / 3 for t in range(3)]
    np.testing.assert_allclose(returns(scores, 1.0)[:, 0], left)
    np.testing.assert_allclose(returns(scores, 0.5)[:, 0], [3 + 0.5 * (-2 / 3 + 0.5 * 2), -2 / 3 + 0.5 * 2, 2])


def test_advantages_compare_equal_steps_of_one_seed(run):
    scores = np.arange(3.0)[:, None] * np.array([1, 2, 3, 2, 1, 4.0])  # seeds a, b: start, first and second rollout
    found = run._advantages(scores, 4)
    assert found.shape == (4, 4)
    raw = returns(scores, 0.9)
    expected = raw[:, 2:] - raw[:, [0, 1, 0, 1]]
    np.testing.assert_allclose(found[::2], (expected - expected.mean()) / expected.std(), rtol=1e-6)
    np.testing.assert_array_equal(found[::2], found[1::2])  # the picks of a round share what follows
    siblings = Run(args(baseline="siblings"))._advantages(scores, 4)
    assert np.abs(siblings[:, :2] + siblings[:, 2:]).max() < 1e-6


def test_at_the_start_it_is_the_start(run):
    fresh = Run(args())
    assert fresh.validate() == 0.0
    [ours] = evaluate(fresh.player, "RegionSelect-v0", {**ENV, "budget": 4}, [5], [])
    [theirs] = evaluate(make_policy(f"lookahead:{START}"), "RegionSelect-v0", {**ENV, "budget": 4}, [5], [])
    assert ours.actions == theirs.actions


def test_a_batch_plays_as_one_episode_does(run):
    steps, scores = rollout(run._validation[0], [5, 6], [(run.start, None)] * 2, 1.0)
    episodes = list(evaluate(run.start, "RegionSelect-v0", {**ENV, "budget": 4, "pool": "train"}, [5, 6], []))
    assert [episode.actions for episode in episodes] == steps["action"].T.tolist()
    np.testing.assert_allclose(np.diff(scores, axis=0).sum(0), [sum(episode.rewards) for episode in episodes])


def test_what_was_better_becomes_likelier():
    run = Run(args(learning_rate=3e-3))
    steps, _ = rollout(run.envs[0], [7, 8] * 3, [(run.player, run.rng)] * 6, 1.0)
    flat = tensors({name: np.concatenate(x) for name, x in steps.items()})
    inputs, action = {name: x for name, x in flat.items() if name != "action"}, flat["action"][:, None]
    before = run._log_policy(run.player, inputs).gather(1, action)[:, 0].detach()
    advantage = torch.where(flat["action"] % 2 == 0, 1.0, -1.0)
    run._learn(flat, advantage)
    change = run._log_policy(run.player, inputs).gather(1, action)[:, 0].detach() - before
    assert (change * advantage).mean() > 0.01


def test_variants_are_trained_on_in_turn_and_others_validate():
    run = Run(args(tasks=("scenes",), variants=2, validation_episodes=4))
    before = [weights.clone() for weights in run.player._scorer.parameters()]
    run.advance()
    run.advance()
    assert any((old != new).any() for old, new in zip(before, run.player._scorer.parameters(), strict=True))
    assert np.isfinite(run.validate())
    told = [env.fingerprint()["arguments"]["dataset"] for env in (*run.envs, *run._validation)]
    assert told[:2] == ["agents.tasks:scenes_0", "agents.tasks:scenes_1"]
    assert told[2:] == [f"agents.tasks:scenes_{1_000_000 + i}" for i in range(4)]


def run_in(out, **changes):
    run = Run(args(out=out, **changes))
    train(run, QUIET)
    return run


def test_a_killed_run_ends_like_one_that_was_not(ends_alike):
    ends_alike(Run, run_in, [3])


def test_the_policy_is_kept_and_plays(tmp_path):
    run = run_in(tmp_path, iterations=1)
    policy = make_policy(f"improve:{tmp_path / 'best.pt'}")
    assert (policy.name, policy.scores, policy.oracle) == ("improve", (), False)
    [kept] = evaluate(policy, "RegionSelect-v0", {**ENV, "budget": 4}, [5], [])
    [trained] = evaluate(run.player, "RegionSelect-v0", {**ENV, "budget": 4}, [5], [])
    assert kept.actions == trained.actions


def test_what_cannot_be_trained_is_refused():
    with pytest.raises(ValueError, match="no such file"):
        Run(args(start="nowhere.pt"))
    with pytest.raises(ValueError, match="siblings"):
        args(rollouts=1, baseline="siblings")
    with pytest.raises(ValueError, match="the training chooses it"):
        args(kwargs={"pool": "eval"})


@pytest.mark.parametrize("name", ["lda", "tasks"])
def test_the_shipped_configs_are_read(name):
    found = read_args(improve.Args, ["--config", f"configs/agents/improve_{name}.toml"], "")
    assert (found.start, found.budget, found.kwargs["segmenter"]) == (START, 32, "lda")
