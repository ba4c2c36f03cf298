"""A labelling campaign: which labels there are, what they cost, and what the model has made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from alenv.data import SegmentationData
from alenv.labels import region_labels
from alenv.ledger import Ledger, label_histogram
from alenv.metrics import Confusion, class_iou, mean_iou
from alenv.pool import UnlabelledPool
from alenv.regions import Ids, RegionGrid, WindowGrid
from alenv.segmenters.segmenter import Segmenter

if TYPE_CHECKING:
    from alenv.segmenters.probes.learner import Learner

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
        evaluated: Whether the model was evaluated since its last fit.
        confusion: (C, C) on the reward split, as of the last evaluation.
        class_iou: (C,) of it, in points; 0 for classes that do not occur.
        miou: Its mean over the classes that do.
    """

    def __init__(
        self, data: SegmentationData, pool: str, grid: RegionGrid, learner: Segmenter, renew: Renew | None
    ) -> None:
        self._images = data.splits[pool]
        self._renew = renew
        reward = data.masks[data.splits["reward"]]
        self.reward_labels = label_histogram(reward, len(data.classes))
        """int64 (C,), pixels of each class in the reward split."""
        self.data = data
        self.grid = grid
        self.learner = learner

    def twin(self) -> Campaign:
        """Return a campaign with labels and a model of its own; data and features are shared. Only before the first."""
        twin = copy(self)
        twin.learner = cast("Learner", self.learner).twin()
        return twin

    def begin(self, episode: int) -> None:
        """Start from nothing labelled, with the pool of this episode."""
        if self._renew is not None:
            self.data = self._renew(self.data, self._images, episode)
            self.learner.replace(self.data, self._images)
        classes = len(self.data.classes)
        self.learner.reset()
        self.pool = self.open_pool(episode)
        self.ledger = Ledger(classes)
        self.class_pixels = np.zeros(classes, np.int64)
        self.given = int(self.reward_labels.sum()) + self.learner.given
        self.evaluated = False

    def open_pool(self, episode: int) -> UnlabelledPool:
        """Return the pool of an episode with nothing labelled."""
        return UnlabelledPool(self._images, self.grid.per_image, episode)

    def take(self, pool: UnlabelledPool, regions: Ids) -> None:
        """Take regions out of a pool; windows also take those along that they overlap."""
        pool.take(regions)
        if isinstance(self.grid, WindowGrid) and len(regions):
            pool.close(self.grid.overlapping(regions))

    def give(self, regions: Ids) -> None:
        """Label regions outside the budget and fit; those of the pool leave it."""
        self._enter_given(regions)
        self._fit(regions)

    def buy(self, regions: Ids) -> None:
        """Label regions of the pool, enter them in the ledger and fit."""
        self._enter_bought(regions)
        if len(regions):
            self._fit(regions)

    def evaluate(self) -> None:
        """Evaluate the model on the reward split, unless this is done."""
        if not self.evaluated:
            self.record(self.learner.evaluate("reward"))

    def record(self, confusion: Confusion) -> None:
        """Take note of the model's confusion matrix on the reward split."""
        self.confusion = confusion
        self.class_iou = 100 * np.nan_to_num(class_iou(confusion))
        self.miou = mean_iou(confusion)
        self.evaluated = True

    def info(self) -> dict[str, Any]:
        """Return what an environment's ``info`` says of labels and model."""
        return {
            "miou": self.miou,
            "class_iou": self.class_iou.copy(),
            "labelled_regions": self.ledger.regions,
            "labelled_pixels": self.ledger.pixels,
            "cost_clicks": self.ledger.clicks,
            "images_opened": len(self.ledger.images),
            "labels_given": self.given,
            "class_pixels": self.ledger.class_pixels.copy(),
        }

    def get_state(self) -> dict[str, Any]:
        """Return the model, and how many of its regions were given; the rest follows from these."""
        return {"initial": len(self.learner.labelled) - self.ledger.regions, "learner": self.learner.get_state()}

    def set_state(self, state: dict[str, Any], episode: int) -> None:
        """Restore what ``get_state`` returned in the same episode."""
        self.begin(episode)
        labelled = state["learner"]["labelled"]
        self._enter_given(labelled[: state["initial"]])
        self._enter_bought(labelled[state["initial"] :])
        self.learner.set_state(state["learner"])
        self.evaluate()

    def _enter_given(self, regions: Ids) -> None:
        labels = label_histogram(self._masks(regions), len(self.class_pixels))
        self.class_pixels += labels
        self.given += int(labels.sum())
        self.take(self.pool, regions[self.pool.holds(regions)])

    def _enter_bought(self, regions: Ids) -> None:
        self.take(self.pool, regions)
        before = self.ledger.class_pixels.copy()
        self.ledger.buy(regions // self.grid.per_image, self._masks(regions))
        self.class_pixels += self.ledger.class_pixels - before

    def _fit(self, regions: Ids) -> None:
        self.learner.fit(regions)
        self.evaluated = False

    def _masks(self, regions: Ids) -> NDArray[np.uint8]:
        return region_labels(self.data.masks, self.grid, regions)


def evaluate_together(campaigns: Sequence[Campaign]) -> None:
    """Evaluate the models of some twins, where this is not done yet, in one product."""
    from alenv.segmenters.probes import joint

    waiting = [campaign for campaign in campaigns if not campaign.evaluated]
    learners = [cast("Learner", campaign.learner) for campaign in waiting]
    for campaign, confusion in zip(waiting, joint.evaluate(learners), strict=True):
        campaign.record(confusion)
