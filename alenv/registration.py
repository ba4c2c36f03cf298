"""The table of registered environments: an id is a class plus keyword arguments."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import WrapperSpec

_REGION_SELECT = "alenv.envs.region.region_select:RegionSelectEnv"
_REGION_SELECT_BATCH = "alenv.envs.region.region_select_vector:RegionSelectVectorEnv"

ENVS: dict[str, tuple[str, dict[str, Any]]] = {
    "RegionSelect-v0": (_REGION_SELECT, {}),
    "RegionSelect-CamVid-v0": (
        _REGION_SELECT,
        {"dataset": "camvid", "features": "squeezenet1_0", "budget": 480},
    ),
    "RegionSelect-CamVid-v1": (
        _REGION_SELECT,
        {"dataset": "camvid", "features": "tf_efficientnet_lite0", "dimensions": 128, "budget": 480},
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

MINING: dict[str, tuple[str, dict[str, Any]]] = {
    "SingleClassMine-v0": ("alenv.envs.mining.single_class_mine:SingleClassMineEnv", {}),
}

BATCHES = {
    "RegionSelect-v0": _REGION_SELECT_BATCH,
    "RegionSelect-CamVid-v0": _REGION_SELECT_BATCH,
    "RegionSelect-CamVid-v1": _REGION_SELECT_BATCH,
    "SingleClassMine-v0": "alenv.envs.mining.single_class_mine_vector:SingleClassMineVectorEnv",
}
"""Ids that have a native batch as well: its entry point."""

FLAT: dict[str, str] = {
    "RegionSelect-Flat-v0": "RegionSelect-v0",
    "RegionSelect-CamVid-Flat-v0": "RegionSelect-CamVid-v0",
    "RegionSelect-CamVid-Flat-v1": "RegionSelect-CamVid-v1",
    "SingleClassMine-Flat-v0": "SingleClassMine-v0",
}
"""The same environments with one vector (D,) for an observation, its last entries the mask: for libraries that know
only ``Box``. Flat id: id."""
_FLATTENED = (WrapperSpec("FlatObs", "alenv.wrappers:FlatObs", {}),)


def register_envs() -> None:
    """Register every id once; calling it again does nothing."""
    for env_id, (entry_point, kwargs) in (ENVS | MINING).items():
        if env_id not in gym.registry:
            batch = BATCHES.get(env_id)
            gym.register(env_id, entry_point=entry_point, vector_entry_point=batch, kwargs=kwargs)
    for env_id, plain in FLAT.items():
        if env_id not in gym.registry:
            spec = gym.spec(plain)
            gym.register(env_id, entry_point=spec.entry_point, kwargs=dict(spec.kwargs), additional_wrappers=_FLATTENED)
