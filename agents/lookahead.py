"""A policy that learns from look-ahead, in one file.

On training episodes the labels of all candidates are known, so the gain of each can be computed: what the model's mIoU
would gain if this candidate, after the picks of the round so far, were labelled. A scorer learns these gains from what
a policy sees. It learns on the states that it reaches itself (DAgger; Ross et al., 2011), in a pool of newly generated
drives in every episode, and starts as class-balanced entropy or one of its channels, on which it learns a correction.

What there is to learn depends on how many drives a pool has. Frames of one drive nearly repeat each other, so that in
the 8 drives of pools like ``train`` BALD is hardly above random, and in 60 drives, with as many images, far above it
(``benchmarks/RESULTS.md``). ``--like eval`` trains in pools of 16 new drives, as many as the judged pool has.

    python -m agents.lookahead --config configs/agents/lookahead_scenes.toml --out runs/lookahead
    python -m benchmarks.leaderboard --suite configs/suites/quick.toml --policy lookahead:runs/lookahead/best.pt

Training can be killed at any moment; the same command goes on, and on a CPU the result is the same bit for bit.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import gymnasium as gym
import numpy as np
import torch
import tyro
from msgspec import Meta
from numpy.typing import NDArray
from torch import Tensor

import alenv  # noqa: F401  registers the ids
from agents.arguments import (
    Names,
    NonNegative,
    Rate,
    check_fields,
    check_kwargs,
    check_seeds,
    check_width,
    read_args,
)
from agents.checkpoints import Weights, check, read_policy
from agents.environments import make_env
from agents.lookahead_scorer import Scorer
from agents.play import Info, Observation, channels
from agents.tasks import task
from agents.training import command
from alenv.errors import unknown
from alenv.memory import check_memory
from alenv.observation import CANDIDATE, PROGRESS
from alenv.outside import Count, Positive, Share, decode

TRAINING, VALIDATION = 1_000_000, 2_000_000
"""First seeds of training, by ten thousands for every ``seed``, and of validation."""


@dataclass(frozen=True)
class Args:
    """Train a policy for RegionSelect to predict what labels would gain."""

    out: Path = Path("runs/lookahead")
    """folder of checkpoint.pt, best.pt and TensorBoard events"""
    config: Path | None = None
    """TOML file of these arguments; flags override it"""
    envs: Names = ("RegionSelect-v0",)
    """environments of training, in turn; those with generated data get a new pool in every episode"""
    tasks: Names = ()
    """datasets of which variants are played, see ``agents.tasks``, in turn with ``envs``"""
    variants: Positive = 8
    """of each of them"""
    heads: Annotated[Names, Meta(min_length=1)] = ("linear",)
    """segmenters of their variants, in turn, unless ``kwargs`` names one"""
    scores: Names = ()
    """acquisition channels that the policy sees besides the observation"""
    start: str = ""
    """that of ``scores`` which the policy is before it learns anything; class-balanced entropy without one"""
    budget: Positive = 240
    """regions bought in an episode"""
    like: Literal["train", "eval"] = "train"
    """generated pools have as many drives as this split, always new ones: 8, or the 16 that policies are judged on"""
    kwargs: Annotated[dict[str, Any], tyro.conf.Fixed] = field(default_factory=dict)
    """more of their arguments: the table [kwargs] of the file"""
    splits: Annotated[tuple[Literal["reward", "train"], ...], Meta(min_length=1)] = ("reward",)
    """on the images of which a gain is measured; ("reward", "train") are all that have labels in training"""
    live: bool = True
    """whether a gain counts what this round's picks will have taught; otherwise all are taken at its start"""
    seed: Count = 0
    """of episodes, weights, exploration and batches"""
    iterations: Positive = 40
    """training episodes; each is followed by updates on all pools so far"""
    updates: Positive = 60
    """after an episode"""
    batch: Positive = 64
    """pools of an update"""
    hidden: Annotated[int, Meta(ge=2)] = 64
    """width of the layers"""
    learning_rate: Rate = 1e-3
    """of AdamW, at the start; it falls linearly to a tenth"""
    weight_decay: NonNegative = 1e-2
    """of AdamW"""
    explore: Share = 0.1
    """share of random picks in training"""
    validate_every: Positive = 10
    """iterations between validations"""
    validation_episodes: Positive = 8
    """episodes of a validation, always the same"""
    save_every: Positive = 1
    """iterations between checkpoints"""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        check_fields(self)
        check_seeds(self, 10_000, "iterations")
        check_width(self.hidden, 6)
        check_kwargs(self.kwargs, ("pool", "budget", "scores", "fresh_pool", "observation"))
        if not (self.envs or self.tasks):
            raise ValueError("envs=() and tasks=(): there is nothing to learn from; name one of them")
        if self.start and self.start not in self.scores:
            raise unknown("start", self.start, self.scores)

    @property
    def column(self) -> int | None:
        """Where ``start`` stands among the channels."""
        return self.scores.index(self.start) if self.start else None


class LookAheadPolicy:
    """A scorer as a policy: it remembers what it has picked in the round.

    Args:
        scorer: The network.
        scores: Acquisition channels.
        digest: Tells trained agents apart, see ``benchmarks.leaderboard.episodes.source``.
    """

    name = "lookahead"
    oracle = False

    def __init__(self, scorer: Scorer, scores: Iterable[str], digest: str = "") -> None:
        self._scorer, self.scores, self.digest = scorer, tuple(scores), digest

    def reset(self, seed: int) -> None:
        """Forget the picks."""
        self._picked: NDArray[np.float32] | None = None

    def act(self, obs: Observation, info: Info) -> int:
        """Pick the largest predicted gain."""
        values = self.values(self.see(obs))
        action = int(np.where(obs["action_mask"] == 1, values, -np.inf).argmax())
        self.remember(obs, action)
        return action

    def see(self, obs: Observation) -> Observation:
        """Return the inputs of the scorer.

        Raises:
            ValueError: If the observation is of another kind.
        """
        classes = obs["candidates"].shape[1] - len(CANDIDATE)
        if obs["state"].shape != (2 * classes + len(PROGRESS),):
            raise ValueError("policy 'lookahead' plays environments with observation='compact' only")
        if self._picked is None or obs["state"][PROGRESS.index("pick")] == 0:
            self._picked = np.zeros(classes, np.float32)
        inputs = {"candidates": obs["candidates"], "state": obs["state"], "scores": channels(obs, self)}
        return {**inputs, "picked": self._picked.copy(), "mask": obs["action_mask"]}

    def values(self, inputs: Observation) -> NDArray[np.float32]:
        """Return the predicted gains (N,)."""
        with torch.no_grad():
            return self._scorer(**{name: torch.from_numpy(array)[None] for name, array in inputs.items()})[0].numpy()

    def remember(self, obs: Observation, action: int) -> None:
        """Take note of a pick."""
        assert self._picked is not None
        self._picked += obs["candidates"][action, : len(self._picked)]


def load_policy(path: str | Path) -> LookAheadPolicy:
    """Load a policy that was trained, see ``read_policy``."""
    return read_policy(path, "lookahead", Weights, _make_policy)


def _make_policy(saved: Weights, digest: str) -> LookAheadPolicy:
    args = decode(Args, saved.args)
    with torch.device("meta"):
        scorer = Scorer(len(args.scores), args.hidden, args.column)
    check(saved.weights, scorer.state_dict(), "weights")
    scorer.load_state_dict(saved.weights, assign=True)
    return LookAheadPolicy(scorer, args.scores, digest)


Pools = dict[str, NDArray]
"""Inputs of the scorer and ``target``, with a first axis of pools."""


def look_ahead(
    policy: LookAheadPolicy, env: Any, seed: int, args: Args, rng: np.random.Generator
) -> tuple[Pools, float]:
    """Play an episode, and write down what every candidate would have gained; also return its return."""
    obs, info = env.reset(seed=seed)
    policy.reset(seed)
    rounds: list[list[Observation]] = []
    over, total = False, 0.0
    while not over:
        if info["pick"] == 0:
            rounds.append([])
        inputs = policy.see(obs)
        gains = env.unwrapped.candidate_gains(live=args.live, splits=args.splits)
        rounds[-1].append({**inputs, "target": gains.astype(np.float32)})
        values = rng.random(len(gains)) if rng.random() < args.explore else policy.values(inputs)
        action = int(np.where(inputs["mask"] == 1, values, -np.inf).argmax())
        policy.remember(obs, action)
        obs, reward, over, _, info = env.step(action)
        total += float(reward)
    pools = [pool for pools in rounds for pool in _scaled(pools)]
    return {name: np.stack([pool[name] for pool in pools]) for name in pools[0]}, total


def _scaled(pools: list[Observation]) -> list[Observation]:
    """Count the gains of a round from their pool's mean, in units of the round's deviation; masked ones are 0."""
    centred = [pool["target"] - np.nanmean(pool["target"]) for pool in pools]
    deviation = np.nanstd(np.concatenate(centred)) + 1e-8
    return [{**pool, "target": np.nan_to_num(c / deviation)} for pool, c in zip(pools, centred, strict=True)]


def loss(scorer: Scorer, batch: dict[str, Tensor]) -> Tensor:
    """Squared error of the values, counted from their pool's mean as the gains are."""
    target, legal = batch.pop("target"), batch["mask"].float()
    values = scorer(**batch)
    centred = values - (values * legal).sum(1, keepdim=True) / legal.sum(1, keepdim=True)
    return ((centred - target).square() * legal).sum() / legal.sum()


class Run:
    """All that training changes; a checkpoint holds it whole.

    Args:
        args: How to train.
        envs: Where to train and validate, in turn.
    """

    def __init__(self, args: Args, envs: list[gym.Env]) -> None:
        self.args, self.envs, self.iteration, self.best = args, envs, 0, -np.inf
        rows = max(env.observation_space["candidates"].shape[0] for env in envs)
        check_memory("batch", args.batch, 4 * 4 * rows * args.hidden)
        self.rng = np.random.default_rng(args.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(args.seed)
            self.scorer = Scorer(len(args.scores), args.hidden, args.column)
        self.optimizer = torch.optim.AdamW(
            self.scorer.parameters(), lr=args.learning_rate, weight_decay=args.weight_decay
        )
        self.modules = {"scorer": self.scorer, "optimizer": self.optimizer}
        self.player = LookAheadPolicy(self.scorer, args.scores)
        self.pools: list[Pools] = [{} for _ in envs]
        """What was seen in each environment."""

    @property
    def steps(self) -> int:
        """Steps in all environments."""
        return self.iteration * self.args.budget

    def advance(self) -> dict[str, float]:
        """Play one episode, learn from all so far, and return the scalars of TensorBoard."""
        turn = self.iteration % len(self.envs)
        seed = TRAINING + 10_000 * self.args.seed + self.iteration
        new, total = look_ahead(self.player, self.envs[turn], seed, self.args, self.rng)
        old = self.pools[turn]
        self.pools[turn] = {name: np.concatenate([old[name], new[name]]) if old else new[name] for name in new}
        self.iteration += 1
        for group in self.optimizer.param_groups:
            group["lr"] = self.args.learning_rate * (1 - 0.9 * self.iteration / self.args.iterations)
        losses = [self._update() for _ in range(self.args.updates)]
        scalars = {"losses/gain_loss": float(np.mean(losses)), "charts/chosen_gain": _chosen(self.player, new)}
        return {**scalars, "charts/episodic_return": total}

    def validate(self) -> float:
        """Return the mean mIoU on the reward split over the rounds of the validation episodes."""
        miou = [play(self.player, env, VALIDATION + i) for env in self.envs for i in range(self._episodes)]
        return float(np.mean(miou))

    def policy(self) -> dict[str, Any]:
        """Return the weights of the policy."""
        return {"weights": self.scorer.state_dict()}

    def get_state(self) -> dict[str, Any]:
        """Return all that ``advance`` changes besides the network."""
        return {"rng": self.rng.bit_generator.state, "pools": self.pools}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore a snapshot."""
        check(state["rng"], self.rng.bit_generator.state, "rng")
        check([None] * len(state["pools"]), [None] * len(self.envs), "pools")
        for index, (env, pools) in enumerate(zip(self.envs, state["pools"], strict=True)):
            check(pools, _example(env, len(pools["state"])) if pools else {}, f"pools[{index}]")
        self.rng.bit_generator.state = state["rng"]
        self.pools = state["pools"]

    @property
    def _episodes(self) -> int:
        return -(-self.args.validation_episodes // len(self.envs))

    def _update(self) -> float:
        """Take one step of AdamW on pools of one environment."""
        seen = [pools for pools in self.pools if pools]
        pools = seen[self.rng.integers(len(seen))]
        rows = self.rng.integers(len(pools["state"]), size=self.args.batch)
        value = loss(self.scorer, {name: torch.from_numpy(array[rows]) for name, array in pools.items()})
        self.optimizer.zero_grad()
        value.backward()
        self.optimizer.step()
        return value.item()


def _chosen(policy: LookAheadPolicy, pools: Pools) -> float:
    """Return the mean target of what the policy would pick in some pools."""
    names = [name for name in pools if name != "target"]
    with torch.no_grad():
        values = policy._scorer(**{name: torch.from_numpy(pools[name]) for name in names}).numpy()
    best = np.where(pools["mask"] == 1, values, -np.inf).argmax(1)
    return float(pools["target"][np.arange(len(best)), best].mean())


def play(policy: LookAheadPolicy, env: gym.Env, seed: int) -> float:
    """Return the mean mIoU on the reward split over the rounds of an episode."""
    obs, info = env.reset(seed=seed)
    policy.reset(seed)
    miou, over = [], False
    while not over:
        obs, _, over, _, info = env.step(policy.act(obs, info))
        if info["pick"] == 0 or over:
            miou.append(info["miou"])
    return float(np.mean(miou))


def _example(env: gym.Env, count: int) -> Pools:
    """Return what was seen in an environment, in kind: a number of pools without memory."""
    shapes = {name: (space.shape, space.dtype) for name, space in env.observation_space.items()}
    (rows, columns), real = shapes["candidates"]
    shapes["mask"] = shapes.pop("action_mask")
    shapes.setdefault("scores", ((rows, 0), real))
    shapes |= {"picked": ((columns - len(CANDIDATE),), real), "target": ((rows,), real)}
    return {name: np.broadcast_to(np.zeros((), kind), (count, *shape)) for name, (shape, kind) in shapes.items()}


def make_envs(args: Args) -> list[gym.Env]:
    """Make the environments of training; variants of tasks follow each other by number."""
    tasks = [task(name, i, args.budget, args.heads) for i in range(args.variants) for name in args.tasks]
    shown = {"regions_only": True, "pool": "train", "scores": list(args.scores)}
    varied = [make_env("RegionSelect-v0", **{**shown, **drawn, **args.kwargs}) for drawn in tasks]
    return [*(_make_env(env_id, args) for env_id in args.envs), *varied]


def _make_env(env_id: str, args: Args) -> gym.Env:
    """Make an environment of training: generated data get a new pool in every episode."""
    fresh = env_id.removeprefix("alenv:") == "RegionSelect-v0"
    pool = {"pool": args.like, "fresh_pool": True} if fresh else {"pool": "train"}
    return make_env(env_id, regions_only=True, budget=args.budget, scores=list(args.scores), **pool, **args.kwargs)


def make_run(argv: list[str]) -> Run:
    """Make the training that a command line asks for."""
    args = read_args(Args, argv, __doc__)
    return Run(args, make_envs(args))


if __name__ == "__main__":
    sys.exit(command(lambda: make_run(sys.argv[1:])))
