"""The report of a mining suite: Markdown, JSON, terminal."""

from __future__ import annotations

import json
import math
from pathlib import Path

from rich.console import Console

from alenv.files import write_whole
from benchmarks.leaderboard.mining_summary import Summary
from benchmarks.leaderboard.report import markdown_table, number, plus_minus, pvalue, shorten, write_json
from benchmarks.leaderboard.suite import ORACLE
from benchmarks.names import Name, code, markdown
from benchmarks.terminal import print_table

GROUPS = {"train": "Classes that agents may train on", "heldout": "Held-out classes"}


def write_report(summary: Summary, out: Path) -> None:
    """Write leaderboard.json and leaderboard.md."""
    write_json(out / "leaderboard.json", summary)
    write_whole(out / "leaderboard.md", to_markdown(summary))


def to_markdown(summary: Summary) -> str:
    """The report as one Markdown page."""
    suite = summary["suite"]
    lines = [
        f"# Leaderboard: {markdown(suite['name'])}",
        "",
        f"- Environment: `{suite['env']}` with {code(json.dumps(suite['kwargs'], sort_keys=True))}",
        f"- Seeds: {len(suite['seeds'])} for every class, {len(summary['counts'])} classes, new images only",
    ]
    if len(summary["setups"]) > 1:
        lines.append(f"- **Not comparable: the episodes come from {len(summary['setups'])} set-ups**")
    lines += [f"- Set-up: {shorten(setup)}" for setup in summary["setups"]]
    lines += [f"- **{markdown(policy)}: {n} classes are missing**" for policy, n in summary["missing"].items()]
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
    order = sorted(table, key=lambda policy: (policy == ORACLE, _last(table[policy]["score"]["mean"])))
    trained = any("trained" in table[policy] for policy in order)
    header = ["rank", "policy", "score", "beats random on", "p (sign)", "pixels / random's", "positives"]
    header += ["IoU", "IoU - random", "wins (p)", "AP", "AP - random", "wins (p)"] if trained else []
    return [header, *(_row(policy, table[policy]) for policy in order)]


def _last(score: float) -> float:
    """Sort the best first, and what has no score last."""
    return math.inf if math.isnan(score) else -score


def _row(policy: str, figures: Summary) -> list[str]:
    wins = figures["wins"]
    share = f"{wins['up']} of {figures['classes']}" + (f", {wins['ties']} ties" if wins["ties"] else "")
    cells = [str(figures["rank"] or ""), Name(policy), plus_minus(figures["score"], 2), share, pvalue(wins["p_sign"])]
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
        out.append([Name(policy), *(f"{number(f['score'], 2)} ({f['classes']})" if f else "-" for f in found)])
    return out


NOTES = """## How to read this

- Score: (G - G_random) / (G_oracle - G_random) of each class, G the mean gain over seeds; mean over classes ± half the
  95 % t-interval. 0 is random, 1 the greedy oracle, which sees all labels. Classes on which the oracle gains no more
  than random have no score.
- Rank: by score; equal scores share a rank (1, 2, 2, 4). The oracle has none, nor has a policy with missing classes.
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
    title = f"{summary['suite']['name']}: {GROUPS[group].lower()}, {budget} images"
    # The whole is too wide for a terminal.
    print_table(console, title, [[*row[:5], row[6]] for row in rows(table)], left=("policy",))
