"""Choosing all picks of a round at once, as ``Policy.act`` would one by one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agents.play import Info, Observation, Policy


def pools(obs: Observation, info: Info) -> slice:
    """Return which rows of a round's observation belong to the picks that are left; all of a pool that they share."""
    return slice(0, 1) if shared(obs, info) else slice(info["pick"], info["pick"] + info["picks_left"])


def shared(obs: Observation, info: Info) -> bool:
    """Whether all picks that are left come from one pool."""
    return len(obs["action_mask"]) < info["pick"] + info["picks_left"]


def best(keys: tuple[NDArray, ...], obs: Observation, info: Info) -> NDArray[np.int64]:
    """Return the legal candidates with the largest values, one of each pool or as many as needed of a shared one.

    Args:
        keys: (pools, N) each, in falling order of importance; of equal candidates the first wins.
        obs: Of the round.
        info: Of its next pick.
    """
    part = pools(obs, info)
    masked = ~obs["action_mask"][part].astype(bool)
    # the last key of lexsort counts most: legal ones first, then the keys in their order
    order = np.lexsort((*(-key[part].astype(np.float64) for key in reversed(keys)), masked), axis=-1)
    return order[0, : info["picks_left"]] if shared(obs, info) else order[:, 0]


def one_by_one(policy: Policy, obs: Observation, info: Info) -> NDArray[np.int64]:
    """Ask a policy for one pick after the other."""
    part, alone = pools(obs, info), shared(obs, info)
    rows = {key: value[part] for key, value in obs.items() if key != "state"}
    masks, picks = rows["action_mask"].copy(), []
    for pick in range(info["picks_left"]):
        row = 0 if alone else pick
        seen = {key: value[row] for key, value in rows.items()} | {"action_mask": masks[row], "state": obs["state"]}
        picks.append(policy.act(seen, info))
        masks[row, picks[-1]] = 0
    return np.array(picks, np.int64)
