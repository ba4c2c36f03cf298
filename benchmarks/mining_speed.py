"""Steps per second of SingleClassMine with observations, on one thread, against CartPole-v1.

Runs take turns with the yardstick and count processor time, so that other programs disturb the ratio little. Then the
parts of a batched step are compared with what moving their bytes must cost.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

import alenv  # noqa: F401  registers the ids

TARGETS = {"cosine": (0.3, 2.0), "relational": (0.12, 0.7), "embedding": (None, None)}
"""Smallest ratios to CartPole: of a single environment, and of a batch."""


@dataclass(frozen=True)
class Args:
    """Measure the speed of SingleClassMine."""

    dataset: str = "mixture"
    """mixture, mixture:<images>, or a dataset with masks"""
    envs: int = 1024
    """episodes of the batch"""
    steps: int = 5000
    """steps of a single environment in one run"""
    repeats: int = 7
    """runs of each kind; the median ratio counts"""


def cartpole(steps: int) -> float:
    """Return steps per second of the yardstick."""
    return _single(gym.make("CartPole-v1"), steps)


def single(steps: int, **kwargs: Any) -> float:
    """Return steps per second of one environment."""
    return _single(gym.make("SingleClassMine-v0", **kwargs), steps)


def batch(steps: int, envs: int, **kwargs: Any) -> float:
    """Return steps per second of a native batch, all episodes together."""
    env = gym.make_vec("SingleClassMine-v0", num_envs=envs, **kwargs)
    env.reset(seed=0)
    actions = np.random.default_rng(0).integers(env.single_action_space.n, size=(steps, envs))  # type: ignore[attr-defined]
    return steps * envs / _seconds(lambda: [env.step(a) for a in actions])


def _single(env: gym.Env, steps: int) -> float:
    env.reset(seed=0)
    actions = np.random.default_rng(0).integers(env.action_space.n, size=steps).tolist()  # type: ignore[attr-defined]

    def run() -> None:
        for action in actions:
            if any(env.step(action)[2:4]):
                env.reset()

    return steps / _seconds(run)


def _seconds(run: Callable[[], Any]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def copy_rate() -> float:
    """Return bytes per second of copying 64 MiB, reads and writes together."""
    source, out = np.ones(2**24, np.float32), np.ones(2**24, np.float32)
    return 2 * source.nbytes / min(_seconds(lambda: np.copyto(out, source)) for _ in range(5))


def bytes_moved(observation: str, candidates: int = 20, dimensions: int = 64, labels: float = 27.0) -> float:
    """Return the bytes a step of an average episode must read or write once: candidates, rows, features."""
    rows = 3 if observation == "cosine" else 4 + 2 * labels
    width = {"cosine": 3, "relational": 7, "embedding": 7 + dimensions}[observation]
    gathered = 2 * candidates * dimensions  # read from the pool, written to the batch
    return 4.0 * (gathered + rows * dimensions + candidates * width)


def main(args: Args) -> int:
    """Print the table; 1 if a target is missed."""
    table, missed, bandwidth = Table(title=f"SingleClassMine on {args.dataset}, E = {args.envs}"), False, copy_rate()
    for column in ("observation", "kind", "steps/s", "x CartPole", "range", "target", "x memory bound"):
        table.add_column(column, justify="right")
    for observation, targets in TARGETS.items():
        kwargs = {"dataset": args.dataset, "observation": observation}
        kinds: dict[str, Callable[[], float]] = {
            "single": lambda kwargs=kwargs: single(args.steps, **kwargs),  # type: ignore[misc]
            "batch": lambda kwargs=kwargs: batch(51, args.envs, **kwargs),  # type: ignore[misc]
        }
        for (kind, run), target in zip(kinds.items(), targets, strict=True):
            pairs = [(run(), cartpole(args.steps)) for _ in range(args.repeats)]
            ratios = [rate / yardstick for rate, yardstick in pairs]
            rate, ratio = float(np.median([rate for rate, _ in pairs])), float(np.median(ratios))
            bound = bandwidth / bytes_moved(observation) / rate
            spread, wanted = f"{min(ratios):.2f}-{max(ratios):.2f}", "-" if target is None else f"{target}"
            table.add_row(observation, kind, f"{rate:,.0f}", f"{ratio:.3f}", spread, wanted, f"{bound:.1f}")
            missed |= target is not None and ratio < target
    Console().print(table)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"copying moves {bandwidth / 1e9:.1f} GB/s; peak memory {peak:.2f} GiB")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args, description=__doc__)))
