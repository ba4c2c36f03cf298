"""Score: one acquisition channel, what it needs to know, and how its values are checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alenv.arrays import Array, module_of, rounding, to_numpy
from alenv.errors import unknown
from alenv.imports import cause


def _mean(maps: Array) -> Array:
    """Mean over each region: (n, rows, columns) -> (n,)."""
    return maps.mean((1, 2), dtype=module_of(maps).float64)


WHOLE = frozenset({"image_probs", "difficulty"})
"""What is known of whole images rather than of regions."""
GRADIENTS = frozenset({"spread", "agreement"})
"""What is known of a last layer: a head's on frozen features, or a network's of 1 x 1."""
POSTERIOR = frozenset({"leverage", "information", "reduction", "pseudo_gain", "possible_gain", "class_gain"})
"""What is known of the linear head, whose loss is convex, and of a network's last layer, taken for one."""
CHANGING = frozenset({"nearest", "uncovered", "spread", "agreement", "leverage", "information", "reduction"})
"""What a pick changes of the other candidates."""
MAPS = frozenset({"probs", "moments", "image_probs", "class_counts"})
"""What is known of every pixel, so that windows can be ranked by it."""
NEEDS = frozenset(
    {"probs", "moments", "samples", "targets", "image", "cluster", "cluster_distance", "class_counts"}
).union(WHOLE, GRADIENTS, POSTERIOR, CHANGING)


@dataclass(frozen=True)
class Score:
    """One channel.

    Attributes:
        function: Takes what is needed, in that order, and returns maps (n, ..., rows, columns), or values (n,).
        needs: Some of the following. Of the candidate regions: ``probs`` (n, C, rows, columns), ``moments`` of the
            Monte-Carlo passes, ``samples`` (T, n, C, rows, columns), these passes at about a hundred places of a
            region at most, ``nearest`` (n,) cosine to the nearest labelled or picked region, ``image`` (n,) index,
            ``cluster`` (n,) and ``cluster_distance`` (n,) to its centre, of as many as there are picks, weighted by
            entropy, ``uncovered`` (n,) share of the candidates near to one and to none that is labelled or picked.
            Of heads, and of networks whose last layer is a convolution of 1 x 1: ``spread`` (n,) squared distance of a
            gradient to those of the round's picks, ``agreement`` (n,) cosine to the nearest of these. Of ``linear`` and
            such networks: ``leverage``, ``information``, ``reduction``, ``pseudo_gain``, ``possible_gain`` (n,) and
            ``class_gain`` (n, C), see ``segmenters.probes``.
            Of the pool: ``targets`` (T, m, C), the passes at m places spread over the candidates.
            Of the whole images that hold them: ``image_probs`` (m, C, rows, columns), ``difficulty`` (m, rows,
            columns); what the function makes of these is cut to the regions. And ``class_counts`` (C,).
        high: Upper bound for C classes.
        low: Lower bound.
        reduce: From the maps of the regions to one value for each.
        policy: Name of the policy that picks the largest value; empty if there is none.
        about: One line: the method, its source, and what is exact about it.
        ranking: Whether its values are larger where labels are wanted, so that windows can be ranked by it.

    Raises:
        ValueError: If there is no such need, needs that cannot be had together, or bounds that are none.
    """

    function: Callable[..., NDArray]
    needs: tuple[str, ...]
    high: Callable[[int], float]
    low: float = 0.0
    reduce: Callable[[NDArray], NDArray] = _mean
    policy: str = ""
    about: str = ""
    ranking: bool = True

    def __post_init__(self) -> None:
        """Check the needs."""
        for need in self.needs:
            if need not in NEEDS:
                raise unknown("need of a score", need, NEEDS)
        if not WHOLE.isdisjoint(self.needs) and len({*self.needs} - {"class_counts"}) > 1:
            raise ValueError(f"needs={self.needs}: what is known of whole images goes with 'class_counts' alone")
        if not self.low <= self.high(2):
            raise ValueError(f"a score is bounded by low={self.low} and, for 2 classes, high={self.high(2)}; swap them")

    def apply(self, *known: Any) -> Any:
        """Return what the function makes of what it needs, an array or tensor of real numbers.

        Raises:
            ValueError: If it fails, or makes anything else.
        """
        try:
            made = self.function(*known)
            if isinstance(made, np.ndarray) or hasattr(made, "is_complex"):  # of tensors
                rounding(made)  # refuses what are no real numbers
                return made
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(f"the score {self._name} fails: {cause(error)}") from error
        raise ValueError(f"the score {self._name} returns a {type(made).__name__}; expected an array or tensor")

    def check_whole(self, maps: NDArray, expected: tuple[int, ...]) -> None:
        """Check maps of whole images against their number, rows and columns.

        Raises:
            ValueError: If they cannot be cut to regions.
        """
        if maps.ndim < 3 or (len(maps), *maps.shape[-2:]) != expected:
            raise ValueError(f"the score {self._name} returns {maps.shape} of whole images; expected {expected}")

    def regions(self, values: NDArray, regions: int, classes: int) -> NDArray[np.float32]:
        """Return one value for each region (n,), within the bounds whatever was rounded.

        Args:
            values: What the function made, cut to the regions: (n, ..., rows, columns) or (n,).
            regions: Their number n.
            classes: Number of classes C.

        Raises:
            ValueError: If these are not values, or NaN.
        """
        reduced = to_numpy(self.reduce(values) if values.ndim > 1 else values)
        if reduced.dtype.kind not in "fiub":
            raise ValueError(f"the score {self._name} returns values of type {reduced.dtype}; expected numbers")
        if reduced.shape != (regions,) or np.isnan(reduced).any():
            what = "NaN" if reduced.shape == (regions,) else f"values that reduce to {reduced.shape}"
            raise ValueError(
                f"the score {self._name} returns {what} of {regions} regions; "
                "expected (n, rows, columns) or (n,), no NaN"
            )
        return reduced.astype(np.float32).clip(np.float32(self.low), np.float32(self.high(classes)))

    @property
    def live(self) -> bool:
        """Whether a pick changes the values of the other candidates of its round."""
        return not CHANGING.isdisjoint(self.needs)

    @property
    def ranks(self) -> bool:
        """Whether windows around all pixels can be ranked by it; its function must then make maps."""
        return self.ranking and MAPS.issuperset(self.needs)

    @property
    def _name(self) -> str:
        name = getattr(self.function, "__qualname__", None)
        return f"{self.function.__module__}:{name}" if name else repr(self.function)
