"""The kinds of observation: how candidates and the state of the episode are described."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from alenv import observation, ralis
from alenv.envs.region.campaign import Campaign
from alenv.envs.region.evidence import Evidence
from alenv.labels import region_labels
from alenv.regions import Ids

Progress = tuple[float, float, float]
"""Shares of the budget, of the rounds and of this round's picks that are over."""


class Observer(Protocol):
    """Describes candidates and state.

    Attributes:
        size: Features of a candidate.
        state_shape: Shape of the state.
        redundant: Whether a candidate's last feature is its similarity to this round's picks, which ``Round`` fills in.
    """

    size: int
    state_shape: tuple[int, ...]
    redundant: bool

    def look(self, campaign: Campaign) -> None:
        """See what the state is made of with the model of a new round, before the candidates are predicted."""

    def describe(self, evidence: Evidence | None, campaign: Campaign) -> NDArray[np.float32]:
        """Return the features (n, size) of a new round's candidates; None stands for none."""

    def state(self, progress: Progress, campaign: Campaign) -> NDArray[np.float32]:
        """Return the state."""


class Compact:
    """Features from the house, see ``alenv.observation``."""

    redundant = True

    def __init__(self, classes: int) -> None:
        self.size = observation.candidate_size(classes)
        self.state_shape: tuple[int, ...] = (observation.state_size(classes),)

    def look(self, campaign: Campaign) -> None:
        """Nothing to see: the campaign knows all."""

    def describe(self, evidence: Evidence | None, campaign: Campaign) -> NDArray[np.float32]:
        """Describe the candidates."""
        if evidence is None:
            return np.empty((0, self.size), np.float32)
        seen = evidence.prediction
        return observation.candidate_features(evidence.probs, evidence.class_counts, seen.nearest, seen.typical)

    def state(self, progress: Progress, campaign: Campaign) -> NDArray[np.float32]:
        """Describe the episode."""
        return observation.state_features(*progress, campaign.class_pixels, campaign.class_iou)


class Ralis:
    """Features of Casanova et al. (2020), see ``alenv.ralis``; the state is what is predicted for the state split.

    Args:
        classes: Number of classes.
        regions: The regions of the state split.
    """

    redundant = False

    def __init__(self, classes: int, regions: Ids) -> None:
        self._classes, self._regions = classes, regions
        self.size = ralis.candidate_size(classes)
        self.state_shape: tuple[int, ...] = (len(regions), ralis.region_size(classes))

    def look(self, campaign: Campaign) -> None:
        """Describe the state regions."""
        probs: Any = campaign.learner.predict(self._regions).probs
        self._state = ralis.region_features(probs, campaign.grid.region[0] // probs.shape[2])

    def describe(self, evidence: Evidence | None, campaign: Campaign) -> NDArray[np.float32]:
        """Describe the candidates."""
        if evidence is None:
            return np.empty((0, self.size), np.float32)
        unit = campaign.grid.region[0] // evidence.probs.shape[2]
        labels = region_labels(campaign.data.masks, campaign.grid, campaign.learner.labelled)
        return ralis.candidate_features(evidence.probs, unit, ralis.histogram(labels, self._classes))

    def state(self, progress: Progress, campaign: Campaign) -> NDArray[np.float32]:
        """Return what was seen in the state regions at the start of the round."""
        return self._state.copy()
