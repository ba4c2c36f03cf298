"""Policies by name: heuristics, trained agents and their files, and policies of users by import path."""

from __future__ import annotations

import importlib

from agents import heuristics, mining
from agents.environments import mines
from agents.own_policy import load_own
from agents.play import Policy
from alenv.errors import shown, unknown

AGENTS = ("improve", "lookahead", "misical", "ralis", "sb3")
"""Modules of this package with a function ``load_policy(path)``."""


def make_policy(spec: str, env_id: str = "RegionSelect-v0") -> Policy:
    """Make a policy.

    Args:
        spec: Name of a heuristic for the environment, ``agent:path`` of a trained agent, or ``package.module:Class``.
        env_id: The environment.

    Raises:
        ValueError: If there is no such policy, or the agent's file cannot be read.
    """
    if not isinstance(spec, str):
        raise ValueError(f"policy {shown(spec)}: expected a string, such as 'random'")
    module, colon, name = spec.partition(":")
    if not colon:
        known = mining.POLICIES if mines(env_id) else heuristics.POLICIES
        if spec not in known:
            raise unknown("policy", spec, known)
        return known[spec]()
    if module in AGENTS:
        if not name:
            raise ValueError(f"policy {spec!r} names no file; write '{module}:path/to/best.pt'")
        return importlib.import_module(f"agents.{module}").load_policy(name)
    if ("/" in name or name.endswith(".pt")) and "." not in module:
        raise unknown("agent", module, AGENTS)
    return load_own(spec)
