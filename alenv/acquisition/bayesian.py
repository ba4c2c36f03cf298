"""Disagreement of several stochastic passes (Monte-Carlo dropout, an ensemble): BALD, votes, balanced entropy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, Generic

import numpy as np
import scipy.special

from alenv.acquisition.uncertainty import as_probabilities, entropy, unchecked_entropy
from alenv.arrays import Array, module_of


class MonteCarloMoments(Generic[Array]):
    """What the scores need to know of the passes, gathered one pass at a time; memory does not grow with their number.

    All values are float64, in the kind (NumPy or torch, and device) of the passes.
    """

    _mean: Array
    _squares: Array  # sum of squared deviations from the mean (Welford), which one sum of squares would round away
    _entropy: Array
    _votes: Array

    def __init__(self) -> None:
        self._count = 0

    @property
    def count(self) -> int:
        """Number of passes so far."""
        return self._count

    def add(self, probs: Array) -> None:
        """Take in one pass.

        Args:
            probs: (..., C, H, W), non-negative, summing to one over C.

        Raises:
            ValueError: If these are not probabilities, or their shape or kind is not that of the first pass.
        """
        xp = module_of(probs)
        probs = xp.asarray(as_probabilities(probs), dtype=xp.float64)
        passed = unchecked_entropy(probs)
        if not self._count:
            self._mean, self._squares, self._votes, self._entropy = 0 * probs, 0 * probs, 0 * probs, 0 * passed
        elif type(probs) is not type(self._mean) or probs.shape != self._mean.shape:
            raise ValueError(f"this pass is {_describe(probs)}, but the first was {_describe(self._mean)}")
        self._count += 1
        self._entropy += (passed - self._entropy) / self._count
        self._vote(probs)
        for at in _blocks(probs.shape):
            # Welford's update (1962): a difference of two large sums would lose the small variances
            change = probs[at] - self._mean[at]
            self._mean[at] += change / self._count
            self._squares[at] += change * (probs[at] - self._mean[at])

    def mean(self) -> Array:
        """Mean probabilities, (..., C, H, W).

        Raises:
            ValueError: Without any pass.
        """
        self._require(1)
        return self._mean + 0  # a copy: later passes change it

    def variance(self) -> Array:
        """Unbiased variance of the probabilities over the passes, (..., C, H, W).

        Raises:
            ValueError: With fewer than two passes, as all methods below.
        """
        self._require(2)
        return self._squares / (self._count - 1)

    def mean_deviation(self) -> Array:
        """Mean STD, (..., H, W), in [0, 1/2]: standard deviation over the passes, the mean of it over the classes.

        Kampffmeyer et al., "Semantic Segmentation of Small Objects and Modeling of Uncertainty in Urban Remote Sensing
        Images Using Deep Convolutional Neural Networks", CVPR workshops 2016; the deviation is that of the population.
        """
        self._require(2)
        return module_of(self._squares).sqrt(self._squares / self._count).mean(-3)

    def variation_ratio(self) -> Array:
        """Share of the passes that do not vote for the commonest class, (..., H, W), in [0, 1 - 1/C].

        Freeman, "Elementary Applied Statistics", 1965; Gal, "Uncertainty in Deep Learning", 2016, section 3.3.1.
        """
        self._require(2)
        return 1 - module_of(self._votes).amax(self._votes, -3) / self._count

    def vote_entropy(self) -> Array:
        """Entropy of the passes' votes in nats, (..., H, W), in [0, ln C].

        Dagan and Engelson, "Committee-Based Sampling for Training Probabilistic Classifiers", ICML 1995, without its
        division by the logarithm of the number of passes.
        """
        self._require(2)
        return unchecked_entropy(self._votes / self._count)

    def total_entropy(self) -> Array:
        """Entropy of the mean in nats, (..., H, W): doubt of the model and in the data together.

        Raises:
            ValueError: Without any pass.
        """
        self._require(1)
        return entropy(self._mean)

    def bald(self) -> Array:
        """Entropy of the mean less the mean entropy in nats, (..., H, W), in [0, ln C]: what the passes disagree on.

        Houlsby et al., "Bayesian Active Learning for Classification and Preference Learning", arXiv 1112.5745.
        """
        self._require(2)
        return (self.total_entropy() - self._entropy).clip(min=0)

    def power_bald(self, rng: np.random.Generator, beta: float = 1.0) -> Array:
        """``ln BALD`` plus Gumbel noise, (..., H, W): its k largest are a draw proportional to BALD^beta.

        Kirsch et al., "Stochastic Batch Acquisition", arXiv 2106.12059. Regions are to be perturbed after their
        pixels are averaged, or the noise averages out.

        Args:
            rng: Source of the noise.
            beta: Coldness; the larger, the nearer to the plain ranking.

        Raises:
            ValueError: With fewer than two passes, or if beta is not positive.
        """
        if not beta > 0:
            raise ValueError(f"beta must be positive, got {beta}")
        score = self.bald()
        xp = module_of(score)
        noise = xp.asarray(rng.gumbel(0, 1 / beta, tuple(score.shape)))
        log = xp.log(score.clip(min=np.finfo(np.float64).tiny))
        return log + (noise if xp is np else noise.to(log.device))

    def balanced_entropy(self) -> Array:
        """BalEnt, (..., H, W): entropy left once the label is known, relative to what the label can tell.

        ``(sum_c m_c h_c + H) / (H + ln 2)``, with H the entropy of the mean m, and h_c <= 0 the differential entropy
        of the Beta distribution fitted to class c after observing it. At most ``H / (H + ln 2)``; best just above
        zero, see ``balent``. Woo, "Active Learning in Bayesian Neural Networks with Balanced Entropy Learning
        Principle", arXiv 2105.14559; per pixel: Didari et al., arXiv 2408.01694.
        """
        variance, total = self.variance(), self.total_entropy()
        posterior = 0 * total
        for at in _blocks(variance.shape):
            mean = self._mean[at].clip(min=1e-6, max=1 - 1e-6)
            posterior[..., at[-2], :] += mean * _posterior_entropy(mean, variance[at])
        return (posterior + total) / (total + math.log(2))

    def balent(self) -> Array:
        """BalEntAcq, (..., H, W): the reciprocal of BalEnt where BalEnt >= 0, else BalEnt; never within (0, 1].

        This is the formula of the paper. Its author's released code counts the entropy of the mean twice, which changes
        the ranking: on random pools it has the same first choice in one of six.
        """
        score = self.balanced_entropy()
        reciprocal = 1 / score.clip(min=np.finfo(np.float64).tiny)
        return module_of(score).where(score >= 0, reciprocal, score)

    def balent_rank(self) -> Array:
        """Key in (-1, 1] of the same order as ``balent`` but without its pole, (..., H, W)."""
        score = self.balanced_entropy()
        return module_of(score).where(score >= 0, 1 - score, score / (1 - score.clip(max=0)))

    def _vote(self, probs: Array) -> None:
        """Count the most probable class, the first of equal ones."""
        xp = module_of(probs)
        top = xp.amax(probs, -3)
        # all True, as an array of the same kind and on the same device
        free = top == top
        for c in range(probs.shape[-3]):
            won = (probs[..., c, :, :] == top) & free
            self._votes[..., c, :, :] += won
            free &= ~won

    def _require(self, least: int) -> None:
        if self._count < least:
            raise ValueError(f"got {self._count} passes; use at least 2 passes; T = 1 says nothing of disagreement")


def bald(mc_probs: Array) -> Array:
    """BALD of all passes at once, see ``MonteCarloMoments``.

    Args:
        mc_probs: (T, ..., C, H, W), T >= 2 passes.

    Returns:
        (..., H, W) float64, in [0, ln C] nats.

    Raises:
        ValueError: With fewer than two passes, or if these are not probabilities.
    """
    return _moments(mc_probs).bald()


def power_bald(mc_probs: Array, rng: np.random.Generator, beta: float = 1.0) -> Array:
    """PowerBALD of all passes at once, (T, ..., C, H, W) -> (..., H, W), see ``MonteCarloMoments.power_bald``."""
    return _moments(mc_probs).power_bald(rng, beta)


def balent(mc_probs: Array) -> Array:
    """BalEntAcq of all passes at once, (T, ..., C, H, W) -> (..., H, W), see ``MonteCarloMoments.balent``."""
    return _moments(mc_probs).balent()


def _moments(mc_probs: Array) -> MonteCarloMoments[Array]:
    moments: MonteCarloMoments[Array] = MonteCarloMoments()
    for probs in mc_probs:
        moments.add(probs)
    return moments


def _blocks(shape: Sequence[int]) -> Iterator[tuple[Any, int, slice, slice]]:
    """Yield indices of some rows of one class each, few enough that intermediate results stay in the cache."""
    classes, height, width = shape[-3:]
    rows = max(1, 2**14 // max(width, 1))
    for c in range(classes):
        for top in range(0, height, rows):
            yield ..., c, slice(top, top + rows), slice(None)


def _posterior_entropy(mean: Any, variance: Any) -> Any:
    """Differential entropy of Beta(a + 1, b), <= 0, where Beta(a, b) has this mean and variance.

    The textbook form subtracts terms of the size of ``(a + b) ln(a + b)``, which leaves five digits of a precise
    distribution. Here they have cancelled on paper, with ``_binet``:
    ``ln(2 pi x y / t^3) / 2 + g(x) + g(y) - g(t) + p(t)``, x = a + 1, y = b, t = x + y, g(x) = l(x) + (x - 1) p(x).
    """
    xp = module_of(mean)
    spread = variance.clip(min=np.finfo(np.float64).tiny)  # no variance ends at the upper bound
    precision = (mean * (1 - mean) / spread - 1).clip(min=1e-3, max=1e9)
    x, y, t = mean * precision + 1, (1 - mean) * precision, precision + 1
    result = 0.5 * xp.log(2 * math.pi * x * y / t**3)
    for argument, sign, offset in ((x, 1, 1), (y, 1, 1), (t, -1, 2)):
        log_gamma, psi = _binet(argument, xp)
        result += sign * (log_gamma + (argument - offset) * psi)
    return result.clip(max=0)


def _binet(x: Any, xp: ModuleType) -> tuple[Any, Any]:
    """What Stirling's formulas lack: ``ln Gamma(x) - (x - 1/2) ln x + x - ln(2 pi) / 2`` and ``ln x - psi(x)``."""
    r = 1 / x
    q = r * r
    log_gamma = r * (1 / 12 - q * (1 / 360 - q * (1 / 1260 - q * (1 / 1680 - q / 1188))))
    psi = r / 2 + q * (1 / 12 - q * (1 / 120 - q * (1 / 252 - q * (1 / 240 - q / 132))))
    few = x < 10  # where the series is no longer exact
    small = x[few]
    special, log = scipy.special if xp is np else xp.special, xp.log(small)
    log_gamma[few] = special.gammaln(small) - (small - 0.5) * log + small - 0.5 * math.log(2 * math.pi)
    psi[few] = log - special.psi(small)
    return log_gamma, psi


def _describe(array: Any) -> str:
    return f"{type(array).__module__} {tuple(array.shape)}"
