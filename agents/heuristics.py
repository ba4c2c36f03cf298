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

from agents import rounds
from agents.draws import (
    EXPONENTS,
    TEMPERATURES,
    Badge,
    ClaspPe,
    ForegroundRandom,
    PixelPick,
    PowerBald,
    Random,
    SoftmaxBald,
    StratifiedRandom,
    best,
)
from agents.play import Info, Observation, Policy, channels
from alenv.acquisition import SCORES, find_score
from alenv.imports import is_path, source


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
        return best(channels(obs, self)[:, 0], obs["action_mask"])

    def act_round(self, obs: Observation, info: Info) -> NDArray[np.int64]:
        """Pick the largest values."""
        return rounds.best((channels(obs, self)[..., 0],), obs, info)


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
        pick = best(-distance, allowed & (had == had[allowed].min()))
        self._picks[float(cluster[pick])] += 1
        return pick


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

    def act_round(self, obs: Observation, info: Info) -> NDArray[np.int64]:
        """Pick the best of a pool that all picks share; of pools of their own one after the other."""
        if not rounds.shared(obs, info):
            return rounds.one_by_one(self, obs, info)
        score, entropy, image = channels(obs, self)[0].T
        index = np.arange(len(image))  # as in `act`, the last of equal ones wins
        # image by image, the best first: the n-th best of an image has its turn after n picks there
        order = np.lexsort((-index, -entropy, -score, obs["action_mask"][0] == 0, image))
        turn = np.zeros(len(image)) if self.dynamic else self._turns(image, order)
        picks = rounds.best(tuple(key[None] for key in (-turn, score, entropy, index)), obs, info)
        self._picks.update(image[picks].tolist())
        return picks

    def _turns(self, image: NDArray[np.float32], order: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how many picks its image will have had when it is a candidate's turn, if ``order`` is that of each."""
        images, first = np.unique(image[order], return_index=True)
        had = np.array([self._picks[i] for i in images.tolist()])
        group = np.searchsorted(images, image[order])
        turns = np.empty(len(image))
        turns[order] = np.arange(len(image)) - first[group] + had[group]
        return turns


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


class RipuPixel(Ripu):
    """RIPU's pixel mode: the pixel's entropy times the impurity of a window of 65 x 65 around it.

    Exact are score and quota. The paper also excludes 32 pixels around a pick; here windows exclude what they overlap.
    """

    name, scores = "ripu_pixel", ("ripu_pixel", "entropy", "image")


class CbdaPixel(Ripu):
    """CBDA on RIPU's pixel mode: weighted by the rarity of the pixel's predicted class, all images in competition."""

    name, scores, dynamic = "cbda_pixel", ("cbda_pixel", "entropy", "image"), True


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
        return best(self._env.candidate_gains(live=self.live), obs["action_mask"])


class LiveLookAhead(LookAhead):
    """Oracle: look-ahead that knows what this round's picks will teach, so that it repeats nothing. Far slower."""

    name, live = "live_look_ahead", True


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
    RipuPixel,
    CbdaPixel,
    LookAhead,
    LiveLookAhead,
)
_GREEDY: tuple[Callable[[], Policy], ...] = tuple(
    partial(Greedy, channel) for channel, score in SCORES.items() if score.policy
)
POLICIES: dict[str, Callable[[], Policy]] = {make().name: make for make in (*_ALL, *_GREEDY)}
