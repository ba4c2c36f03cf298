"""What candidates would gain if the picks that were made in this round were labelled already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alenv.metrics import Reward
from alenv.regions import Ids
from alenv.segmenters.segmenter import Segmenter


class LiveGains:
    """Gains after the picks of one round so far: the model is fitted to these, asked, and put back.

    Args:
        learner: The model, as fitted at the start of the round.
    """

    def __init__(self, learner: Segmenter) -> None:
        self._learner = learner
        self._ahead: dict[str, Any] | None = None
        self._fitted = 0

    def __call__(self, candidates: Ids, picked: Ids, reward: Reward, splits: Sequence[str]) -> NDArray[np.float64]:
        """Return the gains (n,) of candidates, see ``Learner.gains``.

        Args:
            candidates: (n,) ids.
            picked: Ids picked in this round, in order; no fewer than in the call before.
            reward: The score.
            splits: On the images of which it is taken.
        """
        learner = self._learner
        now = learner.get_state()
        try:
            if self._ahead is not None:
                learner.set_state(self._ahead)
            if len(picked) > self._fitted:
                learner.fit(picked[self._fitted :])
                self._ahead, self._fitted = learner.get_state(), len(picked)
            return learner.gains(candidates, reward, splits=splits)
        finally:
            learner.set_state(now)
