"""Measure and fit how the accuracy of a class grows with the pixels of it that were labelled.

Writes ``curves.json`` (class -> form and parameters, for ``gain="curve"``), ``points.json`` and ``curves.png``.
A run can be killed at any moment; the same command goes on where it stopped.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import matplotlib
import msgspec
import numpy as np
import tyro
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from alenv.data.store import key
from alenv.files import write_whole
from alenv.mining import curves
from alenv.mining.embedded import EmbeddedImages
from alenv.mining.embeddings import embed_dataset
from alenv.mining.target import Target
from alenv.outside import Count, Share, decode_json
from benchmarks.command import check_jobs, command, make_folder, refusing, writing
from benchmarks.files import null_nan, write_figure
from benchmarks.jobs import Job, find_finished, record_path, run_all
from benchmarks.names import shortened
from benchmarks.terminal import say

MEASURES = ("iou", "average_precision")
VERSION = 1
"""Part of what names the measured points: raise it when ``alenv.mining.target`` or its head change."""
SHOWN = 12
"""Classes in the picture: the most frequent ones."""


@dataclass(frozen=True)
class Args:
    """Measure quantity-accuracy curves."""

    dataset: str = "ccp"
    """a dataset with masks, such as ccp, camvid or scenes"""
    root: str | None = None
    """where it lies, if not in the usual places"""
    backbone: str | None = None
    """frozen network of embeddings and cells (default: squeezenet1_0), or filterbank"""
    out: Path | None = None
    """folder of the results (default: results/curves-<dataset>)"""
    classes: tuple[str, ...] = ()
    """measure these only (default: all that occur in policy and test images)"""
    jobs: int = 1
    """classes at the same time, one thread each"""


class Point(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A set of images and the accuracy of the head that was trained on it; None where the class cannot be tested."""

    protocol: Literal["sizes", "random", "forced"]
    images: Count
    positives: Count
    pixels: Count
    iou: Share | None
    average_precision: Share | None


Measured = dict[str, list[dict[str, Any]]]


@command
def main(args: Args) -> int:
    """Measure what is missing, fit, and return the exit status.

    0: all is measured; 1: some classes failed; 2: arguments are wrong, or out takes no files; 130: interrupted.
    """
    console = Console()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("alenv").setLevel(logging.INFO)  # embedding takes minutes: say what it does
    out = args.out or Path("results") / f"curves-{args.dataset}"
    with refusing():
        check_jobs(args.jobs)
        embedded = embed_dataset(args.dataset, args.root, args.backbone)
        target = Target(args.dataset, args.root, args.backbone)  # the workers find its cache built
        jobs = _jobs(args, embedded, target, out)
        make_folder(out)
    if not run_all(find_finished(jobs).missing, args.jobs, console):
        return 1
    with writing(out):
        records = find_finished(jobs).records
        _report(embedded, {job.name: records[job.path] for job in jobs}, out, console)
    return 0


def _jobs(args: Args, embedded: EmbeddedImages, target: Target, out: Path) -> list[Job[list[dict[str, Any]]]]:
    """Return the measuring of every class, named by it."""
    names = args.classes or _occurring(embedded)
    for name in names:
        curves.quantities(embedded, name)  # an unknown class shows before anything is measured
    inputs = [target.manifest, embedded.splits["train"].tolist()]
    inputs += [curves.SIZES, curves.SIZE, curves.FORCED, curves.REPEATS, VERSION]
    digest = key(*inputs)
    return [
        Job(
            name,
            record_path(out / "points", f"{embedded.classes.index(name):03d}", digest),
            partial(_measure, args, embedded, name),
            _read,
        )
        for name in names
    ]


def _occurring(embedded: EmbeddedImages) -> list[str]:
    held = {name: curves.quantities(embedded, name) for name in embedded.classes}
    return [name for name, n in held.items() if all(n[embedded.splits[part]].any() for part in ("train", "test"))]


def _measure(args: Args, embedded: EmbeddedImages, name: str) -> str:
    target = Target(args.dataset, args.root, args.backbone)
    return json.dumps(null_nan(curves.measure(embedded, target, name)))


def _read(text: str) -> list[dict[str, Any]]:
    """Read the points of a class.

    Raises:
        ValueError: If they are none.
    """
    points = decode_json(list[Point], text)
    return [{k: np.nan if v is None else v for k, v in msgspec.structs.asdict(point).items()} for point in points]


def _report(embedded: EmbeddedImages, points: Measured, out: Path, console: Console) -> None:
    fitted = {name: curves.curve(points.get(name, []), curves.typical(embedded, name)) for name in embedded.classes}
    for name, value in (("curves", fitted), ("points", points)):
        write_whole(out / f"{name}.json", json.dumps(null_nan(value), indent=1))
    write_figure(out / "curves.png", draw(points, fitted))
    console.print(_correlations(points), _forms(embedded, points))
    say(console, f"curves: {out / 'curves.json'}")


def _correlations(points: Measured) -> Table:
    table = Table("protocol", *MEASURES, "iou with images", title="median over classes of Spearman's correlation")
    for protocol in curves.REPEATS:
        kinds = [(measure, "pixels") for measure in MEASURES] + [("iou", "positives")]
        values = [[curves.rank_correlation(p, protocol, *kind) for p in points.values()] for kind in kinds]
        table.add_row(protocol, *(_median(column) for column in values))
    return table


def _median(values: Sequence[float]) -> str:
    """Write the median of the finite values, and how many these are."""
    finite = [value for value in values if np.isfinite(value)]
    return f"{np.median(finite):.2f} ({len(finite)})" if finite else "-"


def _forms(embedded: EmbeddedImages, points: Measured) -> Table:
    table = Table("form", *MEASURES, title="median over classes of the cross-validated R2 (classes where it is best)")
    scale = {name: curves.typical(embedded, name) for name in points}
    fitted = {measure: [curves.curve(p, scale[name], measure) for name, p in points.items()] for measure in MEASURES}
    for form in curves.FORMS:
        cells = []
        for entries in fitted.values():
            r2 = [entry["r2"][form] for entry in entries if entry["r2"]]
            best = sum(entry["form"] == form and not entry["fallback"] for entry in entries)
            cells.append(f"{np.median(r2) if r2 else np.nan:.2f} ({best})")
        table.add_row(form, *cells)
    return table


@matplotlib.rc_context({"text.parse_math": False})  # the dollars of a name
def draw(points: Measured, fitted: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draw sets and curves of the most frequent classes."""
    names = sorted(points, key=lambda name: -max(point["pixels"] for point in points[name]))[:SHOWN]
    rows = -(-len(names) // 4)
    figure = Figure(figsize=(12, 2.6 * max(1, rows)), layout="constrained")
    for axis, name in zip(figure.subplots(max(1, rows), 4, squeeze=False).ravel(), names, strict=False):
        for protocol, colour in zip(curves.REPEATS, ("#0072B2", "#E69F00", "#009E73"), strict=True):
            sets = [(p["pixels"], 100 * p["iou"]) for p in points[name] if p["protocol"] == protocol]
            axis.plot(*zip(*sets, strict=True), ".", color=colour, label=protocol, markersize=4)
        n = np.linspace(0, max(point["pixels"] for point in points[name]), 200)
        curve = fitted[name]
        if not curve["fallback"]:
            axis.plot(n, 100 * curves.evaluate(curve["form"], curve["parameters"], n), "k-", linewidth=1.2)
        axis.set_title(f"{shortened(name, 24)}: {curve['form']}", fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("labelled pixels of the class")
    figure.supylabel("IoU on test images (points)")
    if figure.axes:
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return figure


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args, description=__doc__)))
