"""SB3's agents permute with the candidates, mask everywhere, and a killed run ends like one that never was."""

import io

import gymnasium as gym
import numpy as np
import pytest
import torch
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


class Doors(gym.Env):
    """Three doors, twice: the bait pays 1 at once; the door pays nothing, but then the prize, 2, is legal.

    The prize is always seen, and only the mask tells whether it can be had: returns are 2 at most, and 1 for who is
    greedy or believes that the prize follows the bait. A masked action ends all.
    """

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
        self._second = self._opened = False
        return self._show(), {"target_class": ""}

    def step(self, action):
        kind = self._kinds[action]
        assert self.action_masks()[action]
        over, self._opened = self._second, kind == 2
        self._second = True
        return self._show(), float(kind == 1) + 2.0 * (kind == 0), over, False, {}

    def action_masks(self):
        return (self._kinds != 0) | (self._second & self._opened)

    def _show(self):
        self._kinds = self.np_random.permutation([0, 3, 3] if self._second else [0, 1, 2])
        return {
            "candidates": np.eye(4, dtype=np.float32)[self._kinds],
            "state": np.float32([self._second]),
            "action_mask": self.action_masks().astype(np.int8),
        }


def learn(**changes):
    args = Args(**CONTROL | changes)
    run = Run(args, DummyVecEnv([Doors]), Doors())
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


class KilledError(Exception):
    pass


def killed(out, moment, **arguments):
    """Train until the ``moment``-th iteration begins, and die there."""
    advance = Run.advance

    def dies(run):
        if run.iteration == moment:
            raise KilledError
        return advance(run)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "advance", dies)
        with pytest.raises(KilledError):
            run_in(out, **arguments)
    torch.rand(7), np.random.rand(3)  # noqa: NPY002 - another process has another global state


def same_files(one, other):
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in ("checkpoint.pt", "best.pt"))


@pytest.mark.parametrize("where", [MINE, SELECT], ids=["mine", "select"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_killed_run_ends_like_one_that_was_not(tmp_path, algorithm, where):
    chosen = {"algorithm": algorithm, "where": where, "save_every": 3}
    run_in(tmp_path / "whole", **chosen)
    for moment in (1, 3):
        killed(tmp_path / "killed", moment, **chosen)
    run_in(tmp_path / "killed", **chosen)
    assert same_files(tmp_path / "killed", tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["dqn", "maskable_ppo"])
def test_spawned_environments_resume_too(tmp_path, algorithm):
    chosen = {"algorithm": algorithm, "num_envs": 2, "where": SELECT}
    run_in(tmp_path / "whole", **chosen)
    killed(tmp_path / "killed", 2, **chosen)
    run_in(tmp_path / "killed", **chosen)
    assert same_files(tmp_path / "killed", tmp_path / "whole")


def test_training_leaves_the_global_generators_as_they_were(tmp_path):
    before = sb3._swap(sb3._generators(5))
    run_in(tmp_path, iterations=2)
    after = sb3._swap(before)
    assert (after["torch"] == sb3._generators(5)["torch"]).all()
    assert after["numpy"]["state"]["pos"] == sb3._generators(5)["numpy"]["state"]["pos"]


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


def test_files_load_without_running_code_and_the_policy_plays(tmp_path):
    run = run_in(tmp_path)
    for name in ("checkpoint.pt", "best.pt"):
        assert torch.load(tmp_path / name, weights_only=True)["args"]["gamma"] == 0.9
    policy = make_policy(f"sb3:{tmp_path / 'best.pt'}", "SingleClassMine-v0")
    assert (policy.name, policy.scores, policy.oracle) == ("sb3_maskable_ppo", (), False)
    assert policy.observation == "relational"
    assert len(policy.digest) == 64
    for kwargs in ({"skip": False}, {"observation": "embedding"}):
        env = gym.make("SingleClassMine-v0", **MINE["kwargs"] | kwargs)
        assert play(policy, env, 3) == play(load_policy(tmp_path / "best.pt"), env, 3)
    assert run.best == torch.load(tmp_path / "best.pt", weights_only=True)["validation"]


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


def test_missing_foreign_and_unfit_files_are_named(tmp_path):
    with pytest.raises(ValueError, match="there is no such file"):
        make_policy(f"sb3:{tmp_path / 'none.pt'}")
    run_in(tmp_path, iterations=2)
    with pytest.raises(ValueError, match="holds no policy"):
        load_policy(tmp_path / "checkpoint.pt")
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
