"""The report of a summary: tables (Markdown, terminal), figures (JSON), curves (PNG, SVG)."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console

from alenv.files import write_whole
from benchmarks import stats
from benchmarks.leaderboard.plot import draw_curves
from benchmarks.leaderboard.summary import PROVISIONAL_SEEDS, RANKED_SEEDS, UNITS, Summary, in_order
from benchmarks.names import Name, code, markdown
from benchmarks.terminal import print_table


def ranking_table(summary: Summary, split: str) -> list[list[str]]:
    """Header and rows: ranked policies first, then those without a rank, oracles last."""
    at = [_at_fraction(summary["budgets"], fraction) for fraction in (0.25, 0.5, 1)]
    baseline = summary["suite"]["baseline"]
    gains = [f"at {summary['budgets'][i]:g}" for i in at]
    header = ["rank", "policy", "final mIoU", "AUBC", Name(f"AUBC - {baseline}"), "p (Holm)", *gains]
    rows = [[*header, "worst third", "ms per pick", "status"]]
    for policy in in_order(summary):
        entry, f = summary["policies"][policy], summary["splits"][split][policy]
        difference = f.get("difference", {"aubc": {}, "curve": [{}] * len(summary["budgets"])})
        cells = [str(entry["rank"] or ""), Name(policy), number(f["final"]), number(f["aubc"], 2)]
        cells += [plus_minus(difference["aubc"], 2), pvalue(difference["aubc"].get("p_holm"))]
        cells += [plus_minus(difference["curve"][i]) for i in at]
        rows.append([*cells, number(f["worst_third"]), number(entry["ms_per_pick"], 2), entry["status"]])
    return rows


def budget_table(summary: Summary, split: str) -> list[list[str]]:
    """Rows are policies, columns budgets, cells the mean and the difference to the baseline."""
    fractions = (0.01, 0.25, 0.5, 0.75, 1)
    at = sorted({_at_fraction(summary["budgets"], fraction) for fraction in fractions})
    rows = [["policy", *(f"{summary['budgets'][i]:g} regions" for i in at)]]
    for policy in in_order(summary):
        f = summary["splits"][split][policy]
        cells = [number(f["curve"][i]["mean"]) for i in at]
        if "difference" in f:
            gains = [plus_minus(f["difference"]["curve"][i]) for i in at]
            cells = [f"{cell} ({gain})" for cell, gain in zip(cells, gains, strict=True)]
        rows.append([Name(policy), *cells])
    return rows


def statistics_table(summary: Summary, split: str) -> list[list[str]]:
    """Robust figures beside the means, and what difference the seeds could have shown."""
    header = ["policy", "IQM of AUBC [95 %]", "P(improvement)", "p (Wilcoxon)", "detectable"]
    rows = [header]
    for policy in in_order(summary):
        f = summary["splits"][split][policy]
        cells = [Name(policy), "{mean:.2f} [{low:.2f}, {high:.2f}]".format(**f["aubc_iqm"])]
        if "difference" in f:
            d = f["difference"]
            note = " (observed is smaller)" if abs(d["aubc"]["mean"]) < d["minimum_detectable"] else ""
            cells += [number(d["probability_of_improvement"], 2), pvalue(d["aubc"]["p_wilcoxon"])]
            cells.append(number(d["minimum_detectable"], 2) + note)
        rows.append(cells + ["-"] * (len(header) - len(cells)))
    return rows


def cost_table(summary: Summary) -> list[list[str]]:
    """What the labels of an episode cost in every unit, and the environment's time."""
    rows = [["policy", *UNITS, "environment ms per pick"]]
    for policy in in_order(summary):
        entry = summary["policies"][policy]
        cost = [f"{entry['cost'][unit]:,.0f}" for unit in UNITS]
        rows.append([Name(policy), *cost, number(entry["env_ms_per_pick"], 1)])
    return rows


def _at_fraction(budgets: list[float], fraction: float) -> int:
    """The first evaluation at or beyond a fraction of the budget."""
    return int(np.searchsorted(budgets, fraction * budgets[-1]))


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


def write_report(summary: Summary, out: Path) -> None:
    """Write leaderboard.json, leaderboard.md, curves.png and curves.svg."""
    write_json(out / "leaderboard.json", summary)
    write_whole(out / "leaderboard.md", to_markdown(summary))
    figure = draw_curves(summary)
    write_figure(out / "curves.png", figure)
    write_figure(out / "curves.svg", figure)


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


def to_markdown(summary: Summary) -> str:
    """The report as one Markdown page."""
    parts = [_header(summary)]
    for split in summary["suite"]["splits"]:
        parts += [f"## Split: {split}", markdown_table(ranking_table(summary, split))]
        parts += [
            "mIoU and difference at a handful of budgets:",
            markdown_table(budget_table(summary, split)),
        ]
        parts += ["Robust statistics:", markdown_table(statistics_table(summary, split))]
    parts += ["## What the labels cost", markdown_table(cost_table(summary)), _notes(summary)]
    return "\n\n".join(parts) + "\n"


def _header(summary: Summary) -> str:
    suite = summary["suite"]
    given = " to ".join(f"{n:,}" for n in sorted({min(summary["labels_given"]), max(summary["labels_given"])}))
    lines = [
        f"# Leaderboard: {markdown(suite['name'])}",
        "",
        f"- Environment: `{suite['env']}` with {code(json.dumps(suite['kwargs'], sort_keys=True))}",
        f"- Seeds: {len(suite['seeds'])} ({', '.join(map(str, suite['seeds']))})",
        f"- Labels given outside the budget: {given} pixels per episode",
    ]
    if len(summary["setups"]) > 1:
        lines.append(f"- **Not comparable: the episodes come from {len(summary['setups'])} set-ups**")
    lines += [f"- Set-up: {shorten(setup)}" for setup in summary["setups"]]
    missing = [markdown(p) for p, entry in summary["policies"].items() if not entry["seeds"]]
    if missing:
        lines.append(f"- **No finished episode: {', '.join(missing)}**")
    return "\n".join([*lines, "", "![budget curves](curves.png)"])


def shorten(setup: dict[str, Any], width: int = 120) -> str:
    """Versions and data hashes; the arguments are told with the environment."""
    values = {k: json.dumps(v) if isinstance(v, dict) else v for k, v in setup.items()}
    return ", ".join(f"{markdown(k)} {code(str(v)[:width])}" for k, v in values.items() if k != "arguments")


def markdown_table(rows: list[list[str]]) -> str:
    """Format a header and rows; cells that are names are escaped."""
    cells = [[markdown(cell) if isinstance(cell, Name) else cell for cell in row] for row in rows]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _notes(summary: Summary) -> str:
    suite = summary["suite"]
    return f"""## How to read this

- IoU in points (0 to 100), means over seeds. AUBC: area under mIoU against labelled regions
  (trapezoid), divided by the range of the budget. A curve that ends early keeps its last value.
- Differences are to {code(suite["baseline"])}, paired by seed: mean ± half the width of the 95 %
  t-interval. p: paired t-test on AUBC, Holm-adjusted over the policies of the table without
  oracles; none below {stats.MIN_SEEDS_FOR_P} seeds.
- Rank: by AUBC on `{suite["splits"][0]}`, from {RANKED_SEEDS} seeds; provisional from
  {PROVISIONAL_SEEDS}. Equal scores share a rank (1, 2, 2, 4). A policy with missing seeds has no
  rank, nor has an oracle, which sees labels that were not bought.
- Time per pick: the policy's own. The channels that it asks for are computed by the environment,
  whose time stands under what the labels cost.
- Worst third: mean final IoU of the worst third of the classes, chosen in each episode.
- IQM: mean of the middle half of the seeds, with its 95 % bootstrap interval (generator seed
  {summary["bootstrap_seed"]}). P(improvement): share of pairs of seeds in which the policy has the
  larger AUBC. Detectable: the difference that a paired test at 5 % finds with 80 % power."""


def print_ranking(summary: Summary, console: Console) -> None:
    """Print the ranking on the first split."""
    split = summary["suite"]["splits"][0]
    rows = [[*row[:5], row[-1]] for row in ranking_table(summary, split)]  # the whole is too wide for a terminal
    print_table(console, f"{summary['suite']['name']}: {split}", rows, left=("policy", "status"))
