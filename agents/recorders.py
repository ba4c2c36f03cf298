"""What records the curves of an episode while it is played: here, where no policy looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Protocol

import gymnasium as gym
import numpy as np

from agents.episode import Episode
from alenv import mining
from alenv.metrics import class_iou, mean_iou

if TYPE_CHECKING:
    from alenv.mining.target import Target

Info = dict[str, Any]


class Recorder(Protocol):
    """Measures an episode: metrics over costs, see ``Episode``."""

    costs: dict[str, list[int]]
    metrics: dict[str, list[float | None]]
    class_metrics: dict[str, list[list[float | None]]]
    given: dict[str, int]

    def start(self, env: gym.Env, info: Info) -> None:
        """Measure what there is before the first action."""

    def step(self, env: gym.Env, info: Info) -> None:
        """Take note of an action, and measure if it is time."""

    def end(self, info: Info) -> None:
        """Measure what is left to measure."""


class RegionRecorder:
    """Costs, IoU and bought labels at the start and after every round.

    Args:
        splits: What is evaluated besides the reward split.
    """

    units = {  # noqa: RUF012 - as they are called in ``info``
        "regions": "labelled_regions",
        "pixels": "labelled_pixels",
        "clicks": "cost_clicks",
        "images": "images_opened",
    }

    def __init__(self, splits: Sequence[str]) -> None:
        self._splits = tuple(dict.fromkeys(("reward", *splits)))
        self.costs: dict[str, list[int]] = {unit: [] for unit in self.units}
        self.metrics: dict[str, list[float | None]] = {f"miou/{split}": [] for split in self._splits}
        self.class_metrics: dict[str, list[list[float | None]]] = {f"class_iou/{split}": [] for split in self._splits}
        self.class_metrics["pixels"] = []
        self.given: dict[str, int] = {}

    def start(self, env: gym.Env, info: Info) -> None:
        """Accuracy the initial labels."""
        self.given["pixels"] = int(info["labels_given"])
        self._add(env, info)

    def step(self, env: gym.Env, info: Info) -> None:
        """Accuracy after the last pick of a round."""
        if info["round"] > self._round:
            self._add(env, info)

    def end(self, info: Info) -> None:
        """Nothing is left: the last pick ends a round."""

    def _add(self, env: gym.Env, info: Info) -> None:
        self._round = info["round"]
        for unit, key in self.units.items():
            self.costs[unit].append(int(info[key]))
        self.class_metrics["pixels"].append([int(n) for n in info["class_pixels"]])
        for split in self._splits:
            confusion = env.unwrapped.evaluate(split)  # type: ignore[attr-defined]
            self.metrics[f"miou/{split}"].append(mean_iou(confusion))
            by_class = [None if np.isnan(v) else 100 * float(v) for v in class_iou(confusion)]
            self.class_metrics[f"class_iou/{split}"].append(by_class)


class MiningRecorder:
    """Gain and what was found of the class at the start and at some numbers of bought images.

    Args:
        budgets: These numbers; an episode that ends before has its last point where it ends.
        kwargs: Arguments of the environment. Heads are trained on what was mined, if the dataset has images.
    """

    def __init__(self, budgets: Sequence[int], kwargs: dict[str, Any]) -> None:
        self._budgets, self._target = set(budgets), _find_target(kwargs)
        self.costs: dict[str, list[int]] = {"images": []}
        self.metrics: dict[str, list[float | None]] = {name: [] for name in ("gain", "pixels", "positives")}
        self.class_metrics: dict[str, list[list[float | None]]] = {}
        self.given: dict[str, int] = {}

    def start(self, env: gym.Env, info: Info) -> None:
        """Take note of the seed images."""
        self._labelled = [int(image) for image in env.unwrapped.labelled]  # type: ignore[attr-defined]
        self.given["images"] = len(self._labelled)
        self._first = int(info["quantity"]), int(info["positives"])
        self._add(info)

    def step(self, env: gym.Env, info: Info) -> None:
        """Take note of an image, and measure at a budget."""
        if info["picked"] >= 0:
            self._labelled.append(int(info["picked"]))
            if self._bought in self._budgets:
                self._add(info)

    def end(self, info: Info) -> None:
        """Measure where the episode ended, and train the heads."""
        if self.costs["images"][-1] < self._bought:
            self._add(info)
        if self._target is not None:
            lengths = [self.given["images"] + bought for bought in self.costs["images"][1:]]
            found = self._target.evaluate_prefixes(self._labelled, lengths, info["target_class"])
            for name in ("iou", "average_precision"):
                self.metrics[name] = [None, *(_in_points(getattr(one, name)) for one in found)]

    @property
    def _bought(self) -> int:
        return len(self._labelled) - self.given["images"]

    def _add(self, info: Info) -> None:
        self.costs["images"].append(self._bought)
        self.metrics["gain"].append(float(info["gain"]))
        for name, key, first in zip(("pixels", "positives"), ("quantity", "positives"), self._first, strict=True):
            self.metrics[name].append(int(info[key]) - first)


def _in_points(share: float) -> float | None:
    return None if np.isnan(share) else 100 * float(share)


def like(episode: Episode) -> Callable[[], Recorder]:
    """Return what makes a recorder of the same curves as an episode has, at the same points."""
    splits = [name.partition("/")[2] for name in episode.metrics if name.startswith("miou/")]
    if splits:
        return partial(RegionRecorder, splits)
    return partial(MiningRecorder, episode.costs["images"][1:], episode.kwargs)


def _find_target(kwargs: dict[str, Any]) -> Target | None:
    """Return what trains and evaluates heads on mined images; None for generated embeddings, which have no images."""
    place = kwargs.get("dataset", "mixture"), kwargs.get("root"), kwargs.get("embeddings")
    return None if mining.check_name(*place)[1] else _load_target(*place)


@cache
def _load_target(dataset: str, root: str | None, backbone: str | None) -> Target:
    from alenv.mining.target import Target  # it takes seconds to import

    return Target(dataset, root, backbone)
