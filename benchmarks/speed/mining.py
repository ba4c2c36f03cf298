"""Steps per second of SingleClassMine with observations, on one thread, against CartPole-v1.

Short runs take turns with the yardstick and count processor time. As other programs can only slow a run down, the best
rates are compared; the ratio of the medians stands beside. The last column compares the best rate with the time that
moving a step's bytes must take.

``--vec-envs`` compares the ``VecEnv`` classes of Stable-Baselines3 instead, masks included, in wall time.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy

import resource
import sys
import time
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sb3_contrib.common.maskable.utils import get_action_masks
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv

import alenv  # noqa: F401  registers the ids
from agents.sb3_vec import NativeVecEnv

TARGETS = {"cosine": (0.3, 2.0), "relational": (0.12, 0.7), "embedding": (None, None)}
"""Smallest ratios to CartPole: of a single environment, and of a batch."""


@dataclass(frozen=True)
class Args:
    """Measure the speed of SingleClassMine."""

    dataset: str = "mixture"
    """mixture, mixture:<images>, or a dataset with masks"""
    envs: int = 1024
    """episodes of the batch"""
    repeats: int = 20
    """short runs of each kind"""
    vec_envs: bool = False
    """measure SubprocVecEnv (as many processes as cores, and 8), DummyVecEnv and the native batch as a VecEnv"""


STEPS, ROUNDS = 510, 51
"""Steps of a single environment and of a batch in one run: whole episodes, because late steps cost more."""


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


def compare_vec_envs(args: Args) -> None:
    """Print steps per second of the kinds of VecEnv, and their ratio to DummyVecEnv; they take turns."""
    make = partial(gym.make, "alenv:SingleClassMine-v0", dataset=args.dataset)
    cores = len(os.sched_getaffinity(0))
    envs = {
        "DummyVecEnv": DummyVecEnv([make] * 8),
        **{f"SubprocVecEnv, {n}": SubprocVecEnv([make] * n, start_method="spawn") for n in sorted({cores, 8})},
        f"NativeVecEnv, {args.envs}": NativeVecEnv(n_envs=args.envs, dataset=args.dataset),
    }
    runs = {name: vec_env(env) for name, env in envs.items()}
    rates = np.array([[run() for run in runs.values()] for _ in range(args.repeats)])
    for env in envs.values():
        env.close()
    table = Table(title=f"VecEnvs of SingleClassMine on {args.dataset}, masks included, {cores} cores")
    for column in ("kind, episodes", "steps/s", "x DummyVecEnv", "medians"):
        table.add_column(column, justify="right")
    best, median = rates.max(0), np.median(rates, 0)
    for i, name in enumerate(runs):
        table.add_row(name, f"{best[i]:,.0f}", f"{best[i] / best[0]:.2f}", f"{median[i] / median[0]:.2f}")
    Console().print(table)


def copy_rate() -> float:
    """Return bytes per second of copying 64 MiB, reads and writes together."""
    source, out = np.ones(2**24, np.float32), np.ones(2**24, np.float32)
    return 2 * source.nbytes / min(timeit.repeat(lambda: np.copyto(out, source), number=1, repeat=5))


def bytes_moved(observation: str, candidates: int = 20, dimensions: int = 64, labels: float = 27.0) -> float:
    """Return the bytes a step of an average episode must read or write once: candidates, rows, features."""
    rows = 3 if observation == "cosine" else 4 + 2 * labels
    width = {"cosine": 3, "relational": 7, "embedding": 7 + dimensions}[observation]
    gathered = 2 * candidates * dimensions  # read from the pool, written to the batch
    return 4.0 * (gathered + rows * dimensions + candidates * width)


def main(args: Args) -> int:
    """Print the table; 1 if a target is missed."""
    if args.vec_envs:
        compare_vec_envs(args)
        return 0
    runs = {("cartpole", "single"): single(gym.make("CartPole-v1"))}
    for observation in TARGETS:
        kwargs: dict[str, Any] = {"dataset": args.dataset, "observation": observation}
        runs[observation, "single"] = single(gym.make("SingleClassMine-v0", **kwargs))
        runs[observation, "batch"] = batch(gym.make_vec("SingleClassMine-v0", num_envs=args.envs, **kwargs))
    rates = np.array([[run() for run in runs.values()] for _ in range(args.repeats)])
    table, met = _table(args, list(runs), rates, copy_rate())
    Console().print(table)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
    return int(not met)


def _table(args: Args, names: list[tuple[str, str]], rates: NDArray, bandwidth: float) -> tuple[Table, bool]:
    """Lay out rates (repeats, names), and say whether all targets are met."""
    title = f"SingleClassMine on {args.dataset}, E = {args.envs}; copying moves {bandwidth / 1e9:.1f} GB/s"
    table, met = Table(title=title), True
    for column in ("observation", "kind", "steps/s", "x CartPole", "medians", "target", "x memory bound"):
        table.add_column(column, justify="right")
    best, median = rates.max(0), np.median(rates, 0)
    for i, (observation, kind) in enumerate(names):
        target = TARGETS.get(observation, (None, None))[kind == "batch"]
        ratio, bound = best[i] / best[0], bandwidth / bytes_moved(observation) / best[i] if i else 0.0
        cells = [f"{best[i]:,.0f}", f"{ratio:.3f}", f"{median[i] / median[0]:.3f}"]
        table.add_row(observation, kind, *cells, str(target or "-"), f"{bound:.1f}" if i else "-")
        met &= target is None or ratio >= target
    return table, met


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args, description=__doc__)))
