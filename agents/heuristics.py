"""Policies that need no training: an arg-max over an acquisition channel, and the few that are not.

What is exact about a channel, and what is our choice, is said in ``alenv.acquisition``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agents.policy import Info, Observation, Policy, channels
from alenv.acquisition import SCORES, find_score
from alenv.imports import is_path, source

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


class StratifiedRandom(Random):
    """A uniform pick from a predicted class that is drawn first, so that rare classes are met as often as others.

    Our baseline: the class of a region is that of its largest mean probability.
    """

    name = "stratified_random"
    scores = ("predicted_class",)

    def act(self, obs: Observation, info: Info) -> int:
        """Pick any candidate of any class among the candidates."""
        classes = np.where(obs["action_mask"], channels(obs, self)[:, 0], -1)
        chosen = self._rng.choice(np.unique(classes[classes >= 0]))
        return int(self._rng.choice(np.flatnonzero(classes == chosen)))


class Greedy:
    """The candidate with the largest value of one acquisition channel.

    Args:
        channel: A name in ``SCORES``, or ``package.module:name`` of a ``Score``.
    """

    oracle = False

    def __init__(self, channel: str) -> None:
        self.name = find_score(channel).policy or channel
        self.scores: tuple[str, ...] = (channel,)
        self.digest = source(channel) if is_path(channel) else ""

    def reset(self, seed: int) -> None:
        """Nothing to forget: the channel holds all."""

    def act(self, obs: Observation, info: Info) -> int:
        """Pick the arg-max."""
        return _best(channels(obs, self)[:, 0], obs["action_mask"])


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
        return _best(self._perturbed(channels(obs, self)[:, 0], self._exponent), obs["action_mask"])

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
        return _best(bald / self._temperature + self._rng.gumbel(size=len(bald)), obs["action_mask"])


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
        return _best(self._perturbed(entropy, exponent), allowed)


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
            return _best(spread, obs["action_mask"])
        return int(self._rng.choice(len(spread), p=spread / spread.sum()))


class Clue:
    """CLUE (Prabhu et al., 2021): the candidates nearest to the centres of clusters that are weighted by entropy.

    There are as many clusters as picks in a round. A pick goes to one of the clusters with the fewest picks so far, to
    the candidate nearest to its centre: with ``pooling="global"`` that is one pick from each, as in the paper.
    """

    name = "clue"
    scores: tuple[str, ...] = ("cluster_distance", "cluster")
    oracle = False

    def reset(self, seed: int) -> None:
        """Forget how many picks each cluster had."""
        self._picks: Counter[float] = Counter()

    def act(self, obs: Observation, info: Info) -> int:
        """Pick the nearest to its centre among the candidates of clusters with the fewest picks."""
        distance, cluster = channels(obs, self).T
        if info["pick"] == 0:
            self._picks.clear()
        had = np.array([self._picks[c] for c in cluster.tolist()])
        allowed = obs["action_mask"].astype(bool)
        best = _best(-distance, allowed & (had == had[allowed].min()))
        self._picks[float(cluster[best])] += 1
        return best


class Ripu:
    """RIPU (Xie et al., 2022): impurity times uncertainty, and the same quota for every image.

    A pick goes to one of the images with the fewest picks so far; ties of the score (pure windows all have 0) go to
    the larger entropy. Score and quota are exact. Our choices: windows of 3 x 3 cells, of which a region has the mean,
    and no exclusion squares, because regions do not overlap.
    """

    name = "ripu"
    scores: tuple[str, ...] = ("ripu", "entropy", "image")
    oracle = False
    dynamic = False
    """Whether all images compete, without a quota."""

    def reset(self, seed: int) -> None:
        """Forget how many picks each image had."""
        self._picks: Counter[float] = Counter()

    def act(self, obs: Observation, info: Info) -> int:
        """Pick the arg-max among the candidates that the quota allows."""
        score, entropy, image = channels(obs, self).T
        allowed = obs["action_mask"].astype(bool)
        if not self.dynamic:
            had = np.array([self._picks[i] for i in image.tolist()])
            allowed &= had == had[allowed].min()
        best = int(np.lexsort((entropy, score, allowed))[-1])
        self._picks[float(image[best])] += 1
        return best


class CbdaBalance(Ripu):
    """CBDA (2023) with class balancing alone: the score is weighted by the rarity of the predicted classes.

    The method has no public code: the weights, 1 / ln(1.01 + frequency), and their place are a design.
    """

    name, scores = "cbda_balance", ("cbda", "entropy", "image")


class CbdaDynamic(Ripu):
    """CBDA (2023) with dynamic acquisition alone: all images compete for every pick.

    With ``pooling="global"`` this is the method's allocation over the whole pool of candidates.
    """

    name, dynamic = "cbda_dynamic", True


class Cbda(CbdaBalance):
    """CBDA (2023) with class balancing and dynamic acquisition."""

    name, dynamic = "cbda", True


class _LookAheadEnv(Protocol):
    def candidate_gains(self, live: bool = ...) -> NDArray[np.float64]: ...


class LookAhead:
    """Oracle: the candidate whose true label gains most on the reward split, one step ahead, as the round started.

    Exact for the ``lda`` head; for ``linear`` the gain is its first-order estimate. It knows labels that were not
    bought, so it bounds what a myopic policy could learn, and it is ranked apart.
    """

    name = "look_ahead"
    scores: tuple[str, ...] = ()
    oracle = True
    live = False
    """Whether this round's picks count as labelled already."""

    def attach(self, env: _LookAheadEnv) -> None:
        """Take the environment from the evaluator."""
        self._env = env

    def reset(self, seed: int) -> None:
        """Nothing to forget."""

    def act(self, obs: Observation, info: Info) -> int:
        """Pick the largest gain."""
        return _best(self._env.candidate_gains(live=self.live), obs["action_mask"])


class LiveLookAhead(LookAhead):
    """Oracle: look-ahead that knows what this round's picks will teach, so that it repeats nothing. Far slower."""

    name, live = "live_look_ahead", True


def _best(values: NDArray, mask: NDArray) -> int:
    return int(np.where(mask, values, -np.inf).argmax())


_ALL: tuple[Callable[[], Policy], ...] = (
    Random,
    StratifiedRandom,
    *(partial(PowerBald, exponent) for exponent in EXPONENTS),
    *(partial(SoftmaxBald, temperature) for temperature in TEMPERATURES),
    ClaspPe,
    PixelPick,
    ForegroundRandom,
    Badge,
    Clue,
    Ripu,
    CbdaBalance,
    CbdaDynamic,
    Cbda,
    LookAhead,
    LiveLookAhead,
)
_GREEDY: tuple[Callable[[], Policy], ...] = tuple(
    partial(Greedy, channel) for channel, score in SCORES.items() if score.policy
)
POLICIES: dict[str, Callable[[], Policy]] = {make().name: make for make in (*_ALL, *_GREEDY)}
