"""What the acquisition functions cost on one thread, each against a straightforward NumPy and SciPy formulation.

Maps are of CamVid's size, 11 x 360 x 480, float64, with six Monte-Carlo passes; suppressed picks are 2,000 of a map of
1024 x 2048. The results of both sides are compared. Unlike ours, the plain side checks nothing, holds all passes at
once, and takes the entropy of a precise Beta distribution from terms that cancel.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.ndimage
import scipy.special
from numpy.typing import NDArray
from rich.table import Table

from alenv import acquisition

SHAPE = (11, 360, 480)
PASSES = 6
PICKS = 2000
LARGE = (1024, 2048)


def tables(repeats: int = 5) -> list[Table]:
    """Measure all functions; of some calls, the fastest counts."""
    seconds: dict[str, float] = {}
    versus = Table(title=f"maps of {' x '.join(map(str, SHAPE))}, one thread, best of {repeats}")
    for column in ("function", "ms", "plain ms", "plain / ours"):
        versus.add_column(column, justify="left" if column == "function" else "right")
    for name, (ours, plain) in cases().items():
        np.testing.assert_allclose(ours(), plain(), rtol=1e-4, atol=1e-6)
        seconds[name], reference = fastest(ours, repeats), fastest(plain, min(repeats, 2))
        row = (f"{1000 * seconds[name]:.1f}", f"{1000 * reference:.1f}", f"{reference / seconds[name]:.1f}")
        versus.add_row(name, *row)
    ratios = Table(title="within the same run")
    ratios.add_column("ratio")
    ratios.add_column("times", justify="right")
    for over, under in (
        ("balanced entropy of moments", "entropy"),
        (f"balent, {PASSES} passes and all", "entropy"),
        ("ripu, radius 32", "ripu, radius 1"),
    ):
        ratios.add_row(f"{over} / {under}", f"{seconds[over] / seconds[under]:.2f}")
    return [versus, ratios]


def fastest(function: Callable[[], Any], repeats: int) -> float:
    """Return the least processor time of some calls, in seconds: others on the machine count less."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def cases() -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """Return ours and the plain formulation of each function, on one set of random maps."""
    rng = np.random.default_rng(0)
    logits = 60 * scipy.ndimage.gaussian_filter(rng.normal(size=SHAPE), (0, 6, 6))
    passes = scipy.special.softmax(logits + 0.5 * rng.normal(size=(PASSES, *SHAPE)), 1)
    probs = scipy.special.softmax(logits, 0)
    counts, difficulty = np.arange(SHAPE[0]) ** 3, probs[0]
    moments: acquisition.MonteCarloMoments[NDArray] = acquisition.MonteCarloMoments()
    for one in passes:
        moments.add(one)
    mean, variance = passes.mean(0), passes.var(0, ddof=1)
    features, labelled = rng.normal(size=(5000, 64)), rng.normal(size=(50, 64))
    white = rng.random(LARGE)
    smooth = scipy.ndimage.gaussian_filter(white, 8)
    a = acquisition
    return {
        "entropy": (lambda: a.entropy(probs), lambda: plain_entropy(probs)),
        "margin": (lambda: a.margin(probs), lambda: 1 - np.diff(np.sort(probs, 0)[-2:], axis=0)[0]),
        "least confidence": (lambda: a.least_confidence(probs), lambda: 1 - probs.max(0)),
        f"bald, {PASSES} passes": (lambda: a.bald(passes), lambda: plain_bald(passes)),
        f"power bald, {PASSES} passes": (
            lambda: a.power_bald(passes, np.random.default_rng(0)),
            lambda: np.log(plain_bald(passes)) + np.random.default_rng(0).gumbel(size=SHAPE[1:]),
        ),
        "balanced entropy of moments": (moments.balanced_entropy, lambda: plain_balanced_entropy(mean, variance)),
        f"balent, {PASSES} passes and all": (
            lambda: 1 / a.balent(passes),  # at the pole only the reciprocals can be compared
            lambda: plain_reciprocal(plain_balanced_entropy(passes.mean(0), passes.var(0, ddof=1))),
        ),
        "box mean, radius 1": (lambda: a.box_mean(difficulty, 1), lambda: plain_box(difficulty, 1)),
        "box mean, radius 32": (lambda: a.box_mean(difficulty, 32), lambda: plain_box(difficulty, 32)),
        "ripu, radius 1": (lambda: a.ripu(probs, 1), lambda: plain_ripu(probs, 1)),
        "ripu, radius 32": (lambda: a.ripu(probs, 32), lambda: plain_ripu(probs, 32)),
        "cbda, radius 1": (
            lambda: a.cbda(probs, counts, 1),
            lambda: plain_ripu(probs, 1) * plain_box(a.cbda_weights(counts)[probs.argmax(0)], 1),
        ),
        "difficulty score": (lambda: a.difficulty_score(difficulty), lambda: difficulty.mean()),
        "difficulty entropy": (lambda: a.difficulty_entropy(difficulty), lambda: plain_difficulty_entropy(difficulty)),
        "k-center, 100 of 5000 x 64": (
            lambda: a.k_center(features, labelled, 100, rng),
            lambda: plain_k_center(features, labelled, 100),
        ),
        **{
            f"suppressed, {kind} {score.dtype}, radius {radius}": (
                lambda score=score, radius=radius: a.suppressed_top_k(score, PICKS, radius),
                lambda score=score, radius=radius: plain_suppressed(score, PICKS, radius),
            )
            for kind, both in (("white", white), ("smooth", smooth))
            for score in (both, both.astype(np.float32))
            for radius in (2, 9)
        },
    }


def plain_entropy(probs: NDArray, axis: int = 0) -> NDArray:
    """Entropy over one axis."""
    return -scipy.special.xlogy(probs, probs).sum(axis)


def plain_bald(passes: NDArray) -> NDArray:
    """BALD with all passes in memory."""
    return plain_entropy(passes.mean(0)) - plain_entropy(passes, 1).mean(0)


def plain_balanced_entropy(mean: NDArray, variance: NDArray) -> NDArray:
    """BalEnt by the textbook entropy of the Beta distribution."""
    gammaln, psi = scipy.special.gammaln, scipy.special.psi
    m = mean.clip(1e-6, 1 - 1e-6)
    s = (m * (1 - m) / variance - 1).clip(1e-3, 1e9)
    a, b = m * s, (1 - m) * s
    log_beta = gammaln(a + 1) + gammaln(b) - gammaln(a + b + 1)
    posterior = log_beta - a * psi(a + 1) - (b - 1) * psi(b) + (a + b - 1) * psi(a + b + 1)
    total = plain_entropy(mean)
    return ((m * posterior.clip(max=0)).sum(0) + total) / (total + np.log(2))


def plain_reciprocal(score: NDArray) -> NDArray:
    """Reciprocal of BalEntAcq."""
    return np.where(score >= 0, score, 1 / score)


def plain_box(maps: NDArray, radius: int) -> NDArray:
    """Mean over true windows by SciPy's running sums, which are over full windows."""
    size = (1,) * (maps.ndim - 2) + (2 * radius + 1,) * 2
    inside = scipy.ndimage.uniform_filter(np.ones(maps.shape[-2:]), size[-2:], mode="constant")
    return scipy.ndimage.uniform_filter(maps, size, mode="constant") / inside


def plain_ripu(probs: NDArray, radius: int) -> NDArray:
    """RIPU with one-hot maps of all classes."""
    one_hot = (probs.argmax(0) == np.arange(len(probs))[:, None, None]).astype(np.float64)
    impurity = plain_entropy(plain_box(one_hot, radius).clip(0))
    return impurity * plain_box(plain_entropy(probs), radius) / np.log(len(probs)) ** 2


def plain_difficulty_entropy(difficulty: NDArray) -> float:
    """Entropy of NumPy's histogram."""
    return float(plain_entropy(np.histogram(difficulty, 8)[0] / difficulty.size))


def plain_k_center(candidates: NDArray, labelled: NDArray, k: int) -> list[int]:
    """Keep the nearest distance, one centre after the other."""
    distance = np.min([((candidates - row) ** 2).sum(1) for row in labelled], 0)
    picks: list[int] = []
    for _ in range(k):
        picks.append(int(distance.argmax()))
        distance = np.minimum(distance, ((candidates - candidates[picks[-1]]) ** 2).sum(1))
    return picks


def plain_suppressed(score: NDArray, k: int, radius: int) -> NDArray:
    """Arg-max, exclude, repeat."""
    left, picks = score.copy(), []
    for _ in range(k):
        row, column = divmod(int(left.argmax()), score.shape[1])
        picks.append((row, column))
        left[max(row - radius, 0) : row + radius + 1, max(column - radius, 0) : column + radius + 1] = -np.inf
    return np.array(picks)
