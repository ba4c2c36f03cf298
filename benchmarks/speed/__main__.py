"""Command line of all measurements of speed: rounds, networks, acquisition functions, mining.

Each is taken in a process of its own, so that its peak memory is its own. What a GPU is for, tests and episodes
included, is in ``python -m benchmarks.speed gpu --help``.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor

import tyro
from rich.console import Console

from benchmarks.command import command, refusing
from benchmarks.speed import gpu
from benchmarks.speed.catalogue import Args, chosen, measure


@command
def main(args: Args) -> int:
    """Measure what is asked for, and print it as it comes; what cannot be measured here says why."""
    console = Console()
    with refusing():
        names = chosen(args)
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # of the processes
    for name in names:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            try:
                tables = pool.submit(measure, name, args).result()
            except (FileNotFoundError, ValueError, RuntimeError) as error:  # no weights, GPU, compiler, memory
                console.print(f"{name}: skipped, {error}", soft_wrap=True)
                continue
        for table in tables:
            console.print(table)
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["gpu"]:
        sys.exit(gpu.main(sys.argv[2:]))
    sys.exit(main(tyro.cli(Args, description=__doc__)))
