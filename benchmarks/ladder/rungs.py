"""A ladder: one suite, run with several models. What is shown and bought is the same on every rung."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium

from agents.policy import make_policy
from alenv.envs.arguments import NETWORKS
from alenv.errors import unknown
from benchmarks.suite import Suite, parse, read

MODEL = ("segmenter", "features", "weights", "precision", "recipe", "compile")
"""Arguments that a rung may set; all others decide what is labelled, and one trace could not run on two rungs."""


@dataclass(frozen=True)
class Ladder:
    """One suite per rung, the lowest first; they differ by their names and models."""

    name: str
    rungs: tuple[Suite, ...]


def read_ladder(path: Path) -> Ladder:
    """Read and check a ladder file: a suite with a list ``rungs``.

    Raises:
        ValueError: one line that names the file, the value, what is wrong with it and what to do.
    """
    return read(path, _parse)


def choose(ladder: Ladder, names: Sequence[str]) -> Ladder:
    """The ladder with some of its rungs, in its own order; with all of them if none is named.

    Raises:
        ValueError: If there is no such rung, or only one is left.
    """
    known = [rung.name for rung in ladder.rungs]
    for name in names:
        if name not in known:
            raise unknown("rung", name, known)
    rungs = tuple(rung for rung in ladder.rungs if rung.name in (names or known))
    if len(rungs) < 2:
        raise ValueError(f"{len(rungs)} rung has nothing to be compared with; name two of {', '.join(known)}")
    return replace(ladder, rungs=rungs)


def on_device(ladder: Ladder, device: str) -> Ladder:
    """The ladder with its networks on a device; frozen features and their heads stay on the CPU."""
    moved = [
        replace(rung, kwargs=rung.kwargs | {"device": device}) if rung.kwargs["segmenter"] in NETWORKS else rung
        for rung in ladder.rungs
    ]
    return replace(ladder, rungs=tuple(moved))


def check(rung: Suite) -> None:
    """Look once at all that the policies ask for; it also trains the network of the first seed.

    Raises:
        ValueError: If the rung cannot compute it, or a value in the arguments is wrong.
    """
    policies = [make_policy(policy) for policy in rung.policies]
    scores = list(dict.fromkeys(score for policy in policies for score in policy.scores))
    try:
        env = gymnasium.make(rung.env, **rung.kwargs, scores=scores)
        env.reset(seed=rung.seeds[0])
        if any(policy.oracle for policy in policies):
            env.unwrapped.candidate_gains()  # type: ignore[attr-defined]
        env.close()
    except (ValueError, OSError, RuntimeError, gymnasium.error.Error) as error:
        raise ValueError(f"rung {rung.name!r}: {error}") from error


def _parse(name: str, table: dict[str, Any]) -> Ladder:
    entries = table.pop("rungs", None)
    if not isinstance(entries, list) or len(entries) < 2 or not all(isinstance(e, dict) for e in entries):
        raise ValueError(f"rungs = {entries!r} is not a list of two or more tables; write [[rungs]] above each")
    suite = parse(name, table)  # what is common is checked before it is repeated
    rungs = tuple(_rung(suite, table, entry) for entry in entries)
    names = [rung.name for rung in rungs]
    for rung in names:
        if names.count(rung) > 1:
            raise ValueError(f"rungs names {rung!r} twice; rename one")
    return Ladder(name, rungs)


def _rung(suite: Suite, table: dict[str, Any], entry: dict[str, Any]) -> Suite:
    name, own = entry.get("name"), {key: value for key, value in entry.items() if key != "name"}
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"rungs: name = {name!r} names no folder; use letters, digits and _")
    if "segmenter" not in own:
        raise ValueError(f'rung {name!r} has no segmenter; write segmenter = "..." below its name')
    for key in own:
        if key not in MODEL:
            raise ValueError(
                f"rung {name!r}: {key!r} is not one of {', '.join(MODEL)}; "
                "rungs share all else, so that one trace runs on each: put it in [kwargs]"
            )
    return parse(name, {**table, "kwargs": suite.kwargs | own})
