"""Gains of the same traces on two rungs: one panel for every pair of rungs, one colour and marker per policy."""

from __future__ import annotations

from itertools import combinations

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.ladder.figures import Figures
from benchmarks.names import shortened

COLUMNS = 3
LABEL = 40
# Okabe and Ito's colours for all kinds of colour vision; the markers tell policies apart in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


@matplotlib.rc_context({"text.parse_math": False})  # the dollars of a name
def draw_gains(figures: Figures) -> Figure:
    """Final gain of every replayed trace over the baseline's, on one rung against another."""
    pairs = list(combinations(figures["rungs"], 2))
    columns = min(COLUMNS, len(pairs))
    rows = -(-len(pairs) // columns)
    figure = Figure(figsize=(max(3.4 * columns, 6), 3.3 * rows + 0.9), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, pair in zip(axes, pairs, strict=False):
        _draw(axis, figures, pair)
    for axis in axes[len(pairs) :]:
        axis.set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(len(labels), 5), frameon=False)
    return figure


def _draw(axis: Axes, figures: Figures, pair: tuple[str, str]) -> None:
    x, y = (np.array(figures["gains"]["trace"][rung]) for rung in pair)
    names = [shortened(policy, LABEL) for policy in figures["policies"] if policy != figures["baseline"]]
    for i in range(len(names)):
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        axis.scatter(x[:, i], y[:, i], s=26, color=colour, marker=marker, alpha=0.85, linewidth=0, label=names[i])
    for line in (axis.axhline, axis.axvline):
        line(0, color="black", linewidth=0.8, zorder=0)
    [found] = [p for p in figures["pearson"]["trace"] if p["rungs"] == list(pair)]
    axis.set_title(f"Pearson {found['value']:.2f} [{found['low']:.2f}, {found['high']:.2f}]", fontsize="medium")
    axis.set(xlabel=f"gain on {pair[0]} (points)", ylabel=f"gain on {pair[1]} (points)")
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
