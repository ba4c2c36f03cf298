"""A labelling campaign: which labels there are, what they cost, and what the model has made of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from alenv.data import SegmentationData
from alenv.ledger import Ledger, label_histogram
from alenv.metrics import Confusion, class_iou, mean_iou
from alenv.pool import LabelPool
from alenv.regions import Ids, RegionGrid

if TYPE_CHECKING:
    from alenv.segmenters.network_learner import AnyLearner


Renew = Callable[[SegmentationData, Ids, int], SegmentationData]


class Campaign:
    """Labels and model of one episode.

    Args:
        data: The dataset.
        pool: Name of the split whose regions can be bought.
        grid: The regions.
        learner: The model.
        renew: Puts new images in the place of the pool's, ``(data, images, episode) -> data``; None keeps them.

    Attributes:
        class_pixels: int64 (C,), labelled pixels of each class, given or bought.
        given: Pixels labelled outside the budget: initial labels and the reward split.
        confusion: (C, C) on the reward split, as of the last evaluation.
        class_iou: (C,) of it, in points; 0 for classes that do not occur.
        miou: Its mean over the classes that do.
    """

    def __init__(
        self, data: SegmentationData, pool: str, grid: RegionGrid, learner: AnyLearner, renew: Renew | None
    ) -> None:
        self._images = data.splits[pool]
        self._renew = renew
        self.data = data
        self.grid = grid
        self.learner = learner

    def begin(self, episode: int) -> None:
        """Start from nothing labelled, with the pool of this episode."""
        if self._renew is not None:
            self.data = self._renew(self.data, self._images, episode)
            self.learner.replace(self.data, self._images)
        classes = len(self.data.classes)
        self.learner.reset()
        self.pool = LabelPool(self._images, self.grid.per_image, episode)
        self.ledger = Ledger(classes)
        self.class_pixels = np.zeros(classes, np.int64)
        self.given = int(label_histogram(self.data.masks[self.data.splits["reward"]], classes).sum())

    def give(self, regions: Ids) -> None:
        """Label regions outside the budget and fit; those of the pool leave it."""
        labels = label_histogram(self._masks(regions), len(self.class_pixels))
        self.class_pixels += labels
        self.given += int(labels.sum())
        self.pool.take(regions[self.pool.holds(regions)])
        self._learn(regions)

    def buy(self, regions: Ids) -> None:
        """Label regions of the pool, enter them in the ledger and fit."""
        self.pool.take(regions)
        before = self.ledger.class_pixels.copy()
        for region, mask in zip(regions, self._masks(regions), strict=True):
            self.ledger.buy(int(region) // self.grid.per_image, mask)
        self.class_pixels += self.ledger.class_pixels - before
        if len(regions):
            self._learn(regions)

    def get_state(self) -> dict[str, Any]:
        """Return all that later results depend on."""
        return {
            "pool": self.pool.get_state(),
            "ledger": self.ledger.get_state(),
            "learner": self.learner.get_state(),
            "class_pixels": self.class_pixels.copy(),
            "given": self.given,
            "confusion": self.confusion.copy(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore what ``get_state`` returned; ``begin`` was called with the same episode."""
        self.pool.set_state(state["pool"])
        self.ledger.set_state(state["ledger"])
        self.learner.set_state(state["learner"])
        self.class_pixels = state["class_pixels"].copy()
        self.given = state["given"]
        self._score(state["confusion"].copy())

    def _learn(self, regions: Ids) -> None:
        self.learner.fit(regions)
        self._score(self.learner.evaluate("reward"))

    def _score(self, confusion: Confusion) -> None:
        self.confusion = confusion
        self.class_iou = 100 * np.nan_to_num(class_iou(confusion))
        self.miou = mean_iou(confusion)

    def _masks(self, regions: Ids) -> NDArray[np.uint8]:
        return self.grid.cut(self.data.masks, regions)
