"""SB3's agents permute with the candidates, mask everywhere, and a killed run ends like one that never was."""

import io
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
import torch
from doors import Doors
from gymnasium import spaces
from rich.console import Console
from stable_baselines3.common.vec_env import DummyVecEnv

from agents import sb3
from agents.arguments import read_args
from agents.catalogue import make_policy
from agents.equivariant import ILLEGAL, Head, Rows, Value
from agents.mining import play
from agents.play import evaluate
from agents.sb3 import Args, Run, load_policy, make_envs
from agents.sb3_models import OFF_POLICY, ON_POLICY, actor, uniform
from agents.training import train

ALGORITHMS = [*OFF_POLICY, *ON_POLICY]
QUIET = Console(file=io.StringIO())
MINE = {"env": "SingleClassMine-v0", "kwargs": {"dataset": "mixture:2000", "budget": 4, "skip": True}}
SELECT = {"env": "RegionSelect-v0", "kwargs": {"picks": 2, "budget": 6, "candidates": 5, "segmenter": "lda"}}
TINY = {"iterations": 4, "rollout": 12, "batch": 6, "hidden": 8, "warmup": 12, "replay": 36, "quantiles": 3}
CONTROL = {"iterations": 15, "rollout": 200, "warmup": 200, "hidden": 16, "batch": 50, "target_rate": 0.1}
TINY |= {"epochs": 2, "validate_every": 2, "validation_episodes": 2, "save_every": 1}
SPACE = spaces.Dict(
    {
        "candidates": spaces.Box(0, 1, (6, 4), np.float32),
        "state": spaces.Box(0, 1, (3,), np.float32),
        "scores": spaces.Box(0, 1, (6, 2), np.float32),
        "action_mask": spaces.Box(0, 1, (7,), np.int8),
    }
)


class OneDoor(gym.Env):
    """The control as a single environment; a masked action ends all."""

    observation_space = spaces.Dict(
        {
            "candidates": spaces.Box(0, 1, (3, 4), np.float32),
            "state": spaces.Box(0, 1, (1,), np.float32),
            "action_mask": spaces.Box(0, 1, (3,), np.int8),
        }
    )
    action_space = spaces.Discrete(3)

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self._doors = Doors(1)
        self._doors.begin(self.np_random)
        return self._show(), {"target_class": ""}

    def step(self, action):
        assert self.action_masks()[action]
        paid, over = self._doors.open([action])
        return self._show(), float(paid[0]), over, False, {}

    def action_masks(self):
        return self._mask == 1

    def _show(self):
        obs = {name: part[0] for name, part in self._doors.look().items()}
        self._mask = obs["action_mask"]
        return obs | {"state": np.float32([self._doors.second])}


def learn(**changes):
    args = Args(**CONTROL | changes)
    run = Run(args, DummyVecEnv([OneDoor]), OneDoor())
    for _ in range(args.iterations):
        run.advance()
    return run.validate()


@pytest.mark.parametrize(
    "algorithm", ["dqn", "maskable_ppo", *(pytest.param(name, marks=pytest.mark.slow) for name in ("qrdqn", "ppo"))]
)
def test_it_finds_the_optimum_of_the_control(algorithm):
    assert learn(algorithm=algorithm) == 2


def test_the_control_needs_the_discount():
    assert learn(algorithm="dqn", gamma=0.0) <= 1


def observations(count=5, seed=0):
    rng = np.random.default_rng(seed)
    obs = {name: rng.random((count, *space.shape), np.float32) for name, space in SPACE.items()}
    obs["action_mask"] = (obs["action_mask"] < 0.6).astype(np.int8)
    obs["action_mask"][:, 2:4] = 1
    return obs


class Shows(gym.Env):
    """Nothing but spaces, for networks."""

    observation_space, action_space = SPACE, spaces.Discrete(7)

    def action_masks(self):
        return np.ones(7, bool)


def model(algorithm):
    run = Run(Args(**TINY, algorithm=algorithm), DummyVecEnv([Shows]), Shows())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for weights in run.model.policy.parameters():  # biases, norms and the learned row must matter
            torch.nn.init.normal_(weights, std=0.5)
    return run.model


def outputs(made, obs):
    """What chooses, (E, Q, A)."""
    parts = actor(made)
    with torch.no_grad():
        flat = parts["head"](parts["rows"]({name: torch.from_numpy(array) for name, array in obs.items()}))
    return flat.view(len(flat), -1, 7).numpy()


def permuted(obs, order):
    mask = np.concatenate([obs["action_mask"][:, order], obs["action_mask"][:, 6:]], 1)
    return obs | {name: obs[name][:, order] for name in ("candidates", "scores")} | {"action_mask": mask}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_outputs_permute_with_the_candidates(algorithm):
    made, obs, order = model(algorithm), observations(), np.array([3, 1, 5, 0, 2, 4])
    before, after = outputs(made, obs), outputs(made, permuted(obs, order))
    np.testing.assert_allclose(after, before[:, :, [*order, 6]], rtol=1e-4, atol=1e-4)
    assert np.ptp(before[:, :, 2:4], axis=2).min() > 1e-3


def test_the_value_does_not_depend_on_the_order():
    torch.manual_seed(0)
    rows, value = Rows(SPACE, 8), Value(8)
    obs = observations()
    there, other = (
        value(rows({name: torch.from_numpy(array) for name, array in shown.items()}))
        for shown in (obs, permuted(obs, np.array([3, 1, 5, 0, 2, 4])))
    )
    torch.testing.assert_close(there, other)
    assert there.std() > 1e-3


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_masked_candidates_are_never_chosen_and_do_not_matter(algorithm):
    made, obs = model(algorithm), observations()
    before, masked = outputs(made, obs), obs["action_mask"] == 0
    assert (np.moveaxis(before, 1, 2)[masked] == ILLEGAL).all()
    assert (np.moveaxis(before, 1, 2)[~masked] > -1e6).all()
    other = {name: obs[name].copy() for name in obs}
    for name in ("candidates", "scores"):
        other[name][masked[:, :6]] = 0.123
    np.testing.assert_array_equal(outputs(made, other), before)
    chosen = np.concatenate([made.predict(obs, deterministic=False)[0] for _ in range(50)])
    assert np.tile(obs["action_mask"], (50, 1))[np.arange(250), chosen].all()


def test_greed_and_the_target_see_legal_actions_only():
    made, obs = model("dqn"), observations()
    shown = {name: torch.from_numpy(array) for name, array in obs.items()}
    with torch.no_grad():
        for network in (made.q_net, made.q_net_target):
            free = network(shown | {"action_mask": torch.ones(5, 7)})
            assert not torch.equal(free.argmax(1), network(shown).argmax(1))
            assert obs["action_mask"][np.arange(5), network(shown).argmax(1)].all()
        over = made.q_net_target(shown | {"action_mask": torch.zeros(5, 7)})
    assert (0 * over.max(1).values == 0).all()  # what SB3 does after the end of an episode


@pytest.mark.parametrize("algorithm", OFF_POLICY)
@pytest.mark.parametrize("steps", [0, 1000])
def test_exploration_is_uniform_over_legal_actions(algorithm, steps):
    made, obs = model(algorithm), observations()
    made._last_obs, made.num_timesteps, made.exploration_rate = obs, steps, 1.0
    drawn = np.stack([made._sample_action(10, n_envs=5)[0] for _ in range(1000)])
    for env, mask in enumerate(obs["action_mask"]):
        np.testing.assert_allclose(np.bincount(drawn[:, env], minlength=7) / 1000, mask / mask.sum(), atol=0.07)
    made.num_timesteps, made.exploration_rate = 1000, 0.0
    assert (made._sample_action(10, n_envs=5)[0] == made.predict(obs)[0]).all()
    assert (uniform(np.eye(4)) == np.arange(4)).all()


def run_in(out, where=MINE, **changes):
    args = Args(out=out, **TINY | where | changes)
    run = Run(args, make_envs(args), gym.make(args.env, **args.kwargs))
    try:
        train(run, QUIET)
    finally:
        run.envs.close()
    return run


@pytest.mark.parametrize(
    ("algorithm", "where"), [*((name, MINE) for name in ALGORITHMS), ("dqn", SELECT), ("maskable_ppo", SELECT)]
)
def test_a_killed_run_ends_like_one_that_was_not(ends_alike, algorithm, where):
    ends_alike(Run, partial(run_in, algorithm=algorithm, where=where, save_every=3), (1, 3))


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["dqn", "maskable_ppo"])
def test_spawned_environments_resume_too(ends_alike, algorithm):
    ends_alike(Run, partial(run_in, algorithm=algorithm, num_envs=2, where=SELECT), [2])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_schedules_span_the_whole_training(algorithm):
    run = Run(Args(**TINY | MINE, algorithm=algorithm), make_envs(Args(**TINY | MINE)), gym.make(MINE["env"]))
    rates = []
    for _ in range(4):
        scalars = run.advance()
        rates.append(run.modules["optimizer"].param_groups[0]["lr"])
    np.testing.assert_allclose(rates[1::2], [5.5e-4, 1e-4])
    assert scalars["charts/learning_rate"] == pytest.approx(1e-4)
    assert not [name for name in scalars if not name.startswith(("charts/", "losses/"))]
    if algorithm in OFF_POLICY:
        assert scalars["charts/epsilon"] == 0.05
        assert "losses/td_loss" in scalars
        assert run.model.exploration_rate == 0.05


def test_the_policy_is_kept_and_plays(tmp_path):
    run_in(tmp_path)
    policy = make_policy(f"sb3:{tmp_path / 'best.pt'}", "SingleClassMine-v0")
    assert (policy.name, policy.scores, policy.oracle) == ("sb3_maskable_ppo", (), False)
    assert policy.observation == "relational"
    assert len(policy.digest) == 64
    for kwargs in ({"skip": False}, {"observation": "embedding"}):
        env = gym.make("SingleClassMine-v0", **MINE["kwargs"] | kwargs)
        assert play(policy, env, 3) == play(load_policy(tmp_path / "best.pt"), env, 3)


def test_a_region_selector_plays_in_the_loop_of_all_policies(tmp_path):
    run_in(tmp_path, where=SELECT)
    [episode] = evaluate(make_policy(f"sb3:{tmp_path / 'best.pt'}"), "RegionSelect-v0", SELECT["kwargs"], [0], [])
    assert len(episode.actions) == 6


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_policy_acts_like_the_model(tmp_path, algorithm):
    kwargs = {**SELECT["kwargs"], "scores": ["entropy", "margin"]}
    run = run_in(tmp_path, SELECT | {"kwargs": kwargs}, algorithm=algorithm)
    policy, env = run.player(), gym.make("RegionSelect-v0", **kwargs)
    assert policy.scores == ("entropy", "margin")
    (obs, info), over = env.reset(seed=1), False
    while not over:
        action = policy.act(obs, info)
        assert action == run.model.predict(obs, deterministic=True)[0]
        obs, _, over, _, info = env.step(action)


def test_observations_of_another_environment_are_refused(tmp_path):
    run_in(tmp_path, iterations=2)
    obs, info = gym.make("RegionSelect-v0", **SELECT["kwargs"]).reset(seed=0)
    with pytest.raises(ValueError, match="play it on the environment of its training"):
        load_policy(tmp_path / "best.pt").act(obs, info)


def test_arguments_that_cannot_be_trained_are_refused():
    with pytest.raises(ValueError, match="no multiple of batch=100"):
        Args(rollout=1004)
    with pytest.raises(ValueError, match="multiple of update_every=4"):
        Args(algorithm="dqn", rollout=1002)
    Args(algorithm="dqn", rollout=1004)
    Args(rollout=50, num_envs=2)
    with pytest.raises(ValueError, match="use observation='compact'"):
        Rows(spaces.Dict({**SPACE, "state": spaces.Box(0, 1, (5, 3), np.float32)}), 8)
    assert Head(8).score[0].in_features == 24


@pytest.mark.parametrize("name", ["mixture_dqn", "mixture_maskable_ppo", "scenes_dqn", "scenes_maskable_ppo"])
def test_the_shipped_configs_are_read(name):
    args = read_args(Args, ["--config", f"configs/agents/sb3_{name}.toml"], sb3.__doc__)
    assert name.endswith(args.algorithm)
    gym.make(args.env, **args.kwargs)
