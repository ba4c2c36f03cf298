"""Command line of all measurements of speed: rounds, networks, acquisition functions, mining, growth.

Each is taken in a process of its own, so that its peak memory is its own. What a GPU is for, tests and episodes
included, is in ``python -m benchmarks.speed gpu --help``.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ParamSpec, TypeVar

import tyro
from rich.console import Console

from benchmarks.command import command, make_folder, refusing, writing
from benchmarks.speed import gpu, growth
from benchmarks.speed.catalogue import Args, measure, selected
from benchmarks.terminal import say

P, T = ParamSpec("P"), TypeVar("T")


@command
def main(args: Args) -> int:
    """Measure what is asked for, and print it as it comes; what cannot be measured here says why."""
    console = Console()
    with refusing():
        names = selected(args)
        if args.growth:
            make_folder(args.out)
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # of the processes
    if args.growth:
        return _grow(names, args.out, console)
    for name in names:
        try:
            tables = _alone(measure, name, args)
        except (FileNotFoundError, ValueError, RuntimeError) as error:  # no weights, GPU, compiler, memory
            console.print(f"{name}: skipped, {error}", soft_wrap=True)
            continue
        for table in tables:
            console.print(table)
    return 0


def _grow(names: list[str], out: Path, console: Console) -> int:
    """Measure curves, print them as they come, and draw them."""
    curves: dict[str, list[growth.Point]] = {}
    with TemporaryDirectory() as cache:
        os.environ["ALENV_CACHE"] = cache  # what is made up is made once for all curves, and then goes
        settings = [setting(size) for sizes, setting in map(growth.CURVES.__getitem__, names) for size in sizes]
        for images, classes in dict.fromkeys(setting[:2] for setting in settings):
            _alone(growth.prepare, images, classes)
        for name in names:
            curves[name] = [_alone(growth.measure, name, size) for size in growth.CURVES[name][0]]
            console.print(growth.table(name, curves[name]))
    with writing(out):
        growth.draw(curves).savefig(out / "growth.png", dpi=120)
    say(console, f"picture: {out / 'growth.png'}")
    return 0


def _alone(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args, **kwargs).result()


if __name__ == "__main__":
    if sys.argv[1:2] == ["gpu"]:
        sys.exit(gpu.main(sys.argv[2:]))
    sys.exit(main(tyro.cli(Args, description=__doc__)))
