"""Suites are read from TOML, and checked before anything runs."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import gymnasium
import msgspec
from gymnasium.envs.registration import load_env_creator
from msgspec import Meta

import alenv  # noqa: F401  registers the ids
from agents.catalogue import make_policy
from alenv.errors import shown, unknown
from alenv.memory import check_memory
from alenv.outside import LARGEST, Count, Positive, decode_toml
from benchmarks.leaderboard.suite import Suite
from benchmarks.leaderboard.tasks import make_task
from benchmarks.names import printable

LONGEST = 2**20
"""Characters of a suite file."""
EPISODE_BYTES = 2**14
"""Of an episode of a hundred picks in memory: the report needs all at once."""

Content = TypeVar("Content")


class SuiteTable(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What a suite file says."""

    env: str
    policies: Annotated[tuple[str, ...], Meta(min_length=1)]
    seeds: Positive | Annotated[tuple[Count, ...], Meta(min_length=1)]
    """How many, or which."""
    splits: Annotated[tuple[Literal["reward", "holdout", "test"], ...], Meta(min_length=1)] = ("holdout", "test")
    baseline: str = "random"
    budgets: Annotated[tuple[Positive, ...], Meta(min_length=1)] | None = None
    full_supervision: bool = False
    """Whether the model is also trained on the whole pool, to tell shares of what it then reaches."""
    takes: str = ""
    """How long it takes, where that was measured: told before the data are looked for."""
    kwargs: dict[str, Any] = {}


def read_suite(path: Path) -> Suite:
    """Read and check a suite file.

    Raises:
        ValueError: one line that names the file, the value, what is wrong with it and what to do.
    """
    return read(path, parse_suite)


def read(path: Path, parse: Callable[[str, str], Content]) -> Content:
    """Read a TOML file.

    Args:
        path: The file.
        parse: Makes something of the file's name and text.

    Raises:
        ValueError: one line that names the file, the value, what is wrong with it and what to do.
    """
    try:
        return parse(path.stem, _text(path))
    except FileNotFoundError:
        raise ValueError(f"{printable(str(path))}: there is no such file; {_files_beside(path)}") from None
    except OSError as error:
        raise ValueError(f"{printable(str(path))}: cannot be read ({error.strerror}); give a TOML file") from None
    except UnicodeError as error:
        raise ValueError(f"{printable(str(path))}: not UTF-8 ({error}); save it as UTF-8") from None
    except ValueError as error:
        raise ValueError(f"{printable(str(path))}: {error}") from None


def _text(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        text = file.read(LONGEST + 1)
    if len(text) > LONGEST:
        raise ValueError(f"longer than {LONGEST:,} characters, so it is no suite; give a TOML file")
    return text


def _files_beside(path: Path) -> str:
    found = {file.name: printable(str(file)) for file in sorted(path.parent.glob("*.toml"))}
    if close := difflib.get_close_matches(path.name, found, n=1, cutoff=0.8):
        return f"did you mean {found[close[0]]}?"
    return (
        f"found beside it: {', '.join(found.values())}" if found else f"no suite lies in {printable(str(path.parent))}"
    )


def with_policies(suite: Suite, extra: Sequence[str]) -> Suite:
    """The suite with more policies behind its own; names that it already has are not repeated."""
    for spec in extra:
        _check_policy(spec, suite.env)
    return replace(suite, policies=tuple(dict.fromkeys((*suite.policies, *extra))))


def restricted(suite: Suite, only: Sequence[str], seeds: Sequence[int]) -> Suite:
    """Return the suite with some of its policies, and those by which they are judged, and with some seeds.

    Args:
        suite: The suite.
        only: Names of its policies; all if there are none.
        seeds: Seeds; those of the suite if there are none.

    Raises:
        ValueError: If a policy is not of the suite, or a seed is none or stands there twice.
    """
    for name in only:
        if name not in suite.policies:
            raise unknown("policy of --only", name, suite.policies)
    judges = (suite.baseline, *make_task(suite).judges)
    kept = tuple(name for name in suite.policies if not only or name in only or name in judges)
    for seed in seeds:
        if not 0 <= seed <= LARGEST:
            raise ValueError(f"--seeds {seed}: seeds are at least 0; use 0, 1, 2, ...")
    _check_distinct("--seeds", seeds)
    return replace(suite, policies=kept, seeds=tuple(seeds) or suite.seeds)


def parse_suite(name: str, text: str) -> Suite:
    """Make a suite of its name and TOML text.

    Raises:
        ValueError: for the first value that is wrong.
    """
    suite = make_suite(name, decode_toml(SuiteTable, text))
    check_arguments(suite)
    for policy in make_task(suite).judges:
        if policy not in suite.policies:
            raise ValueError(f"policies={shown(suite.policies)} lack {policy!r}, by which others are scored; add it")
    return suite


def make_suite(name: str, table: SuiteTable) -> Suite:
    """Make a suite of what its file says; the values of ``kwargs`` are not looked at, see ``check_arguments``.

    Raises:
        ValueError: for the first value that is wrong.
    """
    specs = [spec for spec in gymnasium.registry.values() if str(spec.entry_point).startswith("alenv.")]
    ids = [spec.id for spec in specs if not spec.additional_wrappers]  # policies read the parts of an observation
    if table.env not in ids:
        raise unknown("env", table.env, ids)
    _check_names(table)
    suite = Suite(
        name=name,
        env=table.env,
        kwargs=table.kwargs,
        policies=table.policies,
        seeds=_seeds(table),
        splits=table.splits,
        baseline=table.baseline,
        full_supervision=table.full_supervision,
        takes=table.takes,
        budgets=tuple(sorted(table.budgets or ())),
    )
    make_task(suite).check()
    return suite


def check_arguments(suite: Suite) -> None:
    """Make the environment of a suite, which checks the values of its arguments.

    Raises:
        ValueError: What the environment says, if it refuses one.
    """
    arguments = inspect.signature(load_env_creator(gymnasium.spec(suite.env).entry_point)).parameters
    for key in suite.kwargs:
        if key not in arguments:
            raise unknown(f"argument of {suite.env} in [kwargs]:", key, arguments)
    budget = {"budget": max(suite.budgets)} if suite.budgets else {}
    try:
        gymnasium.make(suite.env, **suite.kwargs, **budget).close()
    except (OSError, TypeError, RuntimeError, gymnasium.error.Error) as error:
        raise ValueError(f"{suite.env} with {shown(suite.kwargs)}: {error}") from None


def _check_names(table: SuiteTable) -> None:
    for key in ("policies", "splits", "budgets"):
        _check_distinct(key, getattr(table, key) or ())
    for spec in table.policies:
        _check_policy(spec, table.env)
    if table.baseline not in table.policies:
        raise unknown("baseline, not one of the policies:", table.baseline, table.policies)


def _check_policy(spec: str, env: str) -> None:
    try:
        make_policy(spec, env)
    except ValueError as error:
        raise ValueError(printable(str(error))) from error
    except (Exception, SystemExit) as error:  # whatever somebody's module does
        cause = printable(f"{type(error).__name__}: {error}")
        raise ValueError(f"policy {shown(spec)} cannot be made ({cause}); mend its class or module") from error


def _seeds(table: SuiteTable) -> tuple[int, ...]:
    if isinstance(table.seeds, int):
        check_memory("seeds", table.seeds, EPISODE_BYTES * len(table.policies))
        return tuple(range(table.seeds))
    _check_distinct("seeds", table.seeds)
    return table.seeds


def _check_distinct(key: str, values: Sequence[Hashable]) -> None:
    if len(set(values)) < len(values):
        twice = next(value for i, value in enumerate(values) if value in values[:i])
        raise ValueError(f"{key} names {shown(twice)} twice; remove one")
