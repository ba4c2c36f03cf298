"""The agent learns where the optimum is known, plays as it trained, and a killed run ends like one that never was."""

import io
import math
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
import torch
from doors import Doors
from rich.console import Console

from agents import ralis
from agents.arguments import read_args
from agents.catalogue import make_policy
from agents.dqn import td_target, uniform
from agents.equivariant import standardise
from agents.play import evaluate
from agents.ralis import Args, Run, exploration, joint, load_policy, make_network, make_run
from agents.ralis_replay import Replay
from agents.training import command, train
from alenv.wrappers import JointPools
from benchmarks.leaderboard.episodes import source

QUIET = Console(file=io.StringIO())
SMALL = {"budget": 10, "picks": 4, "candidates": 5}
TINY = {**SMALL, "episodes": 4, "replay": 60, "batch": 8, "validate_every": 3, "validation_episodes": 1}
TINY |= {"save_every": 2}
PICK = {"observation": "compact", "credit": "pick", "norm": "layer", "gamma": 0.5, "optimizer": "adam"}
PICK |= {"dueling": True, "n_step": 2, "updates": 2, "scores": ["class_balanced_entropy", "bald"]}


class Pools:
    """The control as the pools of one environment; returns are means over them."""

    def __init__(self, picks, honest=True):
        self._picks, self._doors = picks, Doors(picks, honest)

    def reset(self, seed):
        self._doors.begin(np.random.default_rng(seed))
        return self._show(), {}

    def step(self, actions):
        self.paid, over = self._doors.open(actions)
        return self._show(), self.paid.mean(), over, False, {"pick_gains": self.paid / self._picks}

    def _show(self):
        obs = self._doors.look()
        wider = np.append(obs["candidates"], np.zeros((self._picks, 3, 1), np.float32), 2)
        return obs | {"candidates": wider, "state": np.float32([0, self._doors.second, 0])}


def control(honest=True, **changes):
    """Return a training on the control, not yet begun, which validates where the mask is true."""
    learning = {"optimizer": "adam", "learning_rate": 3e-3, "rate_decay": 1.0, "replay": 1600, "batch": 32}
    learning |= {"observation": "compact", "credit": "pick", "norm": "layer", "epsilon_rounds": 50.0, "updates": 2}
    args = Args(**{**learning, "picks": 8, "budget": 16, "validation_episodes": 4, **changes})
    return Run(args, Pools(8, honest), Pools(8))


def learn(honest=True, rounds=160, **changes):
    """Train on the control, and return what the greedy policy earns."""
    run = control(honest, **changes)
    for _ in range(rounds):
        run.advance()
    return run.validate()


@pytest.mark.parametrize("options", [{"norm": "batch"}, {"dueling": True}])
def test_it_finds_the_optimum_of_the_control(options):
    assert learn(**options) == 2


@pytest.mark.parametrize("broken", [{"gamma": 0.0}, {"target_every": 10**6}, {"honest": False}])
def test_the_control_needs_discount_target_and_mask(broken):
    assert learn(**broken) <= 1


def test_the_control_needs_the_mask_in_the_target(monkeypatch):
    def blind(online, target, batch):
        return td_target(online, target, batch | {"next_action_mask": torch.ones_like(batch["next_action_mask"])})

    monkeypatch.setattr(ralis, "td_target", blind)
    assert learn() <= 1


def network_of(candidate=268, state=(24, 204), **changes):
    args = Args(**changes)
    return make_network(candidate, state, args), args


def pools(candidate=268, state=(24, 204), count=3, rows=6):
    """Return random candidates, states and masks of pools."""
    rng = np.random.default_rng(0)
    mask = (rng.random((count, rows)) < 0.7).astype(np.int8)
    mask[:, 1] = 1
    arrays = rng.random((count, rows, candidate), np.float32), rng.random((count, *state), np.float32), mask
    return [torch.from_numpy(array) for array in arrays]


def test_the_network_is_as_large_as_the_papers_on_camvid():
    network, _ = network_of(state=(240, 204))
    assert sum(weights.numel() for weights in network.parameters()) == 390_099


def test_the_papers_network_layer_by_layer():
    """Norm, rectifier and linear map, but no rectifier before the last layer of all, as in the released network."""
    network, _ = network_of()
    candidates, state, mask = pools()

    def layer(weights, x, rectified=True):
        norm, _, linear = weights
        x = (x - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
        return (x.relu() if rectified else x) @ linear.weight.T + linear.bias

    with torch.no_grad():
        for module in network.modules():  # otherwise every norm would be the identity
            if isinstance(module, torch.nn.BatchNorm1d):
                for values in (module.running_mean, module.running_var, module.weight, module.bias):
                    values.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(values.numel()))
        seen, own = state, candidates[..., :-64]
        for weights in network.region:
            seen = layer(weights, seen)
        for weights in network.action:
            own = layer(weights, own)
        both = torch.cat([own, layer(network.state, seen[..., 0])[:, None].expand(-1, 6, -1)], 2)
        gate = layer(network.gate[0], candidates[..., -64:]).sigmoid()
        expected = (gate * layer(network.head, both, rectified=False))[..., 0]
        torch.testing.assert_close(network(candidates, state, mask), expected, atol=1e-5, rtol=1e-4)


def test_the_next_pick_is_chosen_with_the_statistics_of_the_batch(monkeypatch):
    modes = []

    def watched(online, target, batch):
        modes.append((online.training, target.training))
        return td_target(online, target, batch)

    monkeypatch.setattr(ralis, "td_target", watched)
    learn(rounds=20)
    assert set(modes) == {(True, False)}


KINDS = [
    ((268, (24, 204)), {}),
    ((270, (24, 204)), {"scores": ("bald", "entropy"), "norm": "layer", "dueling": True}),
    ((22, (25,)), {"observation": "compact", "dueling": True}),
    ((23, (25,)), {"observation": "compact", "norm": "layer", "scores": ("bald",)}),
]


@pytest.mark.parametrize(("sizes", "options"), KINDS)
def test_values_permute_with_the_candidates_and_depend_on_the_state(sizes, options):
    network, _ = network_of(*sizes, **options)
    candidates, state, mask = pools(*sizes)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    with torch.no_grad():
        before = network(candidates, state, mask)
        after = network(candidates[:, order], state, mask[:, order])
        elsewhere = network(candidates, 1 - state, mask)
    assert before.shape == (3, 6)
    torch.testing.assert_close(after, before[:, order], atol=1e-5, rtol=1e-4)
    assert (before - elsewhere).abs().min() > 1e-6
    assert before.std(1).min() > 1e-4


@pytest.mark.parametrize(("sizes", "options"), KINDS)
def test_masked_candidates_change_nothing_for_the_others(sizes, options):
    network, _ = network_of(*sizes, **options)
    candidates, state, mask = pools(*sizes)
    other = torch.where(mask[..., None] == 1, candidates, candidates + 1)
    with torch.no_grad():
        before, after = network(candidates, state, mask), network(other, state, mask)
    torch.testing.assert_close(after[mask == 1], before[mask == 1])
    assert (mask == 0).any()


def test_the_gate_reads_the_divergences_and_scales_the_value():
    network, _ = network_of()
    candidates, state, mask = pools()
    other = candidates.clone()
    other[..., -64:] = 0
    with torch.no_grad():
        gate, before = network.gate(candidates[..., -64:])[..., 0], network(candidates, state, mask)
        ratio = network.gate(other[..., -64:])[..., 0] / gate
        torch.testing.assert_close(network(other, state, mask), ratio * before)
    assert (ratio - 1).abs().min() > 1e-4


def test_channels_are_standardised_over_the_legal_candidates():
    x = torch.tensor([[[1.0], [3.0], [100.0]]])
    standard = standardise(x, torch.tensor([[1, 1, 0]]))
    torch.testing.assert_close(standard[0, :2, 0], torch.tensor([-1.0, 1.0]), atol=1e-3, rtol=0)


def test_target_by_hand():
    """The online network would take 9, which is masked, and then 3; the target network says 30 of that."""
    online, target = (lambda *_, q=q: torch.tensor([q] * 3) for q in ([1.0, 9.0, 3.0], [10.0, 20.0, 30.0]))
    batch = {name: torch.zeros(3, 3) for name in ("next_candidates", "next_state")}
    batch |= {"reward": torch.tensor([1.0, 2.0, 3.0]), "discount": torch.tensor([0.5, 0.0, 0.0])}
    batch["next_action_mask"] = torch.tensor([[1, 0, 1], [1, 0, 1], [0, 0, 0]])  # goes on, is over, pool is gone
    assert td_target(online, target, batch).tolist() == [16, 2, 3]


def filled_replay(rows=5, rounds=7, over=(4,), gone=()):
    """Rounds t of two pools, told by their features (t + pool / 4) / 8; pool 1 is absent in the rounds ``gone``."""

    def observe(t):
        mask = np.ones((2, 3), np.int8)
        mask[1] = t not in gone
        shown = np.full((2, 3, 1), t / 8, np.float32) + np.float32([[[0]], [[1 / 32]]])
        return {"candidates": shown, "state": np.float32([t / 8]), "action_mask": mask}

    replay = Replay(rows, observe(0))
    for t in range(rounds):
        replay.add(observe(t), np.array([t, t + 10]), np.array([t, 10.0 + t]), t in over)
    return replay


def drawn(replay, n_step, gamma=0.5):
    """Return every transition by (round, pool)."""
    count = replay.pairs(n_step).shape[1]
    batch = {k: v.numpy() for k, v in replay.sample(count, gamma, n_step, np.random.default_rng(0)).items()}
    where = np.rint(batch["candidates"][:, 0, 0] * 32).astype(int)
    return {(int(w // 4), int(w % 4)): {k: v[i] for k, v in batch.items()} for i, w in enumerate(where)}


def test_replay_gives_what_followed_in_the_same_pool_and_forgets_the_oldest():
    found = drawn(filled_replay(), 1)
    assert set(found) == {(t, pool) for t in (2, 3, 4, 5) for pool in (0, 1)}  # 6 has no successor yet
    for (t, pool), one in found.items():
        assert (one["action"], one["reward"]) == (t + 10 * pool, t + 10 * pool)
        assert one["state"] == t / 8
        assert one["next_state"] == (t + 1) / 8
        assert one["next_candidates"][0] == (t + 1) / 8 + pool / 32
        assert one["discount"] == (0 if t == 4 else 0.5)


def test_replay_sums_n_steps_up_to_the_end():
    found = drawn(filled_replay(), 2)
    assert set(found) == {(t, pool) for t in (2, 3, 4) for pool in (0, 1)}
    expected = {2: (2 + 1.5, 0.25), 3: (3 + 2, 0), 4: (4, 0)}
    for t, (reward, discount) in expected.items():
        assert (found[t, 0]["reward"], found[t, 0]["discount"]) == (reward, discount)
        assert found[t, 0]["next_state"] == (t + 2) / 8


def test_absent_pools_are_no_transitions_and_have_no_value():
    found = drawn(filled_replay(over=(), gone=(4,)), 1)
    assert (4, 0) in found
    assert (4, 1) not in found
    assert (found[3, 0]["discount"], found[3, 1]["discount"]) == (0.5, 0)
    assert drawn(filled_replay(over=(), gone=(4,)), 2)[3, 1]["reward"] == 13  # not what the others earned later


def test_a_state_is_stored_once_for_all_pools_in_half_precision():
    state = filled_replay().get_state()
    assert (state["state"].shape, state["state"].dtype) == ((5, 1), np.float16)
    assert (state["candidates"].shape, state["candidates"].dtype) == ((5, 2, 3, 1), np.float16)


def test_exploration_is_the_papers():
    assert exploration(Args(), 0) == pytest.approx(0.9)
    assert exploration(Args(), 10) == pytest.approx(0.05 + 0.85 / math.e)
    assert exploration(Args(), 1000) == pytest.approx(0.05)


def test_a_round_is_random_as_a_whole(monkeypatch):
    monkeypatch.setattr(ralis, "uniform", lambda mask, rng: np.zeros(8, np.int64))
    monkeypatch.setattr(ralis, "greedy", lambda network, obs: np.ones(8, np.int64))
    run = control(epsilon=0.5, epsilon_start=0.5)
    for _ in range(40):
        run.advance()
    actions = run.replay.get_state()["action"]
    assert (actions == actions[:, :1]).all()
    assert 8 < actions[:, 0].sum() < 32


def test_random_picks_are_uniform_over_legal_candidates():
    mask, rng = np.array([[1, 0, 1], [0, 0, 1]]), np.random.default_rng(0)
    picks = np.stack([uniform(mask, rng) for _ in range(1000)])
    assert 0.45 < (picks[:, 0] == 0).mean() < 0.55
    assert set(picks[:, 0].tolist()) == {0, 2}
    assert set(picks[:, 1].tolist()) == {2}


@pytest.mark.parametrize("kind", ["pick", "shared"])
def test_credit_reaches_the_pick(kind):
    run = control(credit=kind, epsilon_start=1.0)
    run.advance()
    paid = run.env.paid
    assert 0 < paid.sum() < 8
    expected = paid if kind == "pick" else np.full(8, paid.mean())
    np.testing.assert_allclose(run.replay.get_state()["reward"][0], expected, rtol=1e-6)


def argv(out, **changes):
    """Return a command line."""
    flags = ["--out", str(out)]
    for name, value in {**TINY, **changes}.items():
        name = name.replace("_", "-")
        if isinstance(value, bool):
            flags += [f"--{name}" if value else f"--no-{name}"]
        else:
            flags += [f"--{name}", *(value if isinstance(value, list) else [str(value)])]
    return flags


def run_in(out, **changes):
    run = make_run(argv(out, **changes))
    train(run, QUIET, log_every=100)
    return run


CASES = [({}, [5]), (PICK, [1, 4, 6])]
SLOW = pytest.param(PICK | {"fresh_pool": True}, [4], marks=pytest.mark.slow)


@pytest.mark.parametrize(("options", "moments"), [*CASES, SLOW])
def test_a_killed_run_ends_like_one_that_was_not(ends_alike, options, moments):
    """An episode has three rounds and a checkpoint comes every two: most are in the middle of one."""
    ends_alike(Run, partial(run_in, **options), moments)


@pytest.mark.parametrize("options", [{}, PICK])
def test_the_policy_plays_pick_by_pick_what_the_agent_plays_by_rounds(tmp_path, options):
    run = run_in(tmp_path, **options)
    spec = f"ralis:{tmp_path / 'best.pt'}"
    policy = make_policy(spec)
    assert (policy.name, policy.oracle, policy.observation) == ("ralis", False, run.args.observation)
    assert list(policy.scores) == options.get("scores", [])
    [episode] = evaluate(policy, "RegionSelect-v0", SMALL, [ralis.VALIDATION], splits=())
    assert sum(episode.rewards) == pytest.approx(run.best, abs=1e-9)
    assert policy.digest in source(spec, "RegionSelect-v0")


def test_joint_hides_what_a_round_does_not_show():
    env = gym.make("RegionSelect-v0", **SMALL, scores=["entropy"])
    whole = joint(JointPools(env).reset(seed=0)[0], "compact")
    obs, _ = env.reset(seed=0)
    for pick in range(4):
        alone = joint(obs, "compact")
        np.testing.assert_array_equal(alone["candidates"], whole["candidates"][pick])
        np.testing.assert_array_equal(alone["state"], whole["state"])
        obs, *_ = env.step(0)
    assert whole["candidates"].shape == (4, 5, 24)


def test_other_channels_do_not_disturb_and_missing_ones_are_named(tmp_path):
    spec = f"ralis:{tmp_path / 'best.pt'}"
    run_in(tmp_path, observation="compact", norm="layer", episodes=2)
    more = SMALL | {"scores": ["margin"]}
    [alone], [beside] = (evaluate(make_policy(spec), "RegionSelect-v0", kwargs, [0], ()) for kwargs in (SMALL, more))
    assert alone.actions == beside.actions
    run_in(tmp_path / "scored", **PICK)
    env = gym.make("RegionSelect-v0", **SMALL)
    with pytest.raises(ValueError, match=r"scores=\['class_balanced_entropy', 'bald'\]"):
        load_policy(tmp_path / "scored" / "best.pt").act(*env.reset(seed=0))


def test_another_observation_is_refused_with_the_argument_to_give(tmp_path):
    run_in(tmp_path, episodes=2)
    policy = load_policy(tmp_path / "best.pt")
    for kwargs in ({"observation": "compact"}, {"observation": "ralis", "region": [48, 32]}):
        env = gym.make("RegionSelect-v0", **SMALL, **kwargs)
        with pytest.raises(ValueError, match="make the environment with observation='ralis'"):
            policy.act(*env.reset(seed=0))


def test_arguments_that_cannot_be_trained_are_refused():
    with pytest.raises(ValueError, match="replay >= 64"):
        Args(replay=63)
    with pytest.raises(ValueError, match="n_step=0: expected an integer of at least 1"):
        Args(n_step=0)
    with pytest.raises(ValueError, match="seed=100"):
        Args(seed=100)
    with pytest.raises(ValueError, match="'distance' changes within a round"):
        Args(scores=("bald", "distance"))


def test_the_environments_of_the_paper_can_be_trained_on(tmp_path):
    file = tmp_path / "a.toml"
    file.write_text(
        'budget = 4\npicks = 2\n[kwargs]\nsegmenter = "lda"\ninitial = "state:1"\npooling = "image_clustered"'
    )
    run = make_run(["--config", str(file), "--out", str(tmp_path)])
    assert run.env.spec.kwargs["pooling"] == "image_clustered"
    file.write_text("[kwargs]\npoling = 3")
    with pytest.raises(ValueError, match="poling"):
        make_run(["--config", str(file)])
    assert command(lambda: make_run(["--config", str(file)])) == 2


@pytest.mark.parametrize(
    ("name", "rounds"), [("scenes", 1000), ("scenes_pick", 400), ("quick", 200), ("camvid", 2000), ("camvid_pick", 400)]
)
def test_the_shipped_configs_are_read(name, rounds):
    args = read_args(Args, ["--config", f"configs/agents/ralis_{name}.toml"], "")
    assert args.iterations == rounds


def test_greed_is_legal():
    network, _ = network_of(22, (25,), observation="compact")
    candidates, state, mask = pools(22, (25,), count=40)
    with torch.no_grad():
        values = network(candidates, state[:1], mask).numpy()
    obs = {"candidates": candidates.numpy(), "state": state[0].numpy(), "action_mask": mask.numpy()}
    expected = np.where(obs["action_mask"] == 1, values, -np.inf).argmax(1)
    assert (ralis.greedy(network, obs) == expected).all()
    assert (values.argmax(1) != expected).any()
