"""Worker processes of one thread each: one that dies costs its call alone, and none outlives its parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import Protocol

LIBRARIES = ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR")
"""What reads the number of its threads from a variable, when it is loaded."""

SECONDS_TO_END = 10.0


class Call(Protocol):
    """One part, which can be sent to a process."""

    @property
    def name(self) -> str:
        """What it does, for people."""

    def do(self) -> str | None:
        """Do it; return what went wrong, or None."""


def told(error: BaseException) -> str:
    """Return an error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


class _Worker:
    """A process that does calls, one at a time."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, end = context.Pipe()
        self.process = context.Process(target=_serve, args=(end,))
        with _environment():
            self.process.start()
        end.close()  # so that the pipe ends with the process

    def stop(self) -> None:
        self.pipe.close()
        self.process.kill()
        self.process.join()


@contextmanager
def _environment() -> Iterator[None]:
    """Let a process that is started use one thread, and leave Ctrl-C to its parent."""
    variables = {f"{library}_NUM_THREADS": "1" for library in LIBRARIES}
    before = {name: os.environ.get(name) for name in variables}
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        signal.signal(signal.SIGINT, handler)


def _serve(pipe: Connection) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            call = pipe.recv()
        except EOFError:
            return
        except Exception as error:  # somebody's module cannot be imported here
            pipe.send(told(error))
            continue
        try:
            pipe.send(call.do())
        except (Exception, SystemExit) as error:
            pipe.send(f"{call.name} failed: {told(error)}")


def _end_with_parent() -> None:
    """Wait for the end of the parent, however it comes, and end what is running here."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def in_processes(calls: Iterable[Call], jobs: int) -> Iterator[str | None]:
    """Do calls in so many processes; yield what went wrong or None for each, as they end."""
    waiting, busy = deque(calls), {}
    idle = [_Worker() for _ in range(min(jobs, len(waiting)))]
    try:
        while waiting or busy:
            while waiting and idle:
                worker, call = idle.pop(), waiting.popleft()
                busy[worker.pipe] = worker, call
                with suppress(OSError):  # it has died: seen below
                    worker.pipe.send(call)
            for pipe in wait(list(busy)):
                worker, call = busy.pop(pipe)
                result, alive = _result(worker, call)
                if alive or waiting:
                    idle.append(worker if alive else _Worker())
                yield result
    finally:
        for worker in idle:
            worker.pipe.close()  # it ends by itself, and tidies up
        for worker, _ in busy.values():
            worker.stop()
        for worker in idle:
            worker.process.join(SECONDS_TO_END)
            worker.stop()


def _result(worker: _Worker, call: Call) -> tuple[str | None, bool]:
    """Return what a worker says, and whether it is still there."""
    try:
        return worker.pipe.recv(), True
    except (EOFError, OSError):
        worker.stop()
    code = worker.process.exitcode or 0
    how = f"exit status {code}; a policy must not end Python"
    if code < 0:
        how = f"{signal.Signals(-code).name}; if memory ran out, start again with fewer --jobs"
    return f"{call.name} failed: its process ended ({how})", False
