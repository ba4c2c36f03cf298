"""The table of registered environments: an id is a class plus keyword arguments."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

_REGION_SELECT = "alenv.envs.region_select:RegionSelectEnv"

ENVS: dict[str, tuple[str, dict[str, Any]]] = {
    "RegionSelect-v0": (_REGION_SELECT, {}),
    "RegionSelect-CamVid-v0": (
        _REGION_SELECT,
        {"dataset": "camvid", "features": "squeezenet1_0", "budget": 480},
    ),
}


def register_envs() -> None:
    """Register every id once; calling it again does nothing."""
    for env_id, (entry_point, kwargs) in ENVS.items():
        if env_id not in gym.registry:
            gym.register(env_id, entry_point=entry_point, kwargs=kwargs)
