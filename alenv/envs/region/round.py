"""One round: the candidates of its K picks, what is shown of them, and which were picked so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alenv.acquisition import Score
from alenv.arrays import ALL
from alenv.envs.region.evidence import Evidence
from alenv.observation import similarity
from alenv.pool import Candidates
from alenv.regions import Ids


class Round:
    """The candidates of one round; every pick is shown a slice of them.

    Everything that needs the model is computed once, for all candidates together.

    Args:
        candidates: The candidates of every pick; none when the episode is over.
        evidence: What the model says of them; None if there are none.
        features: (n, F), of the candidates.
        picked_column: Which feature is the similarity to this round's picks; None if none is.
        scores: Acquisition channels to compute.
    """

    def __init__(
        self,
        candidates: Candidates,
        evidence: Evidence | None,
        features: NDArray[np.float32],
        picked_column: int | None,
        scores: Sequence[Score],
    ) -> None:
        self._candidates = candidates
        self._evidence = evidence
        self._features, self._picked_column = features, picked_column
        self._score_table = scores
        self._free = np.ones(len(candidates.ids), bool)
        self._taken: list[int] = []
        self.picks = len(candidates.shown)
        """Picks of the round."""
        self.made = 0
        """Picks made so far, legal or not."""
        self.legal: list[int] = []
        """Which of them were legal."""
        self._scores = np.empty((len(self._free), len(scores)), np.float32)
        if evidence is not None:
            self._update(ALL, live=False)

    @property
    def candidates(self) -> Ids:
        """Ids of all candidates of the round."""
        return self._candidates.ids

    @property
    def left(self) -> int:
        """Picks that are yet to be made."""
        return self.picks - self.made

    @property
    def over(self) -> bool:
        """Whether every pick of the round is made."""
        return self.made == self.picks

    @property
    def picked(self) -> Ids:
        """Ids of the regions picked so far."""
        return self.candidates[self._taken]

    @property
    def current(self) -> slice:
        """Which of the candidates are shown for the next pick."""
        return slice(0, 0) if self.over else self._candidates.shown[self.made]

    def mask(self, rows: int) -> NDArray[np.bool_]:
        """Return which actions are legal now, bool (rows,)."""
        return self._padded(self._free, rows)

    def pick(self, action: int) -> int | None:
        """Make a pick; return the region, or None if there is no such candidate or it was picked before."""
        current = self.current
        index = current.start + action
        legal = index < current.stop and bool(self._free[index])
        if legal:
            self._take(index)
            self.legal.append(self.made)
        self.made += 1
        return int(self.candidates[index]) if legal else None

    def pick_rest(self, actions: NDArray[np.int64]) -> Ids:
        """Make all picks that are left, as that many calls of ``pick`` would.

        Args:
            actions: One for each of them.

        Returns:
            Their regions; -1 where there is no such candidate or it was picked before.
        """
        parts = self._candidates.shown[self.made :]
        index = np.array([part.start for part in parts]) + actions
        legal = index < [part.stop for part in parts]
        legal[legal] = self._free[index[legal]]
        rows = np.flatnonzero(legal)
        rows = np.sort(rows[np.unique(index[rows], return_index=True)[1]])  # of equal ones the first
        taken = index[rows]
        self._free[taken] = False
        self._taken += taken.tolist()
        self.legal += (self.made + rows).tolist()
        self.made = self.picks
        regions = np.full(len(index), -1)
        regions[rows] = self.candidates[taken]
        return regions

    def features(self, rows: int) -> NDArray[np.float32]:
        """Return the features of the candidates shown, float32 (rows, F); rows past them are zero."""
        shown = self._padded(self._features, rows)
        if self._picked_column is not None and self._taken and self._evidence:
            picked = self._evidence.picked[self.current]
            shown[: len(picked), self._picked_column] = similarity(picked).clip(0, 1)
        return shown

    def scores(self, rows: int) -> NDArray[np.float32]:
        """Return the acquisition channels of the candidates shown, float32 (rows, channels), padded with zeros."""
        self._update(self.current, live=True)
        return self._padded(self._scores, rows)

    def observe_all(self, picks: int, rows: int) -> dict[str, NDArray]:
        """Return features, mask and channels of the first picks as they stand now, (picks, rows, ...)."""
        values: dict[str, NDArray] = {"candidates": self._features, "action_mask": self._free.astype(np.int8)}
        if self._score_table:
            self._update(ALL, live=True)
            values["scores"] = self._scores
        out = {name: np.zeros((picks, rows, *value.shape[1:]), value.dtype) for name, value in values.items()}
        for pick, part in enumerate(self._candidates.shown[:picks]):
            for name, value in values.items():
                out[name][pick, : part.stop - part.start] = value[part]
        return out

    def get_state(self) -> dict[str, Any]:
        """Return the picks; the rest follows from the labels and the model."""
        return {
            "made": self.made,
            "taken": list(self._taken),
            "legal": list(self.legal),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Take up the picks of a round with the same candidates."""
        self.made = 0
        for index in state["taken"]:
            self._take(index)
        self.made, self.legal = state["made"], list(state["legal"])

    def _take(self, index: int) -> None:
        assert self._evidence is not None
        self._taken.append(index)
        self._free[index] = False
        self._evidence.pick(index, self.current.start)

    def _update(self, rows: slice, live: bool) -> None:
        """Compute the channels that picks change, or the others."""
        for column, score in enumerate(self._score_table):
            if self._evidence and score.live == live:
                self._scores[rows, column] = self._evidence.values(score, rows)

    def _padded(self, values: NDArray, rows: int) -> NDArray:
        padded = np.zeros((rows, *values.shape[1:]), values.dtype)
        shown = values[self.current]
        padded[: len(shown)] = shown
        return padded
