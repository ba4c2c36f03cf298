"""The one check of actions: what ``Discrete(n)`` contains, whoever made it, alone or many at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from alenv.errors import shown


def checked(action: Any, count: int) -> int:
    """Return an action as an int.

    Args:
        action: An int, a NumPy integer, or an integer array of shape (), as ``predict`` of Stable-Baselines3 returns.
        count: How many actions there are.

    Raises:
        ValueError: If it is anything else (a bool is no action), or not one of 0..count-1.
    """
    if isinstance(action, np.ndarray) and action.shape == ():
        action = action[()]
    if not isinstance(action, int | np.integer) or isinstance(action, bool) or not 0 <= action < count:
        raise ValueError(f"action {shown(action)} is not one of 0..{count - 1}")
    return int(action)


def checked_all(actions: Any, size: int, count: int, what: str) -> NDArray[np.int64]:
    """Return many actions as int64 (size,).

    Args:
        actions: As many integers as asked for.
        size: How many.
        count: How many actions there are for each.
        what: What each of them is for, in an error.

    Raises:
        ValueError: If they are anything else, or one of them is not one of 0..count-1.
    """
    try:
        array = np.asarray(actions)
    except ValueError:  # lists of different lengths
        array = np.empty(0)
    if array.shape != (size,) or array.dtype.kind not in "iu":
        raise ValueError(f"actions={shown(actions)}: expected {size} integers, {what}")
    for action in array[(array < 0) | (array >= count)][:1]:
        raise ValueError(f"action {action} is not one of 0..{count - 1}")
    return array.astype(np.int64, copy=False)
