"""A class-conditioned double DQN for SingleClassMine, in one file. A reconstruction (MiSiCAL-style), no replication.

One network serves all classes: it sees how candidates relate to the labelled images of the class (the environment's
relational observation) and never which class it is, so that it can mine classes that it was not trained on. It learns
on the classes and images of training only, and the best of its versions in validation episodes, on these too, is kept.

    python -m agents.misical --config configs/agents/misical_mixture.toml --out runs/misical
    python -m benchmarks.leaderboard --suite configs/suites/mine_quick.toml --policy misical:runs/misical/best.pt

Training can be killed at any moment; the same command goes on, and on a CPU the result is the same bit for bit.
"""

from __future__ import annotations

import copy
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

import alenv  # noqa: F401  registers the ids
from agents.arguments import Rate, check_fields, check_seeds, check_width, read_args
from agents.checkpoints import Weights, check, read_policy
from agents.equivariant import block, standardise
from agents.policy import Info, Observation
from agents.training import command
from alenv.envs.mining.arguments import STATE
from alenv.memory import check_memory
from alenv.mining.features import RELATIONS
from alenv.outside import Count, Positive, Share, decode

ENV = "SingleClassMine-v0"
OBSERVED = ("candidates", "state", "action_mask")
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
    budget: Positive = 50
    """images bought in an episode"""
    skip: bool = False
    """whether the agent may look at other candidates"""
    seed: Count = 0
    """of episodes, weights, exploration and replay"""
    gamma: Share = 0.9
    """discount; 0 learns the immediate reward"""
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


class Scorer(nn.Module):
    """Q-values of candidates: one network for every row, and what all rows have in common as context.

    The output permutes with the candidates, of which there can be any number, and masked ones count for nothing.
    Features enter as they are and standardised over the legal candidates.

    Args:
        features: Columns of a candidate.
        state: Length of the state.
        hidden: Width of the layers.
        looks: Actions that look at other candidates, 0 or 1: rows that are learned instead of seen.
    """

    def __init__(self, features: int, state: int, hidden: int, looks: int) -> None:
        super().__init__()
        self.encode = nn.Sequential(*block(2 * features + state, hidden), *block(hidden, hidden))
        self.look = nn.Parameter(torch.zeros(looks, hidden))
        self.value = nn.Sequential(*block(3 * hidden, hidden), nn.Linear(hidden, 1))

    def forward(self, candidates: Tensor, state: Tensor, mask: Tensor) -> Tensor:
        """Return the Q-values (E, K + looks) of candidates (E, K, F) in states (E, S) with masks (E, K + looks)."""
        there = mask[:, : candidates.shape[1], None].to(candidates.dtype)
        count = there.sum(1, keepdim=True).clamp(min=1)
        standard = standardise(candidates, there, count)
        shared = state[:, None].expand(-1, candidates.shape[1], -1)
        rows = self.encode(torch.cat([4 * candidates - 2, standard, shared], 2)) * there
        context = torch.cat([rows.sum(1, keepdim=True) / count, rows.amax(1, keepdim=True)], 2)
        rows = torch.cat([rows, self.look.expand(len(rows), -1, -1)], 1)
        return self.value(torch.cat([rows, context.expand(-1, rows.shape[1], -1)], 2))[..., 0]


class Replay:
    """The last observations, actions, rewards and ends of E environments, a ring of rows.

    The next row holds what followed. After the end of an episode that is the start of another one, which is right
    because nothing after an end counts, and environments here never truncate.
    """

    def __init__(self, rows: int, obs: Observation) -> None:
        envs = len(obs["state"])
        check_memory("replay", rows * envs, sum(array[0].nbytes for array in obs.values()) + 16)
        self._arrays = {name: np.zeros((rows, *array.shape), array.dtype) for name, array in obs.items()}
        for name, dtype in (("action", np.int64), ("reward", np.float32), ("over", np.float32)):
            self._arrays[name] = np.zeros((rows, envs), dtype)
        self._rows, self._envs, self._count = rows, envs, 0

    def add(self, obs: Observation, action: NDArray, reward: NDArray, over: NDArray) -> None:
        """Remember one step of every environment."""
        for name, array in {**obs, "action": action, "reward": reward, "over": over}.items():
            self._arrays[name][self._count % self._rows] = array
        self._count += 1

    def sample(self, batch: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Draw transitions with replacement; names of what followed begin with ``next_``."""
        kept = min(self._count, self._rows)
        age, env = rng.integers(2, kept + 1, batch), rng.integers(self._envs, size=batch)
        row = (self._count - age) % self._rows
        now = {name: array[row, env] for name, array in self._arrays.items()}
        then = {f"next_{name}": self._arrays[name][(row + 1) % self._rows, env] for name in OBSERVED}
        return {name: torch.from_numpy(array) for name, array in {**now, **then}.items()}

    def get_state(self) -> dict[str, Any]:
        """Return all that is remembered."""
        kept = min(self._count, self._rows)
        return {"count": self._count, **{name: array[:kept] for name, array in self._arrays.items()}}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore a snapshot.

        Raises:
            ValueError: If it is of another training.
        """
        kept = min(decode(Count, state["count"], "count"), self._rows)
        check(state, {"count": 0, **{name: array[:kept] for name, array in self._arrays.items()}}, "replay")
        self._count = state["count"]
        for name, array in self._arrays.items():
            array[: len(state[name])] = state[name]


def legal(q: Tensor, mask: Tensor) -> Tensor:
    """Return Q-values with minus infinity for masked actions."""
    return q.masked_fill(mask == 0, -torch.inf)


def td_target(online: Scorer, target: Scorer, batch: dict[str, Tensor], gamma: float) -> Tensor:
    """Return what Q should be: the online network picks the next action among the legal ones, the target rates it."""
    with torch.no_grad():
        following = tuple(batch[f"next_{name}"] for name in OBSERVED)
        best = legal(online(*following), batch["next_action_mask"]).argmax(1, keepdim=True)
        value = target(*following).gather(1, best)[:, 0]
        return batch["reward"] + gamma * (1 - batch["over"]) * value


def pick(network: Scorer, obs: Observation, epsilon: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the best legal action of every environment, or with probability epsilon any legal one."""
    candidates, state, mask = (torch.from_numpy(obs[name]) for name in OBSERVED)
    with torch.no_grad():
        greedy = legal(network(candidates, state, mask), mask).argmax(1).numpy()
    uniform = np.where(obs["action_mask"] == 1, rng.random(mask.shape), -1).argmax(1)
    return np.where(rng.random(len(greedy)) < epsilon, uniform, greedy)


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
        self.replay = Replay(args.replay // envs.num_envs, self.obs)
        self.returns = np.zeros(envs.num_envs)
        features, state = self.obs["candidates"].shape[1:], self.obs["state"].shape[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(args.seed)
            self.online = Scorer(features[1], state, args.hidden, self.obs["action_mask"].shape[1] - features[0])
        self.target = copy.deepcopy(self.online)
        self.optimizer = torch.optim.Adam(self.online.parameters(), lr=args.learning_rate)
        self.modules = {"online": self.online, "target": self.target, "optimizer": self.optimizer}

    @property
    def steps(self) -> int:
        """Steps in all environments."""
        return self.iteration * self.envs.num_envs

    def advance(self) -> dict[str, float]:
        """Step every environment, update once, and return the scalars of TensorBoard."""
        share = self.iteration / self.args.iterations
        epsilon = max(self.args.epsilon, 1 - 2 * share * (1 - self.args.epsilon))
        action = pick(self.online, self.obs, epsilon, self.rng)
        following, reward, over, _, _ = self.envs.step(action)
        self.replay.add(self.obs, action, reward, over)
        self.obs, self.iteration, self.returns = following, self.iteration + 1, self.returns + reward
        scalars = {"charts/epsilon": epsilon}
        if over.any():
            scalars["charts/episodic_return"] = float(self.returns[over].mean())
            self.returns[over] = 0
        return scalars | (self._update(1 - 0.9 * share) if self.iteration > self.args.warmup else {})

    def _update(self, rate: float) -> dict[str, float]:
        """Take one step of Adam, and let the target follow."""
        batch = self.replay.sample(self.args.batch, self.rng)
        goal = td_target(self.online, self.target, batch, self.args.gamma)
        q = self.online(*(batch[name] for name in OBSERVED)).gather(1, batch["action"][:, None])[:, 0]
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
    """A trained agent as a policy: plain NumPy, so that nothing of torch's state matters.

    Args:
        weights: Those of a ``Scorer``.
        digest: Tells trained agents apart, see ``benchmarks.runner.source``.
    """

    name = "misical"
    scores: tuple[str, ...] = ()
    observation = "relational"
    oracle = False

    def __init__(self, weights: dict[str, NDArray[np.float64]], digest: str = "") -> None:
        self._weights, self.digest = weights, digest

    def reset(self, seed: int) -> None:
        """Nothing to forget: the features hold all."""

    def act(self, obs: Observation, info: Info) -> int:
        """Pick the legal arg-max; an agent that was trained without looks never looks."""
        q = self.q_values(obs["candidates"], obs["state"], obs["action_mask"])
        mask = obs["action_mask"][: len(q)]
        return int(np.where(mask == 1, q[: len(mask)], -np.inf).argmax())

    def q_values(self, candidates: NDArray, state: NDArray, mask: NDArray) -> NDArray[np.float64]:
        """Return what ``Scorer`` returns, for one state."""
        x = candidates[:, : len(RELATIONS)].astype(np.float64)
        if 2 * x.shape[1] + len(state) != self._weights["encode.0.weight"].shape[1]:
            raise ValueError(f"policy 'misical' plays {ENV} with observation='relational' or 'embedding' only")
        there = mask[: len(x)] == 1
        there |= not there.any()  # then only a look is legal
        standard = (x - x[there].mean(0)) / (x[there].std(0) + 1e-6)
        rows = np.concatenate([4 * x - 2, standard, np.tile(state, (len(x), 1))], 1)
        rows = self._layer(self._layer(rows, "encode", 0), "encode", 3)
        context = np.concatenate([rows[there].mean(0), rows[there].max(0)])
        rows = np.concatenate([rows, self._weights["look"]])
        rows = self._layer(np.concatenate([rows, np.tile(context, (len(rows), 1))], 1), "value", 0)
        return rows @ self._weights["value.3.weight"][0] + self._weights["value.3.bias"]

    def _layer(self, x: NDArray, part: str, index: int) -> NDArray[np.float64]:
        """Apply a linear map, LayerNorm and ReLU."""
        linear, norm = (
            [self._weights[f"{part}.{i}.{kind}"] for kind in ("weight", "bias")] for i in (index, index + 1)
        )
        x = x @ linear[0].T + linear[1]
        x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
        return np.maximum(x * norm[0] + norm[1], 0)


def load_policy(path: str | Path) -> Misical:
    """Load a policy that was trained, see ``read_policy``."""
    return read_policy(path, "misical", Weights, _make_policy)


def _make_policy(saved: Weights, digest: str) -> Misical:
    args = decode(Args, saved.args)
    with torch.device("meta"):
        network = Scorer(len(RELATIONS), len(STATE), args.hidden, int(args.skip))
    check(saved.weights, network.state_dict(), "weights")
    return Misical({name: tensor.double().numpy() for name, tensor in saved.weights.items()}, digest)


def make_run(argv: list[str]) -> Run:
    """Make the training that a command line asks for."""
    args = read_args(Args, argv, __doc__)
    kwargs = {"dataset": args.dataset, "budget": args.budget, "skip": args.skip, "observation": "relational"}
    kwargs |= {"pool": "train", "classes": "train", "autoreset_mode": "SameStep"}
    envs, validation = (gym.make_vec(ENV, n, **kwargs) for n in (args.num_envs, args.validation_episodes))
    return Run(args, envs, validation)


if __name__ == "__main__":
    sys.exit(command(lambda: make_run(sys.argv[1:]), log_every=100))
