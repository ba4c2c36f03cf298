"""Errors that say what was wrong, what is possible, and what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def unknown(kind: str, value: object, known: Iterable[str]) -> ValueError:
    """Return (not raise) an error for a name that is not among the known ones."""
    names = sorted(known)
    close = difflib.get_close_matches(str(value), names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"
    return ValueError(f"unknown {kind} {value!r}; {hint}")
