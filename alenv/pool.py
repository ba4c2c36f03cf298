"""UnlabelledPool: which regions can be labelled, and the candidates that are shown for each pick."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

from alenv.regions import Ids
from alenv.rng import Stream, keyed_rng


@dataclass(frozen=True)
class Candidates:
    """The candidates of a round.

    Attributes:
        ids: (n,) regions, each once.
        shown: For each pick of the round, which of them are shown.
    """

    ids: Ids
    shown: tuple[slice, ...]


class UnlabelledPool:
    """The unlabelled regions of an episode.

    Args:
        images: The images of the pool.
        per_image: Regions in an image; region r of image i has the id ``i * per_image + r``.
        episode: Key of the episode's random draws.
    """

    def __init__(self, images: Ids, per_image: int, episode: int) -> None:
        self.images = np.sort(images)
        self._per_image = per_image
        self._open = np.ones((len(images), per_image), bool)
        self._left = self._open.size
        self._episode = episode

    def __len__(self) -> int:
        """Return the number of unlabelled regions."""
        return self._left

    @property
    def unlabelled(self) -> Ids:
        """The ids of the unlabelled regions, ascending."""
        return self._ids(np.flatnonzero(self._open))

    def holds(self, regions: Ids) -> NDArray[np.bool_]:
        """Return which of some regions belong to this pool and are unlabelled, (n,)."""
        row, inside = self._rows(regions)
        return inside & self._open[row, regions % self._per_image]

    def take(self, regions: Ids) -> None:
        """Mark regions as labelled.

        Raises:
            ValueError: If one of them is not an unlabelled region of this pool, or is named twice.
        """
        bad = regions[~self.holds(regions)]
        if len(bad):
            raise ValueError(f"region {bad[0]} is not in the pool or is labelled already")
        if len(np.unique(regions)) < len(regions):
            raise ValueError(f"a region is named twice in {regions}")
        self._open[self._rows(regions)[0], regions % self._per_image] = False
        self._left -= len(regions)

    def close(self, regions: Ids) -> None:
        """Mark regions as not to be labelled; those that are none of this pool or not open stay as they are."""
        mine = regions[self.holds(regions)]
        self._open[self._rows(mine)[0], mine % self._per_image] = False
        self._left -= len(mine)

    def open_maps(self) -> Iterator[tuple[int, NDArray[np.bool_]]]:
        """Yield the index of each image, and which of its regions are unlabelled."""
        yield from zip(self.images.tolist(), self._open, strict=True)

    def sample(self, rng: np.random.Generator, count: int) -> Ids:
        """Draw distinct unlabelled regions uniformly; all of them, in random order, if there are no more."""
        return self._ids(first_open(rng, self._open.ravel(), count))

    def draw(self, round_: int, turns: range, candidates: int, pooling: str = "uniform") -> Candidates:
        """Draw the candidates of a round.

        They are the first unlabelled regions of an order that depends on (episode, round) alone, so labelling one
        region more moves any set of the round by at most one region.

        Args:
            round_: Number of the round.
            turns: Numbers of the round's K picks in the episode.
            candidates: Regions N in a set.
            pooling: ``uniform``: K disjoint sets out of all images. ``global``: one set of K N for all picks.
                ``per_image``: K disjoint sets, each out of one image; the images take turns, in an order that is drawn
                anew for every lap. ``image_clustered``: K disjoint sets out of as few random images as have enough
                regions, as in the code of RALIS; it bounds the images that a network must look at.

        Returns:
            The candidates. When fewer are left than asked for, these are shared out evenly, and there are never more
            picks than regions.
        """
        if pooling == "per_image":
            return _shared_out(self._of_images(round_, turns, candidates))
        count, rng = len(turns) * candidates, keyed_rng(self._episode, Stream.CANDIDATES, round_)
        clustered = pooling == "image_clustered"
        ids = self._sample_cluster(rng, round_, count) if clustered else self.sample(rng, count)
        picks = min(len(turns), len(ids))
        if pooling == "global":
            return Candidates(ids, (slice(0, len(ids)),) * picks)
        return _shared_out(np.array_split(ids, picks) if picks else [])

    def _sample_cluster(self, rng: np.random.Generator, round_: int, count: int) -> Ids:
        """Draw regions out of the first random images that have enough."""
        order = keyed_rng(self._episode, Stream.IMAGES, round_).permutation(len(self.images))
        # as many images, in their order, as it takes to hold so many unlabelled regions
        enough = int(np.searchsorted(np.count_nonzero(self._open, 1)[order].cumsum(), count))
        rows = order[: enough + 1]
        row, within = np.divmod(first_open(rng, self._open[rows].ravel(), count), self._per_image)
        return self.images[rows[row]] * self._per_image + within

    def _of_images(self, round_: int, turns: range, candidates: int) -> list[Ids]:
        """Draw one set for each turn, out of the image whose turn it is."""
        rows = np.flatnonzero(self._open.any(1))
        if not len(rows):
            return []
        laps = {turn // len(rows) for turn in turns}
        order = {lap: keyed_rng(self._episode, Stream.IMAGES, lap).permutation(rows) for lap in laps}
        turn_rows = np.array([order[turn // len(rows)][turn % len(rows)] for turn in turns])
        sets: dict[int, list[Ids]] = {}
        for row, count in zip(*np.unique(turn_rows, return_counts=True), strict=True):
            rng = keyed_rng(self._episode, Stream.CANDIDATES, round_, int(self.images[row]))
            within = first_open(rng, self._open[row], int(count) * candidates)
            sets[int(row)] = np.array_split(self._ids(row * self._per_image + within), count)
        return [one for row in turn_rows if len(one := sets[int(row)].pop(0))]

    def _ids(self, positions: NDArray[np.int64]) -> Ids:
        row, within = np.divmod(positions, self._per_image)
        return self.images[row] * self._per_image + within

    def _rows(self, regions: Ids) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return where the images of some regions stand in this pool, and which of them do."""
        images = regions // self._per_image
        row = np.searchsorted(self.images, images).clip(max=len(self.images) - 1)
        return row, self.images[row] == images


def first_open(rng: np.random.Generator, open_: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    """Return the first open positions of a random order of all positions.

    The order is a sequence of uniform draws without the repetitions, so its cost is that of what is needed of it: a
    pool may hold tens of millions of pixels.

    Args:
        rng: Decides the order, whatever is open.
        open_: (n,).
        count: How many are wanted.

    Returns:
        (min(count, number open),) positions.
    """
    left = int(np.count_nonzero(open_))
    wanted = min(count, left)
    found: dict[int, None] = {}  # in order; the last ones of a pool take many draws, each of which costs its own alone
    while len(found) < wanted:
        draws = rng.integers(len(open_), size=len(open_) * (wanted - len(found)) // left + 32)
        found.update(dict.fromkeys(draws[open_[draws]].tolist()))
    return np.fromiter(islice(found, wanted), np.int64, wanted)


def _shared_out(sets: list[Ids]) -> Candidates:
    bounds = np.cumsum([0, *map(len, sets)]).tolist()
    shown = tuple(slice(a, b) for a, b in pairwise(bounds))
    return Candidates(np.concatenate([np.empty(0, np.int64), *sets]), shown)
