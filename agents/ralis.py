"""RALIS: a double DQN over regions to label (Casanova et al., ICLR 2020), in one file, with options beyond the paper.

One network rates the candidates of one pool; a round picks one from each of K pools (``alenv.wrappers.JointPools``),
and every pool gives a transition of its own. The defaults of the algorithm are the paper's. It learns on the pool
``train``, and the best of its versions in validation episodes, there too but with other seeds, is kept.

    python -m agents.ralis --config configs/agents/ralis_scenes_pick.toml --out runs/ralis
    python -m benchmarks.leaderboard --suite configs/suites/quick.toml --policy ralis:runs/ralis/best.pt

Training can be killed at any moment; the same command goes on, and on a CPU the result is the same bit for bit.
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from msgspec import Meta
from numpy.typing import NDArray
from torch import nn

import alenv  # noqa: F401  registers the ids
from agents import dqn
from agents.arguments import Names, NonNegative, Rate, check_fields, check_kwargs, check_seeds, read_args
from agents.checkpoints import Weights, check, read_policy
from agents.dqn import OBSERVED, q_of, td_target, uniform
from agents.environments import make_env
from agents.play import Info, Observation, channels
from agents.ralis_network import QNetwork
from agents.ralis_replay import Replay
from agents.training import command
from alenv.acquisition import SCORES
from alenv.observation import PROGRESS, column
from alenv.outside import Count, Positive, Share, decode
from alenv.wrappers import JointPools

TRAINING, VALIDATION = 1_000_000, 2_000_000
"""First seeds of training, by ten thousands for every ``seed``, and of validation."""
RESERVED = ("budget", "picks", "candidates", "observation", "scores", "pool", "fresh_pool", "pick_gains")
"""Arguments of the environment that have fields of their own, so that ``kwargs`` cannot have them."""


@dataclass(frozen=True)
class Args:
    """Train a RALIS agent for RegionSelect; the defaults of the algorithm are those of the paper on CamVid."""

    out: Path = Path("runs/ralis")
    """folder of checkpoint.pt, best.pt and TensorBoard events"""
    config: Path | None = None
    """TOML file of these arguments; flags override it"""
    env: str = "RegionSelect-v0"
    """id of a RegionSelect environment"""
    kwargs: Annotated[dict[str, Any], tyro.conf.Fixed] = field(default_factory=dict)
    """more of its arguments: the table [kwargs] of the file"""
    budget: Positive = 240
    """regions bought in an episode"""
    picks: Positive = 24
    """pools of a round, K"""
    candidates: Positive = 20
    """candidates in a pool, N"""
    fresh_pool: bool = False
    """whether every episode labels newly generated drives (scenes only)"""
    observation: Literal["ralis", "compact"] = "ralis"
    """features of candidates and state; only those of the paper have divergences, and so the similarity gate"""
    scores: Names = ()
    """acquisition channels added to the features of a candidate, each standardised over its pool"""
    credit: Literal["shared", "pick"] = "shared"
    """reward of a pick: the round's, as in the paper, or K times what the round's gain would lose without this pick"""
    seed: Count = 0
    """of episodes, weights, exploration and replay"""
    episodes: Positive = 100
    """played while training"""
    gamma: Share = 0.999
    """discount; 0 learns the immediate reward"""
    n_step: Positive = 1
    """rounds of rewards before the target network is asked"""
    norm: Literal["batch", "layer"] = "batch"
    """normalisation before every layer; `layer` leaves the network's inputs as they are"""
    dueling: bool = False
    """whether the value of the state is learned apart from the advantages of the candidates"""
    replay: Positive = 600
    """transitions remembered, one for every pool of a round"""
    batch: Positive = 16
    """transitions of an update"""
    updates: Positive = 1
    """updates after every round"""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """SGD with momentum 0.95, or AdamW"""
    learning_rate: Rate = 1e-3
    """of the optimiser, at the start"""
    rate_decay: Rate = 0.97
    """factor of the learning rate from one round to the next"""
    weight_decay: NonNegative = 1e-3
    """of the optimiser"""
    target_every: Positive = 5
    """rounds between copies of the online network to the target network"""
    epsilon: Share = 0.05
    """share of random rounds in the end"""
    epsilon_start: Share = 0.9
    """share of random rounds at the start"""
    epsilon_rounds: Annotated[float, Meta(gt=0, le=sys.float_info.max)] = 10.0
    """rounds in which the difference of the two falls to 1/e"""
    validate_every: Positive = 100
    """rounds between validations"""
    validation_episodes: Positive = 8
    """episodes of a validation, always the same"""
    save_every: Positive = 10
    """rounds between checkpoints"""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        check_fields(self)
        check_seeds(self, 10_000, "episodes")
        check_kwargs(self.kwargs, RESERVED)
        for name in self.scores:
            if name in SCORES and SCORES[name].live:
                raise ValueError(f"score {name!r} changes within a round, which JointPools does not show; drop it")
        enough = (self.n_step + 1) * self.picks + self.batch
        if self.replay < enough:
            raise ValueError(
                f"n_step={self.n_step}, replay={self.replay}: an update needs a batch of {self.batch} and the n_step "
                f"rounds of {self.picks} picks that followed; use replay >= {enough}"
            )
        rounds = self.n_step + math.ceil(self.batch / self.picks)
        if self.iterations < rounds:
            raise ValueError(
                f"episodes={self.episodes} have {self.iterations} rounds of {self.picks} picks: nothing is learned "
                f"before round {rounds}; use more episodes or a smaller batch than {self.batch}"
            )

    @property
    def iterations(self) -> int:
        """Rounds of all episodes."""
        return self.episodes * math.ceil(self.budget / self.picks)


def _network(candidate: int, state: Sequence[int], args: Args) -> QNetwork:
    shape = {"compact": args.observation == "compact", "scores": len(args.scores)}
    return QNetwork(candidate, state, **shape, norm=args.norm, dueling=args.dueling).eval()


def make_network(candidate: int, state: Sequence[int], args: Args) -> QNetwork:
    """Make a network with the weights of ``args.seed``, in evaluation mode; torch's random state stays as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(args.seed)
        return _network(candidate, state, args)


def joint(obs: Observation, observation: str) -> Observation:
    """Return what the network sees: the channels beside the features, and nothing of this round's other picks.

    A round is one action, so ``JointPools`` shows neither how many picks were made nor what they were. An environment
    that is played pick by pick does, where the network has seen no such values. The share of rounds tells the time.
    """
    parts = [obs[name] for name in ("candidates", "scores") if name in obs]
    candidates, state = np.concatenate(parts, -1), obs["state"]
    if observation == "compact":
        state = state.copy()
        state[[PROGRESS.index("budget"), PROGRESS.index("pick")]] = 0
        candidates[..., obs["candidates"].shape[-1] + column("nearest_picked")] = 0
    return {"candidates": candidates, "state": state, "action_mask": obs["action_mask"]}


def greedy(network: QNetwork, obs: Observation) -> NDArray[np.int64]:
    """Return the best legal candidate of every pool, (K,), which have one state; 0 where there is none."""
    return dqn.greedy(network, {**obs, "state": obs["state"][None]})


def exploration(args: Args, rounds: int) -> float:
    """Return the probability that a whole round is random."""
    return args.epsilon + (args.epsilon_start - args.epsilon) * math.exp(-rounds / args.epsilon_rounds)


class Run:
    """All that training changes; a checkpoint holds it whole.

    Args:
        args: How to train.
        env: Where to train: as ``JointPools``, with ``get_state`` and ``set_state`` behind ``unwrapped``.
        validation: Where versions of the policy are compared.
    """

    def __init__(self, args: Args, env: Any, validation: Any) -> None:
        self.args, self.env, self._validation = args, env, validation
        self.iteration, self.episode, self.best = 0, -1, -np.inf
        self.rng = np.random.default_rng(args.seed)
        self._begin()
        self.replay = Replay(args.replay // args.picks, self.obs)
        self.sizes = [self.obs["candidates"].shape[2], *self.obs["state"].shape]
        self.online = make_network(self.sizes[0], self.sizes[1:], args)
        self.target = copy.deepcopy(self.online)
        self.optimizer = _optimizer(args, self.online)
        self.modules = {"online": self.online, "target": self.target, "optimizer": self.optimizer}

    @property
    def steps(self) -> int:
        """Rounds so far."""
        return self.iteration

    def _begin(self) -> None:
        """Start the next episode."""
        self.episode, self.total = self.episode + 1, 0.0
        obs, _ = self.env.reset(seed=TRAINING + 10_000 * self.args.seed + self.episode)
        self.obs = joint(obs, self.args.observation)

    def advance(self) -> dict[str, float]:
        """Play a round, learn, and return the scalars of TensorBoard."""
        epsilon = exploration(self.args, self.iteration)
        explore = self.rng.random() < epsilon
        action = uniform(self.obs["action_mask"], self.rng) if explore else greedy(self.online, self.obs)
        obs, reward, over, _, info = self.env.step(action)
        self.replay.add(self.obs, action, credit(self.args, float(reward), info), over)
        self.obs = joint(obs, self.args.observation)
        self.iteration, self.total = self.iteration + 1, self.total + reward
        scalars = {"charts/epsilon": epsilon}
        if over:
            scalars["charts/episodic_return"] = float(self.total)
            self._begin()
        return scalars | self._learn()

    def _learn(self) -> dict[str, float]:
        """Update, and copy the network from time to time."""
        scalars: dict[str, float] = {}
        if self.replay.pairs(self.args.n_step).shape[1] >= self.args.batch:
            for _ in range(self.args.updates):
                scalars = self._update()
        if self.iteration % self.args.target_every == 0:
            self.target.load_state_dict(self.online.state_dict())
        return scalars

    def _update(self) -> dict[str, float]:
        """Take one step of the optimiser."""
        args = self.args
        batch = self.replay.sample(args.batch, args.gamma, args.n_step, self.rng)
        self.online.train()  # the next pick, too, is chosen with the statistics of the batch, as in the released code
        goal = td_target(self.online, self.target, batch)
        q = q_of(self.online, batch)
        self.online.eval()
        loss = F.huber_loss(q, goal)
        self.optimizer.param_groups[0]["lr"] = lr = args.learning_rate * args.rate_decay**self.iteration
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"losses/td_loss": loss.item(), "losses/q_values": q.mean().item(), "charts/learning_rate": lr}

    def validate(self) -> float:
        """Return the mean return of the policy in the validation episodes."""
        seeds = range(VALIDATION, VALIDATION + self.args.validation_episodes)
        return float(np.mean([self._play(seed) for seed in seeds]))

    def _play(self, seed: int) -> float:
        """Return the return of a greedy episode."""
        obs, _ = self._validation.reset(seed=seed)
        total, over = 0.0, False
        while not over:
            obs, reward, over, _, _ = self._validation.step(greedy(self.online, joint(obs, self.args.observation)))
            total += float(reward)
        return total

    def policy(self) -> dict[str, Any]:
        """Return the weights of the policy, in half precision to keep files small, and the sizes of what it sees."""
        weights = {k: v.half() if v.is_floating_point() else v for k, v in self.online.state_dict().items()}
        return {"weights": weights, "sizes": self.sizes}

    def get_state(self) -> dict[str, Any]:
        """Return all that ``advance`` changes besides the networks."""
        counters = {"episode": self.episode, "total": float(self.total), "rng": self.rng.bit_generator.state}
        return {**counters, "obs": self.obs, "env": self.env.unwrapped.get_state(), "replay": self.replay.get_state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore a snapshot."""
        like = {"episode": 0, "total": 0.0, "obs": self.obs, "rng": self.rng.bit_generator.state}
        check({name: state[name] for name in like}, like, "state")
        self.episode, self.total, self.obs = state["episode"], state["total"], state["obs"]
        self.rng.bit_generator.state = state["rng"]
        self.env.unwrapped.set_state(state["env"])
        self.replay.set_state(state["replay"])


def credit(args: Args, reward: float, info: Info) -> NDArray[np.float64]:
    """Return the reward of each pick of a round, (K,), of the size of the round's reward."""
    if args.credit == "pick":
        return args.picks * info["pick_gains"]
    return np.full(args.picks, reward)


def _optimizer(args: Args, network: nn.Module) -> torch.optim.Optimizer:
    if args.optimizer == "adam":
        return torch.optim.AdamW(network.parameters(), args.learning_rate, weight_decay=args.weight_decay)
    return torch.optim.SGD(network.parameters(), args.learning_rate, momentum=0.95, weight_decay=args.weight_decay)


class Ralis:
    """A trained agent as a policy, one pick at a time.

    Args:
        network: The network, in evaluation mode.
        args: What it was trained with.
        sizes: Features of a candidate, channels included, and the shape of the state.
        digest: Tells trained agents apart, see ``benchmarks.leaderboard.episodes.source``.
    """

    name = "ralis"
    oracle = False

    def __init__(self, network: QNetwork, args: Args, sizes: Sequence[int], digest: str = "") -> None:
        self._network, self._args, self._sizes, self.digest = network, args, list(sizes), digest
        self.scores, self.observation = args.scores, args.observation

    def reset(self, seed: int) -> None:
        """Nothing to forget: the features hold all."""

    def act(self, obs: Observation, info: Info) -> int:
        """Pick the legal arg-max.

        Raises:
            ValueError: If the environment shows other features than those of training.
        """
        shown = [obs["candidates"].shape[1] + len(self.scores), *obs["state"].shape]
        if shown != self._sizes:
            raise ValueError(
                f"policy 'ralis' was trained on {self._args.env} with observation={self.observation!r}: sizes "
                f"{self._sizes} of candidates and state, not {shown}; make the environment with "
                f"observation={self.observation!r}, on the data and split of {self._args.env}"
            )
        own = {"scores": channels(obs, self)} if self.scores else {}  # others may have asked for channels too
        seen = {name: obs[name] for name in OBSERVED} | own
        pool = {name: x if name == "state" else x[None] for name, x in joint(seen, self.observation).items()}
        return int(greedy(self._network, pool)[0])


def load_policy(path: str | Path) -> Ralis:
    """Load a policy that was trained, see ``read_policy``."""
    return read_policy(path, "ralis", _Saved, _make_policy)


class _Saved(Weights):
    sizes: Annotated[list[Annotated[int, Meta(ge=1, le=2**20)]], Meta(min_length=2, max_length=3)]


def _make_policy(saved: _Saved, digest: str) -> Ralis:
    args = decode(Args, saved.args)
    with torch.device("meta"):
        network = _network(saved.sizes[0], saved.sizes[1:], args)
    weights = {k: v.float() if v.is_floating_point() else v for k, v in saved.weights.items()}  # the oldest are whole
    check(weights, network.state_dict(), "weights")
    network.load_state_dict(weights, assign=True)
    return Ralis(network, args, saved.sizes, digest)


def make_run(argv: list[str]) -> Run:
    """Make the training that a command line asks for."""
    args = read_args(Args, argv, __doc__)
    kwargs: dict[str, Any] = {name: getattr(args, name) for name in ("budget", "picks", "candidates", "observation")}
    kwargs |= {"scores": list(args.scores), "pool": "train", "fresh_pool": args.fresh_pool, **args.kwargs}
    training = make_env(args.env, regions_only=True, **kwargs, pick_gains=args.credit == "pick")
    return Run(args, JointPools(training), JointPools(make_env(args.env, **kwargs)))


if __name__ == "__main__":
    sys.exit(command(lambda: make_run(sys.argv[1:]), log_every=10))
