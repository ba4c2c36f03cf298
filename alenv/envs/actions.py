"""The one check of an action: what ``Discrete(n)`` contains, whoever made it."""

from __future__ import annotations

from typing import Any

import numpy as np


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
        raise ValueError(f"action {action!r} is not one of 0..{count - 1}")
    return int(action)
