"""Policies for SingleClassMine that need no training by reinforcement: what a learned policy has to beat.

They read columns of ``obs["candidates"]``, see ``alenv.mining.features.RELATIONS``. A policy's ``observation`` is the
smallest kind of observation that has its columns. All are reconstructions (MiSiCAL-style): the baselines of Lambert
and Slade (2023) are not public.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from agents.play import Info, Observation, Policy
from alenv.mining.features import RELATIONS

COLUMN = {name: index for index, name in enumerate(RELATIONS)}


class Random:
    """A uniform pick: what every policy has to beat."""

    name = "random"
    scores: tuple[str, ...] = ()
    observation = "cosine"
    oracle = False

    def reset(self, seed: int) -> None:
        """Seed the picks."""
        self._rng = np.random.default_rng([seed, 1])

    def act(self, obs: Observation, info: Info) -> int:
        """Pick any candidate."""
        return int(self._rng.integers(len(obs["candidates"])))


class ArgMax(ABC):
    """The candidate of the largest utility, a function of the features; never looks at others."""

    name: str
    scores: tuple[str, ...] = ()
    observation = "relational"
    oracle = False

    def reset(self, seed: int) -> None:  # noqa: B027 - most have nothing to do here
        """Nothing to forget: the features hold all."""

    def act(self, obs: Observation, info: Info) -> int:
        """Pick the arg-max."""
        return int(self.utility(obs["candidates"].astype(np.float64)).argmax())

    @abstractmethod
    def utility(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the utilities (K,) of features (K, F)."""


class FixedCosine(ArgMax):
    """Cosine to the mean of the positive seeds: open loop, nothing is learned from what is bought."""

    name, observation = "fixed_cosine", "cosine"

    def utility(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return utilities."""
        return features[:, COLUMN["fixed"]]


class Cosine(ArgMax):
    """Cosine to the mean of all positives so far."""

    name, observation = "cosine", "cosine"

    def utility(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return utilities."""
        return features[:, COLUMN["positive"]]


class Ridge(ArgMax):
    """Mean of a ridge regression on all labels so far."""

    name = "ridge"

    def utility(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return utilities."""
        return features[:, COLUMN["ridge_mean"]]


class UpperRidge(ArgMax):
    """Upper confidence bound (Auer, 2002; linear as in Li et al., 2010): mean plus half a deviation of the ridge."""

    name = "upper_ridge"
    width = 0.5
    """Deviations added to the mean: our choice."""

    def utility(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return utilities; the centred mean is a quarter of the scale of the labels."""
        return 4 * features[:, COLUMN["ridge_mean"]] + self.width * features[:, COLUMN["ridge_deviation"]]


class CosineRidge(ArgMax):
    """Sum of cosine to the positives and ridge mean, each standardised over the candidates: the heuristic to beat."""

    name = "cosine_ridge"

    def utility(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return utilities."""
        return _standard(features[:, COLUMN["positive"]]) + _standard(features[:, COLUMN["ridge_mean"]])


class DiverseCosineRidge(CosineRidge):
    """The same with a bonus for what is far from all labelled images."""

    name = "diverse_cosine_ridge"
    bonus = 0.3
    """Weight of the standardised distance: our choice."""

    def utility(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return utilities."""
        return super().utility(features) - self.bonus * _standard(features[:, COLUMN["nearest_labelled"]])


class KCenter(ArgMax):
    """Greedy k-center (Sener and Savarese, 2018): the candidate farthest from all labelled images of any class."""

    name = "k_center"

    def utility(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return utilities."""
        return -features[:, COLUMN["nearest_labelled"]]


class _MiningEnv(Protocol):
    def candidate_gains(self) -> NDArray[np.float64]: ...

    def policy_images(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]: ...


class Regressor(ArgMax):
    """Supervised control: a ridge regression of log quantity, fitted on all policy images of the class.

    It has labels that the others must buy, but of other images than it mines: ``pool="eval"`` only. The evaluator
    hands it the environment for the policy images; candidates it sees as raw vectors, so it needs
    ``observation="embedding"``.
    """

    name, observation = "regressor", "embedding"
    strength = 10.0
    """Of the ridge, in images: our choice."""

    def attach(self, env: _MiningEnv) -> None:
        """Take the environment from the evaluator."""
        self._env, self._target = env, ""

    def act(self, obs: Observation, info: Info) -> int:
        """Pick the arg-max; a new class is fitted first."""
        if obs["candidates"].shape[1] <= len(RELATIONS):
            raise ValueError("policy 'regressor' needs raw vectors; make the environment with observation='embedding'")
        if info["target_class"] != self._target:
            self._target, self._weights = info["target_class"], self._fit(*self._env.policy_images())
        return super().act(obs, info)

    def utility(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return utilities."""
        return (2 * features[:, len(RELATIONS) :] - 1)[:, : len(self._weights)] @ self._weights

    def _fit(self, vectors: NDArray[np.float32], quantities: NDArray[np.int64]) -> NDArray[np.float64]:
        typical = quantities.sum() / max((quantities > 0).sum(), 1)
        x, y = vectors - vectors.mean(0, dtype=np.float64), np.log1p(quantities / max(typical, 1))
        covariance = x.T @ x + self.strength * np.eye(x.shape[1])
        return np.linalg.solve(covariance, x.T @ (y - y.mean()))


class Oracle:
    """The candidate whose true label is worth most: a bound for policies that do not plan, ranked apart."""

    name = "oracle"
    scores: tuple[str, ...] = ()
    observation = "cosine"
    oracle = True

    def attach(self, env: _MiningEnv) -> None:
        """Take the environment from the evaluator."""
        self._env = env

    def reset(self, seed: int) -> None:
        """Nothing to forget."""

    def act(self, obs: Observation, info: Info) -> int:
        """Pick the largest gain."""
        return int(self._env.candidate_gains().argmax())


def play(policy: Policy, env: gym.Env, seed: int, target: str | None = None) -> float:
    """Play one episode and return the sum of its rewards.

    Args:
        policy: It is attached to the environment if it has a method ``attach``.
        env: A SingleClassMine environment whose observations have what the policy needs.
        seed: Equal seeds give every policy the same class, seeds and, as far as possible, candidates.
        target: Name of the class; drawn by the seed if None.
    """
    obs, info = env.reset(seed=seed, options={"target_class": target} if target else None)
    if hasattr(policy, "attach"):
        policy.attach(env.unwrapped)
    policy.reset(seed)
    total, over = 0.0, False
    while not over:
        obs, reward, over, _, info = env.step(policy.act(obs, info))
        total += float(reward)
    return total


def _standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return (values - values.mean()) / (values.std() + 1e-9)


_ALL: tuple[Callable[[], Policy], ...] = (
    Random,
    FixedCosine,
    Cosine,
    Ridge,
    UpperRidge,
    CosineRidge,
    DiverseCosineRidge,
    KCenter,
    Regressor,
    Oracle,
)
POLICIES: dict[str, Callable[[], Policy]] = {make().name: make for make in _ALL}
