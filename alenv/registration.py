"""The table of registered environments: an id is a class plus keyword arguments."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

_REGION_SELECT = "alenv.envs.region_select:RegionSelectEnv"
_SINGLE_CLASS_MINE = "alenv.envs.single_class_mine:SingleClassMineEnv"
_SINGLE_CLASS_MINE_VECTOR = "alenv.envs.single_class_mine_vector:SingleClassMineVectorEnv"

ENVS: dict[str, tuple[str, dict[str, Any]]] = {
    "RegionSelect-v0": (_REGION_SELECT, {}),
    "RegionSelect-CamVid-v0": (
        _REGION_SELECT,
        {"dataset": "camvid", "features": "squeezenet1_0", "budget": 480},
    ),
    "RegionSelect-CamVid-FPN-v0": (
        _REGION_SELECT,
        {
            "dataset": "camvid",
            "split": "interleaved",
            "pool": "eval",
            "region": [90, 80],
            "budget": 480,
            "initial": "train",
            "segmenter": "fpn_resnet50",
        },
    ),
}

VECTORISED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "SingleClassMine-v0": (_SINGLE_CLASS_MINE, _SINGLE_CLASS_MINE_VECTOR, {}),
}
"""Ids that have a native batch as well: single entry point, vector entry point, keyword arguments."""


def register_envs() -> None:
    """Register every id once; calling it again does nothing."""
    for env_id, (entry_point, kwargs) in ENVS.items():
        if env_id not in gym.registry:
            gym.register(env_id, entry_point=entry_point, kwargs=kwargs)
    for env_id, (entry_point, vector_entry_point, kwargs) in VECTORISED.items():
        if env_id not in gym.registry:
            gym.register(env_id, entry_point=entry_point, vector_entry_point=vector_entry_point, kwargs=kwargs)
