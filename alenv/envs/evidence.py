"""Evidence: what the model says of the candidates of a round, computed when a channel first asks for it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from alenv.acquisition import MonteCarloMoments, Score
from alenv.regions import Ids, RegionGrid

if TYPE_CHECKING:
    from alenv.segmenters.network_learner import AnyLearner


WHOLE = frozenset({"image_probs", "difficulty"})
"""What is known of whole images rather than of regions."""
IMAGES = 16
"""Whole images that a function is given at a time: a network's maps have millions of values."""


class Evidence:
    """What acquisition channels can need, see ``Score.needs``.

    Args:
        learner: The model, as fitted at the start of the round.
        grid: The regions.
        candidates: Ids (n,).
        class_counts: (C,) labelled pixels of each class.
        rng: Of the Monte-Carlo passes.
        passes: Number of these.
    """

    def __init__(
        self,
        learner: AnyLearner,
        grid: RegionGrid,
        candidates: Ids,
        class_counts: NDArray[np.int64],
        rng: np.random.Generator,
        passes: int,
    ) -> None:
        self._learner, self._grid, self._candidates = learner, grid, candidates
        self._rng, self._passes = rng, passes
        self.class_counts = class_counts.copy()
        self.prediction = learner.predict(candidates)
        self.probs = self.prediction.probs
        self.picked = np.full(len(candidates), -1, np.float32)
        """(n,) cosine to the nearest region picked in this round; -1 while there is none."""
        self.image = candidates // grid.per_image
        self._images, self._regions = grid.group(candidates)

    @cached_property
    def moments(self) -> MonteCarloMoments:
        """Of the candidates' probabilities."""
        moments = MonteCarloMoments()
        for probs in self._learner.passes(self._candidates, self._rng, self._passes):
            moments.add(probs)
        return moments

    @cached_property
    def image_probs(self) -> NDArray[np.float32]:
        """Of all cells of the images that hold candidates, (m, C, rows, columns)."""
        return self._learner.maps(self._images)

    @cached_property
    def difficulty(self) -> NDArray[np.float32]:
        """Of all cells of these images, (m, rows, columns)."""
        return self._learner.difficulty(self._images)

    @property
    def nearest(self) -> NDArray[np.float32]:
        """Cosine to the nearest labelled or picked region, (n,)."""
        return np.maximum(self.prediction.nearest, self.picked)

    def pick(self, index: int, first: int) -> None:
        """Take note of a pick; only candidates from ``first`` on are still to be shown."""
        embedding = self.prediction.embedding
        # einsum, not BLAS: its result does not depend on the number of threads
        cosine = np.einsum("id,d->i", embedding[first:], embedding[index])
        np.maximum(self.picked[first:], cosine, out=self.picked[first:])

    def values(self, score: Score) -> NDArray[np.float32]:
        """Return one channel of all candidates (n,)."""
        if WHOLE.isdisjoint(score.needs):
            values = score.function(*(getattr(self, need) for need in score.needs))
            return score.regions(values, self.probs.shape[1])
        out = np.empty(len(self._candidates), np.float32)
        position = self._regions // self._grid.per_image
        for start in range(0, len(self._images), IMAGES):
            inside = (position >= start) & (position < start + IMAGES)
            maps = score.function(*(self._part(need, start) for need in score.needs))
            regions = self._regions[inside] - start * self._grid.per_image
            values = self._grid.cut(maps, regions, self._grid.size[0] // maps.shape[-2])
            out[inside] = score.regions(values, self.probs.shape[1])
        return out

    def _part(self, need: str, start: int) -> NDArray:
        values: NDArray = getattr(self, need)
        return values[start : start + IMAGES] if need in WHOLE else values
