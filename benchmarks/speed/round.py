"""What a labelling round costs in processor time, part by part, on one thread, against what its arithmetic must cost.

The yardstick is a large float32 matrix product taken in the same run: ``x bound`` says how many times longer a part
takes than its floating-point operations would at that rate. Parts: *candidates* (predicting the candidate regions),
*observation* (features and scores from the predictions), *fit*, *evaluate* (the reward split), *rest* (all else).
"""

from __future__ import annotations

import resource
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from rich.table import Table

import alenv  # noqa: F401  registers the ids
from benchmarks.speed.stopwatch import PARTS, Stopwatch, matrix_product_rate

CONFIGURATIONS = {
    f"{data}, {segmenter}": (env_id, {"segmenter": segmenter})
    for data, env_id in (("scenes", "RegionSelect-v0"), ("CamVid", "RegionSelect-CamVid-v0"))
    for segmenter in ("lda", "linear", "mlp")
}


def tables(name: str, rounds: int) -> list[Table]:
    """Measure the last rounds of an episode of one configuration."""
    return [table(name, measure(*CONFIGURATIONS[name], rounds))]


def measure(env_id: str, kwargs: dict[str, Any], rounds: int) -> dict[str, Any]:
    """Play an episode and time the parts of its last rounds.

    Returns:
        ``rounds``: milliseconds of each part in each measured round; ``gflop``: what candidates, fit and evaluate
        must compute in the last one; ``gflops``: rate of the yardstick; ``regions``; ``peak_mib``.
    """
    env = gym.make(env_id, **kwargs).unwrapped
    env.reset(seed=0)
    watch = Stopwatch()
    watch.wrap_parts(env)
    rng, times = np.random.default_rng(0), []
    count = env._budget // env.picks - 1  # the episode's end opens no further round
    for _ in range(count):
        watch.seconds.clear()
        for _ in range(env.picks):
            env.step(rng.integers(env._shown))
        times.append(watch.parts())
    return {
        "rounds": times[-rounds:],
        "gflop": _operations(env),
        "gflops": matrix_product_rate(),
        "regions": env._campaign.ledger.regions,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _operations(env: Any) -> dict[str, float]:
    """Floating-point operations (1e9) of the matrix products of a round."""
    learner = env._campaign.learner
    x, counts = learner._cells.labelled("reward")
    classes, dimensions = len(counts), x.shape[1]
    head, segmenter = learner._head, env._arguments.segmenter
    weights = classes * dimensions if segmenter != "mlp" else head.hidden * (dimensions + classes)
    product = 2 * weights / 1e9  # of one cell with the weights
    cells = env._campaign.grid.region[0] * env._campaign.grid.region[1] // learner._cell**2
    new = env.picks * cells
    operations = {
        "candidates": env.picks * env._shown * cells * product,
        "evaluate": len(x) * (product + 2 * classes**2 / 1e9),
    }
    if segmenter == "linear":
        curvature = new * 2 * classes * dimensions**2 / 1e9
        operations["fit"] = curvature + head.evaluations * len(head._counts) * 2 * product
    elif segmenter == "mlp":
        operations["fit"] = head.steps * head.batch * 3 * product
    else:
        operations["fit"] = (new * 2 * dimensions**2 + dimensions**3) / 1e9
    return operations


def table(name: str, result: dict[str, Any]) -> Table:
    """Lay out one configuration."""
    title = f"{name}: a round at {result['regions']} regions, {result['peak_mib']:.0f} MiB peak, yardstick "
    out = Table(title=f"{title}{result['gflops']:.0f} GFLOP/s")
    for column in ("part", "median ms", "min", "max", "GFLOP", "GFLOP/s", "x bound"):
        out.add_column(column, justify="left" if column == "part" else "right")
    for part in PARTS:
        times = [row[part] for row in result["rounds"]]
        gflop = result["gflop"].get(part)
        rate = 1000 * gflop / float(np.median(times)) if gflop else 0.0
        cells = (f"{gflop:.2f}", f"{rate:.0f}", f"{result['gflops'] / rate:.1f}") if gflop else ("-",) * 3
        out.add_row(part, *_summary(times), *cells)
    out.add_row("round", *_summary([sum(row.values()) for row in result["rounds"]]), "", "", "", style="bold")
    return out


def _summary(times: Sequence[float]) -> list[str]:
    return [f"{value:.1f}" for value in (np.median(times), min(times), max(times))]
