"""Evidence: what the model says of the candidates of a round, computed when a channel first asks for it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import deepcopy
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from alenv.acquisition import CHANGING, WHOLE, MonteCarloMoments, Score, entropy, weighted_k_means
from alenv.arrays import ALL, blocks, in_blocks, to_floats, to_numpy
from alenv.envs.region.context import Context, Coverage, Gradients, Rows
from alenv.regions import Ids, RegionGrid, WindowGrid, by_image
from alenv.segmenters.segmenter import LayeredSegmenter, Segmenter

if TYPE_CHECKING:
    from alenv.segmenters.probes.design import Design
    from alenv.segmenters.probes.outlook import Outlook

Values = NDArray[np.floating]
Follower = TypeVar("Follower", bound=Context)
_TOGETHER = frozenset({"probs", "class_counts"})
"""What is known of a block of candidates as of all of them."""
PLACES = 100
"""Of a region, at which passes are kept for joint predictions."""
TARGETS = 64
"""Places of the pool, spread over the candidates, of whose labels ``epig`` asks."""


class Evidence:
    """What acquisition channels can need, see ``Score.needs``.

    Args:
        learner: The model, as fitted at the start of the round.
        grid: The regions.
        candidates: Ids (n,).
        class_counts: (C,) labelled pixels of each class.
        rng: Of the Monte-Carlo passes.
        passes: Number of these.
        picks: Number of picks of the round.
    """

    def __init__(
        self,
        learner: Segmenter,
        grid: RegionGrid,
        candidates: Ids,
        class_counts: NDArray[np.int64],
        rng: np.random.Generator,
        passes: int,
        picks: int,
    ) -> None:
        self._learner, self._grid, self._candidates = learner, grid, candidates
        self._rng, self._passes, self._picks = rng, passes, picks
        self.class_counts = class_counts.copy()
        self.prediction = learner.predict(candidates)
        self.probs: Any = self.prediction.probs
        """(n, C, rows, columns), array or tensor."""
        self.picked = np.full(len(candidates), -1, np.float32)
        """(n,) cosine to the nearest region picked in this round (of a single pixel: in its image); -1 while there is
        none."""
        self.image = candidates // grid.per_image
        self._images, self._regions = grid.group(candidates)
        self._taken: list[tuple[int, int]] = []
        self._followers: list[Context] = []
        self._ranked: tuple[Score, NDArray] | None = None

    @cached_property
    def moments(self) -> MonteCarloMoments[Any]:
        """Of the candidates' probabilities."""
        moments: MonteCarloMoments[Any] = MonteCarloMoments()
        for probs in self._look_again():
            moments.add(probs)
        return moments

    @cached_property
    def samples(self) -> NDArray[np.float32]:
        """The same passes at some places of each region, (T, n, C, rows, columns)."""
        step = math.ceil(math.sqrt(math.prod(self.probs.shape[2:]) / PLACES))
        return np.stack([to_numpy(to_floats(probs[:, :, ::step, ::step])) for probs in self._look_again()])

    @cached_property
    def targets(self) -> NDArray[np.float32]:
        """The same passes at places spread over the candidates, which are drawn from the pool: (T, m, C)."""
        places = np.moveaxis(self.samples, 2, -1).reshape(self._passes, -1, self.samples.shape[2])
        return places[:, np.unique(np.linspace(0, places.shape[1] - 1, TARGETS).round().astype(np.int64))]

    @property
    def cluster(self) -> NDArray[np.int64]:
        """Cluster of each candidate, (n,)."""
        return self._clusters[0]

    @property
    def cluster_distance(self) -> Values:
        """Distance to the cluster's weighted mean, (n,)."""
        return self._clusters[1]

    @property
    def pseudo_gain(self) -> Values:
        """Gain with predictions in the place of labels, (n,)."""
        return self._outlook.pseudo_gains(possible=False)

    @property
    def possible_gain(self) -> Values:
        """Gain expected under the predictions where it is positive, (n,)."""
        return self._outlook.pseudo_gains(possible=True)

    @cached_property
    def image_probs(self) -> Any:
        """Of all cells of the images that hold candidates, (m, C, rows, columns), array or tensor."""
        return self._learner.maps(self._images)

    @cached_property
    def difficulty(self) -> NDArray[np.float32]:
        """Of all cells of these images, (m, rows, columns)."""
        return self._learner.difficulty(self._images)

    @cached_property
    def class_gain(self) -> Values:
        """Gain of each class with predictions in the place of labels, (n, C)."""
        return self._outlook.class_gains()

    def nearest(self, rows: Rows) -> Values:
        """Cosine to the nearest labelled or picked region; of a single pixel, in its own image."""
        return np.maximum(self.prediction.nearest[rows], self.picked[rows])

    def uncovered(self, rows: Rows) -> Values:
        """Share of the candidates that one would newly cover."""
        return self._coverage.uncovered(rows)

    def spread(self, rows: Rows) -> Values:
        """Squared distance of the gradient to those of the picks."""
        return self._gradients.spread[rows]

    def agreement(self, rows: Rows) -> Values:
        """Cosine of the gradient to the nearest of the picks'."""
        return self._gradients.agreement[rows]

    def leverage(self, rows: Rows) -> Values:
        """See ``Design``, as the two below."""
        return self._design.leverage(rows)

    def information(self, rows: Rows) -> Values:
        """Of all cells together."""
        return self._design.information(rows)

    def reduction(self, rows: Rows) -> Values:
        """Of the pool's variance."""
        return self._design.reduction(rows)

    def pick(self, index: int, first: int) -> None:
        """Take note of a pick; only candidates from ``first`` on are still to be shown."""
        embedding = self.prediction.embedding
        rows: slice | Ids = slice(first, None)
        if self._grid.dense:  # as in `Prediction.nearest`
            rows = first + np.flatnonzero(self.image[first:] == self.image[index])
        # einsum, not BLAS: its result does not depend on the number of threads
        cosine = np.einsum("id,d->i", embedding[rows], embedding[index])
        self.picked[rows] = np.maximum(self.picked[rows], cosine)
        self._taken.append((index, first))
        with self._learner.settings():
            for follower in self._followers:
                follower.pick(index, first)

    def take_note(self, score: Score, ranked: NDArray) -> None:
        """Take note of what a channel said when the candidates were ranked by it, (n,)."""
        self._ranked = score, ranked

    def values(self, score: Score, rows: slice = ALL) -> NDArray[np.float32]:
        """Return one channel of some candidates."""
        with self._learner.settings():  # those that picks change are asked for between the rounds' starts
            return self._values(score, rows)

    def _values(self, score: Score, rows: slice) -> NDArray[np.float32]:
        if not WHOLE.isdisjoint(score.needs):
            return self._seen_whole(score)[rows]
        classes = self.probs.shape[1]
        if "probs" in score.needs and _TOGETHER.issuperset(score.needs):
            return in_blocks(
                lambda probs: score.regions(self._call(score, {"probs": probs}), len(probs), classes), self.probs
            )[rows]
        if CHANGING.issuperset(score.needs):  # what is asked for again at every pick, of those that are shown
            return score.regions(self._call(score, {}, rows), len(self.image[rows]), classes)
        return score.regions(self._call(score, {}), len(self.image), classes)[rows]

    def _seen_whole(self, score: Score) -> NDArray[np.float32]:
        """Return a channel that looks beyond the borders of the regions."""
        if isinstance(self._grid, WindowGrid):
            return self._seen_in_the_middle(score, self._grid)
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

    def _seen_in_the_middle(self, score: Score, grid: WindowGrid) -> NDArray[np.float32]:
        """Return a channel that sees windows itself, at the middle of these; image by image."""
        if self._ranked and self._ranked[0] == score:
            return score.regions(self._ranked[1], len(self._candidates), self.probs.shape[1])
        out = np.empty(len(self._candidates), np.float32)
        for image, rows in by_image(self._candidates, grid).items():
            maps = to_numpy(self._call(score, {"image_probs": self._learner.maps(np.array([image]))}))
            score.check_whole(maps, (1, *grid.size))
            middle = grid.middle(maps, self._candidates[rows] % grid.per_image)
            out[rows] = score.regions(middle, len(rows), self.probs.shape[1])
        return out

    def _call(self, score: Score, given: dict[str, Any], rows: slice = ALL) -> Any:
        """Call a score's function with what is given, and what is known besides."""
        known = (given[need] if need in given else getattr(self, need) for need in score.needs)
        return score.apply(*(value(rows) if callable(value) else value for value in known))

    def _look_again(self) -> Iterator[Any]:
        """Yield the Monte-Carlo passes, the same ones every time."""
        return self._learner.passes(self._candidates, deepcopy(self._rng), self._passes)

    def _follow(self, follower: Follower) -> Follower:
        """Tell it of the picks, those before and those to come."""
        for pick in self._taken:
            follower.pick(*pick)
        self._followers.append(follower)
        return follower

    @property
    def _layered(self) -> LayeredSegmenter:
        return cast(LayeredSegmenter, self._learner)  # arguments that ask others for what only these know are refused

    @cached_property
    def _outlook(self) -> Outlook:
        return self._layered.outlook(self._candidates)

    @cached_property
    def _clusters(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        uncertainty = in_blocks(lambda probs: to_numpy(entropy(probs)).mean((1, 2)), self.probs)
        return weighted_k_means(self.prediction.embedding, uncertainty, self._picks)

    @cached_property
    def _coverage(self) -> Coverage:
        predicted = to_numpy(self.probs.mean((2, 3)).argmax(1))
        return self._follow(Coverage(self.prediction.embedding, self.prediction.nearest, predicted))

    @cached_property
    def _gradients(self) -> Gradients:
        return self._follow(Gradients(self._layered.gradients(self._candidates)))

    @cached_property
    def _design(self) -> Design:
        return self._follow(self._outlook.design())
