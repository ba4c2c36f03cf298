"""What the candidates of a round would gain: at its start, or if its picks so far were labelled already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alenv.metrics import Reward
from alenv.regions import Ids
from alenv.segmenters.segmenter import Segmenter


class RoundGains:
    """Gains of single candidates in one round, see ``Learner.gains``.

    Args:
        learner: The model, as fitted at the start of the round.
        reward: The metric.
    """

    def __init__(self, learner: Segmenter, reward: Reward) -> None:
        self._learner, self._reward = learner, reward
        self._known: dict[tuple[str, ...], NDArray[np.float64]] = {}
        self._ahead: dict[str, Any] | None = None
        self._fitted = 0

    def at_start(self, candidates: Ids, splits: Sequence[str]) -> NDArray[np.float64]:
        """Return the gains of all candidates of the round, (n,), with the model as it is."""
        key = tuple(splits)
        if key not in self._known:
            self._known[key] = self._learner.gains(candidates, self._reward, splits=splits)
        return self._known[key]

    def live(self, candidates: Ids, picked: Ids, splits: Sequence[str]) -> NDArray[np.float64]:
        """Return the gains of candidates, (n,), after some picks: the model is fitted to these, asked, and put back.

        Args:
            candidates: (n,) ids.
            picked: Ids picked in this round, in order; no fewer than in the call before.
            splits: On the images of which the metric is taken.
        """
        learner = self._learner
        now = learner.get_state()
        try:
            if self._ahead is not None:
                learner.set_state(self._ahead)
            if len(picked) > self._fitted:
                learner.fit(picked[self._fitted :])
                self._ahead, self._fitted = learner.get_state(), len(picked)
            return learner.gains(candidates, self._reward, splits=splits)
        finally:
            learner.set_state(now)
