"""The DQN learns where the optimum is known, masks everywhere, and a killed run ends like one that never was."""

import io

import gymnasium as gym
import numpy as np
import pytest
import torch
from doors import BAIT, DOOR, Doors
from rich.console import Console

from agents import misical
from agents.arguments import read_args
from agents.catalogue import make_policy
from agents.dqn import td_target
from agents.mining import Ridge, play
from agents.misical import Args, Replay, Run, Scorer, pick, validate
from agents.training import save, train
from benchmarks.leaderboard.episodes import source

QUIET = Console(file=io.StringIO())
SMALL = {"dataset": "mixture:2000", "budget": 6, "skip": True}
CONTROL = {"iterations": 250, "num_envs": 16, "warmup": 20, "hidden": 16, "batch": 32, "target_rate": 0.1}
TINY = {"skip": True, "iterations": 40, "num_envs": 4, "warmup": 10, "replay": 80, "batch": 8, "hidden": 8}
TINY |= {"validate_every": 8, "validation_episodes": 4, "save_every": 5}


class TwoSteps:
    """The control as a batch of environments."""

    def __init__(self, num_envs, honest=True):
        self.num_envs, self._doors = num_envs, Doors(num_envs, honest)
        self.candidate_gains = self._doors.worth

    def reset(self, seed):
        self._doors.begin(np.random.default_rng(seed))
        return self._show(), {}

    def step(self, actions):
        reward, over = self._doors.open(actions)
        return self._show(), reward, np.full(self.num_envs, over), np.zeros(self.num_envs, bool), {}

    def _show(self):
        obs = self._doors.look()
        return obs | {"state": np.full((self.num_envs, 1), self._doors.second, np.float32)}


def learn(honest=True, **changes):
    """Train on the control, and return what the greedy policy earns where the mask is true."""
    args = Args(**{**CONTROL, **changes})
    run = Run(args, TwoSteps(16, honest), TwoSteps(64, honest))
    for _ in range(args.iterations):
        run.advance()
    return validate(run.online, TwoSteps(64, honest))


def test_it_finds_the_optimum_of_the_control():
    assert learn() == 2


@pytest.mark.parametrize("broken", [{"gamma": 0.0}, {"target_rate": 1e-9}, {"honest": False}])
def test_the_control_needs_discount_target_and_mask(broken):
    assert learn(**broken) <= 1


def test_look_ahead_learns_the_gains_of_candidates_that_were_never_picked():
    run = Run(Args(**CONTROL, lookahead=250, epsilon=0.0), TwoSteps(16), TwoSteps(64))
    for _ in range(250):
        run.advance()
    row = slice(run.replay.kept - 1)
    kinds, gains = run.replay.arrays["candidates"][row].argmax(-1), run.replay.arrays["gains"][row]
    assert not (run.replay.arrays["reward"][100:250] == 2).any()  # it is greedy: the door is not opened any more
    values = scores(run.online, {name: run.replay.arrays[name][0] for name in misical.OBSERVED})
    bait, door = ((kinds[0] == kind) & (gains[0] == worth) for kind, worth in ((BAIT, 1), (DOOR, 0)))
    assert bait.any()
    assert abs(values[bait] - 1).max() < 0.1
    assert abs(values[door]).max() < 0.1


def test_what_follows_look_ahead_finds_what_pays_later():
    assert learn(lookahead=250, epsilon=0.0) <= 1
    assert learn(iterations=400, lookahead=100, epsilon=0.3) == 2


def test_the_control_needs_the_mask_in_the_target(monkeypatch):
    def blind(online, target, batch):
        return td_target(online, target, batch | {"next_action_mask": torch.ones_like(batch["next_action_mask"])})

    monkeypatch.setattr(misical, "td_target", blind)
    assert learn() <= 1


def batch_of(scorer_looks=1, count=5, candidates=6, seed=0):
    rng = np.random.default_rng(seed)
    obs = {
        "candidates": rng.random((count, candidates, 7), np.float32),
        "state": rng.random((count, 6), np.float32),
        "action_mask": (rng.random((count, candidates + scorer_looks)) < 0.5).astype(np.int8),
    }
    obs["action_mask"][:, 1] = 1
    return obs


def scorer(seed=0, looks=1):
    torch.manual_seed(seed)
    made = Scorer(7, 6, 16, looks)
    for weights in made.parameters():  # biases and norms must matter
        torch.nn.init.normal_(weights, std=0.5)
    return made


def scores(network, obs):
    with torch.no_grad():
        return network(*(torch.from_numpy(obs[name]) for name in misical.OBSERVED)).numpy()


def test_scores_permute_with_the_candidates():
    obs, network, order = batch_of(), scorer(), np.array([3, 1, 5, 0, 2, 4])
    moved = {"candidates": obs["candidates"][:, order], "action_mask": obs["action_mask"][:, [*order, 6]]}
    before, after = scores(network, obs), scores(network, obs | moved)
    np.testing.assert_allclose(after[:, :-1], before[:, order], atol=1e-5)
    np.testing.assert_allclose(after[:, -1], before[:, -1], atol=1e-5)
    assert np.ptp(before, axis=1).min() > 0.01


def test_untrained_it_is_the_ridge_and_does_not_look():
    torch.manual_seed(0)
    policy = misical.Misical(Scorer(7, 6, 16, 1, ridge=True))
    env = gym.make("SingleClassMine-v0", **SMALL | {"observation": "relational"})
    assert actions(policy, env) == actions(Ridge(), env)
    policy = misical.Misical(Scorer(7, 6, 16, 1))
    assert actions(policy, env) != actions(Ridge(), env)


def actions(policy, env):
    """Return what a policy does in one episode."""
    (obs, info), over, done = env.reset(seed=3), False, []
    while not over:
        done.append(policy.act(obs, info))
        obs, _, over, _, info = env.step(done[-1])
    return done


def test_masked_candidates_change_no_other_score():
    obs, network = batch_of(), scorer()
    there = obs["action_mask"] == 1
    other = np.where(there[:, :6, None], obs["candidates"], 9).astype(np.float32)
    before, after = scores(network, obs), scores(network, obs | {"candidates": other})
    np.testing.assert_array_equal(after[there], before[there])
    assert (~there[:, :6]).sum() > 5


def test_exploration_is_uniform_over_legal_actions_and_greed_is_legal():
    obs, network, rng = batch_of(), scorer(), np.random.default_rng(0)
    drawn = np.stack([pick(network, obs, 1.0, rng) for _ in range(1000)])
    for env, mask in enumerate(obs["action_mask"]):
        share = np.bincount(drawn[:, env], minlength=7) / 1000
        np.testing.assert_allclose(share, mask / mask.sum(), atol=0.07)
    expected = np.where(obs["action_mask"] == 1, scores(network, obs), -np.inf).argmax(1)
    assert (pick(network, obs, 0.0, rng) == expected).all()
    free = obs | {"action_mask": np.ones_like(obs["action_mask"])}
    assert (scores(network, free).argmax(1) != expected).any()


def test_target_is_of_the_best_legal_action_by_the_online_network():
    obs, online, target = batch_of(), scorer(0), scorer(1)
    batch = {f"next_{name}": torch.from_numpy(array) for name, array in obs.items()}
    batch |= {"reward": torch.arange(5.0), "discount": 0.9 * torch.tensor([1.0, 1, 1, 1, 0])}
    best = np.where(obs["action_mask"] == 1, scores(online, obs), -np.inf).argmax(1)
    value = scores(target, obs)[np.arange(5), best]
    expected = np.arange(5) + 0.9 * value * np.array([1, 1, 1, 1, 0])
    np.testing.assert_allclose(td_target(online, target, batch), expected, rtol=1e-5)


def test_replay_gives_what_followed_and_forgets_the_oldest():
    observe = lambda t: {name: 10 * t + np.float32([[0], [1]]) for name in misical.OBSERVED}  # noqa: E731
    replay = Replay(4, observe(0))
    for t in range(7):
        replay.add(observe(t), np.full(2, t), np.full(2, t), np.zeros(2))
    batch = {name: tensor.numpy() for name, tensor in replay.sample(500, 0.9, np.random.default_rng(0)).items()}
    np.testing.assert_array_equal(batch["next_state"], batch["state"] + 10)
    assert set(batch["state"].ravel().tolist()) == {30, 31, 40, 41, 50, 51}
    np.testing.assert_array_equal(batch["action"], batch["state"][:, 0] // 10)


def environments(args):
    kwargs = {**SMALL, "autoreset_mode": "SameStep"}
    return (gym.make_vec(misical.ENV, n, **kwargs) for n in (args.num_envs, args.validation_episodes))


def run_in(out, **changes):
    args = Args(out=out, **{**TINY, **changes})
    run = Run(args, *environments(args))
    train(run, QUIET, log_every=100)
    return run


@pytest.mark.parametrize("moments", [[3], [17, 31], [20]])
def test_a_killed_run_ends_like_one_that_was_not(ends_alike, moments):
    ends_alike(Run, run_in, moments)


def test_a_kill_while_writing_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    def half(*_):
        raise KeyboardInterrupt

    run = run_in(tmp_path, iterations=12)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    monkeypatch.setattr("alenv.files.os.replace", half)
    run.iteration = 13
    with pytest.raises(KeyboardInterrupt):
        save(run)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_other_arguments_do_not_continue_a_run(tmp_path):
    run_in(tmp_path, iterations=12)
    with pytest.raises(ValueError, match=r"gamma=0\.9, not 0\.5"):
        run_in(tmp_path, iterations=12, gamma=0.5)


def test_other_code_does_not_continue_a_run(tmp_path, monkeypatch, kill):
    kill(Run, 31, lambda: run_in(tmp_path))
    before = (tmp_path / "checkpoint.pt").read_bytes()
    monkeypatch.setattr("agents.training.code", lambda: "changed")
    with pytest.raises(ValueError, match=r"was written by another version of the code; give another --out, or delete"):
        run_in(tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_a_run_that_is_done_is_left_alone_whatever_the_code(tmp_path, monkeypatch):
    best = run_in(tmp_path).best
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    monkeypatch.setattr("agents.training.code", lambda: "changed")
    assert run_in(tmp_path).best == best
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_the_policy_is_kept_and_plays(tmp_path):
    run_in(tmp_path, iterations=12)
    spec = f"misical:{tmp_path / 'best.pt'}"
    policy = make_policy(spec, misical.ENV)
    assert (policy.name, policy.scores, policy.oracle, policy.observation) == ("misical", (), False, "relational")
    for skip in (True, False):
        env = gym.make(misical.ENV, **{**SMALL, "skip": skip, "pool": "eval", "classes": "heldout"})
        assert play(policy, env, 3) == play(make_policy(spec, misical.ENV), env, 3)
        assert env.unwrapped.get_state()["counters"][2] == 0
    assert len(policy.digest) == 64
    assert policy.digest in source(spec, misical.ENV)


@pytest.mark.parametrize("looks", [0, 1])
def test_the_policy_acts_like_the_network_and_takes_no_look_that_it_does_not_know(looks):
    obs, policy = batch_of(looks), misical.Misical(scorer(looks=looks))
    for env, row in enumerate(scores(scorer(looks=looks), obs)):
        one = {name: array[env] for name, array in obs.items()}
        assert policy.act(one, {}) == row.argmax()
        more = np.append(one["action_mask"][:6], 1).astype(np.int8)
        assert looks or policy.act(one | {"action_mask": more}, {}) == row.argmax()
        assert policy.act(one | {"action_mask": one["action_mask"][:6]}, {}) == row[:6].argmax()


def test_observations_of_another_environment_are_refused():
    obs = {name: array[0] for name, array in batch_of().items()}
    with pytest.raises(ValueError, match="observation='relational'"):
        misical.Misical(scorer()).act(obs | {"candidates": np.zeros((6, 3))}, {})


def test_flags_override_the_file(tmp_path):
    file = tmp_path / "a.toml"
    file.write_text("gamma = 0.5\nbatch = 3\n")
    args = read_args(Args, ["--config", str(file), "--batch", "4", "--out", str(tmp_path)], "")
    assert (args.gamma, args.batch, args.out, args.seed) == (0.5, 4, tmp_path, 0)
    file.write_text("gama = 0.5")
    with pytest.raises(ValueError, match="did you mean 'gamma'"):
        read_args(Args, ["--config", str(file)], "")


def test_arguments_that_cannot_be_trained_are_refused():
    with pytest.raises(ValueError, match="replay >= 128"):
        Args(replay=64)


@pytest.mark.parametrize(("name", "dataset"), [("mixture", "mixture"), ("quick", "mixture"), ("ccp", "ccp")])
def test_the_shipped_configs_are_read(name, dataset):
    assert read_args(Args, ["--config", f"configs/agents/misical_{name}.toml"], "").dataset == dataset
