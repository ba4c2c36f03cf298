"""Policies that draw: uniformly, by class, or in proportion to what a channel says."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agents import rounds
from agents.play import Info, Observation, channels

EXPONENTS = (1.0, 2.0, 5.0, 10.0)
"""Of ``power_bald``."""
TEMPERATURES = (0.01, 0.03)
"""Of ``softmax_bald``, in nats."""


class Random:
    """A uniform pick: what every policy has to beat."""

    name = "random"
    scores: tuple[str, ...] = ()
    oracle = False

    def reset(self, seed: int) -> None:
        """Seed the picks."""
        self._rng = np.random.default_rng([seed, 1])

    def act(self, obs: Observation, info: Info) -> int:
        """Pick any candidate."""
        return int(self._rng.choice(np.flatnonzero(obs["action_mask"])))

    def act_round(self, obs: Observation, info: Info) -> NDArray[np.int64]:
        """Pick one after the other."""
        return rounds.one_by_one(self, obs, info)


class StratifiedRandom(Random):
    """A uniform pick from a predicted class that is drawn first, so that rare classes are picked as often as others.

    Our baseline: the class of a region is that of its largest mean probability.
    """

    name = "stratified_random"
    scores = ("predicted_class",)

    def act(self, obs: Observation, info: Info) -> int:
        """Pick any candidate of any class among the candidates."""
        classes = np.where(obs["action_mask"], channels(obs, self)[:, 0], -1)
        drawn = self._rng.choice(np.unique(classes[classes >= 0]))
        return int(self._rng.choice(np.flatnonzero(classes == drawn)))


class PowerBald(Random):
    """PowerBALD (Kirsch et al., 2021): the arg-max of ln BALD plus Gumbel noise.

    Exact for single picks from a pool: a candidate is drawn with probability proportional to its BALD to the power of
    the exponent. The noise is added to the mean over a region, because noise on pixels would average out.

    Args:
        exponent: The larger, the nearer to ``bald``.
    """

    scores = ("bald",)

    def __init__(self, exponent: float = 1.0) -> None:
        self._exponent = exponent
        self.name = "power_bald" if exponent == 1 else f"power_bald_{exponent:g}"

    def act(self, obs: Observation, info: Info) -> int:
        """Pick the arg-max of the perturbed channel."""
        return best(self._perturbed(channels(obs, self)[:, 0], self._exponent), obs["action_mask"])

    def _perturbed(self, values: NDArray[np.float32], exponent: float) -> NDArray[np.float64]:
        """Return keys whose arg-max is a draw proportional to values^exponent."""
        log = np.log(values.astype(np.float64).clip(1e-12))
        return np.asarray(log + self._rng.gumbel(size=len(log)) / exponent)


class SoftmaxBald(PowerBald):
    """SoftmaxBALD (Kirsch et al., 2021): a candidate is drawn with probability proportional to exp(BALD / temperature).

    Args:
        temperature: In nats; the smaller, the nearer to ``bald``.
    """

    def __init__(self, temperature: float) -> None:
        self._temperature = temperature
        self.name = f"softmax_bald_{temperature:g}"

    def act(self, obs: Observation, info: Info) -> int:
        """Pick the arg-max of the perturbed channel."""
        bald = channels(obs, self)[:, 0].astype(np.float64)
        return best(bald / self._temperature + self._rng.gumbel(size=len(bald)), obs["action_mask"])


class ClaspPe(PowerBald):
    """Class-stratified scheduled power predictive entropy (Lüth et al., 2026), ClaSP PE.

    Two thirds of the picks fall to a predicted class that is drawn first, as for ``stratified_random``; in it, or among
    all, a candidate is drawn in proportion to its entropy to a power. The method has noise that fades from round to
    round; that the power doubles with every round, up to 100, is our choice, and so is the share.
    """

    name = "clasp_pe"
    scores = ("entropy", "predicted_class")
    stratified = 2 / 3
    """Share of the picks that a class is drawn for."""

    def __init__(self) -> None:
        """Nothing to choose."""

    def act(self, obs: Observation, info: Info) -> int:
        """Pick the arg-max of the perturbed channel, of one class or of all."""
        entropy, predicted = channels(obs, self).T
        allowed = obs["action_mask"].astype(bool)
        if self._rng.random() < self.stratified:
            allowed &= predicted == self._rng.choice(np.unique(predicted[allowed]))
        exponent = min(2.0 ** info["round"], 100.0)
        return best(self._perturbed(entropy, exponent), allowed)


class PixelPick(Random):
    """PixelPick (Shin et al., 2021): a uniform pick among the 5 % with the largest margin uncertainty.

    The share is that of the candidates shown, one of them at least: of twenty it is ``margin``. The method's own
    setting has the pixels of one image for candidates: ``region="pixel"``, ``pooling="per_image"``.
    """

    name = "pixelpick"
    scores = ("margin",)
    share = 0.05

    def act(self, obs: Observation, info: Info) -> int:
        """Pick any of the most uncertain."""
        legal = np.flatnonzero(obs["action_mask"])
        order = legal[np.argsort(-channels(obs, self)[legal, 0], kind="stable")]
        return int(self._rng.choice(order[: max(1, int(self.share * len(order)))]))


class ForegroundRandom(Random):
    """Foreground-aware random: two picks of three go to where foreground is, all others anywhere.

    As nnActive's baseline (Lüth et al., 2025), which places patches around random voxels of foreground; but foreground
    is what is predicted, and background the class with most labels. A region is picked in proportion to its foreground.
    """

    name = "foreground_random"
    scores = ("foreground",)
    share = 2 / 3

    def act(self, obs: Observation, info: Info) -> int:
        """Pick the region of a random place."""
        legal = np.flatnonzero(obs["action_mask"])
        chance = channels(obs, self)[legal, 0].astype(np.float64)
        if self._rng.random() >= self.share or not chance.any():
            return int(self._rng.choice(legal))
        return int(self._rng.choice(legal, p=chance / chance.sum()))


class Badge(Random):
    """BADGE (Ash et al., 2020): k-means++ on gradients, so that picks are uncertain and differ.

    The first pick of a round has the longest gradient, as in the authors' code; the others are drawn in proportion to
    the squared distance to the nearest pick of the round. Exact with ``pooling="global"``; the gradient of a region is
    the mean over its cells.
    """

    name = "badge"
    scores = ("spread",)

    def act(self, obs: Observation, info: Info) -> int:
        """Pick the longest, or draw."""
        spread = np.where(obs["action_mask"], channels(obs, self)[:, 0], 0).astype(np.float64)
        if info["pick"] == 0 or not spread.any():
            return best(spread, obs["action_mask"])
        return int(self._rng.choice(len(spread), p=spread / spread.sum()))


def best(values: NDArray, mask: NDArray) -> int:
    """Return the arg-max of what the mask allows."""
    return int(np.where(mask, values, -np.inf).argmax())
