"""Stable-Baselines3's algorithms with masks and networks that permute with the candidates."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sb3_contrib import QRDQN, MaskablePPO
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from sb3_contrib.qrdqn.policies import QRDQNPolicy, QuantileNetwork
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.dqn.policies import DQNPolicy, QNetwork
from torch import nn

from agents.checkpoints import check
from agents.equivariant import Head, Rows, Value
from alenv.memory import check_memory
from alenv.outside import Count, decode


class MaskedDQNPolicy(DQNPolicy):
    """Q-values of rows. The mask is in the network, so that the arg-max and the target's maximum have it as well."""

    def make_q_net(self) -> QNetwork:
        """Return a Q-network with our head."""
        network = super().make_q_net()
        network.q_net = Head(**self.features_extractor_kwargs)
        return network


class MaskedQRDQNPolicy(QRDQNPolicy):
    """Quantiles of rows, likewise."""

    def make_quantile_net(self) -> QuantileNetwork:
        """Return a network of quantiles with our head."""
        network = super().make_quantile_net()
        network.quantile_net = Head(**self.features_extractor_kwargs, outputs=self.n_quantiles)
        return network


class _Masked:
    """What SB3's off-policy algorithms lack: exploration among legal actions only, drawn for each environment."""

    def _sample_action(self: Any, learning_starts: int, action_noise: Any = None, n_envs: int = 1) -> Any:
        mask = self._last_obs["action_mask"]
        rate = 1.0 if self.num_timesteps < learning_starts else self.exploration_rate
        actions = np.where(np.random.rand(n_envs) < rate, uniform(mask), self.predict(self._last_obs)[0])  # noqa: NPY002
        return actions, actions

    def predict(
        self: Any, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> Any:
        """Return the greedy actions: exploration is part of training."""
        return self.policy.predict(observation, state, episode_start, True)


class _Whole:
    """A training that is cut into calls of ``learn`` and has schedules over all of them.

    Attributes:
        whole: Steps of the whole training; 0 if it is one call.
    """

    whole = 0

    def _update_current_progress_remaining(self: Any, num_timesteps: int, total_timesteps: int) -> None:
        self._current_progress_remaining = 1.0 - num_timesteps / (self.whole or total_timesteps)


class MaskedDQN(_Masked, _Whole, DQN):
    """DQN with masks."""


class MaskedQRDQN(_Masked, _Whole, QRDQN):
    """QR-DQN with masks."""


class _RowsPolicy:
    """Logits and value of rows, for the actor-critic policies of both packages; illegal logits are masked here."""

    def _build(self: Any, lr_schedule: Any) -> None:
        super()._build(lr_schedule)  # type: ignore[misc]
        width = self.features_extractor_kwargs
        self.action_net, self.value_net = Head(**width), Value(**width)
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)


class MaskedPolicy(_RowsPolicy, ActorCriticPolicy):
    """The actor and critic of PPO."""


class MaskableRowsPolicy(_RowsPolicy, MaskableActorCriticPolicy):
    """The actor and critic of MaskablePPO."""


class MaskedPPO(_Whole, PPO):
    """PPO whose policy masks by the observation."""


class RowsMaskablePPO(_Whole, MaskablePPO):
    """MaskablePPO in one training of many parts."""


OFF_POLICY = {"dqn": (MaskedDQN, MaskedDQNPolicy), "qrdqn": (MaskedQRDQN, MaskedQRDQNPolicy)}
ON_POLICY = {"ppo": (MaskedPPO, MaskedPolicy), "maskable_ppo": (RowsMaskablePPO, MaskableRowsPolicy)}


def make_model(args: Any, env: VecEnv) -> BaseAlgorithm:
    """Make the algorithm ``args.algorithm``; the weights are drawn from torch's global generator.

    Args:
        args: The arguments of ``agents.sb3``.
        env: Where it is trained.
    """
    kind, policy = (OFF_POLICY | ON_POLICY)[args.algorithm]
    row = sum(part.dtype.itemsize * math.prod(part.shape) for part in env.observation_space.values()) + 32
    if args.algorithm in OFF_POLICY:
        check_memory("replay", args.replay, 2 * row)
    else:
        check_memory("rollout", args.rollout, args.num_envs * row)
    network = {"features_extractor_class": Rows, "features_extractor_kwargs": {"hidden": args.hidden}, "net_arch": []}
    own = _off_policy(args) if args.algorithm in OFF_POLICY else _on_policy(args)
    if args.algorithm in ON_POLICY:
        network["ortho_init"] = False  # made for SB3's own layers, which are replaced
    if args.algorithm == "qrdqn":
        network["n_quantiles"] = args.quantiles
    rate = LinearSchedule(args.learning_rate, args.learning_rate / 10, 1.0)
    common = {"learning_rate": rate, "gamma": args.gamma, "batch_size": args.batch, "device": "cpu"}
    model = kind(policy, env, policy_kwargs=network, **common, **own)
    model.whole = args.steps
    model.set_logger(Logger(None, []))  # what it records is read by the training loop
    return model


def _off_policy(args: Any) -> dict[str, Any]:
    return {
        "buffer_size": args.replay,
        "learning_starts": args.warmup,
        "train_freq": args.update_every,
        "target_update_interval": args.update_every * args.num_envs,
        "tau": args.target_rate,
        "exploration_fraction": 0.5,
        "exploration_final_eps": args.epsilon,
    }


def _on_policy(args: Any) -> dict[str, Any]:
    return {"n_steps": args.rollout, "n_epochs": args.epochs, "ent_coef": args.entropy}


def uniform(mask: NDArray) -> NDArray[np.int64]:
    """Return a uniform legal action for every row of a mask (E, A)."""
    return np.where(mask == 1, np.random.rand(*mask.shape), -1).argmax(1)  # noqa: NPY002 - SB3's own generator


def actor(model: BaseAlgorithm) -> dict[str, nn.Module]:
    """Return the parts of a model that choose actions: ``rows`` and ``head``."""
    policy = model.policy
    if isinstance(model, DQN):
        return {"rows": policy.q_net.features_extractor, "head": policy.q_net.q_net}
    if isinstance(model, QRDQN):
        return {"rows": policy.quantile_net.features_extractor, "head": policy.quantile_net.quantile_net}
    return {"rows": policy.features_extractor, "head": policy.action_net}


COUNTERS = ("num_timesteps", "exploration_rate", "_n_calls", "_n_updates", "_episode_num")
KEPT = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def get_state(model: BaseAlgorithm) -> dict[str, Any]:
    """Return all that ``learn`` changes besides networks, optimiser and environments."""
    counters = {name: getattr(model, name) for name in COUNTERS if hasattr(model, name)}
    state = {"counters": counters, "obs": model._last_obs, "starts": model._last_episode_starts}
    if isinstance(model, DQN | QRDQN):
        buffer = model.replay_buffer
        rows = buffer.buffer_size if buffer.full else buffer.pos
        kept = {name: _first(getattr(buffer, name), rows) for name in KEPT}
        state["replay"] = {"pos": buffer.pos, "full": buffer.full, **kept}
    return state


def set_state(model: BaseAlgorithm, state: dict[str, Any]) -> None:
    """Restore what ``get_state`` returned.

    Raises:
        ValueError: If it is of another training.
    """
    check(state, _example(model, state), "model")
    for name, value in state["counters"].items():
        setattr(model, name, value)
    model._last_obs, model._last_episode_starts = state["obs"], state["starts"]
    if "replay" in state:
        buffer, saved = model.replay_buffer, state["replay"]
        buffer.pos, buffer.full = saved["pos"], saved["full"]
        for name in KEPT:
            _fill(getattr(buffer, name), saved[name])


def _example(model: BaseAlgorithm, state: dict[str, Any]) -> dict[str, Any]:
    """Return a state of a model, in kind; of a replay with as many rows as a given one says."""
    envs, spaces = model.n_envs, model.observation_space
    obs = {name: np.zeros((envs, *part.shape), part.dtype) for name, part in spaces.items()}
    like = {**get_state(model), "obs": obs, "starts": np.zeros(envs, bool)}
    if "replay" in like:
        buffer, saved = model.replay_buffer, state["replay"]
        rows = (
            buffer.buffer_size if saved["full"] is True else min(decode(Count, saved["pos"], "pos"), buffer.buffer_size)
        )
        like["replay"] = {"pos": 0, "full": False, **{name: _first(getattr(buffer, name), rows) for name in KEPT}}
    return like


def _first(tree: Any, rows: int) -> Any:
    return {name: part[:rows].copy() for name, part in tree.items()} if isinstance(tree, dict) else tree[:rows].copy()


def _fill(tree: Any, saved: Any) -> None:
    pairs = [(tree[name], saved[name]) for name in tree] if isinstance(tree, dict) else [(tree, saved)]
    for array, part in pairs:
        array[: len(part)] = part
