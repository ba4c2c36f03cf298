"""The look-ahead learner: symmetric, batch-aware, resumable, and a policy like any other."""

import io

import gymnasium as gym
import numpy as np
import pytest
import torch
from rich.console import Console

from agents import lookahead
from agents.arguments import read_args
from agents.catalogue import make_policy
from agents.heuristics import POLICIES
from agents.lookahead import Args, LookAheadPolicy, Run, load_policy, look_ahead, loss
from agents.lookahead_scorer import Scorer
from agents.play import evaluate
from agents.training import train
from alenv.observation import CANDIDATE, PROGRESS
from benchmarks.leaderboard.episodes import source

QUIET = Console(file=io.StringIO())
ENV = {"picks": 4, "candidates": 6, "budget": 12, "segmenter": "lda"}
TINY = {"iterations": 4, "updates": 3, "batch": 4, "hidden": 8, "validate_every": 2, "validation_episodes": 1}
CLASSES, CHANNELS = 5, 2


def inputs(pools=3, rows=6, seed=0, classes=CLASSES):
    rng = np.random.default_rng(seed)
    made = {
        "candidates": rng.random((pools, rows, classes + len(CANDIDATE)), np.float32),
        "state": rng.random((pools, 2 * classes + len(PROGRESS)), np.float32),
        "scores": rng.random((pools, rows, CHANNELS), np.float32),
        "picked": rng.random((pools, classes), np.float32),
        "mask": (rng.random((pools, rows)) < 0.7).astype(np.int8),
    }
    made["mask"][:, :2] = 1
    return made


def scorer(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = Scorer(CHANNELS, 16)
        for weights in made.parameters():  # biases, norms and the last layer must matter
            weights.data += 0.3 * torch.randn_like(weights)
    return made


def values(network, x):
    with torch.no_grad():
        return network(**{name: torch.from_numpy(array) for name, array in x.items()}).numpy()


def test_values_permute_with_the_candidates():
    x, order = inputs(), np.array([3, 1, 5, 0, 2, 4])
    moved = {name: array[:, order] if name in ("candidates", "scores", "mask") else array for name, array in x.items()}
    before, after = values(scorer(), x), values(scorer(), moved)
    np.testing.assert_allclose(after, before[:, order], atol=1e-5)
    assert np.ptp(before, axis=1).min() > 0.1


def test_values_do_not_depend_on_the_order_of_the_classes():
    x, order = inputs(), np.array([4, 2, 0, 1, 3])
    columns = np.concatenate([order, np.arange(CLASSES, CLASSES + len(CANDIDATE))])
    state = np.concatenate([np.arange(len(PROGRESS)), len(PROGRESS) + order, len(PROGRESS) + CLASSES + order])
    moved = x | {"candidates": x["candidates"][..., columns], "state": x["state"][:, state]}
    moved["picked"] = x["picked"][:, order]
    np.testing.assert_allclose(values(scorer(), moved), values(scorer(), x), atol=1e-5)
    moved["picked"] = x["picked"]
    assert np.abs(values(scorer(), moved) - values(scorer(), x)).max() > 0.01


def test_masked_candidates_change_nothing():
    x = inputs()
    other = {name: array.copy() for name, array in x.items()}
    for name in ("candidates", "scores"):
        other[name][x["mask"] == 0] = 7
    legal = x["mask"] == 1
    np.testing.assert_allclose(values(scorer(), other)[legal], values(scorer(), x)[legal], atol=1e-5)


def test_it_serves_any_number_of_classes():
    assert values(scorer(), inputs(classes=19)).shape == (3, 6)


def make(**changes):
    return gym.make("RegionSelect-v0", **{**ENV, **changes})


def test_untrained_it_is_class_balanced_entropy():
    network = Scorer(0, 8)
    [learner] = evaluate(LookAheadPolicy(network, ()), "RegionSelect-v0", ENV, [5], [])
    [heuristic] = evaluate(POLICIES["class_balanced_entropy"](), "RegionSelect-v0", ENV, [5], [])
    assert learner.actions == heuristic.actions


def test_untrained_it_is_the_channel_it_starts_as():
    network = Scorer(2, 8, start=1)
    [learner] = evaluate(LookAheadPolicy(network, ("bald", "entropy")), "RegionSelect-v0", ENV, [5], [])
    [heuristic] = evaluate(POLICIES["entropy"](), "RegionSelect-v0", ENV, [5], [])
    assert learner.actions == heuristic.actions


def test_the_policy_remembers_the_picks_of_the_round():
    env, policy = make(), LookAheadPolicy(Scorer(0, 8), ())
    obs, _ = env.reset(seed=0)
    policy.reset(0)
    bought = np.zeros(12, np.float32)
    for pick in range(9):
        if pick in (4, 8):
            bought[:] = 0
        np.testing.assert_array_equal(policy.see(obs)["picked"], bought)
        bought += obs["candidates"][2, :12]
        policy.remember(obs, 2)
        obs, *_ = env.step(2)


def test_targets_count_from_the_pool_in_units_of_the_round():
    pools = [{"target": np.array([1.0, 3.0, np.nan])}, {"target": np.array([5.0, 5.0, 5.0])}]
    first, second = lookahead._scaled(pools)
    deviation = np.std([-1, 1, 0, 0, 0])
    np.testing.assert_allclose(first["target"], [-1 / deviation, 1 / deviation, 0], rtol=1e-6)
    np.testing.assert_array_equal(second["target"], 0)


def test_look_ahead_writes_down_the_live_gains():
    env, args = make(), Args(**TINY, explore=0.5)
    pools, score = look_ahead(LookAheadPolicy(Scorer(0, 8), ()), env, 3, args, np.random.default_rng(0))
    assert pools["target"].shape == (12, 6)
    assert score == pytest.approx(env.unwrapped._info()["miou"] - env.reset(seed=3)[1]["miou"])
    assert pools["picked"][4].sum() == 0
    env.reset(seed=3)
    gains = env.unwrapped.candidate_gains()
    assert np.corrcoef(gains, pools["target"][0])[0, 1] > 0.999
    stale, _ = look_ahead(LookAheadPolicy(Scorer(0, 8), ()), env, 3, Args(**TINY, live=False), np.random.default_rng(0))
    live, _ = look_ahead(LookAheadPolicy(Scorer(0, 8), ()), env, 3, Args(**TINY), np.random.default_rng(0))
    assert (stale["candidates"][:4] == live["candidates"][:4]).all()
    assert np.abs(stale["target"][3] - live["target"][3]).max() > 0.01


def redundant(count, seed):
    """Pools in which a candidate is worth its classes that were not picked yet."""
    x = inputs(count, 6, seed)
    worth = (x["candidates"][..., :CLASSES] * (1 - x["picked"][:, None])).sum(2)
    legal = x["mask"] == 1
    mean = (worth * legal).sum(1, keepdims=True) / legal.sum(1, keepdims=True)
    return {**x, "target": (worth - mean) * legal}


def test_it_learns_what_is_redundant_in_the_round():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Scorer(CHANNELS, 32)
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    tensors = lambda pools: {name: torch.from_numpy(array) for name, array in pools.items()}  # noqa: E731
    for step in range(300):
        value = loss(network, tensors(redundant(64, step)))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    test = redundant(256, 10_000)
    with torch.no_grad():
        error = loss(network, tensors(test)).item()
    blind = test | {"picked": np.zeros_like(test["picked"])}
    with torch.no_grad():
        unaware = loss(network, tensors(blind)).item()
    assert error < 0.15 * test["target"][test["mask"] == 1].var()
    assert unaware > 2 * error


def test_the_loss_counts_legal_candidates_only():
    pools = redundant(8, 1)
    spoiled = pools | {"target": np.where(pools["mask"] == 1, pools["target"], 9)}
    tensors = [{name: torch.from_numpy(array) for name, array in p.items()} for p in (pools, spoiled)]
    assert loss(scorer(), tensors[0]).item() == loss(scorer(), tensors[1]).item()


def run_in(out, **changes):
    args = Args(out=out, **{**TINY, "save_every": 1, **changes})
    run = Run(args, [make(), make(budget=8)])
    train(run, QUIET)
    return run


def test_a_killed_run_ends_like_one_that_was_not(ends_alike):
    ends_alike(Run, run_in, (1, 3))


def test_the_policy_is_kept_and_plays(tmp_path):
    run_in(tmp_path, iterations=1)
    spec = f"lookahead:{tmp_path / 'best.pt'}"
    policy = make_policy(spec)
    assert (policy.name, policy.scores, policy.oracle) == ("lookahead", (), False)
    [first] = evaluate(policy, "RegionSelect-v0", ENV, [5], [])
    [second] = evaluate(make_policy(spec), "RegionSelect-v0", ENV, [5], [])
    assert first.actions == second.actions
    assert policy.digest in source(spec, "RegionSelect-v0")


def test_seeds_of_validation_and_other_observations_are_refused():
    with pytest.raises(ValueError, match="seed=100"):
        Args(seed=100)
    obs = {"candidates": np.zeros((6, 268)), "state": np.zeros((240, 204)), "action_mask": np.ones(6)}
    policy = LookAheadPolicy(Scorer(0, 8), ())
    policy.reset(0)
    with pytest.raises(ValueError, match="observation='compact'"):
        policy.act(obs, {})


def test_a_learner_that_starts_as_a_channel_is_kept(tmp_path):
    args = Args(out=tmp_path, **{**TINY, "iterations": 1}, scores=("bald", "margin"), start="margin")
    run = Run(args, [make(scores=["bald", "margin"])])
    train(run, QUIET)
    assert load_policy(tmp_path / "best.pt")._scorer.start == 1
    with pytest.raises(ValueError, match="did you mean 'margin'"):
        Args(scores=("bald", "margin"), start="margins")


@pytest.mark.parametrize("name", ["scenes", "camvid", "camvid_v1", "compact"])
def test_the_shipped_configs_are_read(name):
    args = read_args(Args, ["--config", f"configs/agents/lookahead_{name}.toml"], "")
    real = {"camvid": ("RegionSelect-CamVid-v0",), "camvid_v1": ("RegionSelect-CamVid-v1",)}
    assert args.envs[1:] == real.get(name, ())
    assert args.scores == (() if name == "compact" else ("bald",))


def test_the_shipped_configs_of_channels_and_tasks_are_read():
    for name in ("reduction", "quick"):
        args = read_args(Args, ["--config", f"configs/agents/lookahead_{name}.toml"], "")
        assert args.scores[args.column] == "reduction"
    args = read_args(Args, ["--config", "configs/agents/lookahead_tasks.toml"], "")
    assert (args.envs, args.tasks) == ((), ("scenes", "ccp"))


@pytest.mark.parametrize("like", ["train", "eval"])
def test_generated_pools_are_those_asked_for_and_always_new(like):
    (env,) = lookahead.make_envs(Args(like=like, kwargs={"segmenter": "lda"}))
    arguments = env.unwrapped.fingerprint()["arguments"]
    assert (arguments["pool"], arguments["fresh_pool"]) == (like, True)
