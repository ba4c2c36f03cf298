"""What the HTML page says of a suite, made of the suite's summary."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence

from scipy.stats import t as student

from benchmarks.leaderboard.film import Frame
from benchmarks.leaderboard.page import Bars, Board, Curve, Film, Line, Sample, Table
from benchmarks.leaderboard.report import notes, sections, warnings
from benchmarks.leaderboard.suite import Suite
from benchmarks.leaderboard.tables import in_order, shorten
from benchmarks.leaderboard.task import Summary

TEXTS = ("policy", "difference", "status")
"""Headers of columns of text; all others are numbers."""


def make_board(suite: Suite, summary: Summary, films: dict[str, Sequence[Frame]]) -> Board:
    """Return what the page says of a suite.

    Args:
        suite: The suite.
        summary: Its figures.
        films: Pictures of one episode of each policy.
    """
    return Board(
        id=f"suite-{suite.name}",
        name=suite.name,
        policies=in_order(summary),
        baseline=suite.baseline,
        facts=list(_facts(suite, summary)),
        warnings=warnings(summary),
        tables=[_table(title, rows) for title, rows in sections(suite, summary)],
        curves=list(_curves(summary)),
        samples=list(_samples(summary)),
        bars=[_bars(name, by_policy) for name, by_policy in summary["by_class"].items()],
        films=[Film(policy, films[policy]) for policy in in_order(summary) if films.get(policy)],
        notes=[*_items(notes(suite, summary)), *(f"Set-up: {shorten(setup)}" for setup in summary["setups"])],
    )


def _facts(suite: Suite, summary: Summary) -> Iterator[str]:
    yield f"{suite.env} with {json.dumps(suite.kwargs, sort_keys=True)}; {len(suite.seeds)} seeds"
    for unit, (low, high) in summary["given"].items():
        yield f"Labels given outside the budget: {low:,} to {high:,} {unit} per episode"


def _items(markdown: str) -> list[str]:
    """Return the items of a list in Markdown, each in one line."""
    return [" ".join(item.split()).replace("`", "") for item in markdown.removeprefix("- ").split("\n- ")]


def _table(title: str, rows: Sequence[Sequence[str]]) -> Table:
    return Table(title, rows, [i for i, header in enumerate(rows[0]) if header in TEXTS])


def _curves(summary: Summary) -> Iterator[Curve]:
    """Every curve, and the differences of its lines to the baseline's."""
    baseline = summary["suite"]["baseline"]
    for name, entry in summary["curves"].items():
        for kind, title in (("curve", name), ("difference", f"{name}, difference to {baseline}")):
            lines = {p: _line(entry["grid"], found[kind]) for p, found in entry["policies"].items() if kind in found}
            metric = entry["metric"] if kind == "curve" else f"{entry['metric']}, difference"
            yield Curve(title, metric, entry["cost"], {p: line for p, line in lines.items() if line.x})


def _line(grid: Sequence[float], points: Sequence[Summary]) -> Line:
    known = [(x, *(p[key] for key in ("mean", "low", "high"))) for x, p in zip(grid, points, strict=True)]
    return Line(*([row[i] for row in known if not any(map(math.isnan, row))] for i in range(4)))


def _samples(summary: Summary) -> Iterator[Sample]:
    for view, found in summary["views"].items():
        for measure, figures in found["measures"].items():
            values = {policy: _known(entry["by_unit"]) for policy, entry in figures.items()}
            most = max(map(len, values.values()), default=0)
            t = {n: float(student.ppf(0.975, n - 1)) for n in range(2, most + 1)}
            yield Sample(f"{measure}, {view}", values, t)


def _known(by_unit: dict[object, float]) -> dict[str, float]:
    return {str(unit): value for unit, value in by_unit.items() if not math.isnan(value)}


def _bars(name: str, by_policy: dict[str, dict[str, float]]) -> Bars:
    names = list(next(iter(by_policy.values())))
    values = {p: [None if math.isnan(v) else v for v in by_class.values()] for p, by_class in by_policy.items()}
    return Bars(name, names, values)
