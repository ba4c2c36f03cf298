"""The report of a ladder: tables (Markdown), figures (JSON), gains (PNG)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from alenv.files import write_whole
from benchmarks.files import write_figure, write_json
from benchmarks.ladder.figures import RESAMPLES, Figures
from benchmarks.ladder.plot import draw_gains
from benchmarks.leaderboard.tables import markdown_table, number, plus_minus, shorten
from benchmarks.names import Name, code, markdown

KINDS = {"aubc": "AUBC", "final": "final mIoU"}
GAINS = {"trace": "final gains", "round": "gains of single rounds"}


def write_report(figures: Figures, out: Path) -> None:
    """Write ladder.json, ladder.md and ladder.png."""
    write_json(out / "ladder.json", figures)
    write_whole(out / "ladder.md", to_markdown(figures))
    write_figure(out / "ladder.png", draw_gains(figures))


def to_markdown(figures: Figures) -> str:
    """The report as one Markdown page."""
    parts = [_header(figures), "## Policies on every rung"]
    for kind, title in KINDS.items():
        parts += [f"{title} (difference to {code(figures['baseline'])}):", markdown_table(score_table(figures, kind))]
    parts.append("## Do the rungs rank the policies alike?")
    for kind, title in KINDS.items():
        parts += [f"Kendall's tau by {title}:", markdown_table(matrix(figures, figures["tau"][kind]))]
    parts += ["## Are the same labels worth the same?", "![gains of the same traces](ladder.png)"]
    for kind, title in GAINS.items():
        pairs = figures["pearson"][kind]
        parts += [f"Pearson of {title}, n = {pairs[0]['n']}:", markdown_table(matrix(figures, pairs))]
    return "\n\n".join([*parts, _notes(figures)]) + "\n"


def score_table(figures: Figures, kind: str) -> list[list[str]]:
    """Rows are policies, the best of the highest rung first; columns rungs; cells mean and difference."""
    rungs = list(figures["rungs"])
    means = {rung: np.mean(figures["scores"][kind][rung], axis=0) for rung in rungs}
    rows = [["policy", *rungs]]
    for i in np.argsort(-means[rungs[-1]], kind="stable"):
        cells = [number(means[rung][i], 2) for rung in rungs]
        if (policy := figures["policies"][i]) != figures["baseline"]:
            gains = [plus_minus(figures["differences"][kind][rung][i], 2) for rung in rungs]
            cells = [f"{cell} ({gain})" for cell, gain in zip(cells, gains, strict=True)]
        rows.append([Name(policy), *cells])
    return rows


def matrix(figures: Figures, pairs: list[Figures]) -> list[list[str]]:
    """One row and column per rung; the upper triangle holds the correlations with their intervals."""
    rungs = list(figures["rungs"])
    cells = {tuple(pair["rungs"]): _interval(pair) for pair in pairs}
    return [["", *rungs[1:]], *([row, *(cells.get((row, column), "") for column in rungs[1:])] for row in rungs[:-1])]


def _interval(pair: Figures) -> str:
    return f"{number(pair['value'], 2)} [{number(pair['low'], 2)}, {number(pair['high'], 2)}]"


def _header(figures: Figures) -> str:
    seeds = figures["seeds"]
    lines = [f"# Ladder: {markdown(figures['ladder'])}", ""]
    lines.append(f"- Environment: `{figures['env']}`, split `{figures['split']}`")
    lines += [f"- Rung {rung}: {code(json.dumps(kwargs, sort_keys=True))}" for rung, kwargs in figures["rungs"].items()]
    lines.append(f"- Seeds: {len(seeds)} ({', '.join(map(str, seeds))})")
    lines += [f"- Set-up of {rung}: {shorten(print_)}" for rung, print_ in figures["fingerprints"].items()]
    return "\n".join(lines)


def _notes(figures: Figures) -> str:
    lowest, baseline = next(iter(figures["rungs"])), code(figures["baseline"])
    return f"""## How to read this

- IoU in points (0 to 100), means over seeds. Differences are to {baseline}, paired by seed: mean ± half the width of
  the 95 % t-interval.
- Kendall's tau (tau-b) compares the policies' order by their means over seeds: 1 the same order, -1 the opposite,
  0 unrelated. On each rung a policy sees that rung's own predictions.
- Pearson compares what the same labels are worth. The traces that policies made on `{lowest}` are replayed on all
  rungs, and a replay that picks other regions is refused. A gain is what a trace has more than {baseline} with the
  same seed: at the end of the budget, or in each round by itself (the common trend over rounds cancels out).
- Brackets: 2.5 and 97.5 percentiles of {RESAMPLES:,} bootstrap resamples of the seeds. Policies are not resampled, so
  they speak for these policies only. Resampled means are noisier than the means themselves, which pulls correlations
  towards 0: close policies that a few seeds cannot tell apart give a low tau on any rung."""
