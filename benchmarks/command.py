"""How the commands end: the exit status, and one sentence instead of a traceback."""

from __future__ import annotations

import functools
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec
from urllib.error import URLError

import gymnasium
import joblib
import torch

from alenv.memory import check_memory, installed
from benchmarks import stop
from benchmarks.names import printable

GIB_PER_JOB = 2
JOB_BYTES = 2**28
"""Of a process that has imported its libraries."""

P = ParamSpec("P")


class RefusedError(Exception):
    """What was asked for cannot be done."""


@contextmanager
def refusing() -> Iterator[None]:
    """Turn errors into ``RefusedError``, where what was asked for is read and tried: elsewhere they are faults.

    Raises:
        RefusedError: With the text of the error.
    """
    try:
        yield
    except (ValueError, TypeError, RuntimeError, OSError, gymnasium.error.Error) as error:
        raise RefusedError(_told(error)) from error


def command(main: Callable[P, int]) -> Callable[P, int]:
    """Give a command its exit status where it raises.

    2: what was asked for cannot be done, or what was done cannot be written; 130: interrupted.
    """

    @functools.wraps(main)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        if signal.getsignal(signal.SIGINT) is stop:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return main(*args, **kwargs)
        except (RefusedError, OSError) as error:
            print(f"error: {printable(_told(error))}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("interrupted; what is finished is kept, and the same command goes on", file=sys.stderr)
            return 130

    return run


def _told(error: BaseException) -> str:
    if isinstance(error, URLError):
        return f"a download failed ({error.reason}); the same command tries again, and what is finished is kept"
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}; free the place or name another"
    return " ".join(str(error).split())


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Say where a report cannot be written.

    Raises:
        RefusedError: In place of an OSError.
    """
    try:
        yield
    except OSError as error:
        cause = error.strerror or error
        raise RefusedError(
            f"{out}: the report cannot be written ({cause}); make room, then the same command goes on"
        ) from error


def default_jobs() -> int:
    """Return how many episodes fit: one for each core, as memory allows."""
    return min(joblib.cpu_count(), max(installed() // (GIB_PER_JOB * 2**30), 1))


def check_jobs(jobs: int) -> None:
    """Check a number of processes.

    Raises:
        ValueError: If it is none, or more than memory holds.
    """
    if jobs < 1:
        raise ValueError(f"--jobs {jobs} runs nothing; use 1 or more")
    check_memory("--jobs", jobs, JOB_BYTES)


def check_device(device: str) -> None:
    """Check the name of a device of torch.

    Raises:
        ValueError: If it is none, or there is none here.
    """
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", device):
        raise ValueError(f"--device {device!r}: expected cpu, cuda or cuda:<number>")
    if device != "cpu" and not torch.cuda.is_available():
        raise ValueError(f"--device {device}, but torch sees no GPU here; try --device cpu")


def make_folder(out: Path) -> None:
    """Make the folder of results, before anything is run for it.

    Raises:
        ValueError: If nothing can be written there.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out) as file:
            file.write(b"room")
    except OSError as error:
        raise ValueError(f"{printable(str(out))} takes no files ({error.strerror}); name another folder") from None
