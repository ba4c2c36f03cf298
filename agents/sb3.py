"""Agents of Stable-Baselines3 (Raffin et al., 2021) on both environments, and back as policies of the suites.

DQN, QR-DQN, PPO and MaskablePPO with one network for all candidates, see ``agents.equivariant``, which never chooses
what is masked nor looks at it. The best of its versions in validation episodes, on the images of training, is kept.

    python -m agents.sb3 --config configs/agents/sb3_mixture_maskable_ppo.toml --out runs/sb3
    python -m benchmarks.leaderboard --suite configs/suites/mine_quick.toml --policy sb3:runs/sb3/best.pt

Training can be killed at any moment; the same command goes on, and on a CPU the result is the same bit for bit.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import gymnasium as gym
import numpy as np
import torch
import tyro
from gymnasium import spaces
from msgspec import Meta
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecMonitor
from torch import Tensor

import alenv  # noqa: F401  registers the ids
from agents import sb3_models
from agents.arguments import Names, NonNegative, Rate, check_fields, check_seeds, check_width, read_args
from agents.checkpoints import Trained, check, read_policy
from agents.environments import make_env, mines
from agents.equivariant import Head, Rows, describe, fit_mask
from agents.mining import play
from agents.play import Info, Observation, channels
from agents.training import command
from alenv.memory import check_memory
from alenv.outside import Count, Positive, Share, decode

SCALARS = {
    "train/loss": "losses/td_loss",
    "train/learning_rate": "charts/learning_rate",
    "rollout/exploration_rate": "charts/epsilon",
}
"""What the other agents call otherwise than SB3, the first for dqn and qrdqn; ``train/`` else becomes ``losses/``."""
PROCESS = 2**28
"""Bytes that an environment in a process of its own takes at least."""
TRAINING, VALIDATION = 3_000_000, 4_000_000
"""First seeds of training, by thousands for every ``seed``, and of validation."""


@dataclass(frozen=True)
class Args:
    """Train an agent of Stable-Baselines3."""

    out: Path = Path("runs/sb3")
    """folder of checkpoint.pt, best.pt and TensorBoard events"""
    config: Path | None = None
    """TOML file of these arguments; flags override it"""
    algorithm: Literal["dqn", "qrdqn", "ppo", "maskable_ppo"] = "maskable_ppo"
    """which"""
    env: str = "SingleClassMine-v0"
    """id of the environment"""
    kwargs: Annotated[dict[str, Any], tyro.conf.Fixed] = field(default_factory=dict)
    """its arguments: the table [kwargs] of the file"""
    num_envs: Positive = 1
    """environments stepped together, each in a process of its own if there are several"""
    seed: Count = 0
    """of episodes, weights, exploration and replay"""
    iterations: Positive = 100
    """each ``rollout`` steps in every environment, and what is learned from them"""
    rollout: Positive = 1_000
    """steps of every environment in an iteration; for ppo and maskable_ppo between two updates"""
    gamma: Share = 0.9
    """discount; 0 learns the immediate reward"""
    learning_rate: Rate = 1e-3
    """of Adam, at the start; it falls linearly to a tenth"""
    batch: Positive = 100
    """transitions of a step of Adam"""
    hidden: Positive = 64
    """width of the layers"""
    epochs: Positive = 5
    """ppo: passes over the transitions of an iteration"""
    entropy: NonNegative = 0.0
    """ppo: weight of the entropy in the loss"""
    replay: Positive = 20_000
    """dqn: transitions remembered"""
    warmup: Count = 1_000
    """dqn: random steps before the first update"""
    update_every: Positive = 4
    """dqn: steps of every environment between updates"""
    target_rate: Rate = 0.01
    """dqn: step of the target network towards the online one at every update"""
    epsilon: Share = 0.05
    """dqn: share of random actions from half of the training on; it falls linearly from 1"""
    quantiles: Annotated[int, Meta(ge=1, le=1000)] = 25
    """qrdqn: number of quantiles"""
    validate_every: Positive = 5
    """iterations between validations"""
    validation_episodes: Positive = 50
    """episodes of a validation, always the same"""
    save_every: Positive = 5
    """iterations between checkpoints"""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        check_fields(self)
        check_seeds(self, 1000, "num_envs")
        check_width(self.hidden, 11)
        if self.algorithm in sb3_models.OFF_POLICY:
            self._check_off_policy()
        elif self.rollout * self.num_envs % self.batch:
            raise ValueError(
                f"rollout={self.rollout} with num_envs={self.num_envs}: its transitions are no multiple of "
                f"batch={self.batch}; use another batch"
            )

    def _check_off_policy(self) -> None:
        if self.rollout % self.update_every:
            raise ValueError(f"rollout={self.rollout} is no multiple of update_every={self.update_every}; use one")
        if self.replay < max(self.batch, self.num_envs):
            raise ValueError(
                f"replay={self.replay} holds no batch of {self.batch} and no step of {self.num_envs} environments; "
                f"use replay >= {max(self.batch, self.num_envs)}"
            )
        if self.warmup >= self.steps:
            raise ValueError(f"warmup={self.warmup}: nothing is learned in a training of {self.steps} steps; use fewer")

    @property
    def steps(self) -> int:
        """Steps of all environments in the whole training."""
        return self.iterations * self.rollout * self.num_envs


class Run:
    """All that training changes; a checkpoint holds it whole.

    SB3 draws from the global generators of NumPy and torch: during ``advance`` they are in this run's states.

    Args:
        args: How to train.
        envs: Where to train.
        validation: Where versions of the policy are compared.
    """

    def __init__(self, args: Args, envs: VecEnv, validation: gym.Env) -> None:
        self.args, self.envs, self.iteration, self.best = args, VecMonitor(envs), 0, -np.inf
        self._validation, self._rng = validation, _generators(args.seed)
        outside = _swap(self._rng)
        self.model = sb3_models.make_model(args, self.envs)
        self._rng = _swap(outside)
        self.envs.seed(TRAINING + 1000 * args.seed)
        self.modules = {"policy": self.model.policy, "optimizer": self.model.policy.optimizer}

    @property
    def steps(self) -> int:
        """Steps in all environments."""
        return self.iteration * self.args.rollout * self.args.num_envs

    def advance(self) -> dict[str, float]:
        """Go on by one iteration, and return the scalars of TensorBoard."""
        outside = _swap(self._rng)
        try:
            self.model.learn(self.args.rollout * self.args.num_envs, log_interval=None, reset_num_timesteps=False)
        finally:
            self._rng = _swap(outside)
        self.iteration += 1
        records, episodes = self.model.logger.name_to_value, self.model.ep_info_buffer
        scalars = {self._usual(name): float(value) for name, value in records.items()}
        if episodes:
            scalars["charts/episodic_return"] = float(np.mean([episode["r"] for episode in episodes]))
        records.clear()
        episodes.clear()
        return scalars

    def _usual(self, name: str) -> str:
        if name == "train/loss" and self.args.algorithm in sb3_models.ON_POLICY:
            return "losses/loss"  # a sum of several
        return SCALARS.get(name, name.replace("train/", "losses/"))

    def validate(self) -> float:
        """Return the mean return of the greedy policy, on the same seeds each time."""
        policy = self.player()
        seeds = range(VALIDATION, VALIDATION + self.args.validation_episodes)
        return float(np.mean([play(policy, self._validation, seed) for seed in seeds]))

    def player(self) -> SB3Policy:
        """Return the policy as it is now."""
        return SB3Policy(self.args, **self.policy())

    def policy(self) -> dict[str, Any]:
        """Return the weights of the policy, and the shapes of what it sees."""
        parts = {name: part.state_dict() for name, part in sb3_models.actor(self.model).items()}
        return {"weights": parts, "shapes": describe(self.envs.observation_space)}

    def get_state(self) -> dict[str, Any]:
        """Return all that ``advance`` changes besides the networks."""
        running = {"returns": self.envs.episode_returns, "lengths": self.envs.episode_lengths}
        state = {"rng": self._rng, "model": sb3_models.get_state(self.model), "running": running}
        return {**state, "envs": self.envs.env_method("get_state")}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore a snapshot."""
        count = self.args.num_envs
        running = {"returns": np.zeros(count, np.float32), "lengths": np.zeros(count, np.int32)}
        for name, like in {"rng": self._rng, "running": running}.items():
            check(state[name], like, name)
        check([None] * len(state["envs"]), [None] * count, "envs")
        _swap(_swap(state["rng"]))  # refuses what is no state of a generator
        self._rng = state["rng"]
        sb3_models.set_state(self.model, state["model"])
        self.envs.reset()  # Gymnasium's wrappers ask for it
        for index, env in enumerate(state["envs"]):
            self.envs.env_method("set_state", env, indices=index)
        self.envs.episode_returns = state["running"]["returns"]
        self.envs.episode_lengths = state["running"]["lengths"]


def _generators(seed: int) -> dict[str, Any]:
    numpy = np.random.RandomState(seed).get_state(legacy=False)  # the kind that SB3 draws from
    return {"numpy": numpy, "torch": torch.Generator().manual_seed(seed).get_state().numpy()}


def _swap(state: dict[str, Any]) -> dict[str, Any]:
    """Put the global generators into a state, and return the one they were in."""
    before = {"numpy": np.random.get_state(legacy=False), "torch": torch.get_rng_state().numpy()}  # noqa: NPY002
    np.random.set_state(state["numpy"])  # noqa: NPY002
    torch.set_rng_state(torch.from_numpy(state["torch"]))
    return before


class SB3Policy:
    """A trained agent as a policy, without Stable-Baselines3 and in double precision.

    Args:
        args: What it was trained with.
        weights: Of the parts that choose actions.
        shapes: Of what it sees.
        digest: Tells trained agents apart, see ``benchmarks.leaderboard.episodes.source``.
    """

    oracle = False

    def __init__(
        self, args: Args, weights: dict[str, dict[str, Tensor]], shapes: dict[str, list[int]], digest: str = ""
    ) -> None:
        self._shapes, self.digest = shapes, digest
        self.name = f"sb3_{args.algorithm}"
        self.scores = decode(Names, args.kwargs.get("scores", ()), "kwargs.scores")
        self._mines = mines(args.env)
        usual = "relational" if self._mines else "compact"
        self.observation = decode(str, args.kwargs.get("observation", usual), "kwargs.observation")
        space = spaces.Dict({name: spaces.MultiBinary(shape) for name, shape in shapes.items()})  # without memory
        with torch.device("meta"):
            self._rows = Rows(space, args.hidden)
            self._head = Head(args.hidden, args.quantiles if args.algorithm == "qrdqn" else 1)
        parts = {"rows": self._rows, "head": self._head}
        check(weights, {name: part.state_dict() for name, part in parts.items()}, "weights")
        for name, part in parts.items():
            part.load_state_dict(weights[name], assign=True)
            part.double()

    def reset(self, seed: int) -> None:
        """Nothing to forget: the features hold all."""

    def act(self, obs: Observation, info: Info) -> int:
        """Pick the legal arg-max; an agent that was trained without looks never looks."""
        seen = {name: torch.from_numpy(array).double()[None] for name, array in self._see(obs).items()}
        with torch.no_grad():
            values = self._head(self._rows(seen)).view(-1, seen["action_mask"].shape[1]).mean(0)
        return int(values.argmax())

    def _see(self, obs: Observation) -> Observation:
        """Return the columns and actions that the agent knows.

        Raises:
            ValueError: If some are missing.
        """
        columns, actions = self._shapes["candidates"][1], self._shapes["action_mask"][0]
        looks = actions - self._shapes["candidates"][0]
        mask = fit_mask(obs["action_mask"], len(obs["candidates"]) + looks)
        candidates = obs["candidates"][:, :columns] if self._mines else obs["candidates"]
        if candidates.shape[1] != columns or list(obs["state"].shape) != self._shapes["state"]:
            raise ValueError(
                f"policy {self.name!r} was trained on {columns} features and a state of {self._shapes['state']}, not "
                f"{candidates.shape[1]} and {list(obs['state'].shape)}; play it on the environment of its training"
            )
        seen = {"candidates": candidates, "state": obs["state"], "action_mask": mask}
        return seen | ({"scores": channels(obs, self)} if self.scores else {})


def load_policy(path: str | Path) -> SB3Policy:
    """Load a policy that was trained, see ``read_policy``."""
    return read_policy(path, "sb3", _Saved, _make_policy)


Shape = list[Annotated[int, Meta(ge=1, le=2**20)]]


class _Saved(Trained):
    weights: dict[str, Any]
    shapes: dict[str, Shape]


def _make_policy(saved: _Saved, digest: str) -> SB3Policy:
    args = decode(Args, saved.args)
    axes = {"candidates": 2, "state": 1, "action_mask": 1} | ({"scores": 2} if args.kwargs.get("scores") else {})
    check(
        {name: [1] * len(shape) for name, shape in saved.shapes.items()},
        {k: [1] * n for k, n in axes.items()},
        "shapes",
    )
    return SB3Policy(args, saved.weights, saved.shapes, digest)


def make_envs(args: Args) -> VecEnv:
    """Make the environments of training: several are spawned, because a fork of a process that used torch hangs.

    Raises:
        ValueError: If there are more than fit into memory.
    """
    check_memory("num_envs", args.num_envs, PROCESS)
    make = partial(gym.make, "alenv:" + args.env.removeprefix("alenv:"), disable_env_checker=True, **args.kwargs)
    if args.num_envs == 1:
        return DummyVecEnv([make])
    return SubprocVecEnv([make] * args.num_envs, start_method="spawn")


def make_run(argv: list[str]) -> Run:
    """Make the training that a command line asks for."""
    args = read_args(Args, argv, __doc__)
    validation = make_env(args.env, disable_env_checker=True, **args.kwargs)  # here its errors show, not in a process
    return Run(args, make_envs(args), validation)


if __name__ == "__main__":
    sys.exit(command(lambda: make_run(sys.argv[1:])))
