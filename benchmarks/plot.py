"""Budget curves of a summary."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.summary import Summary, in_order

# Okabe and Ito's colours for all kinds of colour vision; the markers tell lines apart in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#8C6D1F")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def draw_curves(summary: Summary) -> Figure:
    """One row per split: mIoU with its band, and the paired difference to the baseline."""
    splits = summary["suite"]["splits"]
    figure = Figure(figsize=(11, 3.6 * len(splits) + 0.6), layout="constrained")
    axes = figure.subplots(len(splits), 2, sharex=True, squeeze=False)
    for (left, right), split in zip(axes, splits, strict=True):
        _draw_split(left, right, summary, split)
    for axis in axes[-1]:
        axis.set_xlabel("labelled regions")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(4, len(labels)), frameon=False)
    return figure


def _draw_split(left: Axes, right: Axes, summary: Summary, split: str) -> None:
    budgets, baseline = np.array(summary["budgets"]), summary["suite"]["baseline"]
    rivals = [policy for policy in summary["suite"]["policies"] if policy != baseline]
    # Side by side, so that the bars of one budget do not hide each other.
    shifts = iter(np.linspace(-0.2, 0.2, len(rivals)) * np.diff(budgets).min())
    for policy in in_order(summary):
        figures, entry = summary["splits"][split][policy], summary["policies"][policy]
        style = _style(rivals.index(policy) if policy in rivals else None, entry["oracle"])
        label = f"{policy} (oracle)" if entry["oracle"] else policy
        _draw_band(left, budgets, figures["curve"], style | {"label": label})
        if "difference" in figures:
            _draw_bars(right, budgets + next(shifts), figures["difference"]["curve"], style)
    right.axhline(0, color="black", linewidth=1)
    left.set(title=f"{split}: mIoU, 95 % band of the mean", ylabel="mIoU (points)")
    right.set(title=f"{split}: paired difference to {baseline}, 95 %", ylabel="difference (points)")
    for axis in (left, right):
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)


def _style(place: int | None, oracle: bool) -> dict[str, Any]:
    """A policy keeps its colour over both panels and all splits; the baseline is black."""
    line = {"linestyle": "--" if oracle else "-", "linewidth": 1.6, "markersize": 4}
    if place is None:
        return line | {"color": "black", "marker": "."}
    return line | {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}


def _draw_band(axis: Axes, budgets: np.ndarray, curve: list[Summary], style: dict[str, Any]) -> None:
    mean, low, high = _columns(curve)
    axis.plot(budgets, mean, **style)
    axis.fill_between(budgets, low, high, color=style["color"], alpha=0.08, linewidth=0)


def _draw_bars(axis: Axes, budgets: np.ndarray, curve: list[Summary], style: dict[str, Any]) -> None:
    mean, low, high = _columns(curve)
    axis.errorbar(budgets, mean, [mean - low, high - mean], elinewidth=1, **style)


def _columns(curve: list[Summary]) -> list[np.ndarray]:
    return [np.array([point[key] for point in curve]) for key in ("mean", "low", "high")]
