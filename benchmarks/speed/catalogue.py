"""All that can be measured, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.table import Table

from alenv.errors import unknown
from benchmarks.command import check_device
from benchmarks.speed import acquisition, growth, mining, networks, ralis_features, regions_batch, round


@dataclass(frozen=True)
class Args:
    """Measure what things cost; all of it takes an hour or more on a CPU, most of that in large networks."""

    rounds: int = 5
    """how many rounds, the last ones of an episode, are measured"""
    device: str = "cpu"
    """where networks compute"""
    only: tuple[str, ...] = ()
    """what to measure, by name or a part of it (default: all)"""
    growth: bool = False
    """measure how rounds grow with candidates, labels, images and classes instead (ten minutes)"""
    out: Path = Path("results/growth")
    """folder of the picture of growth"""


MEASUREMENTS: dict[str, Callable[[Args], list[Table]]] = {
    **{name: lambda args, name=name: round.tables(name, args.rounds) for name in round.CONFIGURATIONS},
    **{
        name: lambda args, name=name: networks.tables(name, args.rounds, args.device)
        for name in networks.CONFIGURATIONS
    },
    **{
        "batch of " + " on ".join(reversed(name.split(", "))): lambda _, name=name: regions_batch.tables(name)
        for name in round.CONFIGURATIONS
        if not name.endswith("mlp")
    },
    "acquisition functions": lambda _: acquisition.tables(),
    "RALIS features": lambda _: ralis_features.tables(),
    "mining": lambda _: mining.tables("mixture"),
    "mining, a million images": lambda _: mining.tables("mixture:1000000"),
    "mining, kinds of VecEnv": lambda _: mining.vec_env_tables("mixture"),
}
"""All that can be measured, by name."""


def selected(args: Args) -> list[str]:
    """Return the names of the measurements that are meant.

    Raises:
        ValueError: If a flag says nothing that can be measured.
    """
    if args.rounds < 1:
        raise ValueError(f"--rounds {args.rounds} measures nothing; use 1 or more")
    check_device(args.device)
    names = list(growth.CURVES if args.growth else MEASUREMENTS)
    for part in args.only:
        if not any(_means(part, name, names) for name in names):
            raise unknown("measurement --only", part, names)
    return [name for name in names if not args.only or any(_means(part, name, names) for part in args.only)]


def _means(part: str, name: str, names: list[str]) -> bool:
    return part == name or (part not in names and part in name)


def measure(name: str, args: Args) -> list[Table]:
    """Measure one thing, on one thread."""
    torch.set_num_threads(1)
    return MEASUREMENTS[name](args)
