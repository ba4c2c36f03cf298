"""Full supervision: what the model of a suite reaches if the whole pool is labelled at once."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import gymnasium
import numpy as np

from agents.episode import Episode
from agents.play import Observation, play
from agents.recorders import Info
from alenv.data import load
from alenv.state import code_digest
from benchmarks.jobs import Job, record_path
from benchmarks.leaderboard.episodes import FORMAT, write_record
from benchmarks.leaderboard.suite import Suite
from benchmarks.leaderboard.task import Part
from benchmarks.leaderboard.tasks import make_task


class FullSupervision:
    """Plays an episode in which nothing is left to pick."""

    name = "full supervision"
    scores: tuple[str, ...] = ()
    oracle = False

    def reset(self, seed: int) -> None:
        """Nothing to prepare."""

    def act(self, obs: Observation, info: Info) -> int:
        """Never asked."""
        raise AssertionError("all is labelled")


def full_job(suite: Suite, out: Path) -> list[Job[Episode]]:
    """Return what trains the model on the whole pool, with the first seed; nothing if the suite does not ask for it."""
    if not suite.full_supervision:
        return []
    part = make_task(suite).parts()[0]
    inputs = [FORMAT, suite.env, part.kwargs, part.seeds, suite.splits, code_digest(), suite.sources]
    path = record_path(out / "reference", "full_supervision", inputs)
    return [Job("full supervision", path, partial(_play, suite.env, part), Episode.from_json)]


def _play(env_id: str, part: Part) -> str:
    env = gymnasium.make(env_id, **part.kwargs)
    arguments = env.unwrapped.fingerprint()["arguments"]  # type: ignore[attr-defined]
    env.close()
    pool = load(arguments["dataset"], part.kwargs.get("root"), arguments["split"]).splits[arguments["pool"]]
    options = {"initial_images": np.asarray(pool).tolist()}
    return write_record(play(FullSupervision(), env_id, part.kwargs, part.seeds, part.make_recorder, options))
