"""From episodes to the report: figures (JSON), tables (Markdown, terminal), curves (PNG, SVG).

Costs are labelled regions. A curve that ends before the budget keeps its last value: labels that
were not bought gain nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.table import Table

from agents.policy import Episode
from benchmarks import stats
from benchmarks.suite import Suite

RANKED_SEEDS, PROVISIONAL_SEEDS = 10, 5
BOOTSTRAP_SEED = 0
UNITS = ("regions", "pixels", "clicks", "images")

# Okabe and Ito's colours for all kinds of colour vision; the markers tell lines apart in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#8C6D1F")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

Summary = dict[str, Any]


def summarize(suite: Suite, episodes: dict[str, dict[int, Episode]]) -> Summary:
    """All figures of the report, from the finished episodes by policy and seed."""
    episodes = {policy: episodes[policy] for policy in suite.policies if episodes.get(policy)}
    everything = [episode for by_seed in episodes.values() for episode in by_seed.values()]
    budgets = sorted({cost for episode in everything for cost in episode.curve["regions"]})
    summary = {
        "suite": vars(suite),
        "setups": _setups(everything),
        "labels_given": sorted({episode.labels_given for episode in everything}),
        "bootstrap_seed": BOOTSTRAP_SEED,
        "budgets": budgets,
        "policies": {policy: _describe(episodes.get(policy, {}), suite) for policy in suite.policies},
        "splits": {split: _compare(episodes, split, budgets, suite.baseline) for split in suite.splits},
    }
    _adjust_pvalues(summary)
    _rank(summary)
    return summary


def _setups(episodes: Sequence[Episode]) -> list[dict[str, Any]]:
    """The distinct fingerprints, without the channels that each policy adds to what it sees."""
    setups = {}
    for episode in episodes:
        arguments = {k: v for k, v in episode.fingerprint["arguments"].items() if k != "scores"}
        setup = {**episode.fingerprint, "arguments": arguments}
        del setup["sha256"]
        setups[json.dumps(setup, sort_keys=True)] = setup
    return [setups[text] for text in sorted(setups)]


def _describe(by_seed: dict[int, Episode], suite: Suite) -> Summary:
    """What does not depend on the split: status, speed, and what the labels cost in each unit."""
    episodes = list(by_seed.values())
    picks = sum(len(episode.actions) for episode in episodes)
    seconds = {part: sum(e.seconds[part] for e in episodes) for part in ("policy", "env")}
    return {
        "seeds": sorted(by_seed),
        "oracle": any(episode.oracle for episode in episodes),
        "status": _status(episodes, len(suite.seeds)),
        "rank": None,
        "ms_per_pick": 1000 * seconds["policy"] / picks if picks else None,
        "env_ms_per_pick": 1000 * seconds["env"] / picks if picks else None,
        "cost": {u: np.mean([e.curve[u][-1] for e in episodes]) if episodes else None for u in UNITS},
    }


def _status(episodes: Sequence[Episode], wanted: int) -> str:
    oracle = any(episode.oracle for episode in episodes)
    if len(episodes) < wanted:
        return f"{'oracle, ' if oracle else ''}incomplete: {len(episodes)} of {wanted} seeds"
    if oracle:
        return "oracle: sees labels"
    if wanted < PROVISIONAL_SEEDS:
        return f"not ranked: fewer than {PROVISIONAL_SEEDS} seeds"
    return "ranked" if wanted >= RANKED_SEEDS else "provisional"


def _compare(episodes: dict[str, dict[int, Episode]], split: str, budgets: list[float], baseline: str) -> Summary:
    """Every policy on one split, alone and against the baseline on the seeds that both have."""
    curves = {
        policy: {seed: _curve(episode, split, budgets) for seed, episode in by_seed.items()}
        for policy, by_seed in episodes.items()
    }
    figures = {}
    for policy, by_seed in curves.items():
        worst = [_worst_third(episode, split) for episode in episodes[policy].values()]
        figures[policy] = _figures(np.array(list(by_seed.values())), budgets)
        figures[policy]["worst_third"] = float(np.mean(worst))
        seeds = [seed for seed in by_seed if seed in curves.get(baseline, {})]
        if policy != baseline and seeds:
            x, y = (np.array([curves[name][seed] for seed in seeds]) for name in (policy, baseline))
            figures[policy]["difference"] = _difference(x, y, budgets)
    return figures


def _curve(episode: Episode, split: str, budgets: list[float]) -> np.ndarray:
    return np.interp(budgets, episode.curve["regions"], episode.curve["miou"][split])


def _worst_third(episode: Episode, split: str) -> float:
    """Mean final IoU of the worst third (rounded up, as in the reward) of the classes there are."""
    present = sorted(iou for iou in episode.curve["class_iou"][split][-1] if iou is not None)
    return float(np.mean(present[: -(-len(present) // 3)]))


def _figures(curves: np.ndarray, budgets: list[float]) -> Summary:
    areas = stats.area_under_curve(budgets, curves)
    iqm = stats.stratified_bootstrap(areas[:, None], stats.iqm, BOOTSTRAP_SEED)
    return {
        "final": float(curves[:, -1].mean()),
        "aubc": float(areas.mean()),
        "aubc_per_seed": areas.tolist(),
        "aubc_iqm": iqm._asdict(),
        "curve": [stats.mean_interval(column)._asdict() for column in curves.T],
    }


def _difference(x: np.ndarray, y: np.ndarray, budgets: list[float]) -> Summary:
    """Paired differences of the area and of every point; x and y are (seeds, budgets)."""
    areas = [stats.area_under_curve(budgets, curves) for curves in (x, y)]
    return {
        "aubc": stats.paired_difference(*areas)._asdict(),
        "minimum_detectable": stats.minimum_detectable_difference(*areas),
        "probability_of_improvement": stats.probability_of_improvement(*areas),
        "curve": [stats.mean_interval(column)._asdict() for column in (x - y).T],
    }


def _adjust_pvalues(summary: Summary) -> None:
    """Holm over the comparisons of a table, without oracles: they do not compete."""
    for figures in summary["splits"].values():
        family = [
            f["difference"]["aubc"]
            for policy, f in figures.items()
            if "difference" in f and not summary["policies"][policy]["oracle"]
        ]
        family = [difference for difference in family if difference["p_t"] is not None]
        adjusted = stats.holm([difference["p_t"] for difference in family])
        for difference, p in zip(family, adjusted, strict=True):
            difference["p_holm"] = p


def _rank(summary: Summary) -> None:
    figures = summary["splits"][summary["suite"]["splits"][0]]
    order = sorted(figures, key=lambda policy: -figures[policy]["aubc"])
    summary["policies"] = {
        policy: summary["policies"][policy]
        for policy in [*order, *(p for p in summary["policies"] if p not in figures)]
    }
    entries = [e for e in summary["policies"].values() if e["status"] in ("ranked", "provisional")]
    for rank, entry in enumerate(entries, start=1):
        entry["rank"] = rank


def ranking_table(summary: Summary, split: str) -> list[list[str]]:
    """Header and rows: ranked policies first, then those without a rank, oracles last."""
    at = [_at_fraction(summary["budgets"], fraction) for fraction in (0.25, 0.5, 1)]
    baseline = summary["suite"]["baseline"]
    gains = [f"at {summary['budgets'][i]:g}" for i in at]
    header = ["rank", "policy", "final mIoU", "AUBC", f"AUBC - {baseline}", "p (Holm)", *gains]
    rows = [[*header, "worst third", "ms per pick", "status"]]
    for policy in _in_order(summary):
        entry, f = summary["policies"][policy], summary["splits"][split][policy]
        difference = f.get("difference", {"aubc": {}, "curve": [{}] * len(summary["budgets"])})
        cells = [str(entry["rank"] or ""), policy, _number(f["final"]), _number(f["aubc"], 2)]
        cells += [_plus_minus(difference["aubc"], 2), _pvalue(difference["aubc"].get("p_holm"))]
        cells += [_plus_minus(difference["curve"][i]) for i in at]
        rows.append([*cells, _number(f["worst_third"]), _number(entry["ms_per_pick"], 2), entry["status"]])
    return rows


def budget_table(summary: Summary, split: str) -> list[list[str]]:
    """Rows are policies, columns budgets, cells the mean and the difference to the baseline."""
    fractions = (0.01, 0.25, 0.5, 0.75, 1)
    at = sorted({_at_fraction(summary["budgets"], fraction) for fraction in fractions})
    rows = [["policy", *(f"{summary['budgets'][i]:g} regions" for i in at)]]
    for policy in _in_order(summary):
        f = summary["splits"][split][policy]
        cells = [_number(f["curve"][i]["mean"]) for i in at]
        if "difference" in f:
            gains = [_plus_minus(f["difference"]["curve"][i]) for i in at]
            cells = [f"{cell} ({gain})" for cell, gain in zip(cells, gains, strict=True)]
        rows.append([policy, *cells])
    return rows


def statistics_table(summary: Summary, split: str) -> list[list[str]]:
    """Robust figures beside the means, and what difference the seeds could have shown."""
    header = ["policy", "IQM of AUBC [95 %]", "P(improvement)", "p (Wilcoxon)", "detectable"]
    rows = [header]
    for policy in _in_order(summary):
        f = summary["splits"][split][policy]
        cells = [policy, "{mean:.2f} [{low:.2f}, {high:.2f}]".format(**f["aubc_iqm"])]
        if "difference" in f:
            d = f["difference"]
            note = " (observed is smaller)" if abs(d["aubc"]["mean"]) < d["minimum_detectable"] else ""
            cells += [_number(d["probability_of_improvement"], 2), _pvalue(d["aubc"]["p_wilcoxon"])]
            cells.append(_number(d["minimum_detectable"], 2) + note)
        rows.append(cells + ["-"] * (len(header) - len(cells)))
    return rows


def cost_table(summary: Summary) -> list[list[str]]:
    """What the labels of an episode cost in every unit, and the environment's time."""
    rows = [["policy", *UNITS, "environment ms per pick"]]
    for policy in _in_order(summary):
        entry = summary["policies"][policy]
        cost = [f"{entry['cost'][unit]:,.0f}" for unit in UNITS]
        rows.append([policy, *cost, _number(entry["env_ms_per_pick"], 1)])
    return rows


def _at_fraction(budgets: list[float], fraction: float) -> int:
    """The first evaluation at or beyond a fraction of the budget."""
    return int(np.searchsorted(budgets, fraction * budgets[-1]))


def _in_order(summary: Summary) -> list[str]:
    shown = {policy: entry for policy, entry in summary["policies"].items() if entry["seeds"]}
    return sorted(shown, key=lambda policy: (shown[policy]["oracle"], shown[policy]["rank"] is None))


def _number(value: float | None, digits: int = 1, sign: str = "") -> str:
    missing = value is None or math.isnan(value)
    return "-" if missing else f"{value:{sign}.{digits}f}"


def _plus_minus(difference: Summary, digits: int = 1) -> str:
    if not difference:
        return "-"
    half_width = (difference["high"] - difference["low"]) / 2
    return f"{_number(difference['mean'], digits, '+')} ± {_number(half_width, digits)}"


def _pvalue(p: float | None) -> str:
    return "-" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def write_report(summary: Summary, out: Path) -> None:
    """Write leaderboard.json, leaderboard.md, curves.png and curves.svg."""
    text = json.dumps(_null_nan(summary), indent=1, sort_keys=True, allow_nan=False)
    (out / "leaderboard.json").write_text(text + "\n", encoding="utf-8")
    (out / "leaderboard.md").write_text(to_markdown(summary), encoding="utf-8")
    figure = draw_curves(summary)
    figure.savefig(out / "curves.png", dpi=150)
    with matplotlib.rc_context({"svg.hashsalt": "alenv"}):  # equal results give equal files
        figure.savefig(out / "curves.svg", metadata={"Date": None})


def _null_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _null_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_null_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_markdown(summary: Summary) -> str:
    """The report as one Markdown page."""
    parts = [_header(summary)]
    for split in summary["suite"]["splits"]:
        parts += [f"## Split: {split}", _markdown(ranking_table(summary, split))]
        parts += [
            "mIoU and difference at a handful of budgets:",
            _markdown(budget_table(summary, split)),
        ]
        parts += ["Robust statistics:", _markdown(statistics_table(summary, split))]
    parts += ["## What the labels cost", _markdown(cost_table(summary)), _notes(summary)]
    return "\n\n".join(parts) + "\n"


def _header(summary: Summary) -> str:
    suite = summary["suite"]
    given = " to ".join(f"{n:,}" for n in sorted({min(summary["labels_given"]), max(summary["labels_given"])}))
    lines = [
        f"# Leaderboard: {suite['name']}",
        "",
        f"- Environment: `{suite['env']}` with `{json.dumps(suite['kwargs'], sort_keys=True)}`",
        f"- Seeds: {len(suite['seeds'])} ({', '.join(map(str, suite['seeds']))})",
        f"- Labels given outside the budget: {given} pixels per episode",
    ]
    if len(summary["setups"]) > 1:
        lines.append(f"- **Not comparable: the episodes come from {len(summary['setups'])} set-ups**")
    lines += [f"- Set-up: {_shorten(setup)}" for setup in summary["setups"]]
    missing = [p for p, entry in summary["policies"].items() if not entry["seeds"]]
    if missing:
        lines.append(f"- **No finished episode: {', '.join(missing)}**")
    return "\n".join([*lines, "", "![budget curves](curves.png)"])


def _shorten(setup: dict[str, Any], width: int = 120) -> str:
    """Versions and data hashes; the arguments are told with the environment."""
    values = {k: json.dumps(v) if isinstance(v, dict) else v for k, v in setup.items()}
    return ", ".join(f"{k} `{str(v)[:width]}`" for k, v in values.items() if k != "arguments")


def _markdown(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _notes(summary: Summary) -> str:
    suite = summary["suite"]
    return f"""## How to read this

- IoU in points (0 to 100), means over seeds. AUBC: area under mIoU against labelled regions
  (trapezoid), divided by the range of the budget. A curve that ends early keeps its last value.
- Differences are to `{suite["baseline"]}`, paired by seed: mean ± half the width of the 95 %
  t-interval. p: paired t-test on AUBC, Holm-adjusted over the policies of the table without
  oracles; none below {stats.MIN_SEEDS_FOR_P} seeds.
- Rank: by AUBC on `{suite["splits"][0]}`, from {RANKED_SEEDS} seeds; provisional from
  {PROVISIONAL_SEEDS}. A policy with missing seeds has no rank, nor has an oracle, which sees labels
  that were not bought.
- Time per pick: the policy's own. The channels that it asks for are computed by the environment,
  whose time stands under what the labels cost.
- Worst third: mean final IoU of the worst third of the classes, chosen in each episode.
- IQM: mean of the middle half of the seeds, with its 95 % bootstrap interval (generator seed
  {summary["bootstrap_seed"]}). P(improvement): share of pairs of seeds in which the policy has the
  larger AUBC. Detectable: the difference that a paired test at 5 % finds with 80 % power."""


def print_ranking(summary: Summary, console: Console) -> None:
    """Print the ranking on the first split."""
    split = summary["suite"]["splits"][0]
    header, *rows = ranking_table(summary, split)
    shown = [*range(5), len(header) - 1]  # the whole table is too wide for a terminal
    table = Table(title=f"{summary['suite']['name']}: {split}", box=box.SIMPLE, padding=0)
    for i in shown:
        justify = "left" if header[i] in ("policy", "status") else "right"
        table.add_column(header[i], justify=justify, no_wrap=i in (1, 4))
    for row in rows:
        table.add_row(*(row[i] for i in shown))
    console.print(table)


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
    for policy in _in_order(summary):
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
