"""Policies of users, by import path. Importing runs their module, and nothing else is run before it is a policy."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from agents.heuristics import Greedy
from alenv.acquisition import Score
from alenv.errors import shown
from alenv.imports import cause, find
from alenv.outside import decode

FORM = "write 'package.module:Class', of a class with the methods of agents.play.Policy"


def load_own(spec: str) -> Any:
    """Make a policy.

    Args:
        spec: ``package.module:Class``; the class takes no arguments, or has defaults. Or ``package.module:name`` of a
            ``Score``: the policy picks its largest value.

    Raises:
        ValueError: If there is no such class, it is no policy, or its code raises.
    """
    kind = find("policy", spec, FORM)
    if isinstance(kind, Score):
        return Greedy(spec)
    if not isinstance(kind, type) or not all(callable(getattr(kind, part, None)) for part in ("reset", "act")):
        raise ValueError(f"policy {shown(spec)} is no class with methods 'reset' and 'act'; {FORM}")
    try:
        policy = kind()
    except Exception as error:
        raise ValueError(f"policy {shown(spec)} cannot be made without arguments: {cause(error)}") from error
    _check(spec, policy)
    return policy


class _Attributes(msgspec.Struct):
    """What tables, environments and evaluators read of a policy."""

    name: Annotated[str, Meta(min_length=1)]
    scores: tuple[str, ...]
    oracle: bool
    observation: str = ""
    digest: str = ""


def _check(spec: str, policy: Any) -> None:
    attributes = {name: getattr(policy, name) for name in _Attributes.__struct_fields__ if hasattr(policy, name)}
    try:
        decode(_Attributes, attributes, "attribute")
    except ValueError as error:
        raise ValueError(f"policy {shown(spec)}: {error}; see agents.play.Policy for what it must have") from None
    if policy.oracle and not callable(getattr(policy, "attach", None)):
        raise ValueError(f"policy {shown(spec)} is an oracle without a method 'attach'; see agents.play.Policy")
