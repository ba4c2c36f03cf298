"""The record of one episode, whatever the environment: a trace, and curves of named metrics over named costs.

The trace is all that a replay needs: ``gymnasium.make(env_id, **kwargs)``, ``reset(seed=seed, options=options)``, then
the ``actions`` one by one. With an equal ``fingerprint`` it gives the same ``rewards``, ``picked``, ``given`` and
curves, bit for bit; with another one the same ``picked`` and costs, if the data are the same, and metrics that differ
by what the fingerprints tell. ``agents.recorders.like(episode)`` measures the curves at the same points again.

The curves have one point for the start and one for every measurement. What stands in them depends on the environment:

| | RegionSelect, measured after every round | SingleClassMine, measured at the suite's budgets |
|---|---|---|
| ``costs`` | ``regions``, ``pixels``, ``clicks``, ``images``: bought so far | ``images``: bought so far |
| ``metrics`` | ``miou/<split>``, in points | ``gain``: the return; ``pixels``, ``positives``: of the class, bought |
| | | ``iou``, ``average_precision``: of a head trained on the images, in points |
| ``class_metrics`` | ``class_iou/<split>``, in points; ``pixels``: bought | |
| ``picked`` | ``[image, y, x]``; ``[-1, -1, -1]``: nothing was bought | ``[image]``; ``[-1]``: nothing was bought |
| ``given`` | ``pixels``: initial labels and the reward split | ``images``: the seed images |
| ``options`` | ``initial_images``, if named | ``target_class`` |
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from alenv.errors import shown
from alenv.outside import Count, Finite, decode, decode_json

Picked = list[Annotated[int, Meta(ge=-1)]]
Seconds = Annotated[float, Meta(ge=0, le=sys.float_info.max)]

POINTS = ("miou", "class_iou", "iou", "average_precision")
"""Metrics between 0 and 100."""


class Fingerprint(msgspec.Struct):
    """What is asked of a fingerprint, among all else that stands in it."""

    sha256: str
    arguments: dict[str, Any]


class Timings(msgspec.Struct, forbid_unknown_fields=True):
    """Wall time of the parts of an episode."""

    policy: Seconds
    env: Seconds
    evaluator: Seconds


@dataclass(frozen=True)
class Episode:
    """What happened in one episode, as plain JSON values.

    Attributes:
        policy: Name of the policy.
        oracle: Whether it was given labels that were not bought.
        env_id: Id of the environment, with its version.
        kwargs: Arguments that it was made with; the policy's own ``scores`` and ``observation`` are not among them.
        options: Those of ``reset``.
        seed: That of ``reset``.
        actions: The actions.
        rewards: The reward of each.
        picked: What each bought; -1 where it bought nothing.
        costs: By unit, what had been bought at each point of the curves.
        metrics: By name, a number for each point; None where it is not known.
        class_metrics: By name, a list for each point with a number for each class; None for one that does not occur.
        given: By unit, what was labelled outside the budget.
        seconds: Wall time of ``policy``, ``env`` and ``evaluator``.
        fingerprint: What the numbers depend on, versions among it, see ``alenv.state``.
    """

    policy: str
    oracle: bool
    env_id: str
    kwargs: dict[str, Any]
    options: dict[str, Any]
    seed: Count
    actions: list[Count]
    rewards: list[Finite]
    picked: list[Picked]
    costs: dict[str, list[Count]]
    metrics: dict[str, list[Finite | None]]
    class_metrics: dict[str, list[list[Finite | None]]]
    given: dict[str, Count]
    seconds: dict[str, float]
    fingerprint: dict[str, Any]

    def to_json(self) -> str:
        """Return the episode as JSON, in one line."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Episode:
        """Read an episode.

        Raises:
            ValueError: If the text is not JSON, or an entry is missing, unknown, of another type, or does not fit the
                others.
        """
        return check(decode_json(cls, text))


def check(episode: Episode) -> Episode:
    """Return an episode whose entries fit each other.

    Raises:
        ValueError: For the first that does not.
    """
    decode(Timings, episode.seconds, "entry of seconds:")
    decode(Fingerprint, episode.fingerprint, "entry of fingerprint:")
    _check_trace(episode)
    _check_costs(episode.costs)
    points = len(next(iter(episode.costs.values())))
    for name, values in episode.metrics.items():
        _check_length(name, values, points)
        _check_range(name, values)
    for name, rows in episode.class_metrics.items():
        _check_length(name, rows, points)
        if len({len(row) for row in rows}) > 1 or any(set(row) <= {None} for row in rows):
            raise ValueError(f"{name}: expected the same classes everywhere, and one present")
        for row in rows:
            _check_range(name, row)
    return episode


def _check_trace(episode: Episode) -> None:
    actions, rewards, picked = (len(part) for part in (episode.actions, episode.rewards, episode.picked))
    if not actions == rewards == picked:
        raise ValueError(f"{actions} actions, {rewards} rewards, {picked} picked: expected as many of each")
    if len({len(pick) for pick in episode.picked}) > 1:
        raise ValueError("picked: expected as many numbers for every pick")


def _check_costs(costs: dict[str, list[int]]) -> None:
    if not costs:
        raise ValueError("costs is empty: expected a list for every unit")
    unit, first = next(iter(costs.items()))
    if not first:
        raise ValueError(f"{unit} is empty: expected a point for the start and one for every measurement")
    for unit, cost in costs.items():
        if len(cost) != len(first) or sorted(cost) != cost:
            raise ValueError(f"{unit}={shown(cost)}: expected {len(first)} points that never fall")


def _check_length(name: str, values: list[Any], points: int) -> None:
    if len(values) != points:
        raise ValueError(f"{name} has {len(values)} points, the costs have {points}")


def _check_range(name: str, values: list[float | None]) -> None:
    if name.partition("/")[0] in POINTS:
        for value in values:
            if value is not None and not 0 <= value <= 100:
                raise ValueError(f"{name}={value}: expected points between 0 and 100")
