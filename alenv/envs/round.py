"""One round: K pools of candidates, what the model says of them, and which were picked so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from alenv.acquisition import Score
from alenv.observation import candidate_features, candidate_size, similarity
from alenv.regions import Ids

if TYPE_CHECKING:
    from alenv.segmenters.learner import Learner


class Round:
    """The pools of one round; pool k is shown for pick k.

    Everything that needs the model is computed once, for all pools together.

    Args:
        pools: Ids of the candidates of each pick; none when the episode is over.
        learner: The model, as fitted at the start of the round.
        class_pixels: (C,) labelled pixels of each class at the start of the round.
        scores: Acquisition channels to compute.
    """

    def __init__(
        self, pools: Sequence[Ids], learner: Learner, class_pixels: NDArray[np.int64], scores: Sequence[Score]
    ) -> None:
        self.pools = list(pools)
        self.made = 0
        """Picks made so far, legal or not."""
        self.legal: list[int] = []
        """Which of them were legal."""
        self._taken: list[int] = []
        self._starts = np.cumsum([0, *map(len, self.pools)])
        self.candidates = np.concatenate([np.empty(0, np.int64), *self.pools])
        if not self.pools:
            return
        prediction = learner.predict(self.candidates)
        probs = prediction.probs
        self._features = candidate_features(probs, class_pixels, prediction.nearest, prediction.typical)
        self._scores = np.array([score.regions(probs, class_pixels) for score in scores]).T
        self._embedding = prediction.embedding

    @property
    def over(self) -> bool:
        """Whether every pick of the round is made."""
        return self.made == len(self.pools)

    @property
    def picked(self) -> Ids:
        """Ids of the regions picked so far."""
        return self.candidates[self._taken]

    @property
    def current(self) -> slice:
        """Where the current pool lies among ``candidates``."""
        return slice(self._starts[self.made], self._starts[self.made] + self.shown)

    @property
    def shown(self) -> int:
        """Number of candidates in the current pool."""
        return 0 if self.over else len(self.pools[self.made])

    def pick(self, action: int) -> int | None:
        """Make a pick; return the region, or None if there is no such candidate."""
        index = int(self._starts[self.made]) + action
        legal = action < self.shown
        if legal:
            self._taken.append(index)
            self.legal.append(self.made)
        self.made += 1
        return int(self.candidates[index]) if legal else None

    def features(self, rows: int, classes: int) -> NDArray[np.float32]:
        """Return the features of the current pool, float32 (rows, F); rows past the pool are zero.

        The last column is the similarity to the nearest pick of this round, 0 while there is none.
        """
        padded = np.zeros((rows, candidate_size(classes)), np.float32)
        if self.shown:
            padded[: self.shown] = self._features[self.current]
        if self.shown and self._taken:
            # einsum, not BLAS: its result does not depend on the number of threads
            cosine = np.einsum("id,jd->ij", self._embedding[self.current], self._embedding[self._taken])
            padded[: self.shown, -1] = similarity(cosine.max(1)).clip(0, 1)
        return padded

    def scores(self, rows: int, channels: int) -> NDArray[np.float32]:
        """Return the acquisition channels of the current pool, float32 (rows, channels), padded with zeros."""
        padded = np.zeros((rows, channels), np.float32)
        if self.shown:
            padded[: self.shown] = self._scores[self.current]
        return padded

    def get_state(self) -> dict[str, Any]:
        """Return pools and picks; the rest follows from the model."""
        return {
            "pools": [pool.copy() for pool in self.pools],
            "made": self.made,
            "taken": list(self._taken),
            "legal": list(self.legal),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Take up the picks of a round with the same pools."""
        self.made, self._taken, self.legal = state["made"], list(state["taken"]), list(state["legal"])
