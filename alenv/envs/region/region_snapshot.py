"""RegionSelect's snapshots: what one must hold, and that it agrees with itself, the arguments and the data."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from alenv.data import SegmentationData
from alenv.envs.region.arguments import Arguments
from alenv.envs.region.campaign import Campaign
from alenv.envs.region.initial import check_unscored
from alenv.envs.snapshot import Key, Random, check_counts, check_same
from alenv.outside import Count, check_array, decode
from alenv.pool import Candidates
from alenv.regions import Ids, WindowGrid


class CampaignState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many of the labelled regions were there at the start, and the model."""

    initial: Count
    learner: dict[str, Any]


class RoundState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Picks made, which of them were legal, and which of the round's candidates these took."""

    made: Count
    legal: tuple[Count, ...]
    taken: tuple[Count, ...]
    ranked: NDArray | None = None
    """The candidates, where they do not follow from the labels alone."""


class RegionSnapshot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``RegionSelectEnv.get_state`` returns; pool, ledger, score and candidates follow from it."""

    arguments: dict[str, Any]
    data: str
    np_random: Random
    episode: Key
    campaign: CampaignState
    round: RoundState
    counters: tuple[Count, Count]
    picked: tuple[int, int, int]


class RegionBatchSnapshot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``RegionSelectVectorEnv.get_state`` returns: what a ``RegionSnapshot`` holds, arguments and data once."""

    arguments: dict[str, Any]
    data: str
    episodes: tuple[dict[str, Any], ...]

    def apart(self) -> list[dict[str, Any]]:
        """Return the snapshots of single environments."""
        return [{**episode, "arguments": self.arguments, "data": self.data} for episode in self.episodes]


def read(
    state: object, arguments: Arguments, data: SegmentationData, campaign: Campaign
) -> tuple[RegionSnapshot, Candidates]:
    """Read a snapshot, without changing anything.

    Args:
        state: What should be a snapshot.
        arguments: Of the environment that is to be restored.
        data: The data as they are stored.
        campaign: Of this environment.

    Returns:
        The snapshot, and the candidates of its round.

    Raises:
        ValueError: If it is none, or one of other arguments or data.
    """
    saved = decode(RegionSnapshot, state, "snapshot entry")
    check_same(saved, arguments, data.manifest)
    campaign.learner.check_state(saved.campaign.learner)
    labelled, initial = saved.campaign.learner["labelled"], saved.campaign.initial
    _check_counters(saved, arguments, len(labelled) - initial)
    check_unscored(labelled[:initial] // campaign.grid.per_image, data)
    candidates = _candidates(saved, arguments, campaign, labelled)
    _check_round(saved.round, candidates)
    _check_picked(saved.picked, campaign, np.append(labelled, candidates.ids[list(saved.round.taken)]))
    return saved, candidates


def _check_counters(saved: RegionSnapshot, arguments: Arguments, bought: int) -> None:
    (number, spent), made = saved.counters, saved.round.made
    before = spent - made
    counts = {"rounds": number, "spent": spent, "picks made": made, "regions bought": bought}
    check_counts(counts, 0 <= bought <= before, "nothing is bought without a pick of a round that is over")
    check_counts(counts, spent <= arguments.budget, f"budget={arguments.budget}")
    check_counts(counts, number <= before <= number * arguments.picks, f"a round has 1 to {arguments.picks} picks")


def _candidates(saved: RegionSnapshot, arguments: Arguments, campaign: Campaign, labelled: Ids) -> Candidates:
    """Return the candidates of the snapshot's round: they follow from what was labelled at its start, or are in it."""
    pool, initial = campaign.open_pool(saved.episode), saved.campaign.initial
    campaign.take(pool, labelled[:initial][pool.holds(labelled[:initial])])
    campaign.take(pool, labelled[initial:])
    (number, spent), made = saved.counters, saved.round.made
    turns = range(spent - made, min(spent - made + arguments.picks, arguments.budget))
    ranked, grid = saved.round.ranked, campaign.grid
    if (ranked is None) != (arguments.pooling != "ranked"):
        raise ValueError("round.ranked: expected candidates with pooling='ranked', and none with another")
    if ranked is None:
        return pool.draw(number, turns, arguments.candidates, arguments.pooling)
    check_array("round.ranked", ranked, np.empty(len(ranked) if ranked.ndim else 0, np.int64))
    campaign.take(pool, ranked)  # refuses what is labelled or named twice
    if len(ranked) > arguments.shown or (np.diff(ranked) <= 0).any():
        raise ValueError(f"round.ranked: expected at most {arguments.shown} candidates in ascending order")
    for name, windows in ("labelled", labelled[initial:]), ("round.ranked", ranked):
        if not cast(WindowGrid, grid).disjoint(windows):
            raise ValueError(f"{name}: two of these windows overlap; windows of pixels never do")
    return Candidates(ranked, (slice(0, len(ranked)),) * min(len(turns), len(ranked)))


def _check_round(saved: RoundState, candidates: Candidates) -> None:
    """Check that every legal pick took a candidate that it was shown, and that was free."""
    picks, legal, taken = len(candidates.shown), saved.legal, saved.taken
    counts = {"picks made": saved.made, "legal": len(legal), "taken": len(taken)}
    check_counts(counts, saved.made < max(picks, 1), f"this round has {picks} picks, and is open")
    check_counts(counts, len(legal) == len(taken) == len(set(taken)), "a legal pick takes one region")
    check_counts(counts, list(legal) == sorted({*legal}) and all(pick < saved.made for pick in legal), "picks ascend")
    for pick, index in zip(legal, taken, strict=True):
        part = candidates.shown[pick]
        rule = f"pick {pick} was shown candidates {part.start} to {part.stop - 1}, not {index}"
        check_counts(counts, part.start <= index < part.stop, rule)


def _check_picked(picked: tuple[int, int, int], campaign: Campaign, regions: Ids) -> None:
    corners = campaign.grid.corners(regions)
    if picked != (-1, -1, -1) and not (corners == picked).all(1).any():
        raise ValueError(f"picked={list(picked)}: no labelled region begins there")
