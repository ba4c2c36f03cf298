"""The report of a mining suite: Markdown, JSON, terminal."""

from __future__ import annotations

import json
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.files import write_atomically
from benchmarks.mining.summary import ORACLE, Summary
from benchmarks.report import markdown_table, null_nan, number, plus_minus, pvalue, shorten

GROUPS = {"train": "Classes that agents may train on", "heldout": "Held-out classes"}


def write_report(summary: Summary, out: Path) -> None:
    """Write leaderboard.json and leaderboard.md."""
    text = json.dumps(null_nan(summary), indent=1, sort_keys=True, allow_nan=False)
    write_atomically(out / "leaderboard.json", text + "\n")
    write_atomically(out / "leaderboard.md", to_markdown(summary))


def to_markdown(summary: Summary) -> str:
    """The report as one Markdown page."""
    suite = summary["suite"]
    lines = [
        f"# Leaderboard: {suite['name']}",
        "",
        f"- Environment: `{suite['env']}` with `{json.dumps(suite['kwargs'], sort_keys=True)}`",
        f"- Seeds: {len(suite['seeds'])} for every class, {len(summary['counts'])} classes, new images only",
    ]
    if len(summary["setups"]) > 1:
        lines.append(f"- **Not comparable: the episodes come from {len(summary['setups'])} set-ups**")
    lines += [f"- Set-up: {shorten(setup)}" for setup in summary["setups"]]
    lines += [f"- **{policy}: {n} classes are missing**" for policy, n in summary["missing"].items()]
    parts = ["\n".join(lines)]
    for group, by_budget in summary["groups"].items():
        parts.append(f"## {GROUPS[group]}")
        for budget, table in by_budget.items():
            parts += [f"### {budget} images", markdown_table(rows(table))]
        last = next(reversed(by_budget.values()))
        parts += ["Score by the number of positives in the pool, largest budget:", markdown_table(_positives(last))]
    return "\n\n".join([*parts, NOTES]) + "\n"


def rows(table: Summary) -> list[list[str]]:
    """Header and rows of one table, best score first, the oracle last."""
    order = sorted(table, key=lambda policy: (policy == ORACLE, -table[policy]["score"]["mean"]))
    trained = any("trained" in table[policy] for policy in order)
    header = ["policy", "score", "beats random on", "p (sign)", "pixels / random's", "positives"]
    header += ["IoU", "IoU - random", "wins (p)", "AP", "AP - random", "wins (p)"] if trained else []
    return [header, *(_row(policy, table[policy]) for policy in order)]


def _row(policy: str, figures: Summary) -> list[str]:
    wins = figures["wins"]
    share = f"{wins['up']} of {figures['classes']}" + (f", {wins['ties']} ties" if wins["ties"] else "")
    cells = [policy, plus_minus(figures["score"], 2), share, pvalue(wins["p_sign"])]
    cells += [number(figures["pixel_ratio"], 2), number(figures["positives"])]
    for entry in figures.get("trained", {}).values():
        won = f"{entry['wins']['up']}:{entry['wins']['down']} ({pvalue(entry['wins']['p_sign'])})"
        cells += [number(entry["mean"]), plus_minus(entry["difference"], 2), won]
    return cells


def _positives(table: Summary) -> list[list[str]]:
    bins = list(dict.fromkeys(name for figures in table.values() for name in figures["score_by_positives"]))
    out = [["policy", *bins]]
    for policy, figures in table.items():
        found = [figures["score_by_positives"].get(name) for name in bins]
        out.append([policy, *(f"{number(f['score'], 2)} ({f['classes']})" if f else "-" for f in found)])
    return out


NOTES = """## How to read this

- Score: (G - G_random) / (G_oracle - G_random) of each class, G the mean gain over seeds; mean over classes ± half the
  95 % t-interval. 0 is random, 1 the greedy oracle, which sees all labels. Classes on which the oracle gains no more
  than random have no score.
- Beats random on: classes with a larger mean gain; p: two-sided sign test, ties left out.
- Pixels: of the class among the mined images, as a ratio to random's, geometric mean over classes (one pixel is added
  to both). Positives: images of the class among those bought.
- IoU, AP: of a linear head trained on the seed images and the mined ones, class against rest, on test images, in
  points; the difference to random is paired by class. Wins: classes above and below random, equal ones left out.
- Episodes run to the largest budget; smaller budgets are read off along the way."""


def print_ranking(summary: Summary, console: Console) -> None:
    """Print the table of the first group at the largest budget."""
    group, by_budget = next(iter(summary["groups"].items()))
    budget, table = next(reversed(by_budget.items()))
    header, *body = rows(table)
    out = Table(
        title=f"{summary['suite']['name']}: {GROUPS[group].lower()}, {budget} images", box=box.SIMPLE, padding=0
    )
    for i in range(min(6, len(header))):
        out.add_column(header[i], justify="left" if i == 0 else "right", no_wrap=i < 2)
    for row in body:
        out.add_row(*row[:6])
    console.print(out)
