"""Files of the reports: whole or absent, and equal for equal results."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from alenv.files import write_whole


def write_json(path: Path, figures: dict[str, Any]) -> None:
    """Write figures as JSON, sorted, with null for NaN."""
    write_whole(path, json.dumps(null_nan(figures), indent=1, sort_keys=True, allow_nan=False) + "\n")


def write_figure(path: Path, figure: Figure) -> None:
    """Write a picture as PNG or SVG; equal results give equal files."""
    kind, buffer = path.suffix[1:], io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "alenv"}):
        figure.savefig(buffer, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
    write_whole(path, buffer.getvalue())


def null_nan(value: Any) -> Any:
    """Put None in the place of numbers that JSON lacks."""
    if isinstance(value, dict):
        return {key: null_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [null_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
