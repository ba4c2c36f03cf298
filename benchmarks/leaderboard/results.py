"""The values of a summary as a tidy table: one line for every policy, measure and seed (or class)."""

from __future__ import annotations

import csv
import io
import math

from benchmarks.leaderboard.suite import Suite
from benchmarks.leaderboard.task import Summary
from benchmarks.leaderboard.tasks import make_task

HEADER = ("suite", "env", "view", "measure", "policy", "unit", "of", "value")


def to_csv(suite: Suite, summary: Summary) -> str:
    """Return the table as CSV; ``unit`` is what differences are paired by, ``of`` which one. Unknown ones are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for view, found in summary["views"].items():
        for measure, figures in found["measures"].items():
            for policy, entry in figures.items():
                for of, value in entry["by_unit"].items():
                    shown = "" if math.isnan(value) else value
                    writer.writerow([suite.name, suite.env, view, measure, policy, make_task(suite).unit, of, shown])
    return text.getvalue()
