"""A class-conditioned double DQN for SingleClassMine, in one file. A reconstruction (MiSiCAL-style), no replication.

One network serves all classes: it sees how candidates relate to the labelled images of the class (the environment's
relational observation) and never which class it is, so that it can mine classes that it was not trained on. It learns
on the classes and images of training only, and the best of its versions in validation episodes, on these too, is kept.
With ``--lookahead`` it starts by regression: the labels of training tell what every candidate would gain, not only the
one that is picked, and the states are those that it reaches itself (DAgger; Ross et al., 2011). With ``--start ridge``
it is the ridge regression before it learns anything, and learns a correction.

    python -m agents.misical --config configs/agents/misical_mixture.toml --out runs/misical
    python -m benchmarks.leaderboard --suite configs/suites/mine_quick.toml --policy misical:runs/misical/best.pt

Training can be killed at any moment; the same command goes on, and on a CPU the result is the same bit for bit.
"""

from __future__ import annotations

import copy
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

import alenv  # noqa: F401  registers the ids
from agents.arguments import Rate, check_fields, check_seeds, check_width, read_args
from agents.checkpoints import Weights, check, read_policy
from agents.dqn import OBSERVED, Parts, Ring, greedy, q_of, td_target, uniform
from agents.equivariant import Encoder, fit_mask, head, masked
from agents.play import Info, Observation
from agents.training import command
from alenv.envs.mining.arguments import STATE
from alenv.memory import check_memory
from alenv.mining.features import RELATIONS
from alenv.outside import Count, Positive, Share, decode

ENV = "SingleClassMine-v0"
TRAINING, VALIDATION = 1_000_000, 2_000_000
"""First seeds of training, by thousands for every ``seed``, and of validation."""


@dataclass(frozen=True)
class Args:
    """Train a MiSiCAL-style agent for SingleClassMine-v0."""

    out: Path = Path("runs/misical")
    """folder of checkpoint.pt, best.pt and TensorBoard events"""
    config: Path | None = None
    """TOML file of these arguments; flags override it"""
    dataset: str = "mixture"
    """what is mined"""
    embeddings: str | None = None
    """frozen network of its vectors; each dataset has one of its own"""
    vectors: Literal["image", "cells"] = "image"
    """one vector an image, or the cells that resemble the class"""
    gain: str = "log"
    """what pixels are worth"""
    budget: Positive = 50
    """images bought in an episode"""
    skip: bool = False
    """whether the agent may look at other candidates"""
    seed: Count = 0
    """of episodes, weights, exploration and replay"""
    gamma: Share = 0.9
    """discount; 0 learns the immediate reward"""
    lookahead: Count = 0
    """first iterations, in which the network learns what each candidate would gain, and plays what it has learned"""
    iterations: Positive = 6_000
    """each one step in every environment and, after the warm-up, one update"""
    num_envs: Positive = 64
    """environments stepped together"""
    warmup: Positive = 100
    """iterations before the first update"""
    replay: Positive = 50_000
    """transitions remembered"""
    batch: Positive = 128
    """transitions of an update"""
    hidden: Positive = 64
    """width of the layers"""
    start: Literal["nothing", "ridge"] = "nothing"
    """what it is before it learns anything: random weights, or the ridge mean, on which a correction is learned"""
    learning_rate: Rate = 1e-3
    """of Adam, at the start; it falls linearly to a tenth"""
    target_rate: Rate = 0.005
    """step of the target network towards the online one at every update; the target is what is kept as the policy"""
    epsilon: Share = 0.05
    """share of random actions from half of the iterations on; it falls linearly from 1"""
    validate_every: Positive = 500
    """iterations between validations"""
    validation_episodes: Positive = 768
    """episodes of a validation, always the same"""
    save_every: Positive = 500
    """iterations between checkpoints"""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        check_fields(self)
        check_seeds(self, 1000, "num_envs")
        check_width(self.hidden, 5)
        enough = max(2 * self.num_envs, self.batch)
        if self.replay < enough:
            raise ValueError(
                f"replay={self.replay}: an update needs two steps of all {self.num_envs} environments, and a batch of "
                f"{self.batch}; use replay >= {enough}"
            )
        if self.warmup >= self.iterations:
            raise ValueError(f"warmup={self.warmup}: nothing is learned in {self.iterations} iterations; use fewer")


class Scorer(Encoder):
    """Q-values of actions: one network for every candidate, and what all have in common as context.

    The output permutes with the candidates, of which there can be any number, and masked ones count for nothing.

    Args:
        features: Columns of a candidate.
        state: Length of the state.
        hidden: Width of the layers.
        looks: Actions that look at other candidates, 0 or 1.
        ridge: Whether it is the ridge mean before it learns anything.
    """

    def __init__(self, features: int, state: int, hidden: int, looks: int, ridge: bool = False) -> None:
        super().__init__(features, state, hidden, looks)
        self.value = head(hidden)
        self.prior = nn.Parameter(torch.tensor(0.5)) if ridge else None
        if ridge:
            nn.init.zeros_(self.value[-1].weight)
            nn.init.zeros_(self.value[-1].bias)

    def forward(self, candidates: Tensor, state: Tensor, mask: Tensor) -> Tensor:
        """Return the Q-values (E, K + looks) of candidates (E, K, F) in states (E, S) with masks (E, K + looks)."""
        q = self.value(super().forward(candidates, state, mask))
        if self.prior is not None:  # the ridge mean is 1/2 on average over the candidates: a look is worth that
            ridge = candidates[..., RELATIONS.index("ridge_mean")] - 0.5
            q = q + self.prior * F.pad(ridge, (0, len(self.look)))[..., None]
        return masked(q, mask)


class Replay(Ring):
    """The last observations, actions, rewards and ends of E environments, and what each candidate would have gained."""

    def __init__(self, rows: int, obs: Observation, gains: bool = False) -> None:
        envs, shown = obs["candidates"].shape[:2]
        seen = sum(array[0].nbytes for array in obs.values())
        check_memory("replay", rows * envs, seen + 16 + 4 * shown * gains)
        kinds = {"action": np.int64, "reward": np.float32, "over": np.float32}
        parts: Parts = {name: (array.shape, array.dtype) for name, array in obs.items()}
        parts |= {"gains": ((envs, shown), np.float32)} if gains else {}
        super().__init__(rows, parts | {name: ((envs,), kind) for name, kind in kinds.items()})
        self._envs = envs

    def add(self, obs: Observation, action: NDArray, reward: NDArray, over: NDArray, **gains: NDArray) -> None:
        """Remember one step of every environment."""
        self.put({**obs, "action": action, "reward": reward, "over": over, **gains})

    def sample(self, batch: int, gamma: float, rng: np.random.Generator) -> dict[str, Tensor]:
        """Draw transitions with replacement; names of what followed begin with ``next_``."""
        age, env = rng.integers(2, self.kept + 1, batch), rng.integers(self._envs, size=batch)
        row = (self.count - age) % self.rows
        now = {name: array[row, env] for name, array in self.arrays.items()}
        then = {f"next_{name}": self.arrays[name][(row + 1) % self.rows, env] for name in OBSERVED}
        drawn = {**now, **then, "discount": np.float32(gamma) * (1 - now["over"])}
        return {name: torch.from_numpy(array) for name, array in drawn.items()}


def pick(network: Scorer, obs: Observation, epsilon: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the best legal action of every environment, or with probability epsilon any legal one."""
    best, any_legal = greedy(network, obs), uniform(obs["action_mask"], rng)
    return np.where(rng.random(len(best)) < epsilon, any_legal, best)


def validate(network: Scorer, envs: gym.vector.VectorEnv) -> float:
    """Return the mean return of the first episode of every environment, greedily and on the same seeds each time."""
    obs, _ = envs.reset(seed=VALIDATION)
    returns, running, rng = np.zeros(envs.num_envs), np.ones(envs.num_envs, bool), np.random.default_rng(0)
    while running.any():
        obs, rewards, over, _, _ = envs.step(pick(network, obs, 0.0, rng))
        returns += rewards * running
        running &= ~over
    return float(returns.mean())


class Run:
    """All that training changes; a checkpoint holds it whole.

    Args:
        args: How to train.
        envs: Where to train, with ``get_state`` and ``set_state``; they must start anew in the step that ends.
        validation: Where versions of the policy are compared.
    """

    def __init__(self, args: Args, envs: Any, validation: gym.vector.VectorEnv) -> None:
        self.args, self.envs, self.iteration, self.best = args, envs, 0, -np.inf
        self._validation = validation
        self.obs, _ = envs.reset(seed=TRAINING + 1000 * args.seed)
        self.rng = np.random.default_rng(args.seed)
        self.replay = Replay(args.replay // envs.num_envs, self.obs, args.lookahead > 0)
        self.returns = np.zeros(envs.num_envs)
        features, state = self.obs["candidates"].shape[1:], self.obs["state"].shape[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(args.seed)
            looks = self.obs["action_mask"].shape[1] - features[0]
            self.online = Scorer(features[1], state, args.hidden, looks, args.start == "ridge")
        self.target = copy.deepcopy(self.online)
        self.optimizer = torch.optim.Adam(self.online.parameters(), lr=args.learning_rate)
        self.modules = {"online": self.online, "target": self.target, "optimizer": self.optimizer}

    @property
    def steps(self) -> int:
        """Steps in all environments."""
        return self.iteration * self.envs.num_envs

    def advance(self) -> dict[str, float]:
        """Step every environment, update once, and return the scalars of TensorBoard."""
        share, known = self.iteration / self.args.iterations, self.args.lookahead > 0
        epsilon = self.args.epsilon if known else max(self.args.epsilon, 1 - 2 * share * (1 - self.args.epsilon))
        action = pick(self.online, self.obs, epsilon, self.rng)
        gains = {"gains": self.envs.candidate_gains()} if known else {}
        following, reward, over, _, _ = self.envs.step(action)
        self.replay.add(self.obs, action, reward, over, **gains)
        self.obs, self.iteration, self.returns = following, self.iteration + 1, self.returns + reward
        scalars = {"charts/epsilon": epsilon}
        if over.any():
            scalars["charts/episodic_return"] = float(self.returns[over].mean())
            self.returns[over] = 0
        return scalars | (self._update(1 - 0.9 * share) if self.iteration > self.args.warmup else {})

    def _update(self, rate: float) -> dict[str, float]:
        """Take one step of Adam, and let the target follow."""
        batch = self.replay.sample(self.args.batch, self.args.gamma, self.rng)
        if self.iteration <= self.args.lookahead:
            q, goal = self.online(*(batch[name] for name in OBSERVED))[:, : batch["gains"].shape[1]], batch["gains"]
        else:
            goal = td_target(self.online, self.target, batch)
            q = q_of(self.online, batch)
        loss = F.huber_loss(q, goal)
        self.optimizer.param_groups[0]["lr"] = lr = self.args.learning_rate * rate
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        for slow, fast in zip(self.target.parameters(), self.online.parameters(), strict=True):
            slow.data.lerp_(fast.data, self.args.target_rate)
        return {"losses/td_loss": loss.item(), "losses/q_values": q.mean().item(), "charts/learning_rate": lr}

    def validate(self) -> float:
        """Return the mean return of the policy."""
        return validate(self.target, self._validation)

    def policy(self) -> dict[str, Any]:
        """Return the weights of the policy."""
        return {"weights": self.target.state_dict()}

    def get_state(self) -> dict[str, Any]:
        """Return all that ``advance`` changes besides the networks."""
        state = {"obs": self.obs, "returns": self.returns, "rng": self.rng.bit_generator.state}
        return {**state, "envs": self.envs.get_state(), "replay": self.replay.get_state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore a snapshot."""
        like = {"obs": self.obs, "returns": self.returns, "rng": self.rng.bit_generator.state}
        check({name: state[name] for name in like}, like, "state")
        self.obs, self.returns = state["obs"], state["returns"]
        self.rng.bit_generator.state = state["rng"]
        self.envs.set_state(state["envs"])
        self.replay.set_state(state["replay"])


class Misical:
    """A trained agent as a policy, in double precision.

    Args:
        scorer: The network; it is changed to double precision.
        digest: Tells trained agents apart, see ``benchmarks.leaderboard.episodes.source``.
    """

    name = "misical"
    scores: tuple[str, ...] = ()
    observation = "relational"
    oracle = False

    def __init__(self, scorer: Scorer, digest: str = "") -> None:
        self._scorer, self.digest = scorer.double(), digest

    def reset(self, seed: int) -> None:
        """Nothing to forget: the features hold all."""

    def act(self, obs: Observation, info: Info) -> int:
        """Pick the legal arg-max; an agent that was trained without looks never looks.

        Raises:
            ValueError: If the environment shows other features.
        """
        x, looks = obs["candidates"][:, : len(RELATIONS)], len(self._scorer.look)
        if x.shape[1] < len(RELATIONS) or len(obs["state"]) != len(STATE):
            raise ValueError(f"policy 'misical' plays {ENV} with observation='relational' or 'embedding' only")
        mask = fit_mask(obs["action_mask"], len(x) + looks)
        seen = {"candidates": x.astype(np.float64), "state": obs["state"].astype(np.float64), "action_mask": mask}
        return int(greedy(self._scorer, {name: array[None] for name, array in seen.items()})[0])


def load_policy(path: str | Path) -> Misical:
    """Load a policy that was trained, see ``read_policy``."""
    return read_policy(path, "misical", Weights, _make_policy)


def _make_policy(saved: Weights, digest: str) -> Misical:
    args = decode(Args, saved.args)
    with torch.device("meta"):
        network = Scorer(len(RELATIONS), len(STATE), args.hidden, int(args.skip), args.start == "ridge")
    check(saved.weights, network.state_dict(), "weights")
    network.load_state_dict(saved.weights, assign=True)
    return Misical(network, digest)


def make_run(argv: list[str]) -> Run:
    """Make the training that a command line asks for."""
    args = read_args(Args, argv, __doc__)
    kwargs: dict[str, Any] = {"dataset": args.dataset, "budget": args.budget, "skip": args.skip}
    kwargs |= {"embeddings": args.embeddings, "vectors": args.vectors, "gain": args.gain, "observation": "relational"}
    kwargs |= {"pool": "train", "classes": "train", "autoreset_mode": "SameStep"}
    envs, validation = (gym.make_vec(ENV, n, **kwargs) for n in (args.num_envs, args.validation_episodes))
    return Run(args, envs, validation)


if __name__ == "__main__":
    sys.exit(command(lambda: make_run(sys.argv[1:]), log_every=100))
