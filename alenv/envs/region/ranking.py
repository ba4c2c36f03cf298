"""Candidates by rank: of every image the windows that a channel puts first, none of which overlap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from alenv.acquisition import WHOLE, MonteCarloMoments, Score, box_mean, entropy, suppressed_top_k
from alenv.arrays import to_numpy
from alenv.envs.region.arguments import Arguments
from alenv.envs.region.campaign import Campaign
from alenv.pool import Candidates, UnlabelledPool
from alenv.regions import Ids, WindowGrid
from alenv.rng import Stream, keyed_rng
from alenv.segmenters.segmenter import WindowSegmenter

Maps = Callable[[int], tuple[NDArray, NDArray | None]]
"""From an image to the values of its windows, and what decides between equal ones."""


@dataclass(frozen=True)
class Ranker:
    """What windows are ranked by: the mean of a channel's map over the window, or its middle pixel if windows are seen.

    Args:
        learner: The model.
        grid: The windows.
        class_counts: (C,) labelled pixels of each class.
        make_rng: Of the Monte-Carlo passes, the same ones for every image.
        passes: Number of these.
    """

    learner: WindowSegmenter
    grid: WindowGrid
    class_counts: NDArray[np.int64]
    make_rng: Callable[[], np.random.Generator]
    passes: int

    def maps(self, score: Score, image: int) -> tuple[NDArray, NDArray]:
        """Return the values of all windows of an image, and their mean entropy."""
        probs = self.learner.maps(np.array([image]))
        known: dict[str, Any] = {"probs": probs, "image_probs": probs, "class_counts": self.class_counts}
        if "moments" in score.needs:
            known["moments"] = moments = MonteCarloMoments[Any]()
            for one in self.learner.map_passes(image, self.make_rng(), self.passes):
                moments.add(one)
        seen = to_numpy(score.apply(*(known[need] for need in score.needs)))
        score.check_whole(seen, (1, *self.grid.size))
        values = seen if WHOLE.intersection(score.needs) else box_mean(seen, self.grid.radius)
        ties = box_mean(to_numpy(entropy(probs)), self.grid.radius)
        return self.grid.inner(values[0]), self.grid.inner(ties[0])


def rank_round(
    campaign: Campaign, arguments: Arguments, picks: int, episode: int, round_: int
) -> tuple[Candidates, NDArray[np.float64]]:
    """Return the best windows by the first channel, and its values; random ones if that is no map."""
    grid = cast(WindowGrid, campaign.grid)
    maps: Maps = partial(_lots, grid.shape, episode, round_)
    if arguments.ranker:
        maps = partial(make_ranker(campaign, arguments, episode, round_).maps, arguments.ranker)
    with campaign.learner.settings():
        return rank(maps, campaign.pool, grid, picks, arguments.candidates)


def make_ranker(campaign: Campaign, arguments: Arguments, episode: int, round_: int) -> Ranker:
    """Return what ranks the windows of a round."""
    learner, grid = cast(WindowSegmenter, campaign.learner), cast(WindowGrid, campaign.grid)
    make_rng = partial(keyed_rng, episode, Stream.PASSES, round_)
    return Ranker(learner, grid, campaign.class_pixels, make_rng, arguments.passes)


def _lots(shape: tuple[int, int], episode: int, round_: int, image: int) -> tuple[NDArray, None]:
    return keyed_rng(episode, Stream.CANDIDATES, round_, image).random(shape), None


def rank(
    maps: Maps, pool: UnlabelledPool, grid: WindowGrid, picks: int, candidates: int
) -> tuple[Candidates, NDArray[np.float64]]:
    """Return the candidates of a round: one pool for all its picks, of windows that do not overlap.

    Every image gives the best of its windows, each of which excludes what it overlaps, until half of the candidates
    are shared out evenly; the others are the best that are left in all images. So four candidates for a pick hold what
    an equal quota of every image would pick, and what all images in competition would.

    Args:
        maps: What to rank by.
        pool: What is unlabelled.
        grid: The windows.
        picks: Of the round.
        candidates: For each pick.

    Returns:
        The candidates, in ascending order, and their values (n,).
    """
    if not picks:
        return Candidates(np.empty(0, np.int64), ()), np.empty(0)
    wanted, images = picks * candidates, len(pool.images)
    quota, first = wanted // (2 * images), 2 * wanted // images + 1
    lists = {image: _best(maps, grid, image, is_open, first) for image, is_open in pool.open_maps()}
    while True:
        counts = _merge(list(lists.values()), wanted, quota)
        cut = [
            (image, is_open)
            for (image, is_open), taken in zip(pool.open_maps(), counts, strict=True)
            if taken == lists[image].wanted  # all that was asked for: the next ones may be as good
        ]
        if not cut:
            break
        for image, is_open in cut:
            lists[image] = _best(maps, grid, image, is_open, 4 * lists[image].wanted)
    parts = [(one.ids[:taken], one.values[:taken]) for one, taken in zip(lists.values(), counts, strict=True)]
    ids, values = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.argsort(ids)
    return Candidates(ids[order], (slice(0, len(ids)),) * min(picks, len(ids))), values[order]


@dataclass(frozen=True)
class _List:
    """The best windows of an image, in order: ids, values, ties; and how many were asked for."""

    ids: Ids
    values: NDArray
    ties: NDArray
    wanted: int


def _best(maps: Maps, grid: WindowGrid, image: int, is_open: NDArray[np.bool_], wanted: int) -> _List:
    values, ties = maps(image)
    free = np.where(is_open.reshape(grid.shape), values, -np.inf)
    y, x = suppressed_top_k(free, wanted, 2 * grid.radius, ties).T
    ids = image * grid.per_image + y * grid.shape[1] + x
    return _List(ids, values[y, x], np.zeros(len(ids)) if ties is None else ties[y, x], wanted)


def _merge(lists: list[_List], wanted: int, quota: int) -> NDArray[np.int64]:
    """Return how many windows each image gives: its quota, and more where they are the best of all, (images,)."""
    image = np.repeat(np.arange(len(lists)), [len(one.ids) for one in lists])
    place = np.concatenate([np.arange(len(one.ids)) for one in lists])
    values, ties = (np.concatenate([getattr(one, name) for one in lists]) for name in ("values", "ties"))
    # the last key counts most: first what lies within the quota, then by value, tie, image and place
    order = np.lexsort((place, image, -ties, -values, place >= quota))
    return np.bincount(image[order[:wanted]], minlength=len(lists))
