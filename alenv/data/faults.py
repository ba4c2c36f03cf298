"""What is wrong with a dataset, said all at once."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

SHOWN = 20
"""Faults that an error spells out; the others it counts."""
_most = ContextVar("most", default=SHOWN)


@contextmanager
def spelled_out() -> Iterator[None]:
    """Spell out all faults in a block, however many there are."""
    token = _most.set(sys.maxsize)
    try:
        yield
    finally:
        _most.reset(token)


def listed(faults: Sequence[str]) -> str:
    """Return the text of an error for at least one fault."""
    if len(faults) == 1:
        return faults[0]
    most = _most.get()
    rest = [f"and {len(faults) - most} more"] if len(faults) > most else []
    return "\n".join([f"{len(faults)} faults:", *faults[:most], *rest])


def absent(path: Path) -> str:
    """Say that a file does not exist, and where it points if it is a link."""
    if path.is_symlink():
        return f"{path} is a link to {path.readlink()}, which does not exist"
    return f"there is no {path}"
