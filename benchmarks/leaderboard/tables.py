"""Tables of the reports: how numbers, intervals and names are written."""

from __future__ import annotations

import json
import math
from typing import Any

from benchmarks.leaderboard.task import Rows, Summary
from benchmarks.names import Name, code, markdown


def in_order(summary: Summary) -> list[str]:
    """Return the policies with episodes: ranked ones first, then those without a rank, oracles last."""
    shown = {policy: entry for policy, entry in summary["policies"].items() if entry["seeds"]}
    return sorted(shown, key=lambda policy: (shown[policy]["oracle"], shown[policy]["rank"] is None))


def number(value: float | None, digits: int = 1, sign: str = "") -> str:
    """Format a number; a dash stands for one that is missing."""
    missing = value is None or math.isnan(value)
    return "-" if missing else f"{value:{sign}.{digits}f}"


def plus_minus(difference: Summary, digits: int = 1) -> str:
    """Format a mean with half its interval."""
    if not difference:
        return "-"
    half_width = (difference["high"] - difference["low"]) / 2
    return f"{number(difference['mean'], digits, '+')} ± {number(half_width, digits)}"


def pvalue(p: float | None) -> str:
    """Format a p-value."""
    return "-" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def shorten(setup: dict[str, Any], width: int = 120) -> str:
    """Versions and data hashes; the arguments are told with the environment."""
    values = {k: json.dumps(v) if isinstance(v, dict) else v for k, v in setup.items()}
    return ", ".join(f"{markdown(k)} {code(str(v)[:width])}" for k, v in values.items() if k != "arguments")


def markdown_table(rows: Rows) -> str:
    """Format a header and rows; cells that are names are escaped."""
    cells = [[markdown(cell) if isinstance(cell, Name) else cell for cell in row] for row in rows]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])
