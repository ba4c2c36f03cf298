"""Steps per second of SingleClassMine with observations, on one thread, against CartPole-v1.

Short runs take turns with the yardstick and count processor time. As other programs can only slow a run down, the best
rates are compared; the ratio of the medians stands beside. The last column compares the best rate with the time that
moving a step's bytes must take.

The kinds of ``VecEnv`` of Stable-Baselines3 are compared on their own, masks included, in wall time.
"""

from __future__ import annotations

import os
import resource
import time
import timeit
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from rich.table import Table

import alenv  # noqa: F401  registers the ids

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv

TARGETS = {"cosine": (0.3, 2.0), "relational": (0.2, 1.2), "embedding": (None, None)}
"""Smallest ratios to CartPole: of a single environment, and of a batch."""


STEPS, ROUNDS = 510, 51
"""Steps of a single environment and of a batch in one run: whole episodes, because late steps cost more."""
REPEATS = 20
"""Short runs of each kind."""


def tables(dataset: str, envs: int = 1024) -> list[Table]:
    """Measure single environments and native batches of some episodes."""
    runs = {("cartpole", "single"): single(gym.make("CartPole-v1"))}
    for observation in TARGETS:
        kwargs: dict[str, Any] = {"dataset": dataset, "observation": observation}
        runs[observation, "single"] = single(gym.make("SingleClassMine-v0", **kwargs))
        runs[observation, "batch"] = batch(gym.make_vec("SingleClassMine-v0", num_envs=envs, **kwargs))
    rates = np.array([[run() for run in runs.values()] for _ in range(REPEATS)])
    table = _table(list(runs), rates, copy_rate())
    table.title = f"SingleClassMine on {dataset}, E = {envs}; {table.title}"
    return [table]


def vec_env_tables(dataset: str, envs: int = 256) -> list[Table]:
    """Measure the steps per second of the kinds of VecEnv, and their ratio to DummyVecEnv; they take turns."""
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

    from agents.sb3_vec import NativeVecEnv

    make = partial(gym.make, "alenv:SingleClassMine-v0", dataset=dataset)
    cores = len(os.sched_getaffinity(0))
    kinds = {
        "DummyVecEnv, 8": DummyVecEnv([make] * 8),
        **{f"SubprocVecEnv, {n}": SubprocVecEnv([make] * n, start_method="spawn") for n in sorted({cores, 8})},
        f"NativeVecEnv, {envs}": NativeVecEnv(n_envs=envs, dataset=dataset),
    }
    runs = {name: vec_env(env) for name, env in kinds.items()}
    rates = np.array([[run() for run in runs.values()] for _ in range(REPEATS)])
    for env in kinds.values():
        env.close()
    table = Table(title=f"kinds of VecEnv of SingleClassMine on {dataset}, masks included, {cores} cores")
    for column in ("kind, episodes", "steps/s", "x DummyVecEnv", "medians"):
        table.add_column(column, justify="right")
    best, median = rates.max(0), np.median(rates, 0)
    for i, name in enumerate(runs):
        table.add_row(name, f"{best[i]:,.0f}", f"{best[i] / best[0]:.2f}", f"{median[i] / median[0]:.2f}")
    return [table]


def single(env: gym.Env) -> Callable[[], float]:
    """Return what measures the steps per second of one environment."""
    env.reset(seed=0)
    actions = np.random.default_rng(0).integers(env.action_space.n, size=STEPS).tolist()  # type: ignore[attr-defined]

    def run() -> float:
        start = time.process_time()
        for action in actions:
            if any(env.step(action)[2:4]):
                env.reset()
        return STEPS / (time.process_time() - start)

    return run


def batch(env: Any) -> Callable[[], float]:
    """Return what measures the steps per second of a native batch, all episodes together."""
    env.reset(seed=0)
    actions = np.random.default_rng(0).integers(env.single_action_space.n, size=(ROUNDS, env.num_envs))

    def run() -> float:
        start = time.process_time()
        for action in actions:
            env.step(action)
        return ROUNDS * env.num_envs / (time.process_time() - start)

    return run


def vec_env(env: VecEnv) -> Callable[[], float]:
    """Return what measures the steps per second of a VecEnv in wall time, all episodes together, with their masks."""
    from sb3_contrib.common.maskable.utils import get_action_masks

    env.seed(0)
    env.reset()
    actions = np.random.default_rng(0).integers(env.action_space.n, size=(ROUNDS, env.num_envs))  # type: ignore[attr-defined]

    def run() -> float:
        start = time.perf_counter()
        for action in actions:
            get_action_masks(env)
            env.step(action)
        return ROUNDS * env.num_envs / (time.perf_counter() - start)

    return run


def copy_rate() -> float:
    """Return bytes per second of copying 64 MiB, reads and writes together."""
    source, out = np.ones(2**24, np.float32), np.ones(2**24, np.float32)
    copying = timeit.Timer(lambda: np.copyto(out, source), timer=time.process_time)
    return 2 * source.nbytes / min(copying.repeat(5, number=1))


def bytes_moved(observation: str, candidates: int = 20, dimensions: int = 64, labels: float = 27.0) -> float:
    """Return the bytes a step of an average episode must read or write once: candidates, rows, features."""
    rows = 3 if observation == "cosine" else 4 + 2 * labels
    width = {"cosine": 3, "relational": 7, "embedding": 7 + dimensions}[observation]
    gathered = 2 * candidates * dimensions  # read from the pool, written to the batch
    return 4.0 * (gathered + rows * dimensions + candidates * width)


def _table(names: list[tuple[str, str]], rates: NDArray, bandwidth: float) -> Table:
    """Lay out rates (repeats, names)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    table = Table(title=f"copying moves {bandwidth / 1e9:.1f} GB/s", caption=f"peak memory {peak:.2f} GiB")
    for column in ("observation", "kind", "steps/s", "x CartPole", "medians", "target", "x memory bound"):
        table.add_column(column, justify="right")
    best, median = rates.max(0), np.median(rates, 0)
    for i, (observation, kind) in enumerate(names):
        target = TARGETS.get(observation, (None, None))[kind == "batch"]
        ratio, bound = best[i] / best[0], bandwidth / bytes_moved(observation) / best[i] if i else 0.0
        cells = [f"{best[i]:,.0f}", f"{ratio:.3f}", f"{median[i] / median[0]:.3f}"]
        wanted = f"{target}, {'met' if ratio >= target else 'missed'}" if target else "-"
        table.add_row(observation, kind, *cells, wanted, f"{bound:.1f}" if i else "-")
    return table
