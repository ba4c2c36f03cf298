"""Files of mining suites: what all seeds of a policy mined of one class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from agents.episode import Fingerprint
from alenv.errors import shown
from alenv.outside import Count, Finite, Share, decode, decode_json
from benchmarks.leaderboard.suite import Suite

Record = dict[str, Any]
"""The entries of ``RecordEntries``, as JSON has them."""


class Trained(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Scores of a head trained on what was mined; None for a class that no test image has."""

    iou: Share | None
    average_precision: Share | None


class Mined(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One episode, see ``benchmarks.leaderboard.mining.play``; dicts are by budget."""

    given: list[Count]
    images: list[Count]
    gain: dict[str, Finite]
    pixels: dict[str, Count]
    positives: dict[str, Count]
    trained: dict[str, Trained] | UnsetType = UNSET

    def __post_init__(self) -> None:
        """Check what holds whatever was mined.

        Raises:
            ValueError: If an image was labelled twice, or budgets are missing.
        """
        bought = [*self.given, *self.images]
        if len(set(bought)) < len(bought):
            raise ValueError(f"images={shown(self.images)}: one of them was labelled twice")
        if any(not key.isdecimal() or n > int(key) for key, n in self.positives.items()):
            raise ValueError(f"positives={shown(self.positives)}: expected at most as many as the budget bought")
        for name in ("pixels", "positives", "trained"):
            figures = getattr(self, name)
            if figures is not UNSET and figures.keys() != self.gain.keys():
                raise ValueError(f"{name} has the budgets {', '.join(figures)}, gain has {', '.join(self.gain)}")


class RecordEntries(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What stands in the file."""

    policy: str
    target: str
    oracle: bool
    episodes: dict[str, Mined]
    fingerprint: dict[str, Any]


def read_record(path: Path, suite: Suite, policy: str, target: str) -> Record:
    """Read the file of a policy and a class.

    Raises:
        FileNotFoundError: If there is none yet.
        ValueError: If it is damaged, or holds something else.
    """
    text = path.read_text(encoding="utf-8")
    check_record(text, suite, policy, target)
    return msgspec.json.decode(text)


def check_record(text: str, suite: Suite, policy: str, target: str) -> None:
    """Check the text of a record.

    Raises:
        ValueError: If it is none, or that of something else.
    """
    found = decode_json(RecordEntries, text)
    decode(Fingerprint, found.fingerprint, "entry of the fingerprint")
    if (found.policy, found.target) != (policy, target):
        raise ValueError(f"it is of {shown(found.policy)} and {shown(found.target)}, not of {policy!r} and {target!r}")
    _check_keys("seeds", found.episodes, suite.seeds)
    trained = {episode.trained is UNSET for episode in found.episodes.values()}
    if len(trained) > 1:
        raise ValueError("only some of its episodes have trained heads")
    for episode in found.episodes.values():
        _check_keys("budgets", episode.gain, suite.budgets)


def _check_keys(name: str, found: dict[str, Any], right: tuple[int, ...]) -> None:
    if found.keys() != {str(key) for key in right}:
        raise ValueError(f"its {name} are {', '.join(found) or 'none'}; expected {', '.join(map(str, right))}")
