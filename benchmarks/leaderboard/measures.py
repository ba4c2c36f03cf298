"""What is measured of an episode on RegionSelect: one number each."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.stats import entropy

from agents.episode import Episode
from benchmarks import stats
from benchmarks.leaderboard.task import Array, Episodes

ALL_LABELS = "all labels"
"""Pixels bought and given, as a cost; its logarithm counts."""


def curve(episode: Episode, split: str, grid: list[float], unit: str = "regions") -> Array:
    """Return the mIoU of an episode at some costs; past its end it keeps its last value."""
    return np.interp(grid, costs(episode, unit), episode.metrics[f"miou/{split}"])


def costs(episode: Episode, unit: str) -> Array:
    """Return what had been labelled at each point, in a unit of cost, or in ``ALL_LABELS``."""
    if unit == ALL_LABELS:
        return np.log10(np.array(episode.costs["pixels"], float) + max(episode.given.get("pixels", 0), 1))
    return np.array(episode.costs[unit], float)


def common_ends(episodes: Episodes, unit: str) -> tuple[float, float]:
    """Return the largest first cost and the smallest last cost of all episodes: what they have in common."""
    ends = [costs(episode, unit)[[0, -1]] for found in episodes.values() for episode in found]
    return (max(first for first, _ in ends), min(last for _, last in ends)) if ends else (0.0, 0.0)


def area(episode: Episode, split: str, unit: str, ends: tuple[float, float]) -> float:
    """Return the area under mIoU against a cost between two costs, divided by their distance; NaN if there is none."""
    low, high = ends
    if high <= low:
        return float("nan")
    own = costs(episode, unit)
    grid = [low, *(cost for cost in own if low < cost < high), high]
    return float(stats.area_under_curve(grid, curve(episode, split, grid, unit)))


def worst_classes(episode: Episode, split: str, share: float) -> float:
    """Return the mean final IoU of a share (rounded up, as in the reward) of the classes there are, the worst ones."""
    present = sorted(iou for iou in episode.class_metrics[f"class_iou/{split}"][-1] if iou is not None)
    return float(np.mean(present[: max(int(np.ceil(share * len(present) - 1e-9)), 1)]))


def label_entropy(episode: Episode) -> float:
    """Return the entropy of the classes of the bought pixels, as a share of its largest; NaN if none are known."""
    bought = np.array(episode.class_metrics.get("pixels", [[0]])[-1], float)
    return float(entropy(bought) / np.log(len(bought))) if bought.sum() else float("nan")


def redundancy(episode: Episode) -> float:
    """Return the share of picks that are in an image from which the same round had picked before; NaN without picks."""
    bought = [pick[0] for pick in episode.picked if pick[0] >= 0]
    ends = [end for end in episode.costs["regions"] if end <= len(bought)]
    distinct = sum(len(set(bought[a:b])) for a, b in pairwise(ends))
    return 1 - distinct / len(bought) if bought else float("nan")
