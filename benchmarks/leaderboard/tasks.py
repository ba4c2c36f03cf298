"""Which kind of environment a suite is on."""

from __future__ import annotations

from agents.environments import mines
from benchmarks.leaderboard.mining import MiningTask
from benchmarks.leaderboard.regions import RegionTask
from benchmarks.leaderboard.suite import Suite
from benchmarks.leaderboard.task import Task


def make_task(suite: Suite) -> Task:
    """Return what the environment of a suite contributes to the leaderboard."""
    return MiningTask(suite) if mines(suite.env) else RegionTask(suite)
