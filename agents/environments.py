"""Environments of trainings: what an agent cannot play is refused before anything is made or written."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from gymnasium import spaces

import alenv  # noqa: F401  registers the ids
from alenv.errors import shown

PARTS = {"candidates", "state", "action_mask"}
"""What every observation holds."""


def mines(env_id: str) -> bool:
    """Whether an environment mines images of one class; otherwise it selects regions."""
    return env_id.removeprefix("alenv:").startswith("SingleClassMine")


def make_env(env_id: str, /, *, regions_only: bool = False, **kwargs: Any) -> gym.Env:
    """Make an environment.

    Args:
        env_id: Of a RegionSelect or a SingleClassMine environment.
        regions_only: Whether the agent plays no SingleClassMine.
        kwargs: Its arguments.

    Raises:
        ValueError: If it is of another kind, or does not have one of the arguments.
        gymnasium.error.Error: If there is no such environment.
    """
    if regions_only and mines(env_id):
        raise ValueError(f"env={env_id!r}: this agent plays RegionSelect environments only, such as 'RegionSelect-v0'")
    try:
        env = gym.make(env_id, **kwargs)
    except (TypeError, AttributeError, ImportError) as error:  # the argument that it does not have, its module
        cause = str(error).partition(" was raised from")[0]
        raise ValueError(f"env={env_id!r} cannot be made with {shown(kwargs)}: {cause}") from error
    space = env.observation_space
    if not isinstance(space, spaces.Dict) or not PARTS.issubset(space.spaces):
        raise ValueError(f"env={env_id!r} does not show {', '.join(sorted(PARTS))}; use one such as 'RegionSelect-v0'")
    return env
