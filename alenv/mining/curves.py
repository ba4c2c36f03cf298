"""Quantity and accuracy: how well a class is found by a head trained on images that hold n pixels of it.

Measured on sets of policy images in three protocols: ``sizes`` (random sets of growing size), ``random`` (random sets
of one size) and ``forced`` (sets of one size with a given number of images of the class). The last two show that it is
the class that counts, not merely the number of images. Then three concave forms are fitted and compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import spearmanr

from alenv.errors import unknown
from alenv.mining.embedded import EmbeddedImages
from alenv.mining.target import Accuracy

SIZES = (10, 20, 40, 80, 160)
SIZE = 60
"""Images of a set in the protocols of one size."""
FORCED = (0, 1, 2, 4, 8, 16, 32)
"""Images of the class in a set, as far as there are so many."""
REPEATS = {"sizes": 6, "random": 20, "forced": 3}
"""Sets drawn by protocol, for each size or number; a set of images is drawn once."""
DISTINCT = 5
"""A curve needs as many different quantities."""
FOLDS = 5

Points = Sequence[Mapping[str, Any]]
"""Measured sets: ``protocol, images, positives, pixels, iou, average_precision`` each."""


class Evaluator(Protocol):
    """What a set of images is worth: ``target.Target``, or a stand-in."""

    def evaluate(self, images: ArrayLike, target: str) -> Accuracy:
        """Return how well a class is found after training on the images."""


def quantities(embedded: EmbeddedImages, name: str) -> NDArray[np.int64]:
    """Return how many pixels of a class each image has, (n,)."""
    if name not in embedded.classes:
        raise unknown("class", name, embedded.classes)
    modes = np.flatnonzero(embedded.mode_class == embedded.classes.index(name))
    return np.where(np.isin(embedded.modes, modes), embedded.pixels, 0).sum(1, dtype=np.int64)


def measure(embedded: EmbeddedImages, evaluator: Evaluator, name: str) -> list[dict[str, Any]]:
    """Draw the sets of a class and evaluate each."""
    quantity, points = quantities(embedded, name), []
    for protocol, images in draw_sets(embedded, name):
        held, found = quantity[images], evaluator.evaluate(images, name)
        points.append(
            {"protocol": protocol, "images": len(images), "positives": int((held > 0).sum()), "pixels": int(held.sum())}
            | {"iou": found.iou, "average_precision": found.average_precision}
        )
    return points


def draw_sets(embedded: EmbeddedImages, name: str) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yield protocol and images of each set; sets of the first two protocols are the same for all classes."""
    train, repeats = embedded.splits["train"], REPEATS
    for size in sorted({min(size, len(train)) for size in SIZES}):
        for i in range(repeats["sizes"]):
            yield "sizes", _rng("sizes", size, i).choice(train, size, replace=False)
    for i in range(repeats["random"]):
        yield "random", _rng("random", i).choice(train, min(SIZE, len(train)), replace=False)
    positive = quantities(embedded, name)[train] > 0
    have, lack = train[positive], train[~positive]
    for number in (number for number in FORCED if number <= len(have)):
        for i in range(repeats["forced"]):
            rng, rest = _rng("forced", name, number, i), min(SIZE - number, len(lack))
            drawn = rng.choice(have, number, replace=False), rng.choice(lack, rest, replace=False)
            yield "forced", np.concatenate(drawn)


def _rng(*keys: object) -> np.random.Generator:
    return np.random.default_rng(list(hashlib.sha256(repr(keys).encode()).digest()))


@dataclass(frozen=True)
class Form:
    """A family of curves, linear in all parameters but one.

    Attributes:
        bent: The nonlinear parameter's name, and its grid in units of ``scale`` if that is true.
        shape: (n, value of that parameter) -> what the slope multiplies.
        slope: Name of the slope, at least 0: all forms rise.
        intercept: Name of the constant; None where the curve starts at 0.
    """

    bent: str
    grid: NDArray[np.float64]
    scaled: bool
    shape: Callable[[NDArray, float], NDArray]
    slope: str
    intercept: str | None


_QUANTITIES = np.geomspace(0.01, 100, 61)
FORMS = {
    "log": Form("n0", _QUANTITIES, True, lambda n, n0: np.log1p(n / n0), "b", "a"),
    "power": Form("alpha", np.geomspace(0.02, 2, 41), False, lambda n, alpha: -((n + 1.0) ** -alpha), "b", "a"),
    "saturating": Form("h", _QUANTITIES, True, lambda n, h: n / (n + h), "a", None),
}
"""``a + b log(1 + n / n0)``, ``a - b (n + 1)^-alpha`` and ``a n / (n + h)``; n in pixels of the class."""


def evaluate(form: str, parameters: Mapping[str, float], n: ArrayLike) -> NDArray[np.float64]:
    """Return the predicted accuracy at quantities n."""
    kind = FORMS[form]
    rise = parameters[kind.slope] * kind.shape(np.asarray(n, np.float64), parameters[kind.bent])
    return rise + (parameters[kind.intercept] if kind.intercept else 0.0)


def fit(form: str, n: NDArray, accuracy: NDArray, scale: float) -> dict[str, float]:
    """Fit a form by least squares: its one nonlinear parameter on a grid, the others exactly.

    Args:
        form: A key of ``FORMS``.
        n: Quantities (points,).
        accuracy: (points,).
        scale: A typical quantity of one image, the unit of the grid.
    """
    kind = FORMS[form]
    grid = kind.grid * (scale if kind.scaled else 1.0)
    fits = [_solve(kind, kind.shape(n, value), accuracy) | {kind.bent: float(value)} for value in grid]
    return min(fits, key=lambda p: float(np.square(evaluate(form, p, n) - accuracy).sum()))


def _solve(kind: Form, x: NDArray, y: NDArray) -> dict[str, float]:
    if kind.intercept is None:
        return {kind.slope: max(0.0, float(x @ y / max(x @ x, 1e-300)))}
    # least squares in closed form; where the line would fall, the best one that does not is flat
    centred = x - x.mean()
    slope = max(0.0, float(centred @ y / max(centred @ centred, 1e-300)))
    return {kind.slope: slope, kind.intercept: float(y.mean() - slope * x.mean())}


def cross_validate(form: str, n: NDArray, accuracy: NDArray, scale: float) -> float:
    """Return R^2 on points left out of the fit, against the mean of the points left in."""
    fold = _rng("folds", len(n)).permutation(len(n)) % FOLDS
    predicted, mean = np.empty(len(n)), np.empty(len(n))
    for out in (fold == k for k in range(FOLDS)):
        predicted[out] = evaluate(form, fit(form, n[~out], accuracy[~out], scale), n[out])
        mean[out] = accuracy[~out].mean()
    return 1 - float(np.square(accuracy - predicted).sum() / max(np.square(accuracy - mean).sum(), 1e-300))


def rank_correlation(points: Points, protocol: str, measure: str, quantity: str = "pixels") -> float:
    """Return Spearman's correlation of quantity and accuracy within a protocol; NaN where one of them never changes."""
    pairs = [(point[quantity], point[measure]) for point in points if point["protocol"] == protocol]
    if len(pairs) < DISTINCT or any(len(set(column)) < 2 for column in zip(*pairs, strict=True)):
        return np.nan
    return float(spearmanr(*zip(*pairs, strict=True)).statistic)


def typical(embedded: EmbeddedImages, name: str) -> float:
    """Return the mean quantity of the policy images that hold a class; of any class, where none holds it."""
    held = quantities(embedded, name)[embedded.splits["train"]]
    return float(held[held > 0].mean() if held.any() else embedded.pixels[embedded.pixels > 0].mean())


def curve(points: Points, scale: float, measure: str = "iou") -> dict[str, Any]:
    """Choose the form that predicts best and fit it to all points.

    Where there are fewer than ``DISTINCT`` quantities, or none of the forms rises, it is ``log(1 + n / scale)``.

    Returns:
        ``form, parameters``, then for the record ``r2`` by form (cross-validated) and why it fell back, if it did.
    """
    usable = [point for point in points if np.isfinite(point[measure])]
    n, accuracy = (np.array([point[column] for point in usable], np.float64) for column in ("pixels", measure))
    if len(np.unique(n)) < DISTINCT:
        return _fallback(scale, {}, f"{len(np.unique(n))} different quantities, {DISTINCT} are needed")
    r2 = {form: cross_validate(form, n, accuracy, scale) for form in FORMS}
    best = max(r2, key=lambda form: r2[form])
    parameters = fit(best, n, accuracy, scale)
    if parameters[FORMS[best].slope] <= 0:
        return _fallback(scale, r2, "no form rises")
    return {"form": best, "parameters": parameters, "r2": r2, "fallback": None}


def _fallback(scale: float, r2: Mapping[str, float], reason: str) -> dict[str, Any]:
    return {"form": "log", "parameters": {"a": 0.0, "b": 1.0, "n0": scale}, "r2": dict(r2), "fallback": reason}
