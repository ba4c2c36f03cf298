"""A suite: policies, environment and seeds, read from TOML and checked before anything runs."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import gymnasium
from gymnasium.envs.registration import load_env_creator

import alenv  # noqa: F401  registers the ids
from agents.policy import make_policy, mines
from alenv.errors import unknown

SPLITS = ("reward", "holdout", "test")
Content = TypeVar("Content")


@dataclass(frozen=True)
class Suite:
    """Policies x seeds on one environment, compared with a baseline."""

    name: str
    env: str
    kwargs: dict[str, Any]
    policies: tuple[str, ...]
    seeds: tuple[int, ...]
    splits: tuple[str, ...] = ("holdout", "test")
    baseline: str = "random"
    budgets: tuple[int, ...] = ()
    """Images at which mining is scored; regions are scored after every round."""


def read_suite(path: Path) -> Suite:
    """Read and check a suite file.

    Raises:
        ValueError: one line that names the file, the value, what is wrong with it and what to do.
    """
    return read(path, parse)


def read(path: Path, parse: Callable[[str, dict[str, Any]], Content]) -> Content:
    """Read a TOML file.

    Args:
        path: The file.
        parse: Makes something of the file's name and table.

    Raises:
        ValueError: one line that names the file, the value, what is wrong with it and what to do.
    """
    try:
        return parse(path.stem, tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such file; {_files_beside(path)}") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); give a TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: not valid TOML: {error}; mend that line") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def with_policies(suite: Suite, extra: Sequence[str]) -> Suite:
    """The suite with more policies behind its own; names that it already has are not repeated."""
    for spec in extra:
        make_policy(spec, suite.env)
    return replace(suite, policies=tuple(dict.fromkeys((*suite.policies, *extra))))


def _files_beside(path: Path) -> str:
    found = sorted(str(file) for file in path.parent.glob("*.toml"))
    return f"found beside it: {', '.join(found)}" if found else f"no suite lies in {path.parent}"


def parse(name: str, table: dict[str, Any]) -> Suite:
    """Make a suite of its name and table.

    Raises:
        ValueError: for the first value that is wrong.
    """
    known = [field.name for field in fields(Suite) if field.name != "name"]
    for key in table:
        _check_known(key, known, "key")
    for key in ("env", "policies", "seeds"):
        if key not in table:
            raise ValueError(f"the key {key!r} is missing; add it")
    suite = Suite(
        name=name,
        env=_string("env", table["env"]),
        kwargs=_table("kwargs", table.get("kwargs", {})),
        policies=_strings("policies", table["policies"]),
        seeds=_seeds(table["seeds"]),
        splits=_strings("splits", table.get("splits", list(Suite.splits))),
        baseline=_string("baseline", table.get("baseline", Suite.baseline)),
        budgets=_budgets(table["env"], table.get("budgets")),
    )
    _check_names(suite)
    return suite


def _check_names(suite: Suite) -> None:
    ids = [id for id, spec in gymnasium.registry.items() if str(spec.entry_point).startswith("alenv.")]
    _check_known(suite.env, ids, "env")
    arguments = inspect.signature(load_env_creator(gymnasium.spec(suite.env).entry_point)).parameters
    for key in suite.kwargs:
        _check_known(key, arguments, f"argument of {suite.env} in [kwargs]:")
    for split in suite.splits:
        _check_known(split, SPLITS, "split")
    for spec in suite.policies:
        make_policy(spec, suite.env)
    _check_known(suite.baseline, suite.policies, "baseline, not one of the policies:")


def _check_known(value: str, known: Iterable[str], kind: str) -> None:
    known = list(known)
    if value not in known:
        raise unknown(kind, value, known)


def _string(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{key} = {value!r} is not a string; write it in quotes")
    return value


def _table(key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{key} = {value!r} is not a table; write [{key}] and one argument a line below it")
    return value


def _strings(key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise ValueError(f'{key} = {value!r} is not a list of strings; write {key} = ["...", "..."]')
    return _distinct(key, value)


def _seeds(value: Any) -> tuple[int, ...]:
    seeds = list(range(value)) if type(value) is int else value  # `type`: true is no number of seeds
    if not isinstance(seeds, list) or not seeds or any(type(s) is not int or s < 0 for s in seeds):
        raise ValueError(f"seeds = {value!r} is neither a number of seeds nor a list of them; write seeds = 10")
    return _distinct("seeds", seeds)


def _budgets(env: str, value: Any) -> tuple[int, ...]:
    if not mines(env):
        if value is not None:
            raise ValueError(f"budgets = {value!r} is for mining suites; {env} has its budget in [kwargs]")
        return ()
    if not isinstance(value, list) or not value or any(type(b) is not int or b < 1 for b in value):
        raise ValueError(f"budgets = {value!r} is not a list of numbers of images; write budgets = [20, 50, 100]")
    return tuple(sorted(_distinct("budgets", value)))


def _distinct(key: str, values: list[Any]) -> tuple[Any, ...]:
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{key} names {value!r} twice; remove one")
    return tuple(values)
