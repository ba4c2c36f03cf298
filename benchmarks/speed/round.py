"""What a labelling round costs, part by part, on one thread, against what its arithmetic must cost.

The yardstick is a large float32 matrix product taken in the same run: ``x bound`` says how many times longer a part
takes than its floating-point operations would at that rate. Parts: *candidates* (predicting the candidate regions),
*observation* (features and scores from the predictions), *fit*, *evaluate* (the reward split), *rest* (all else).
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table

import alenv  # noqa: F401  registers the ids
from alenv.errors import unknown
from benchmarks import acquisition_speed, network_speed, ralis_speed
from benchmarks.command import check_device, command, refusing
from benchmarks.stopwatch import PARTS, Stopwatch, matrix_product_rate

CONFIGURATIONS = {
    f"{data}, {segmenter}": (env_id, {"segmenter": segmenter})
    for data, env_id in (("scenes", "RegionSelect-v0"), ("CamVid", "RegionSelect-CamVid-v0"))
    for segmenter in ("lda", "linear", "mlp")
}


OTHERS: dict[str, Callable[[], object]] = {
    "RALIS features": ralis_speed.main,
    "acquisition functions": lambda: acquisition_speed.main(acquisition_speed.Args()),
}
"""What prints its own tables."""


@dataclass(frozen=True)
class Args:
    """Measure the parts of a labelling round, the features of RALIS, and the acquisition functions."""

    rounds: int = 5
    """how many rounds, the last ones of an episode, are measured"""
    device: str = "cpu"
    """where networks compute"""
    only: tuple[str, ...] = ()
    """configurations to measure, by name or a part of it (default: all; large networks take up to an hour on a CPU)"""


def measure(env_id: str, kwargs: dict[str, Any], rounds: int) -> dict[str, Any]:
    """Play an episode and time the parts of its last rounds.

    Returns:
        ``rounds``: milliseconds of each part in each measured round; ``gflop``: what candidates, fit and evaluate
        must compute in the last one; ``gflops``: rate of the yardstick; ``regions``; ``peak_mib``.
    """
    torch.set_num_threads(1)
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
    x, counts = learner._tensors("reward")
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


@command
def main(args: Args) -> int:
    """Measure each configuration in a process of its own, so that peak memory is its own."""
    console = Console()
    with refusing():
        chosen = _chosen(args)
    for name in chosen:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            try:
                tables = pool.apply(_tables, (name, args))
            except (FileNotFoundError, ValueError, RuntimeError) as error:  # no weights, GPU or compiler
                console.print(f"{name}: skipped, {error}", soft_wrap=True)
                continue
        for one in tables:
            console.print(one)
    return 0


def _chosen(args: Args) -> list[str]:
    """Return the configurations that are meant.

    Raises:
        ValueError: If a flag says nothing that can be measured.
    """
    names = [*CONFIGURATIONS, *network_speed.CONFIGURATIONS, *OTHERS]
    if args.rounds < 1:
        raise ValueError(f"--rounds {args.rounds} measures nothing; use 1 or more")
    check_device(args.device)
    for part in args.only:
        if not any(_means(part, name, names) for name in names):
            raise unknown("configuration --only", part, names)
    return [name for name in names if not args.only or any(_means(part, name, names) for part in args.only)]


def _means(part: str, name: str, names: list[str]) -> bool:
    return part == name or (part not in names and part in name)


def _tables(name: str, args: Args) -> list[Table]:
    if name in OTHERS:
        torch.set_num_threads(1)
        OTHERS[name]()
        return []
    if name in CONFIGURATIONS:
        return [table(name, measure(*CONFIGURATIONS[name], args.rounds))]
    env_id, kwargs = network_speed.CONFIGURATIONS[name]
    return [network_speed.table(name, network_speed.measure(env_id, kwargs, args.rounds, args.device))]


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args, description=__doc__)))
