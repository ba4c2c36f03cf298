"""Steps per second of RegionSelect's native batch, against single environments and Gymnasium's other batches.

All kinds take turns with a random policy that heeds the masks, for three rounds after a reset. Machines are shared, so
a rate is that of a second of processor time, of all processes of the kind together; that of a second on the clock
stands beside it. Best of the repeats.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from rich.table import Table

import alenv  # noqa: F401  registers the ids
from benchmarks.speed.round import CONFIGURATIONS
from benchmarks.speed.stopwatch import matrix_product_rate

ROUNDS, REPEATS = 3, 3
SIZES, OTHERS = (1, 8, 64), 8
"""Episodes of the native batches, and of the other kinds."""
Rate = tuple[float, float]
"""Steps per second of processor time, and on the clock."""


def tables(name: str) -> list[Table]:
    """Measure one configuration."""
    env_id, kwargs = CONFIGURATIONS[name]
    kinds = make(env_id, kwargs)
    runs = [run(env) for env in kinds.values()]
    rates = np.array([[one(seed) for one in runs] for seed in range(REPEATS)])
    for env in kinds.values():
        env.close()
    return [_table(name, list(kinds), rates.max(0))]


def make(env_id: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Make an environment of every kind."""
    spawned = {"vectorization_mode": "async", "vector_kwargs": {"context": "spawn"}}
    return {
        "single": gym.make(env_id, disable_env_checker=True, **kwargs),
        f"SyncVectorEnv, {OTHERS}": gym.make_vec(env_id, OTHERS, "sync", **kwargs),
        f"AsyncVectorEnv, {OTHERS}": gym.make_vec(env_id, OTHERS, **spawned, **kwargs),
        **{f"native batch, {size}": gym.make_vec(env_id, size, **kwargs) for size in SIZES},
    }


def run(env: Any) -> Callable[[int], Rate]:
    """Return what plays an environment's first rounds from a seed."""
    many = isinstance(env, gym.vector.VectorEnv)
    children = [process.pid for process in getattr(env, "processes", ())]
    steps = ROUNDS * (env.get_attr("picks")[0] if many else env.unwrapped.picks)

    def play(seed: int) -> Rate:
        rng = np.random.default_rng(seed)
        obs, _ = env.reset(seed=seed)
        start = spent(children), time.perf_counter()
        for _ in range(steps):
            obs = env.step(legal(obs["action_mask"], rng))[0]
        seconds = spent(children) - start[0], time.perf_counter() - start[1]
        made = steps * (env.num_envs if many else 1)
        return made / seconds[0], made / seconds[1]

    return play


def legal(mask: NDArray[np.int8], rng: np.random.Generator) -> Any:
    """Return random legal actions."""
    return (mask * rng.random(mask.shape)).argmax(-1)


def spent(children: list[int]) -> float:
    """Return the seconds of processor time that this process and some children have spent."""
    return (
        time.process_time() + sum(int(Path(f"/proc/{one}/schedstat").read_text().split()[0]) for one in children) / 1e9
    )


def _table(name: str, kinds: list[str], rates: NDArray) -> Table:
    """Lay out the rates (kinds, 2)."""
    title = f"RegionSelect on {name}, {len(os.sched_getaffinity(0))} cores, {matrix_product_rate():.0f} GFLOP/s"
    table = Table(title=title)
    for column in ("kind, episodes", "steps/s of a processor", "x single", "steps/s", "x single"):
        table.add_column(column, justify="left" if column.startswith("kind") else "right")
    for kind, rate in zip(kinds, rates, strict=True):
        cells = [cell for a, b in zip(rate, rates[0], strict=True) for cell in (f"{a:,.0f}", f"{a / b:.2f}")]
        table.add_row(kind, *cells)
    return table
