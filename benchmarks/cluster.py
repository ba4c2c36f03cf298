"""Jobs on many machines, by Ray: a worker that dies costs its job alone.

Every machine needs the same checkout, data and weights at the same places; records are written here, by the driver.
joblib's Ray backend is a pool of actors, which one killed worker ends, so jobs are plain Ray tasks.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Sequence
from typing import Any

from benchmarks.jobs import Job
from benchmarks.workers import LIBRARIES, told


def check_cluster(address: str | None) -> None:
    """Join a cluster, or start one on this machine where ``address`` is None; ``auto`` finds one that runs here.

    Raises:
        ValueError: If Ray is not installed.
        OSError: If there is no such cluster.
    """
    try:
        import ray
    except ImportError:
        raise ValueError("--backend ray needs Ray, which is not installed; pip install 'alenv[ray]'") from None
    threads = {f"{library}_NUM_THREADS": "1" for library in LIBRARIES}
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)  # so that modules of one's own are found
    environment = {"env_vars": {**threads, "PYTHONPATH": paths}}
    try:
        ray.init(address=address, runtime_env=environment, log_to_driver=False, ignore_reinit_error=True)
    except (ConnectionError, RuntimeError) as error:
        raise OSError(f"--address {address!r}: {told(error)}; give that of a cluster that runs") from error


def on_cluster(jobs: Sequence[Job[Any]]) -> Generator[str | None]:
    """Do jobs on the cluster that was joined; yield what went wrong or None for each, as they end."""
    import ray

    task = ray.remote(num_cpus=1, max_retries=0)(_made)
    waiting = {task.remote(job.make): job for job in jobs}
    try:
        while waiting:
            for done in ray.wait(list(waiting))[0]:
                job = waiting.pop(done)
                yield job.do(lambda done=done: ray.get(done))  # type: ignore[misc]
    finally:
        for task_left in waiting:
            ray.cancel(task_left, force=True)
        ray.shutdown()


def _made(make: Callable[[], str]) -> str:
    return make()
