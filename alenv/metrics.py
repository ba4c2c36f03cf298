"""Intersection over union from a confusion matrix, and the rewards made of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from alenv.errors import unknown

Confusion = NDArray[np.int64]
"""(C, C) pixel counts: rows are predictions, columns are labels."""


def class_iou(confusion: Confusion) -> NDArray[np.float64]:
    """Return IoU (0..1) of each class (C,); NaN where no pixel has that label."""
    hit = np.diag(confusion).astype(np.float64)
    labelled = confusion.sum(0)
    union = confusion.sum(1) + labelled - hit
    return np.divide(hit, union, out=np.full(len(hit), np.nan), where=labelled > 0)


def mean_iou(confusion: Confusion) -> float:
    """Return the mean IoU in points (0..100) over the classes that occur among the labels."""
    return 100 * float(np.nanmean(class_iou(confusion)))


class Reward:
    """The metric whose increase is the reward: a weighted mean of class IoUs, in points (0..100).

    Args:
        name: ``miou``, ``class:<name>``, or ``balanced`` (mean of the worst third of the classes).
        classes: Names of the classes.

    Raises:
        ValueError: If the name or the class is unknown.
    """

    def __init__(self, name: str, classes: Sequence[str]) -> None:
        kind, _, target = name.partition(":")
        if kind == "class":
            if target not in classes:
                raise unknown("class in reward", target, classes)
        elif name not in ("miou", "balanced"):
            raise unknown("reward", name, ["miou", "balanced", "class:<name>"])
        self._name, self._kind = name, kind
        self._target = classes.index(target) if kind == "class" else -1

    def __call__(self, confusion: Confusion) -> float:
        """Return the metric."""
        return 100 * float(np.nansum(self.weights(confusion) * class_iou(confusion)))

    def check(self, labels: NDArray[np.int64], dataset: str) -> None:
        """Refuse a reward split in which the metric would always be 0.

        Args:
            labels: (C,), pixels of each class in the reward split.
            dataset: Name of the data, for the error.

        Raises:
            ValueError: If it has no labels, or none of the class that is rewarded.
        """
        if not labels.any():
            raise ValueError(f"the split 'reward' of {dataset!r} has no labels, so nothing can be rewarded; label it")
        if self._kind == "class" and not labels[self._target]:
            raise ValueError(
                f"reward={self._name!r}: no pixel of the split 'reward' of {dataset!r} is of this class, so it would "
                "always be 0; use another class, split or reward"
            )

    def weights(self, confusion: Confusion) -> NDArray[np.float64]:
        """Return the weight of each class (C,), summing to one; zero for classes that do not occur."""
        iou = class_iou(confusion)
        chosen = ~np.isnan(iou)
        if self._kind == "class":
            chosen &= np.arange(len(iou)) == self._target
        elif self._kind == "balanced":
            count = -(-int(chosen.sum()) // 3)
            worst = np.argsort(np.where(chosen, iou, np.inf), kind="stable")[:count]
            chosen = np.isin(np.arange(len(iou)), worst)
        return chosen / max(int(chosen.sum()), 1)
