"""Evidence: what the model says of the candidates of a round, computed when a channel first asks for it."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alenv.acquisition import WHOLE, MonteCarloMoments, Score
from alenv.arrays import blocks, in_blocks, to_numpy
from alenv.regions import Ids, RegionGrid
from alenv.segmenters.segmenter import Segmenter

_APART = frozenset({"moments", "nearest", "image"})
"""What is not cut into blocks together with the probabilities."""


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
        learner: Segmenter,
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
        self.probs: Any = self.prediction.probs
        """(n, C, rows, columns), array or tensor."""
        self.picked = np.full(len(candidates), -1, np.float32)
        """(n,) cosine to the nearest region picked in this round (of a single pixel: in its image); -1 while there is
        none."""
        self.image = candidates // grid.per_image
        self._images, self._regions = grid.group(candidates)

    @cached_property
    def moments(self) -> MonteCarloMoments[Any]:
        """Of the candidates' probabilities."""
        moments: MonteCarloMoments[Any] = MonteCarloMoments()
        for probs in self._learner.passes(self._candidates, self._rng, self._passes):
            moments.add(probs)
        return moments

    @cached_property
    def image_probs(self) -> Any:
        """Of all cells of the images that hold candidates, (m, C, rows, columns), array or tensor."""
        return self._learner.maps(self._images)

    @cached_property
    def difficulty(self) -> NDArray[np.float32]:
        """Of all cells of these images, (m, rows, columns)."""
        return self._learner.difficulty(self._images)

    @property
    def nearest(self) -> NDArray[np.float32]:
        """Cosine to the nearest labelled or picked region, (n,); of a single pixel, in its own image."""
        return np.maximum(self.prediction.nearest, self.picked)

    def pick(self, index: int, first: int) -> None:
        """Take note of a pick; only candidates from ``first`` on are still to be shown."""
        embedding = self.prediction.embedding
        rows: slice | Ids = slice(first, None)
        if self._grid.pixels:  # as in `Prediction.nearest`
            rows = first + np.flatnonzero(self.image[first:] == self.image[index])
        # einsum, not BLAS: its result does not depend on the number of threads
        cosine = np.einsum("id,d->i", embedding[rows], embedding[index])
        self.picked[rows] = np.maximum(self.picked[rows], cosine)

    def values(self, score: Score) -> NDArray[np.float32]:
        """Return one channel of all candidates (n,)."""
        if not WHOLE.isdisjoint(score.needs):
            return self._seen_whole(score)
        classes = self.probs.shape[1]
        if "probs" not in score.needs or not _APART.isdisjoint(score.needs):
            return score.regions(self._call(score, {}), len(self._candidates), classes)
        return in_blocks(
            lambda probs: score.regions(self._call(score, {"probs": probs}), len(probs), classes), self.probs
        )

    def _seen_whole(self, score: Score) -> NDArray[np.float32]:
        """Return a channel that looks beyond the borders of the regions."""
        (need,) = WHOLE.intersection(score.needs)
        known, out = getattr(self, need), np.empty(len(self._candidates), np.float32)
        position = self._regions // self._grid.per_image
        for at in blocks(known):
            inside = (position >= at.start) & (position < at.stop)
            maps = to_numpy(self._call(score, {need: known[at]}))
            score.check_whole(maps, (len(known[at]), *known.shape[-2:]))
            regions = self._regions[inside] - at.start * self._grid.per_image
            cut = self._grid.cut(maps, regions, self._grid.size[0] // maps.shape[-2])
            out[inside] = score.regions(cut, len(regions), self.probs.shape[1])
        return out

    def _call(self, score: Score, given: dict[str, Any]) -> Any:
        """Call a score's function with what is given, and what is known besides."""
        return score.apply(*(given[need] if need in given else getattr(self, need) for need in score.needs))
