"""Checks of SingleClassMine's arguments, and the spaces that follow from them; nothing is read from disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from alenv import mining
from alenv.errors import unknown
from alenv.mining.features import COSINES, DIMENSIONS, RELATIONS
from alenv.mining.gains import check_gain

CHOICES = {
    "pool": ("train", "eval"),
    "observation": ("cosine", "relational", "embedding"),
    "render_mode": (None, "rgb_array", "ansi"),
}
CLASSES = ("train", "heldout", "all")
STATE = ("spent", "positive_share", "gain", "positives", "labelled", "looks")
"""The entries of ``state``, see the environment's page."""


def check(arguments: Mapping[str, Any]) -> None:
    """Check what can be checked without reading data.

    Raises:
        ValueError: For the first argument that is wrong.
    """
    for name, choices in CHOICES.items():
        if arguments[name] not in choices:
            raise unknown(name, arguments[name], [str(choice) for choice in choices])
    for name in ("root", "embeddings"):
        if not isinstance(arguments[name], str | None):
            raise ValueError(f"{name}={arguments[name]!r}: expected a string")
    for name, least in (("candidates", 2), ("budget", 1), ("positives", 0), ("negatives", 0)):
        _integer(name, arguments[name], least)
    _check_skip(arguments["skip"], arguments["look_cost"])
    _check_classes(arguments["classes"])
    check_gain(arguments["gain"])
    _, size = mining.check_name(arguments["dataset"], arguments["root"], arguments["embeddings"])
    if size:
        check_pool(size // 2, arguments)


def check_pool(size: int, arguments: Mapping[str, Any]) -> None:
    """Check that a pool of so many images cannot run out.

    Raises:
        ValueError: If it can.
    """
    seeds, shown = arguments["positives"] + arguments["negatives"], arguments["candidates"]
    if arguments["budget"] + seeds + shown > size:
        raise ValueError(
            f"budget={arguments['budget']} with {seeds} seeds and candidates={shown} needs more than the {size} images "
            f"of pool={arguments['pool']!r} of {arguments['dataset']!r}; use budget <= {max(size - seeds - shown, 0)}"
        )


def observation_space(arguments: Mapping[str, Any]) -> Any:
    """Return the space of one episode's observations."""
    shown, kind = arguments["candidates"], arguments["observation"]
    width = len(COSINES if kind == "cosine" else RELATIONS) + (DIMENSIONS if kind == "embedding" else 0)
    return spaces.Dict(
        {
            "candidates": spaces.Box(0, 1, (shown, width), np.float32),
            "state": spaces.Box(0, 1, (len(STATE),), np.float32),
            "action_mask": spaces.Box(0, 1, (shown + arguments["skip"],), np.int8),
        }
    )


def _integer(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name}={value!r}: expected an integer of at least {least}")


def _check_skip(skip: object, cost: object) -> None:
    if not isinstance(skip, bool):
        raise ValueError(f"skip={skip!r}: expected True or False")
    if isinstance(cost, bool) or not isinstance(cost, int | float) or not 0 < cost <= 1:
        raise ValueError(f"look_cost={cost!r}: expected a number above 0, at most 1; an image costs 1")


def _check_classes(classes: object) -> None:
    if isinstance(classes, str):
        if classes not in CLASSES:
            raise unknown("classes", classes, [*CLASSES, "or a list of class names"])
    elif not isinstance(classes, list | tuple) or not classes or not all(isinstance(name, str) for name in classes):
        raise ValueError(f"classes={classes!r}: expected {', '.join(map(repr, CLASSES))} or a list of class names")
