"""The kinds of observation: how candidates and the state of the episode are described."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from alenv import observation, ralis_features
from alenv.acquisition import Score
from alenv.envs.region.campaign import Campaign
from alenv.envs.region.evidence import Evidence
from alenv.labels import region_labels
from alenv.regions import Ids

Progress = tuple[float, float, float]
"""Shares of the budget, of the rounds and of this round's picks that are over."""


class Observer(Protocol):
    """Describes candidates and state.

    Attributes:
        feature_names: Of the features of a candidate.
        state_names: Of the last axis of the state.
        state_shape: Shape of the state.
        picked_column: Which feature is the similarity to this round's picks, which ``Round`` fills in; None if none is.
    """

    feature_names: tuple[str, ...]
    state_names: tuple[str, ...]
    state_shape: tuple[int, ...]
    picked_column: int | None

    def look(self, campaign: Campaign) -> None:
        """See what the state is made of with the model of a new round, before the candidates are predicted."""

    def describe(self, evidence: Evidence | None, campaign: Campaign) -> NDArray[np.float32]:
        """Return the features (n, F) of a new round's candidates; None stands for none."""

    def state(self, progress: Progress, campaign: Campaign) -> NDArray[np.float32]:
        """Return the state."""


class Compact:
    """Features from the house, see ``alenv.observation``."""

    picked_column: int | None = observation.column("nearest_picked")

    def __init__(self, classes: Sequence[str]) -> None:
        self.feature_names = observation.candidate_names(classes)
        self.state_names = observation.state_names(classes)
        self.state_shape: tuple[int, ...] = (len(self.state_names),)

    def look(self, campaign: Campaign) -> None:
        """Nothing to see: the campaign knows all."""

    def describe(self, evidence: Evidence | None, campaign: Campaign) -> NDArray[np.float32]:
        """Describe the candidates."""
        if evidence is None:
            return np.empty((0, len(self.feature_names)), np.float32)
        seen = evidence.prediction
        return observation.candidate_features(evidence.probs, evidence.class_counts, seen.nearest, seen.typical)

    def state(self, progress: Progress, campaign: Campaign) -> NDArray[np.float32]:
        """Describe the episode."""
        return observation.state_features(*progress, campaign.class_pixels, campaign.class_iou)


class Ralis:
    """Features of Casanova et al. (2020), see ``alenv.ralis_features``; the state: predictions for the state split.

    Args:
        classes: Names of the classes.
        regions: The regions of the state split.
    """

    picked_column: int | None = None

    def __init__(self, classes: Sequence[str], regions: Ids) -> None:
        self._classes, self._regions = len(classes), regions
        self.feature_names = ralis_features.candidate_names(classes)
        self.state_names = ralis_features.region_names(classes)
        self.state_shape: tuple[int, ...] = (len(regions), len(self.state_names))

    def look(self, campaign: Campaign) -> None:
        """Describe the state regions."""
        probs: Any = campaign.learner.predict(self._regions).probs
        self._state = ralis_features.region_features(probs, campaign.grid.region[0] // probs.shape[2])

    def describe(self, evidence: Evidence | None, campaign: Campaign) -> NDArray[np.float32]:
        """Describe the candidates."""
        if evidence is None:
            return np.empty((0, len(self.feature_names)), np.float32)
        unit = campaign.grid.region[0] // evidence.probs.shape[2]
        labels = region_labels(campaign.data.masks, campaign.grid, campaign.learner.labelled)
        return ralis_features.candidate_features(evidence.probs, unit, ralis_features.histogram(labels, self._classes))

    def state(self, progress: Progress, campaign: Campaign) -> NDArray[np.float32]:
        """Return what was seen in the state regions at the start of the round."""
        return self._state.copy()


def observation_space(observer: Observer, scores: Sequence[Score], classes: int, rows: int) -> Any:
    """Return the space of observations of so many candidates."""
    boxes: dict[str, spaces.Space] = {
        "candidates": spaces.Box(0, 1, (rows, len(observer.feature_names)), np.float32),
        "state": spaces.Box(0, 1, observer.state_shape, np.float32),
        "action_mask": spaces.Box(0, 1, (rows,), np.int8),
    }
    if scores:
        low = np.array([min(score.low, 0) for score in scores], np.float32)  # 0 fills the rows past the pool
        high = np.array([score.high(classes) for score in scores], np.float32)
        boxes["scores"] = spaces.Box(np.tile(low, (rows, 1)), np.tile(high, (rows, 1)), dtype=np.float32)
    return spaces.Dict(boxes)
