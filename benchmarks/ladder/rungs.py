"""A ladder: one suite, run with several models. What is shown and bought is the same on every rung."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import gymnasium
import msgspec
from msgspec import UNSET, Meta, UnsetType

from agents.catalogue import make_policy
from alenv.errors import shown, unknown
from alenv.outside import decode_toml
from alenv.segmenters.segmenter import find_segmenter
from benchmarks.leaderboard.suite import Suite
from benchmarks.leaderboard.suite_file import SuiteTable, check_arguments, make_suite, read


class Rung(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A rung of a ladder file: its name and what it may set, its model.

    All other arguments decide what is labelled, and one trace could not run on two rungs: they stand in ``kwargs``.
    """

    name: str
    segmenter: str
    features: str | UnsetType = UNSET
    weights: str | UnsetType = UNSET
    dimensions: int | UnsetType = UNSET
    precision: str | UnsetType = UNSET
    recipe: str | UnsetType = UNSET
    compile: bool | UnsetType = UNSET

    def __post_init__(self) -> None:
        """Check the name.

        Raises:
            ValueError: If it names no folder.
        """
        if not re.fullmatch(r"[A-Za-z_]\w{0,60}", self.name, re.ASCII):
            raise ValueError(f"rungs: name={shown(self.name)} names no folder; use up to 60 letters, digits and _")


class LadderTable(SuiteTable, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What a ladder file says: a suite and its rungs."""

    rungs: Annotated[tuple[Rung, ...], Meta(min_length=2)]


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
    return read(path, parse_ladder)


def parse_ladder(name: str, text: str) -> Ladder:
    """Make a ladder of its name and TOML text.

    Raises:
        ValueError: for the first value that is wrong.
    """
    table = decode_toml(LadderTable, text)
    suite = make_suite(name, table)
    rungs = tuple(_on_rung(suite, rung) for rung in table.rungs)
    names = [rung.name for rung in rungs]
    for rung in rungs:
        if names.count(rung.name) > 1:
            raise ValueError(f"rungs names {rung.name!r} twice; rename one")
        _check_model(rung)
    return Ladder(name, rungs)


def _on_rung(suite: Suite, rung: Rung) -> Suite:
    model = {key: value for key, value in msgspec.to_builtins(rung).items() if key != "name"}  # without UNSET
    return replace(suite, name=rung.name, kwargs=suite.kwargs | model)


def _check_model(rung: Suite) -> None:
    try:
        check_arguments(rung)
    except ValueError as error:
        raise ValueError(f"rung {rung.name!r}: {error}") from None


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
    """The ladder with its networks on a device; frozen features and their heads stay on the CPU.

    Raises:
        ValueError: If there is no such device.
    """
    moved = [
        replace(rung, kwargs=rung.kwargs | {"device": device})
        if find_segmenter(rung.kwargs["segmenter"]).network
        else rung
        for rung in ladder.rungs
    ]
    for rung in moved:
        _check_model(rung)
    return replace(ladder, rungs=tuple(moved))


def check(rung: Suite) -> None:
    """Look once at all that the policies ask for; it also trains the network of the first seed.

    Raises:
        ValueError: If the rung cannot compute it, or a value in the arguments is wrong.
    """
    policies = [make_policy(policy) for policy in rung.policies]
    wanted = [*(score for policy in policies for score in policy.scores), *rung.kwargs.get("scores", ())]
    try:
        env = gymnasium.make(rung.env, **{**rung.kwargs, "scores": list(dict.fromkeys(wanted))})
        env.reset(seed=rung.seeds[0])
        if any(policy.oracle for policy in policies):
            env.unwrapped.candidate_gains()  # type: ignore[attr-defined]
        env.close()
    except (ValueError, OSError, RuntimeError, gymnasium.error.Error) as error:
        raise ValueError(f"rung {rung.name!r}: {error}") from error
