"""What is wrong with a dataset, said all at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

SHOWN = 20
"""Faults that an error spells out; the others it counts."""


def listed(faults: Sequence[str]) -> str:
    """Return the text of an error for at least one fault."""
    if len(faults) == 1:
        return faults[0]
    rest = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
    return "\n".join([f"{len(faults)} faults:", *faults[:SHOWN], *rest])


def absent(path: Path) -> str:
    """Say that a file does not exist, and where it points if it is a link."""
    if path.is_symlink():
        return f"{path} is a link to {path.readlink()}, which does not exist"
    return f"there is no {path}"
