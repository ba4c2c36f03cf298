"""Budget curves of a summary: one small panel for every policy, so that twenty policies stay readable."""

from __future__ import annotations

from pathlib import PurePath

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.leaderboard.tables import in_order
from benchmarks.leaderboard.task import Summary
from benchmarks.names import shortened

COLUMNS = 4
TITLE = 36
"""Characters that a panel has room for."""
# Okabe and Ito's colours for all kinds of colour vision; the markers tell lines apart in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73")
MARKERS = ("o", "s", "^")


@matplotlib.rc_context({"text.parse_math": False})  # the dollars of a name
def draw_curves(summary: Summary) -> Figure:
    """The baseline's curve, then each policy's difference to it; one line per split or group, with 95 % bands."""
    baseline = summary["suite"]["baseline"]
    rivals = [policy for policy in in_order(summary) if policy != baseline]
    rows = -(-(1 + len(rivals)) // COLUMNS)
    figure = Figure(figsize=(3.1 * COLUMNS, 2.5 * rows + 0.8), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, sharex=True, squeeze=False).ravel()
    _draw(axes[0], summary, baseline, "curve")
    line = next(iter(summary["curves"].values()))
    axes[0].set(title=_short(baseline), ylabel=line["metric"])
    for axis, policy in zip(axes[1:], rivals, strict=False):
        axis.sharey(axes[1])
        axis.axhline(0, color="black", linewidth=1)
        _draw(axis, summary, policy, "difference")
        oracle = " (oracle)" if summary["policies"][policy]["oracle"] else ""
        axis.set_title(f"{_short(policy)}{oracle}")
    for axis in axes[1 + len(rivals) :]:
        axis.set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    reference = f"policies as differences to {shortened(baseline, TITLE)}"
    figure.supxlabel(f"labelled {line['cost']}; {reference}; bands: 95 % of the mean", fontsize="medium")
    return figure


def _short(policy: str) -> str:
    """Leave the name of a policy, and of a file the end that tells it from others, so that titles fit their panels."""
    kind, colon, path = policy.partition(":")
    lines = [f"{kind}:", "/".join(PurePath(path).parts[-2:])] if colon else [policy]
    return "\n".join(shortened(line, TITLE) for line in lines)


def _draw(axis: Axes, summary: Summary, policy: str, kind: str) -> None:
    """Draw the curve of a policy, or its difference to the baseline where there is one, on every line."""
    cost = next(iter(summary["curves"].values()))["cost"]
    lines = [(name, line) for name, line in summary["curves"].items() if line["cost"] == cost]
    for (name, line), colour, marker in zip(lines, COLOURS, MARKERS, strict=False):
        curve = line["policies"].get(policy, {}).get(kind)
        if curve:
            mean, low, high = (np.array([point[key] for point in curve]) for key in ("mean", "low", "high"))
            axis.plot(line["grid"], mean, color=colour, marker=marker, markersize=3, linewidth=1.4, label=name)
            axis.fill_between(line["grid"], low, high, color=colour, alpha=0.15, linewidth=0)
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    axis.title.set_fontsize("medium")
