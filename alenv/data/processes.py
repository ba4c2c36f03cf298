"""Calls in fresh Python processes that need nothing of the script that started them.

``multiprocessing`` would run a user's script once more in every process unless it is guarded, allows none below the
workers of ``AsyncVectorEnv``, and leaves idle ones behind when the parent is killed. These read calls from a pipe, and
end with it.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from multiprocessing.connection import wait
from typing import Any

_START = "from alenv.data.processes import serve; serve()"


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_processes(
    function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], processes: int
) -> Iterator[tuple[int, Any]]:
    """Call a function with the arguments of each task; yield the task's number and what came out, as they end.

    Calls are made here, one after another, where processes could not do them or are not worth it.

    Args:
        function: Of a module.
        tasks: Arguments. If those of the first call cannot be pickled, all calls are made here.
        processes: At most so many.

    Raises:
        OSError: If a process has died.
        Exception: What the function raises.
    """
    processes = min(processes, len(tasks))
    if processes < 2 or not _travels(function, tasks[0]):
        yield from ((number, function(*task)) for number, task in enumerate(tasks))
        return
    with ExitStack() as stack:
        idle = [stack.enter_context(_Process()) for _ in range(processes)]
        yield from _shared_out((pickle.dumps((function, task)) for task in tasks), idle)


def _travels(function: Callable[..., Any], task: tuple[Any, ...]) -> bool:
    """Whether a call can be pickled, and does not need the user's script, which is not run again elsewhere."""
    try:
        return b"__main__" not in pickle.dumps((function, task))
    except (pickle.PicklingError, AttributeError, TypeError):
        return False


def _shared_out(calls: Iterable[bytes], idle: list[_Process]) -> Iterator[tuple[int, Any]]:
    waiting, busy = enumerate(calls), dict[Any, tuple[int, _Process]]()
    while True:
        while idle and (call := next(waiting, None)):
            process = idle.pop()
            process.ask(call[1])
            busy[process.answers] = call[0], process
        if not busy:
            return
        for pipe in wait(list(busy)):
            number, process = busy.pop(pipe)
            yield number, process.answer()
            idle.append(process)


class _Process:
    """A Python that answers one call at a time; Ctrl-C is its parent's affair."""

    def __init__(self) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._calls, self.answers = self._process.stdin, self._process.stdout

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.__exit__(None, None, None)

    def ask(self, call: bytes) -> None:
        try:
            self._calls.write(call)
            self._calls.flush()
        except OSError:
            raise self._died() from None

    def answer(self) -> Any:
        try:
            result, error = pickle.load(self.answers)  # of our own code in our own process
        except (EOFError, pickle.UnpicklingError):
            raise self._died() from None
        if error is not None:
            raise error
        return result

    def _died(self) -> OSError:
        return OSError(
            f"a process that decodes files has ended (status {self._process.wait()}); "
            "if memory ran out, free some and start again: what is finished is kept"
        )


def serve() -> None:
    """Answer calls from standard input until it ends."""
    calls, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not mix with the answers
    with suppress(EOFError, pickle.UnpicklingError, BrokenPipeError):  # the parent has ended
        while True:
            function, task = pickle.load(calls)
            pickle.dump(_answered(function, task), answers)
            answers.flush()


def _answered(function: Callable[..., Any], task: tuple[Any, ...]) -> tuple[Any, Exception | None]:
    try:
        return function(*task), None
    except (ValueError, OSError, MemoryError) as error:
        return None, error
    except Exception as error:  # which another process may not be able to read
        return None, RuntimeError(repr(error))
