"""Splits of images: by lists that are shipped, by the official parts, or by a hash of the names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alenv.regions import Ids


def read_table(name: str) -> dict[str, list[str]]:
    """Return the names of the images of each split of a table that is shipped."""
    text = (resources.files("alenv.data") / "splits" / f"{name}.json").read_text()
    return {k: v for k, v in json.loads(text).items() if k not in ("source", "unused")}


def named_splits(table: str, names: Sequence[str], root: Path) -> dict[str, Ids]:
    """Return the splits of a table that is shipped, without its ``unused`` images.

    Args:
        table: Name of a file in ``splits``.
        names: Of the images that are there, in order.
        root: Where they lie, for the error.

    Raises:
        FileNotFoundError: If images of the table are missing.
    """
    index, lists = {name: i for i, name in enumerate(names)}, read_table(table)
    if missing := [name for part in lists.values() for name in part if name not in index]:
        raise FileNotFoundError(
            f"{len(missing)} images of the split table {table!r} are not in {root} (first: {missing[0]}); "
            "copy the missing ones there"
        )
    return {k: np.array([index[name] for name in part], np.int64) for k, part in lists.items()}


def hashed_splits(train: Sequence[str], test: Sequence[str]) -> dict[str, Ids]:
    """Divide an official training set by a hash of the names, see ``shares``; the images are ``[*train, *test]``."""
    return cut(shuffled(train), shares(len(train))) | {"test": _last(train, test)}


def hashed_tenths(names: Sequence[str]) -> dict[str, Ids]:
    """Divide images without an official test set by a hash: a tenth is ``test``, for the rest see ``shares``."""
    tested = max(1, len(names) // 10)
    return cut(shuffled(names), shares(len(names) - tested) | {"test": tested})


def official_splits(train: Sequence[str], test: Sequence[str], reward: int) -> dict[str, Ids]:
    """Return splits for protocols that label a whole official training set; the images are ``[*train, *test]``.

    The reward needs labelled images that are neither pool nor test: they are taken from the training set, by a hash of
    the names. ``train`` and ``eval`` are both all the rest, and the ``state`` images are some of it.

    Args:
        train: Names of the official training set.
        test: Names of the official set to test on.
        reward: Images of ``train`` that are held back.

    Raises:
        FileNotFoundError: If ``train`` has too few images for that.
    """
    if len(train) < reward + STATE:
        raise FileNotFoundError(
            f"there are {len(train)} training images, and the split table 'official' holds {reward} of them back for "
            "the reward; copy the missing ones there"
        )
    order = shuffled(train)
    rest = np.sort(np.asarray(order[reward:], np.int64))
    return {
        "state": np.sort(np.asarray(order[reward : reward + STATE], np.int64)),
        "train": rest,
        "reward": np.sort(np.asarray(order[:reward], np.int64)),
        "eval": rest,
        "test": _last(train, test),
    }


STATE = 10
"""State images of ``official_splits``."""


def _last(train: Sequence[str], test: Sequence[str]) -> Ids:
    return np.arange(len(train), len(train) + len(test))


def shuffled(names: Sequence[str]) -> list[int]:
    """Return indices in an order that depends on the names alone, as if at random."""
    return sorted(range(len(names)), key=lambda i: hashlib.sha256(names[i].encode()).hexdigest())


def cut(order: Sequence[int], sizes: Mapping[str, int]) -> dict[str, NDArray[np.int64]]:
    """Cut an order of images into parts; the indices of a part ascend."""
    ends = np.cumsum(list(sizes.values()))
    return {
        part: np.sort(np.asarray(order[end - sizes[part] : end], np.int64))
        for part, end in zip(sizes, ends, strict=True)
    }


def shares(images: int) -> dict[str, int]:
    """Divide labelled images among the splits that policies use, for datasets that name only a test set."""
    sizes = {part: max(1, round(share * images)) for part, share in _SHARES.items()}
    return sizes | {"eval": images - sum(sizes.values())}


_SHARES = {"state": 0.02, "train": 0.26, "reward": 0.06, "holdout": 0.06}
