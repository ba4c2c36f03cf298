"""Picks and budget as shares of the pool's pixels: ``"1%"``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from alenv import data as datasets
from alenv.errors import shown


def counted(arguments: Mapping[str, Any]) -> dict[str, int]:
    """Return ``picks`` and ``budget`` as numbers of regions where they are shares of the pixels of the pool.

    A share is rounded up to whole regions, and a budget beside picks in shares to whole rounds.

    Args:
        arguments: Of the environment. The data are read if there is a share.

    Raises:
        ValueError: If one is a text, but no share, or regions have no size.
    """
    shares = {name: _share(name, arguments[name]) for name in ("picks", "budget") if type(arguments[name]) is str}
    if not shares:
        return {}
    region, pool = arguments["region"], arguments["pool"]
    if not isinstance(region, list | tuple) or len(region) != 2 or not all(type(side) is int for side in region):
        raise ValueError(f"{shown(shares)}: shares of the pixels need region=[height, width], not {shown(region)}")
    data = datasets.load(*(arguments[name] for name in ("dataset", "root", "split")))
    if pool not in data.splits:
        return {}  # the arguments' own check says what is wrong
    pixels = len(data.splits[pool]) * math.prod(data.images.shape[1:3])
    counts = {name: math.ceil(share * pixels / max(math.prod(region), 1)) for name, share in shares.items()}
    if len(counts) == 2:
        counts["budget"] = counts["picks"] * max(round(shares["budget"] / shares["picks"]), 1)
    return counts


def _share(name: str, text: str) -> float:
    number = re.fullmatch(r"(\d{1,3}(?:\.\d{1,9})?)%", text)
    if not number or not 0 < float(number[1]) <= 100:
        raise ValueError(f"{name}={shown(text)}: write a number of regions, or a share of the pixels such as '1%'")
    return float(number[1]) / 100
