"""Keyed draws of images, cheap enough to make anew at every step: a hash of (episode, stream, counter, attempt).

A draw is a function of its key alone (splitmix64, Steele et al., 2014), so two policies with one seed meet the same
images as far as they have labelled the same ones, and single and batched episodes draw alike. The hash is integer
arithmetic modulo 2^64 and the same on every machine.
"""

from __future__ import annotations

from collections.abc import Set
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.int64]

_BITS = (1 << 64) - 1
_STEP, _RETRY = 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


class Draw(IntEnum):
    """Independent streams of one episode."""

    TARGET = 0
    POSITIVES = 1
    NEGATIVES = 2
    CANDIDATES = 3


def draw(key: int, stream: Draw, size: int, counter: int = 0, attempt: int = 0) -> int:
    """Return a number in 0..size-1 (size below 2^32)."""
    word = _mix((key + (stream + 1) * _STEP) & _BITS) + (counter + 1) * _STEP + attempt * _RETRY
    return (_mix(word & _BITS) >> 32) * size >> 32


def draw_many(
    keys: NDArray[np.uint64], stream: Draw, size: int, counters: NDArray[np.int64], attempts: NDArray[np.int64]
) -> Images:
    """Return ``draw`` for arrays of keys, counters and attempts that broadcast."""
    base = _mix_many(keys + np.uint64((stream + 1) * _STEP & _BITS))
    steps = (counters + 1).astype(np.uint64) * np.uint64(_STEP) + attempts.astype(np.uint64) * np.uint64(_RETRY)
    words = _mix_many(base + steps) >> np.uint64(32)
    words *= np.uint64(size)
    return (words >> np.uint64(32)).astype(np.int64)


def first_candidates(keys: NDArray[np.uint64], looks: NDArray[np.int64], count: int, pool: Images) -> Images:
    """Return the images that ``count`` slots show at first attempt, (n, count); some may be labelled, or shown twice.

    Args:
        keys: Episode keys (n,).
        looks: How many sets of candidates the episode has seen before, (n,).
        count: K.
        pool: The images to draw from.
    """
    counters = looks[:, None] * count + np.arange(count)
    return pool[draw_many(keys[:, None], Draw.CANDIDATES, len(pool), counters, np.zeros(1, np.int64))]


def settle(row: list[int], key: int, look: int, pool: Images, labelled: Set[int]) -> list[int]:
    """Draw again, slot by slot, until no image is labelled or shown twice.

    Args:
        row: First attempts of one episode's slots.
        key: Its key.
        look: How many sets of candidates it has seen before.
        pool: The images to draw from; more than are labelled or shown.
        labelled: Images that must not be shown.
    """
    settled: list[int] = []
    shown: set[int] = set()
    for slot, image in enumerate(row):
        attempt = 0
        while image in shown or image in labelled:
            attempt += 1
            image = int(pool[draw(key, Draw.CANDIDATES, len(pool), look * len(row) + slot, attempt)])
        shown.add(image)
        settled.append(image)
    return settled


def settle_many(
    images: Images, keys: NDArray[np.uint64], looks: NDArray[np.int64], pool: Images, labelled: Images
) -> None:
    """Do what ``settle`` does to many rows, in place.

    Args:
        images: First attempts (n, K).
        keys: Episode keys (n,).
        looks: How many sets of candidates the episodes have seen before, (n,).
        pool: The images to draw from.
        labelled: Images that must not be shown, (n, labels); -1 fills the row.
    """
    rows = np.flatnonzero(_holds_twice(np.concatenate([images, labelled], 1)))
    attempts, counters = np.zeros(images.shape, np.int64), looks[:, None] * images.shape[1] + np.arange(images.shape[1])
    while len(rows):
        wrong = _wrong(images[rows], labelled[rows])
        slot, rows = wrong.argmax(1)[wrong.any(1)], rows[wrong.any(1)]  # earlier slots are settled
        attempts[rows, slot] += 1
        keyed = keys[rows], Draw.CANDIDATES, len(pool), counters[rows, slot], attempts[rows, slot]
        images[rows, slot] = pool[draw_many(*keyed)]


def _holds_twice(images: Images) -> NDArray[np.bool_]:
    """Return in which rows an image occurs twice, (n,)."""
    ordered = np.sort(images, 1)
    return ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(1)


def _wrong(images: Images, labelled: Images) -> NDArray[np.bool_]:
    """Return which slots show what is labelled, or what an earlier slot of the row shows, (n, K)."""
    slots, known = images.shape[1], labelled.shape[1]
    # many rows along the last axis: comparing along few slots takes several times as long
    both = np.ascontiguousarray(np.concatenate([labelled, images], 1, dtype=np.int32).T)
    before = np.tri(slots, known + slots, known - 1, dtype=bool)
    return ((both[known:, None] == both) & before[:, :, None]).any(1).T


def _mix(word: int) -> int:
    word = (word ^ word >> 30) * _FIRST & _BITS
    word = (word ^ word >> 27) * _SECOND & _BITS
    return word ^ word >> 31


def _mix_many(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    for shift, factor in ((30, _FIRST), (27, _SECOND)):
        words = words ^ words >> np.uint64(shift)
        words *= np.uint64(factor)
    words ^= words >> np.uint64(31)
    return words
