"""Errors that say what was wrong, what is possible, and what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST = 120
"""Characters of a value in an error."""


def unknown(kind: str, value: object, known: Iterable[str]) -> ValueError:
    """Return (not raise) an error for a name that is not among the known ones."""
    names, text = sorted(known), shown(value)
    close = difflib.get_close_matches(str(value), names, n=1) if len(text) <= LONGEST else []
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"
    return ValueError(f"unknown {kind} {text}; {hint}")


def shown(value: object) -> str:
    """Return the ``repr`` of anything, in one line of bounded length."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # whatever somebody's own repr raises; Python's, for integers of thousands of digits
        return f"<{type(value).__name__}>"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 30]} ... {text[-25:]}"
