"""What happened in one episode, and its file."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from alenv.errors import shown
from alenv.outside import Count, Finite, decode, decode_json

Points = Annotated[float, Meta(ge=0, le=100)]
Region = Annotated[list[Annotated[int, Meta(ge=-1)]], Meta(min_length=3, max_length=3)]
Seconds = Annotated[float, Meta(ge=0, le=sys.float_info.max)]


class Curve(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The budget curve of an episode; ``miou`` and ``class_iou`` are by split."""

    regions: list[Count]
    pixels: list[Count]
    clicks: list[Count]
    images: list[Count]
    miou: dict[str, list[Points]]
    class_iou: dict[str, list[list[Points | None]]]

    def __post_init__(self) -> None:
        """Check that all belongs to the same rounds.

        Raises:
            ValueError: If lengths differ, a cost falls, or a point has no class.
        """
        points = len(self.regions)
        if points < 2:
            raise ValueError(f"the curve has {points} points, and needs one for the start and one for every round")
        for unit in ("regions", "pixels", "clicks", "images"):
            cost = getattr(self, unit)
            if len(cost) != points or sorted(cost) != cost:
                raise ValueError(f"{unit}={shown(cost)}: expected {points} points that never fall")
        if self.miou.keys() != self.class_iou.keys():
            raise ValueError(f"miou is of {', '.join(self.miou)}, class_iou of {', '.join(self.class_iou)}")
        for split, rows in self.class_iou.items():
            if len(self.miou[split]) != points or len(rows) != points:
                raise ValueError(f"the curves on split {split!r} do not all have {points} points")
            if len({len(row) for row in rows}) > 1 or any(set(row) <= {None} for row in rows):
                raise ValueError(f"class_iou on split {split!r}: expected the same classes everywhere, and one present")


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
        env_id: Id of the environment.
        kwargs: Its arguments.
        seed: Seed of ``reset``.
        actions: The actions.
        rewards: The reward of each.
        picked: The region of each: image, y, x; -1 where it was illegal.
        curve: One entry for the start and for the end of every round: ``regions``, ``pixels``, ``clicks``, ``images``
            bought so far; ``miou`` and ``class_iou`` (points; None for a class that does not occur) by split.
        labels_given: Pixels labelled outside the budget.
        seconds: Wall time of ``policy``, ``env`` and ``evaluator``.
        fingerprint: What the numbers depend on.
    """

    policy: str
    oracle: bool
    env_id: str
    kwargs: dict[str, Any]
    seed: Count
    actions: list[Count]
    rewards: list[Finite]
    picked: list[Region]
    curve: dict[str, Any]
    labels_given: Count
    seconds: dict[str, float]
    fingerprint: dict[str, Any]

    def to_json(self) -> str:
        """Return the episode as JSON."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Episode:
        """Read an episode.

        Raises:
            ValueError: If the text is not JSON, or an entry is missing, unknown, of another type, or does not fit the
                others.
        """
        episode = decode_json(cls, text)
        parts: dict[str, type] = {"curve": Curve, "seconds": Timings, "fingerprint": Fingerprint}
        for name, kind in parts.items():
            decode(kind, getattr(episode, name), f"entry of {name}:")
        if not len(episode.actions) == len(episode.rewards) == len(episode.picked):
            raise ValueError(
                f"{len(episode.actions)} actions, {len(episode.rewards)} rewards, {len(episode.picked)} picked: "
                "expected as many of each"
            )
        return episode
