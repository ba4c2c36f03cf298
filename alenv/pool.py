"""LabelPool: which regions can be labelled, and the candidates that are shown for each pick."""

from __future__ import annotations

from typing import Any

import numpy as np

from alenv.regions import Ids
from alenv.rng import Stream, keyed_rng


class LabelPool:
    """The unlabelled regions of an episode.

    Args:
        regions: Ids of all regions that can be labelled.
        episode: Key of the episode's random draws.
    """

    def __init__(self, regions: Ids, episode: int) -> None:
        self._regions = np.sort(regions)
        self._open = np.ones(len(regions), bool)
        self._episode = episode

    def __len__(self) -> int:
        """Return the number of unlabelled regions."""
        return int(self._open.sum())

    @property
    def unlabelled(self) -> Ids:
        """The ids of the unlabelled regions, ascending."""
        return self._regions[self._open]

    def take(self, regions: Ids) -> None:
        """Mark regions as labelled.

        Raises:
            ValueError: If one of them is not an unlabelled region of this pool, or is named twice.
        """
        bad = regions[~np.isin(regions, self.unlabelled)]
        if len(bad):
            raise ValueError(f"region {bad[0]} is not in the pool or is labelled already")
        if len(np.unique(regions)) < len(regions):
            raise ValueError(f"a region is named twice in {regions}")
        self._open[np.searchsorted(self._regions, regions)] = False

    def draw(self, round_: int, picks: int, candidates: int) -> list[Ids]:
        """Draw the candidates of a round: one disjoint uniform pool for every pick.

        Regions are ranked by a priority that depends on (episode, round, region) alone and dealt out in that order, so
        labelling one region more moves any pool of the round by at most one region.

        Args:
            round_: Number of the round.
            picks: Pools K.
            candidates: Regions N in each.

        Returns:
            K arrays of N ids; when fewer than K N regions are left, these are shared out evenly, and when fewer than K
            are left there are as many pools as regions.
        """
        priority = keyed_rng(self._episode, Stream.CANDIDATES, round_).random(len(self._regions))
        ranked = self._regions[self._open][np.argsort(priority[self._open], kind="stable")]
        shown = ranked[: picks * candidates]
        return np.array_split(shown, min(picks, len(shown))) if len(shown) else []

    def get_state(self) -> dict[str, Any]:
        """Return which regions are unlabelled."""
        return {"open": self._open.copy()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore what ``get_state`` returned."""
        self._open = state["open"].copy()
