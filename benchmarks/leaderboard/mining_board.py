"""Suites on SingleClassMine: what is missing, and the report."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
from rich.console import Console

from benchmarks.leaderboard.mining import load_pool, positives, read_finished
from benchmarks.leaderboard.mining_report import print_ranking, write_report
from benchmarks.leaderboard.mining_summary import summarize
from benchmarks.leaderboard.suite import Suite
from benchmarks.terminal import say
from benchmarks.workers import Call


def missing(suite: Suite, out: Path, console: Console) -> list[Call]:
    """Return what is to be run, after a check that it can be.

    The environment is used once, so that the workers find the caches built, and so that a wrong value shows before
    anything runs.
    """
    counts = positives(suite, load_pool(suite))
    if not counts:
        least = suite.kwargs.get("positives", 1)
        raise ValueError(f"no class of the pool has more than positives={least} images; use fewer")
    finished = read_finished(suite, out, list(counts))
    for path, cause in finished.damaged.items():
        say(console, f"damaged, runs again: {path} ({cause})")
    if finished.missing:
        say(console, f"preparing {suite.env} ...")
        env = gym.make(suite.env, **suite.kwargs, budget=max(suite.budgets))
        env.reset(seed=suite.seeds[0])
        env.close()
    return finished.missing


def report(suite: Suite, out: Path, console: Console) -> None:
    """Write the report on all finished records."""
    pool = load_pool(suite)
    counts = positives(suite, pool)
    records = read_finished(suite, out, list(counts)).records
    if not any(records.values()):
        say(console, "no run finished, so there is no report")
        return
    summary = summarize(suite, pool, counts, records)
    write_report(summary, out)
    print_ranking(summary, console)
    say(console, f"report: {out / 'leaderboard.md'}")
