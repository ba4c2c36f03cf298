"""Pictures of what a policy picked in one episode: its actions are taken again, and what is there to see is drawn."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from agents.episode import Episode
from agents.play import play
from agents.replay import Replay
from alenv.outside import decode_json
from alenv.state import code_digest
from benchmarks.jobs import Job, record_path
from benchmarks.names import folder

FRAMES = 6
"""Pictures of an episode."""
WIDTH, QUALITY = 480, 70
"""Of a picture: its width at most, in pixels, and how WebP keeps it, of 100."""

Info = dict[str, Any]


@dataclass(frozen=True)
class Frame:
    """A picture as a data URI, with its size in pixels, and what was measured there."""

    caption: str
    picture: str
    width: int
    height: int


@dataclass
class Camera:
    """Takes pictures where an episode has points of its curves; it measures nothing (see ``agents.recorders``)."""

    episode: Episode
    frames: list[Frame] = field(default_factory=list)
    costs: dict[str, list[int]] = field(default_factory=dict)
    metrics: dict[str, list[float | None]] = field(default_factory=dict)
    class_metrics: dict[str, list[list[float | None]]] = field(default_factory=dict)
    given: dict[str, int] = field(default_factory=dict)

    def start(self, env: gym.Env, info: Info) -> None:
        """Choose the points: some of all, evenly, the last one among them."""
        self._unit, bought = next(iter(self.episode.costs.items()))
        last = len(bought) - 1
        points = np.linspace(last / min(FRAMES, last), last, min(FRAMES, last)).round().astype(int) if last else []
        self._points, self._bought = {bought[point]: int(point) for point in points}, 0

    def step(self, env: gym.Env, info: Info) -> None:
        """Take a picture at a point."""
        self._bought += int(np.min(info["picked"]) >= 0)
        point = self._points.pop(self._bought, None)
        if point is not None:
            self.frames.append(_frame(self._caption(point), env.render()))

    def end(self, info: Info) -> None:
        """Nothing is left."""

    def _caption(self, point: int) -> str:
        values = {name: values[point] for name, values in self.episode.metrics.items()}
        told = [f"{_words(name)} {value:.4g}" for name, value in values.items() if value is not None]
        return f"{self._bought} {self._unit}: {', '.join(told)}"


def film_job(policy: str, episode: Episode, out: Path) -> Job[list[Frame]]:
    """Return the job that makes the pictures of an episode of a policy, or finds them made."""
    trace = episode.env_id, episode.kwargs, episode.options, episode.seed, episode.actions
    inputs = [*trace, FRAMES, WIDTH, code_digest()]
    path = record_path(out / "films", folder(policy), inputs)
    return Job(f"pictures of {policy}", path, partial(_written, episode), partial(decode_json, list[Frame]))


def _written(episode: Episode) -> str:
    return msgspec.json.encode(film(episode)).decode()


def film(episode: Episode) -> list[Frame]:
    """Return pictures of an episode.

    Args:
        episode: Its actions are taken again in an environment made from its id and arguments.
    """
    camera = Camera(episode)
    kwargs = {**episode.kwargs, "render_mode": "rgb_array"}
    for _ in play(Replay(episode), episode.env_id, kwargs, [episode.seed], lambda: camera, episode.options):
        pass
    return camera.frames


def _words(name: str) -> str:
    metric, _, split = name.partition("/")
    return f"mIoU on {split}" if metric == "miou" else metric.replace("_", " ")


def _frame(caption: str, pixels: NDArray[np.uint8]) -> Frame:
    picture, buffer = Image.fromarray(pixels), io.BytesIO()
    picture.thumbnail((WIDTH, WIDTH * 4))
    picture.save(buffer, "webp", quality=QUALITY)
    code = base64.b64encode(buffer.getvalue()).decode()
    return Frame(caption, f"data:image/webp;base64,{code}", picture.width, picture.height)
