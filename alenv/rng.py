"""Keyed randomness: every draw is a function of (episode, stream, round), never of what was drawn before.

Item i of a draw over all items is item i whatever else is labelled, so two policies with one seed meet the same luck.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """Independent streams of one episode."""

    INITIAL = 0
    CANDIDATES = 1
    IMAGES = 3
    PASSES = 4


def keyed_rng(episode: int, stream: Stream, *keys: int) -> np.random.Generator:
    """Return the generator of one key."""
    return np.random.default_rng([episode, int(stream), *keys])
