"""Reinforcement learning on top of look-ahead: PPO from a trained scorer, for the return of whole episodes.

Look-ahead regression learns what one label gains; what counts is the area under the curve of an episode. This goes on
from a policy of ``agents.lookahead`` with the clipped objective of PPO (Schulman et al., 2017). Every seed is played
several times: by the policy as it was at the start, and by the policy that learns. Equal seeds show the same initial
labels and candidates, so a step's advantage is its return less that of the same step in the paired episode (common
random numbers); no critic is learned.

    python -m agents.improve --config configs/agents/improve_lda.toml --out runs/improve
    python -m benchmarks.leaderboard --suite configs/suites/agents_lda.toml --policy improve:runs/improve/best.pt

Training can be killed at any moment; the same command goes on, and on a CPU the result is the same bit for bit.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import gymnasium as gym
import numpy as np
import torch
import tyro
from gymnasium.vector import AutoresetMode
from msgspec import Meta
from numpy.typing import NDArray
from torch import Tensor

from agents.arguments import Names, NonNegative, Rate, check_fields, check_kwargs, check_seeds, read_args
from agents.checkpoints import Trained, check, read_policy
from agents.environments import make_env
from agents.lookahead import LookAheadPolicy
from agents.lookahead import load_policy as load_start
from agents.lookahead_scorer import Scorer
from agents.tasks import task
from agents.training import command
from alenv.outside import Count, Positive, Share

TRAINING, VALIDATION = 5_000_000, 6_000_000
"""First seeds of training, by ten thousands for every ``seed``, and of validation."""
CHECKED, FIRST = 4, 1_000_000
"""Variants of validation, and the number of the first."""


@dataclass(frozen=True)
class Args:
    """Improve a look-ahead policy by reinforcement learning."""

    out: Path = Path("runs/improve")
    """folder of checkpoint.pt, best.pt and TensorBoard events"""
    config: Path | None = None
    """TOML file of these arguments; flags override it"""
    start: str = "agents/pretrained/lookahead_lda_0.pt"
    """policy of agents.lookahead to start from"""
    env: str = "RegionSelect-v0"
    """environment of training; its pool is ``train``"""
    tasks: Names = ()
    """datasets of which variants are played in its place, see ``agents.tasks``"""
    variants: Positive = 8
    """of each of them, in turn"""
    budget: Positive = 240
    """regions bought in an episode"""
    kwargs: Annotated[dict[str, Any], tyro.conf.Fixed] = field(default_factory=dict)
    """more of its arguments: the table [kwargs] of the file"""
    seed: Count = 0
    """of episodes, actions and batches"""
    iterations: Positive = 40
    """each plays ``seeds`` episodes ``rollouts`` times, and learns from them"""
    seeds: Positive = 8
    """different episodes of an iteration"""
    rollouts: Positive = 3
    """times that the policy plays each; once more the policy of the start does"""
    baseline: Literal["start", "siblings", "none"] = "start"
    """paired episodes that returns are compared with: those of the policy of the start, the other ones, or none"""
    gamma: Share = 0.9
    """discount of a round; with 1 a return is what is left of the area under the curve"""
    temperature: Annotated[float, Meta(gt=0, le=100)] = 0.3
    """of the softmax that actions are drawn from, in units of the scorer"""
    learning_rate: Rate = 3e-4
    """of Adam, at the start; it falls linearly to a tenth"""
    epochs: Positive = 4
    """passes over the steps of an iteration"""
    batch: Positive = 128
    """steps of an update"""
    clip: Annotated[float, Meta(gt=0, le=1)] = 0.2
    """bound of the ratio's departure from 1"""
    keep: NonNegative = 0.0
    """weight of the divergence from the policy of the start in the loss"""
    validate_every: Positive = 5
    """iterations between validations"""
    validation_episodes: Positive = 24
    """episodes of a validation, always the same; with ``tasks`` in ``CHECKED`` variants that are not trained on"""
    save_every: Positive = 1
    """iterations between checkpoints"""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        check_fields(self)
        check_seeds(self, 10_000, "episodes")
        check_kwargs(self.kwargs, ("pool", "budget", "scores", "observation"))
        if self.baseline == "siblings" and self.rollouts < 2:
            raise ValueError(f"rollouts={self.rollouts}: baseline='siblings' compares several; use at least 2")

    @property
    def episodes(self) -> int:
        """Different episodes of the whole training."""
        return self.iterations * self.seeds


Arrays = dict[str, NDArray]
Chooser = tuple[LookAheadPolicy, np.random.Generator | None]
"""Who plays an episode; with a generator actions are drawn, without one the best is taken."""


def rollout(env: Any, seeds: Sequence[int], players: Sequence[Chooser], temperature: float) -> tuple[Arrays, NDArray]:
    """Play a batch of episodes to their ends.

    Args:
        env: A batch of as many environments.
        seeds: Of the episodes.
        players: Of the episodes; those of one scorer next to each other are asked together.
        temperature: Of what is drawn.

    Returns:
        Inputs of the scorer and actions, with axes of steps and episodes; and mIoU on the reward split in points,
        (rounds + 1, episodes).
    """
    obs, info = env.reset(seed=list(seeds))
    minds = [LookAheadPolicy(policy._scorer, policy.scores) for policy, _ in players]
    for mind, seed in zip(minds, seeds, strict=True):
        mind.reset(seed)
    steps, miou, over = [], [info["miou"].copy()], False
    while not over:
        rows = [{name: part[i] for name, part in obs.items()} for i in range(len(minds))]
        inputs = stack([mind.see(row) for mind, row in zip(minds, rows, strict=True)])
        actions = _choose(inputs, players, temperature)
        for mind, row, action in zip(minds, rows, actions, strict=True):
            mind.remember(row, int(action))
        obs, _, terminated, _, info = env.step(actions)
        steps.append({**inputs, "action": actions})
        over = bool(terminated.all())
        if over or (info["pick"] == 0).all():
            miou.append(info["miou"].copy())
    return stack(steps), np.array(miou)


def stack(parts: Sequence[Arrays]) -> Arrays:
    """Give many dicts of arrays a first axis."""
    return {name: np.stack([part[name] for part in parts]) for name in parts[0]}


def _choose(inputs: Arrays, players: Sequence[Chooser], temperature: float) -> NDArray[np.int64]:
    """Return an action for each player."""
    actions = np.empty(len(players), np.int64)
    for player in dict.fromkeys(players):
        rows = np.array([i for i, other in enumerate(players) if other == player])
        policy, rng = player
        with torch.no_grad():
            logits = policy_logits(policy._scorer, tensors({n: x[rows] for n, x in inputs.items()}), temperature)
        noise = 0 if rng is None else rng.gumbel(size=logits.shape)  # the arg-max is then a draw from the softmax
        actions[rows] = (logits.numpy() + noise).argmax(1)
    return actions


def policy_logits(scorer: Scorer, inputs: dict[str, Tensor], temperature: float) -> Tensor:
    """Return the logits of actions (B, N), minus infinity where masked."""
    return (scorer(**inputs) / temperature).masked_fill(inputs["mask"] == 0, -torch.inf)


def tensors(arrays: Arrays) -> dict[str, Tensor]:
    """Return arrays as tensors."""
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def returns(miou: NDArray[np.float64], gamma: float) -> NDArray[np.float64]:
    """Return what follows each round: mIoU (rounds + 1, episodes) -> (rounds, episodes).

    A round's reward counts for as long as it lasts, so that undiscounted returns are the area that is left.
    """
    rewards = np.diff(miou, axis=0)
    rounds = len(rewards)
    found = np.zeros_like(rewards)
    ahead = np.zeros(rewards.shape[1])
    for t in reversed(range(rounds)):
        ahead = rewards[t] * (rounds - t) / rounds + gamma * ahead
        found[t] = ahead
    return found


class Run:
    """All that training changes; a checkpoint holds it whole.

    Args:
        args: How to train.
    """

    def __init__(self, args: Args) -> None:
        self.args, self.iteration, self.best = args, 0, -np.inf
        self.start = load_start(args.start)
        self.player = LookAheadPolicy(deepcopy(self.start._scorer), self.start.scores)
        self.rng = np.random.default_rng(args.seed)
        scorer = self.player._scorer
        self.optimizer = torch.optim.Adam(scorer.parameters(), lr=args.learning_rate)
        self.modules = {"scorer": scorer, "optimizer": self.optimizer}
        self.envs = [
            self._make(args.seeds * (args.rollouts + 1), *drawn) for drawn in self._tasks(range(args.variants))
        ]
        checked = self._tasks(range(FIRST, FIRST + CHECKED))
        self._validation = [self._make(-(-args.validation_episodes // len(checked)), *drawn) for drawn in checked]
        self._start_areas: NDArray[np.float64] | None = None

    @property
    def steps(self) -> int:
        """Steps of the policy that learns, at most: variants can have smaller budgets."""
        return self.iteration * self.args.seeds * self.args.rollouts * self.args.budget

    def advance(self) -> dict[str, float]:
        """Play, learn, and return the scalars of TensorBoard."""
        args = self.args
        first = TRAINING + 10_000 * args.seed + self.iteration * args.seeds
        seeds = list(range(first, first + args.seeds)) * (args.rollouts + 1)
        players = [(self.start, None)] * args.seeds + [(self.player, self.rng)] * (args.seeds * args.rollouts)
        env = self.envs[self.iteration % len(self.envs)]
        steps, miou = rollout(env, seeds, players, args.temperature)
        self.iteration += 1
        for group in self.optimizer.param_groups:
            group["lr"] = args.learning_rate * (1 - 0.9 * self.iteration / args.iterations)
        advantage = self._advantages(miou, len(steps["action"]))
        flat = tensors({name: np.concatenate(x[:, args.seeds :]) for name, x in steps.items()})
        loss = self._learn(flat, torch.from_numpy(advantage.ravel()).float())
        area = miou.mean(0).reshape(args.rollouts + 1, args.seeds)
        gain = float((area[1:] - area[0]).mean())
        return {
            "losses/policy_loss": loss,
            "charts/gain_on_start": gain,
            "charts/episodic_return": float(area[1:].mean()),
        }

    def validate(self) -> float:
        """Return the area under the curve less that of the policy of the start, in the same validation episodes."""
        if self._start_areas is None:
            self._start_areas = self._areas(self.start)
        return float((self._areas(self.player) - self._start_areas).mean())

    def policy(self) -> dict[str, Any]:
        """Return the weights of the policy, and what they need to be one."""
        return {
            "weights": self.player._scorer.state_dict(),
            "scores": list(self.start.scores),
            "column": self.start._scorer.start,
        }

    def get_state(self) -> dict[str, Any]:
        """Return all that ``advance`` changes besides the network."""
        return {"rng": self.rng.bit_generator.state}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore a snapshot."""
        check(state["rng"], self.rng.bit_generator.state, "rng")
        self.rng.bit_generator.state = state["rng"]

    def _tasks(self, numbers: range) -> list[tuple[str, dict[str, Any]]]:
        """Return ids and arguments of environments: variants, or the one there is."""
        args = self.args
        drawn = [task(name, number, args.budget) for number in numbers for name in args.tasks]
        return [("RegionSelect-v0", kwargs) for kwargs in drawn] or [(args.env, {"budget": args.budget})]

    def _make(self, episodes: int, env_id: str, drawn: dict[str, Any]) -> Any:
        """Make a batch of environments."""
        scores = {"scores": list(self.start.scores)} if self.start.scores else {}
        kwargs = {"pool": "train", **drawn, **scores, **self.args.kwargs}
        make_env(env_id, regions_only=True, **kwargs).close()  # says what is wrong in one sentence
        return gym.make_vec(env_id, episodes, "vector_entry_point", autoreset_mode=AutoresetMode.DISABLED, **kwargs)

    def _areas(self, policy: LookAheadPolicy) -> NDArray[np.float64]:
        """Return the mean mIoU over the rounds of each validation episode."""
        areas = []
        for env in self._validation:
            seeds = range(VALIDATION, VALIDATION + env.num_envs)
            areas.append(rollout(env, seeds, [(policy, None)] * env.num_envs, 1.0)[1].mean(0))
        return np.concatenate(areas)

    def _advantages(self, miou: NDArray[np.float64], steps: int) -> NDArray[np.float64]:
        """Return the advantages (steps, episodes that learn), in units of their deviation."""
        args = self.args
        paired = returns(miou, args.gamma).reshape(-1, args.rollouts + 1, args.seeds)
        own, start = paired[:, 1:], paired[:, :1]
        if args.baseline == "start":
            own = own - start
        elif args.baseline == "siblings":
            own = (own - own.mean(1, keepdims=True)) * args.rollouts / (args.rollouts - 1)
        own = own.reshape(len(own), -1)
        own = np.repeat(own, -(-steps // len(own)), 0)[:steps]  # all picks of a round share its return
        return (own - own.mean()) / (own.std() + 1e-8)

    def _learn(self, steps: dict[str, Tensor], advantage: Tensor) -> float:
        """Take the steps of PPO, and return their mean loss."""
        args, action = self.args, steps.pop("action")[:, None]
        with torch.no_grad():
            before = self._log_policy(self.player, steps).gather(1, action)[:, 0]
            start = self._log_policy(self.start, steps).exp() if args.keep else None
        losses = []
        for _ in range(args.epochs):
            for rows in np.array_split(self.rng.permutation(len(advantage)), -(-len(advantage) // args.batch)):
                log = self._log_policy(self.player, {name: x[rows] for name, x in steps.items()})
                ratio = (log.gather(1, action[rows])[:, 0] - before[rows]).exp()
                clipped = ratio.clamp(1 - args.clip, 1 + args.clip)
                loss = -torch.minimum(ratio * advantage[rows], clipped * advantage[rows]).mean()
                if start is not None:
                    loss = loss - args.keep * (start[rows] * log.clamp(min=-1e9)).sum(1).mean()
                self.optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.player._scorer.parameters(), 0.5)
                self.optimizer.step()
                losses.append(loss.item())
        return float(np.mean(losses))

    def _log_policy(self, policy: LookAheadPolicy, inputs: dict[str, Tensor]) -> Tensor:
        return policy_logits(policy._scorer, inputs, self.args.temperature).log_softmax(1)


class ImprovedPolicy(LookAheadPolicy):
    """A look-ahead policy after reinforcement learning."""

    name = "improve"


class _Saved(Trained):
    weights: dict[str, Tensor]
    scores: tuple[str, ...]
    column: int | None


def load_policy(path: str | Path) -> ImprovedPolicy:
    """Load a policy that was trained, see ``read_policy``."""
    return read_policy(path, "improve", _Saved, _make_policy)


def _make_policy(saved: _Saved, digest: str) -> ImprovedPolicy:
    hidden = len(saved.weights["encode.0.bias"]) if "encode.0.bias" in saved.weights else 2
    with torch.device("meta"):
        scorer = Scorer(len(saved.scores), hidden, saved.column)
    check(saved.weights, scorer.state_dict(), "weights")
    scorer.load_state_dict(saved.weights, assign=True)
    return ImprovedPolicy(scorer, saved.scores, digest)


def make_run(argv: list[str]) -> Run:
    """Make the training that a command line asks for."""
    return Run(read_args(Args, argv, __doc__))


if __name__ == "__main__":
    sys.exit(command(lambda: make_run(sys.argv[1:])))
