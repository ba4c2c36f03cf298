"""What is wrong with a dataset, said all at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

SHOWN = 20
"""Faults that an error spells out; the others it counts."""
_collected: ContextVar[list[str] | None] = ContextVar("collected", default=None)


def listed(faults: Sequence[str]) -> str:
    """Return the text of an error for at least one fault."""
    if len(faults) == 1:
        return faults[0]
    rest = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
    return "\n".join([f"{len(faults)} faults:", *faults[:SHOWN], *rest])


def report(faults: Sequence[str], kind: type[ValueError | OSError]) -> None:
    """Raise an error that names faults, if there are any; where faults are collected, go on without what they concern.

    Raises:
        ValueError: Or an OSError, as ``kind`` says.
    """
    collected = _collected.get()
    if collected is not None:
        collected += faults
    elif faults:
        raise kind(listed(faults))


@contextmanager
def collecting() -> Iterator[list[str]]:
    """Collect the faults that are reported in a block.

    Raises:
        ValueError: If nothing is left to go on with; spells out all faults so far.
    """
    found: list[str] = []
    token = _collected.set(found)
    try:
        yield found
    except (ValueError, OSError) as error:
        raise ValueError("\n".join([*found, str(error)])) from None
    finally:
        _collected.reset(token)


def absent(path: Path) -> str:
    """Say that a file does not exist, and where it points if it is a link."""
    if path.is_symlink():
        return f"{path} is a link to {path.readlink()}, which does not exist"
    return f"there is no {path}"
