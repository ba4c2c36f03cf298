"""What a labelling round costs, part by part, on one thread, against what its arithmetic must cost.

The yardstick is a large float32 matrix product taken in the same run: ``x bound`` says how many times longer a part
takes than its floating-point operations would at that rate. Parts: *candidates* (predicting the candidate regions),
*observation* (features and scores from the predictions), *fit*, *evaluate* (the reward split), *rest* (all else).
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections import defaultdict
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
from benchmarks import acquisition_speed

PARTS = ("candidates", "observation", "fit", "evaluate", "rest")
CONFIGURATIONS = {
    "scenes, lda": ("RegionSelect-v0", {"segmenter": "lda"}),
    "scenes, linear": ("RegionSelect-v0", {"segmenter": "linear"}),
    "CamVid, lda": ("RegionSelect-CamVid-v0", {"segmenter": "lda"}),
    "CamVid, linear": ("RegionSelect-CamVid-v0", {"segmenter": "linear"}),
}


ACQUISITION = "acquisition functions"


@dataclass(frozen=True)
class Args:
    """Measure the parts of a labelling round, and the acquisition functions."""

    rounds: int = 5
    """how many rounds, the last ones of an episode, are measured"""
    only: tuple[str, ...] = ()
    """configurations to measure, by a part of their name (default: all)"""


class Stopwatch:
    """Collects the time spent in functions that it has wrapped."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def wrap(self, owner: Any, name: str, part: str) -> None:
        """Count the calls of ``owner.name`` towards a part."""
        function = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[part] += time.perf_counter() - start

        setattr(owner, name, timed)


def measure(env_id: str, kwargs: dict[str, Any], rounds: int) -> dict[str, Any]:
    """Play an episode and time the parts of its last rounds.

    Returns:
        ``rounds``: milliseconds of each part in each measured round; ``gflop``: what candidates, fit and evaluate
        must compute in the last one; ``gflops``: rate of the yardstick; ``regions``; ``peak_mib``.
    """
    torch.set_num_threads(1)
    env = gym.make(env_id, **kwargs).unwrapped
    env.reset(seed=0)
    learner, watch = env._campaign.learner, Stopwatch()
    for name, part in (("predict", "candidates"), ("fit", "fit"), ("evaluate", "evaluate")):
        watch.wrap(learner, name, part)
    watch.wrap(env, "_show", "round opened")
    watch.wrap(env, "step", "step")
    rng, times = np.random.default_rng(0), []
    count = env._budget // env.picks - 1  # the episode's end opens no further round
    for _ in range(count):
        watch.seconds.clear()
        for _ in range(env.picks):
            env.step(rng.integers(env._shown))
        times.append(_parts(watch.seconds))
    return {
        "rounds": times[-rounds:],
        "gflop": _operations(env),
        "gflops": matrix_product_rate(),
        "regions": env._campaign.ledger.regions,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _parts(seconds: dict[str, float]) -> dict[str, float]:
    """Split a round's seconds into disjoint parts, in milliseconds."""
    parts = {part: seconds[part] for part in ("candidates", "fit", "evaluate")}
    parts["observation"] = seconds["round opened"] - seconds["candidates"]
    parts["rest"] = seconds["step"] - sum(parts.values())
    return {part: 1000 * parts[part] for part in PARTS}


def _operations(env: Any) -> dict[str, float]:
    """Floating-point operations (1e9) of the matrix products of a round."""
    learner = env._campaign.learner
    x, counts = learner._tensors("reward")
    classes, dimensions = len(counts), x.shape[1]
    product = 2 * classes * dimensions / 1e9  # of one cell with the weights
    cells = env._campaign.grid.region[0] * env._campaign.grid.region[1] // learner._cell**2
    new = env.picks * cells
    operations = {
        "candidates": env.picks * env._shown * cells * product,
        "evaluate": len(x) * (product + 2 * classes**2 / 1e9),
    }
    if env._arguments["segmenter"] == "linear":
        head = learner._head
        hessian = new * classes * (classes + 1) * dimensions**2 / 1e9
        operations["fit"] = hessian + head.evaluations * len(head._counts) * 2 * product
    else:
        operations["fit"] = (new * 2 * dimensions**2 + dimensions**3) / 1e9
    return operations


def matrix_product_rate(size: int = 1024) -> float:
    """Return the rate of a float32 matrix product on one thread, in 1e9 operations per second."""
    a = torch.ones(size, size)
    best = min(_time(lambda: a @ a) for _ in range(10))
    return 2 * size**3 / best / 1e9


def _time(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def table(name: str, result: dict[str, Any]) -> Table:
    """Lay out one configuration."""
    title = f"{name}: a round at {result['regions']} regions, {result['peak_mib']:.0f} MiB peak, yardstick "
    out = Table(title=f"{title}{result['gflops']:.0f} GFLOP/s")
    for column in ("part", "median ms", "min", "max", "GFLOP", "x bound"):
        out.add_column(column, justify="left" if column == "part" else "right")
    for part in PARTS:
        times = [row[part] for row in result["rounds"]]
        gflop = result["gflop"].get(part)
        bound = f"{np.median(times) * result['gflops'] / gflop / 1000:.1f}" if gflop else "-"
        out.add_row(part, *_summary(times), f"{gflop:.2f}" if gflop else "-", bound)
    out.add_row("round", *_summary([sum(row.values()) for row in result["rounds"]]), "", "", style="bold")
    return out


def _summary(times: Sequence[float]) -> list[str]:
    return [f"{value:.1f}" for value in (np.median(times), min(times), max(times))]


def main(args: Args) -> int:
    """Measure each configuration in a process of its own, so that peak memory is its own."""
    console = Console()
    names = [*CONFIGURATIONS, ACQUISITION]
    chosen = [name for name in names if not args.only or any(part in name for part in args.only)]
    if not chosen:
        print(f"error: --only {' '.join(args.only)} matches none of: {', '.join(names)}", file=sys.stderr)
        return 2
    for name in chosen:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            if name == ACQUISITION:
                pool.apply(acquisition_speed.main, (acquisition_speed.Args(),))
                continue
            env_id, kwargs = CONFIGURATIONS[name]
            try:
                result = pool.apply(measure, (env_id, kwargs, args.rounds))
            except FileNotFoundError as error:
                console.print(f"{name}: skipped, {error}", soft_wrap=True)
                continue
        console.print(table(name, result))
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args, description=__doc__)))
