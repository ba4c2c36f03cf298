"""The report of a summary: tables (Markdown, terminal), figures (JSON), curves (PNG, SVG)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from alenv.files import write_whole
from benchmarks import stats
from benchmarks.files import write_figure, write_json
from benchmarks.leaderboard.plot import draw_curves
from benchmarks.leaderboard.results import to_csv
from benchmarks.leaderboard.suite import Suite
from benchmarks.leaderboard.tables import in_order, markdown_table, number, plus_minus, pvalue, shorten
from benchmarks.leaderboard.task import Rows, Summary
from benchmarks.leaderboard.tasks import make_task
from benchmarks.names import Name, code, markdown
from benchmarks.terminal import print_table

TIMES = ("ms_per_pick", "env_ms_per_pick")


def write_report(suite: Suite, summary: Summary, out: Path) -> None:
    """Write leaderboard.json, times.json, results.csv, leaderboard.md, curves.png and curves.svg.

    Times have a file of their own, so that equal episodes give the same bytes of all other figures.
    """
    policies = {
        policy: {k: v for k, v in entry.items() if k not in TIMES} for policy, entry in summary["policies"].items()
    }
    write_json(out / "leaderboard.json", {**summary, "policies": policies})
    write_json(out / "times.json", {p: {k: entry[k] for k in TIMES} for p, entry in summary["policies"].items()})
    write_whole(out / "results.csv", to_csv(suite, summary))
    write_whole(out / "leaderboard.md", to_markdown(suite, summary))
    figure = draw_curves(summary)
    write_figure(out / "curves.png", figure)
    write_figure(out / "curves.svg", figure)


def ranking_table(suite: Suite, summary: Summary, view: str) -> Rows:
    """Header and rows: ranked policies first, then those without a rank, oracles last."""
    found, task = summary["views"][view], make_task(suite)
    figures, others = found["measures"][task.measure], task.rankings[1:]
    header, cells = task.columns(summary, view)
    first = ["rank", "policy", task.measure, Name(f"{task.measure} - {suite.baseline}"), "p (Holm)", "difference"]
    last = [f"rank, {name.removeprefix(f'{task.measure} ')}" for name in others]
    rows = [[*first, *header, *last, "ms per pick", "status"]]
    for policy in (policy for policy in _by_rank(found, summary) if policy in figures):
        entry, difference = summary["policies"][policy], figures[policy].get("difference", {})
        row = [str(found["ranks"].get(policy) or ""), Name(policy), number(figures[policy]["mean"], 2)]
        row += [plus_minus(difference, 2), pvalue(difference.get("p_holm")), _verdict(difference), *cells[policy]]
        row += [str(found["rankings"][name].get(policy, "")) for name in others]
        rows.append([*row, number(entry["ms_per_pick"], 2), entry["status"]])
    return rows


def _verdict(difference: Summary) -> str:
    """Call a difference real only where its corrected interval does not hold 0."""
    if "real" not in difference:
        return "-"
    return "not shown" if not difference["real"] else "better" if difference["mean"] > 0 else "worse"


def beaten_table(summary: Summary, line: str) -> Rows:
    """Who is beaten by whom: rows are policies, columns their rivals, cells at how many points of the curves."""
    counts = summary["beaten"][line]
    shown = [policy for policy in in_order(summary) if policy in counts]
    total = len(summary["curves"][line]["grid"])
    rows: Rows = [[f"beaten, of {total}", *map(Name, shown), "all"]]
    for policy in shown:
        row = [counts[policy][rival] for rival in shown]
        rows.append([Name(policy), *("" if rival == policy else str(n) for rival, n in zip(shown, row, strict=True))])
        rows[-1].append(str(sum(row)))
    return rows


def _by_rank(found: Summary, summary: Summary) -> list[str]:
    """Sort policies by their ranks in a view, equal ones as they are."""
    oracle = {policy: entry["oracle"] for policy, entry in summary["policies"].items()}
    last = len(oracle) + 1
    return sorted(in_order(summary), key=lambda policy: (oracle[policy], found["ranks"].get(policy, last)))


def statistics_table(suite: Suite, summary: Summary, view: str) -> Rows:
    """Robust figures beside the means, and what difference could have been shown."""
    measure = make_task(suite).measure
    header = ["policy", f"IQM of {measure} [95 %]", "P(improvement)", "p (Wilcoxon)", "detectable"]
    rows = [header]
    figures = summary["views"][view]["measures"][measure]
    for policy in (policy for policy in in_order(summary) if policy in figures):
        f = figures[policy]
        cells = [Name(policy), "{mean:.2f} [{low:.2f}, {high:.2f}]".format(**f["iqm"]) if "iqm" in f else "-"]
        if d := f.get("difference"):
            note = " (observed is smaller)" if abs(d["mean"]) < d["minimum_detectable"] else ""
            cells += [number(d["probability_of_improvement"], 2), pvalue(d["p_wilcoxon"])]
            cells.append(number(d["minimum_detectable"], 2) + note)
        rows.append(cells + ["-"] * (len(header) - len(cells)))
    return rows


def cost_table(summary: Summary) -> Rows:
    """What the labels of an episode cost in every unit, and the environment's time."""
    shown = in_order(summary)
    units = list(dict.fromkeys(unit for policy in shown for unit in summary["policies"][policy]["cost"]))
    rows = [["policy", *units, "environment ms per pick"]]
    for policy in shown:
        entry = summary["policies"][policy]
        cost = [f"{entry['cost'][unit]:,.0f}" for unit in units]
        rows.append([Name(policy), *cost, number(entry["env_ms_per_pick"], 1)])
    return rows


def to_markdown(suite: Suite, summary: Summary) -> str:
    """The report as one Markdown page."""
    parts = [_header(summary)]
    for title, rows in sections(suite, summary):
        parts += [f"## {title}", markdown_table(rows)]
    return "\n\n".join([*parts, f"## How to read this\n\n{notes(suite, summary)}"]) + "\n"


def sections(suite: Suite, summary: Summary) -> Iterator[tuple[str, Rows]]:
    """Yield all tables with their titles, the ranking of the first view first."""
    for view in summary["views"]:
        yield f"Ranking: {view}", ranking_table(suite, summary, view)
        for title, rows in make_task(suite).tables(summary, view).items():
            yield f"{title}: {view}", rows
        yield f"Robust statistics: {view}", statistics_table(suite, summary, view)
    for line in summary["beaten"]:
        yield f"Who is beaten by whom: {line}", beaten_table(summary, line)
    yield "What the labels cost", cost_table(summary)


def warnings(summary: Summary) -> list[str]:
    """Return what forbids to compare policies, or some of them."""
    setups, entries = len(summary["setups"]), summary["policies"].items()
    mixed = [f"Not comparable: the episodes come from {setups} set-ups"] if setups > 1 else []
    return mixed + [f"{policy}: {entry['status']}" for policy, entry in entries if "incomplete" in entry["status"]]


def _header(summary: Summary) -> str:
    suite = summary["suite"]
    lines = [
        f"# Leaderboard: {markdown(suite['name'])}",
        "",
        f"- Environment: `{suite['env']}` with {code(json.dumps(suite['kwargs'], sort_keys=True))}",
        f"- Seeds: {len(suite['seeds'])} ({', '.join(map(str, suite['seeds']))})",
    ]
    for unit, given in summary["given"].items():
        labels = " to ".join(f"{n:,}" for n in dict.fromkeys(given))
        lines.append(f"- Labels given outside the budget: {labels} {unit} per episode")
    lines += [f"- **{markdown(warning)}**" for warning in warnings(summary)]
    lines += [f"- Set-up: {shorten(setup)}" for setup in summary["setups"]]
    return "\n".join([*lines, "", "![budget curves](curves.png)"])


def notes(suite: Suite, summary: Summary) -> str:
    """Return how to read the tables, as a list in Markdown."""
    task = make_task(suite)
    return f"""\
{task.notes}
- Differences are to {code(suite.baseline)}, paired by {task.unit}: mean ± half the width of the 95 % t-interval.
  p: paired t-test, Holm-adjusted over the policies of the table without oracles; none below
  {stats.MIN_SEEDS_FOR_P} pairs.
- Difference: better or worse only where the interval at Holm's level does not hold 0; otherwise it is not shown.
- Who is beaten by whom: at so many points of the curves the policy of the column is better than that of the row, by
  paired t-tests at 5 %, Holm-adjusted over all pairs at a point.
- Rank: by {task.measure}. Equal ones share a rank (1, 2, 2, 4). A policy with missing episodes has no rank, nor has an
  oracle, which sees labels that were not bought.
- Time per pick: the policy's own. The channels that it asks for are computed by the environment, whose time stands
  under what the labels cost.
- IQM: mean of the middle half, with its 95 % bootstrap interval (generator seed {summary["bootstrap_seed"]}).
  P(improvement): share of pairs in which the policy is better. Detectable: the difference that a paired test at 5 %
  finds with 80 % power."""


def print_ranking(suite: Suite, summary: Summary, console: Console) -> None:
    """Print the ranking of the first view."""
    view = next(iter(summary["views"]))
    whole = ranking_table(suite, summary, view)  # too wide for a terminal
    rows = [[*row[:4], row[5], row[-1]] for row in whole]
    print_table(console, f"{suite.name}: {view}", rows, left=("policy", "status"))
