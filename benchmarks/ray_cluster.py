"""Jobs on the machines of a Ray cluster. One whose worker dies costs itself alone; this machine writes all records.

Every machine needs the same code, data and weights at the same places. These are tasks of Ray itself: joblib's backend
on Ray hands out episodes in batches to a pool, which ends the run when one of its workers dies.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.jobs import Backend, Job
from benchmarks.workers import LIBRARIES

PASSED = ("ALENV_CACHE", "ALENV_DATA", "ALENV_WEIGHTS", "PYTHONPATH")
"""Variables that workers must have as this process has them."""


def on_ray(address: str | None) -> Backend:
    """Connect to a cluster, or start one on this machine.

    Args:
        address: "auto", or where the cluster is; None starts one.

    Raises:
        ValueError: If Ray is not installed, or there is no such cluster.
    """
    try:
        import ray
    except ImportError:
        raise ValueError("--backend ray needs Ray; run: pip install 'alenv[ray]'") from None
    variables = {name: os.environ[name] for name in PASSED if name in os.environ}
    variables |= {f"{library}_NUM_THREADS": "1" for library in LIBRARIES}
    if not ray.is_initialized():
        try:
            _check_answers(address)
            ray.init(address, runtime_env={"env_vars": variables}, log_to_driver=False, logging_level="ERROR")
        except (OSError, ValueError, RuntimeError) as error:
            raise ValueError(f"--address {address}: no Ray cluster answers ({' '.join(str(error).split())})") from None
    return _do


def _check_answers(address: str | None) -> None:
    """Knock at the port of a cluster: Ray itself would wait for minutes.

    Raises:
        OSError: If nobody answers.
        ValueError: If it is no address.
    """
    if address not in (None, "auto", "local"):
        host, _, port = address.removeprefix("ray://").rpartition(":")
        socket.create_connection((host, int(port)), timeout=5).close()


def _do(jobs: Sequence[Job[Any]], number: int) -> Iterator[str | None]:
    """Do jobs on a CPU each, so many at a time."""
    import ray

    task = ray.remote(_make).options(num_cpus=1, max_retries=0)
    waiting, running = list(jobs)[::-1], {}
    try:
        while waiting or running:
            while waiting and len(running) < number:
                job = waiting.pop()
                running[task.remote(job.make)] = job
            [done], _ = ray.wait(list(running))
            job = running.pop(done)
            yield replace(job, make=lambda done=done: ray.get(done)).do()  # written here
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


def _make(make: Callable[[], str]) -> str:
    return make()
