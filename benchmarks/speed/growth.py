"""How time and memory of a labelling round grow with what there is of everything.

Rounds of 24 picks on data that are made up, at four sizes of one thing while all else stays. Time is processor time,
the least of some rounds: others on the machine can only add to it. Memory is the peak of the process during these
rounds, less what it held after its imports. Exponents are of the power of the size that each grows with: fitted to all
sizes, and between the last two, as a part that is constant makes the others flat.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.table import Table

from alenv.data import load
from alenv.segmenters.features import cell_features
from benchmarks.speed import made

PICKS, ROUNDS = 24, 3
LINEAR = 1.2
"""Exponents above this are marked: measurements are not exact."""
MARKERS = ("o", "s", "^", "D")
# Okabe and Ito's colours for all kinds of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")

Setting = tuple[int, int, dict[str, Any]]
"""Images of the pool, classes, arguments of the environment."""


@dataclass(frozen=True)
class Point:
    """What rounds take at one size."""

    seconds: float
    mib: float


def _setting(images: int = 1000, classes: int = 11, **kwargs: Any) -> Setting:
    return images, classes, {"initial": "random:100", "segmenter": "lda", **kwargs}


CANDIDATES, LABELLED = (480, 1920, 7680, 25608), (100, 1000, 3000, 10000)
IMAGES, CLASSES = (100, 500, 2500, 10000), (2, 11, 59, 171)
ENOUGH = 3500
"""Images that hold the candidates of all rounds."""
CURVES: dict[str, tuple[tuple[int, ...], Callable[[int], Setting]]] = {
    "candidates, compact": (CANDIDATES, lambda n: _setting(ENOUGH, candidates=n // PICKS)),
    "candidates, ralis": (CANDIDATES, lambda n: _setting(ENOUGH, candidates=n // PICKS, observation="ralis")),
    "labelled regions, lda": (LABELLED, lambda n: _setting(ENOUGH, initial=f"random:{n}")),
    "labelled regions, linear": (LABELLED, lambda n: _setting(ENOUGH, initial=f"random:{n}", segmenter="linear")),
    "labelled regions, ralis": (LABELLED, lambda n: _setting(ENOUGH, initial=f"random:{n}", observation="ralis")),
    "labelled pixels, lda": (LABELLED, lambda n: _setting(initial=f"random:{n}", region="pixel")),
    "labelled pixels, linear": (
        LABELLED,
        lambda n: _setting(initial=f"random:{n}", region="pixel", segmenter="linear"),
    ),
    "images, regions": (IMAGES, lambda n: _setting(n)),
    "images, pixels": (IMAGES, lambda n: _setting(n, region="pixel")),
    "classes, lda": (CLASSES, lambda n: _setting(classes=n, initial="random:500")),
    "classes, linear": (CLASSES, lambda n: _setting(classes=n, initial="random:500", segmenter="linear")),
}
"""What grows, and how: sizes, and the setting of each."""


def prepare(images: int, classes: int) -> None:
    """Make data and their features, so that no measured process has to."""
    made.choose(images, classes)
    cell_features(load("made"), made.Made.cell, "filterbank", None)


def measure(name: str, size: int) -> Point:
    """Measure some rounds, after one that is not counted.

    Raises:
        FileNotFoundError: If the system does not tell the memory of a process.
    """
    before = _mib("VmRSS")
    images, classes, kwargs = CURVES[name][1](size)
    made.choose(images, classes)
    env = gym.make(
        "alenv:RegionSelect-v0", dataset="made", picks=PICKS, budget=PICKS * (ROUNDS + 2), **kwargs
    ).unwrapped
    env.reset(seed=0)
    _play(env)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is from now on
    seconds = min(_play(env) for _ in range(ROUNDS))
    return Point(seconds, _mib("VmHWM") - before)


def _play(env: Any) -> float:
    """Play a round and return its seconds."""
    start = time.process_time()
    for _ in range(PICKS):
        env.step(0)
    return time.process_time() - start


def _mib(field: str) -> float:
    """Return a figure of this process's memory."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(rf"^{field}:\s*(\d+) kB", status, re.MULTILINE)[0]) / 1024


def exponents(sizes: tuple[int, ...], values: list[float]) -> tuple[float, float]:
    """Return the power of the size that values grow with: fitted to all, and between the last two."""
    x, y = np.log(sizes), np.log(np.maximum(values, 1e-9))
    return float(np.polyfit(x, y, 1)[0]), float((y[-1] - y[-2]) / (x[-1] - x[-2]))


def table(name: str, points: list[Point]) -> Table:
    """Lay out one curve."""
    sizes = CURVES[name][0]
    out = Table(title=name)
    for column in ("", *(f"{size:,}" for size in sizes), "exponent", "at the end"):
        out.add_column(column, justify="right")
    for unit, values in (("ms", [1000 * p.seconds for p in points]), ("MiB", [p.mib for p in points])):
        powers = exponents(sizes, values)
        worse = "red" if max(powers) > LINEAR else None
        out.add_row(unit, *(f"{value:,.1f}" for value in values), *(f"{p:.2f}" for p in powers), style=worse)
    return out


def draw(curves: dict[str, list[Point]]) -> Figure:
    """One column for each thing that grows, time above memory; dashes are linear from the largest size down."""
    things = list(dict.fromkeys(_parts(name)[0] for name in curves))
    figure = Figure(figsize=(3.2 * len(things), 6), layout="constrained")
    axes = figure.subplots(2, len(things), squeeze=False, sharex="col")
    for column, thing in enumerate(things):
        named = {_parts(name)[1]: name for name in curves if _parts(name)[0] == thing}
        sizes = np.array(CURVES[next(iter(named.values()))][0])
        _draw(axes[0, column], sizes, {kind: [1000 * p.seconds for p in curves[name]] for kind, name in named.items()})
        _draw(axes[1, column], sizes, {kind: [p.mib for p in curves[name]] for kind, name in named.items()})
        axes[0, column].legend(frameon=False, fontsize="small")
        axes[0, column].set(title=thing, ylabel="" if column else "ms of a round")
        axes[1, column].set(xlabel=thing, ylabel="" if column else "MiB at the peak")
    return figure


def _draw(axis: Axes, sizes: NDArray[np.int64], values: dict[str, list[float]]) -> None:
    for (label, line), colour, marker in zip(values.items(), COLOURS, MARKERS, strict=False):
        axis.loglog(sizes, line, color=colour, marker=marker, markersize=4, label=label)
        axis.loglog(sizes, line[-1] * sizes / sizes[-1], color=colour, linewidth=0.8, linestyle="--")
    everything = np.concatenate(list(values.values()))
    axis.set_ylim(everything.min() / 1.5, everything.max() * 1.5)
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)


def _parts(name: str) -> tuple[str, str]:
    """Split the name of a curve into what grows, and the kind of round."""
    thing, _, kind = name.partition(", ")
    return thing, kind
