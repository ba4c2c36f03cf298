"""The report as one HTML page that needs nothing besides itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from importlib.metadata import version
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from benchmarks.leaderboard.film import Frame


@dataclass(frozen=True)
class Line:
    """A mean over seeds or classes at some costs, with its 95 % interval."""

    x: Sequence[float]
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


@dataclass(frozen=True)
class Curve:
    """Lines of policies: a metric over a cost."""

    title: str
    metric: str
    unit: str
    lines: dict[str, Line]


@dataclass(frozen=True)
class Sample:
    """One value a seed (or class) of every policy, of which paired differences are drawn.

    Attributes:
        title: What it is.
        values: By policy and seed (or class).
        t: The quantile of Student's t for a 95 % interval, by the number of pairs.
    """

    title: str
    values: dict[str, dict[str, float]]
    t: dict[int, float]


@dataclass(frozen=True)
class Bars:
    """One value a class of every policy; None where there is none."""

    title: str
    names: Sequence[str]
    values: dict[str, Sequence[float | None]]


@dataclass(frozen=True)
class Table:
    """A header and rows; columns in ``texts`` are text, all others are numbers."""

    title: str
    rows: Sequence[Sequence[str]]
    texts: Sequence[int] = (0,)


@dataclass(frozen=True)
class Film:
    """What a policy picked in one episode."""

    policy: str
    frames: Sequence[Frame]


@dataclass(frozen=True)
class Board:
    """What the page says of one suite; the first table is the ranking."""

    id: str
    name: str
    policies: Sequence[str]
    baseline: str
    facts: Sequence[str] = ()
    warnings: Sequence[str] = ()
    tables: Sequence[Table] = ()
    curves: Sequence[Curve] = ()
    samples: Sequence[Sample] = ()
    bars: Sequence[Bars] = ()
    films: Sequence[Film] = ()
    notes: Sequence[str] = ()


def to_html(title: str, command: str, boards: Sequence[Board], overall: Sequence[Table] = ()) -> str:
    """Return the page.

    Args:
        title: Its title.
        command: What made it.
        boards: One for every suite.
        overall: Tables over all of them, above.
    """
    files = resources.files(__package__)
    style, script, template = ((files / f"report.{kind}").read_text("utf-8") for kind in ("css", "js", "html.j2"))
    page = Environment(autoescape=True).from_string(template)
    return page.render(
        title=title,
        command=command,
        version=version("alenv"),
        boards=boards,
        overall=overall,
        style=Markup(style),
        script=Markup(script),
        data=_embedded([_drawn(board) for board in boards]),
    )


def _drawn(board: Board) -> dict[str, Any]:
    """What the script draws of a board."""
    everything = asdict(board)
    return {name: everything[name] for name in ("id", "policies", "baseline", "curves", "samples", "bars")}


def _embedded(value: Any) -> Markup:
    """JSON within a page: no name in it can end the element that it stands in."""
    return Markup(json.dumps(value, allow_nan=False).replace("<", "\\u003c"))
