"""Arguments of trainings: flags over a TOML file, and one check of both, see ``alenv.outside``.

An ``Args`` says with types what its fields may be, and calls ``check_fields`` first when it is made.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import msgspec
import tyro
from msgspec import Meta

from agents.checkpoints import named, writing
from alenv.errors import shown, unknown
from alenv.memory import installed
from alenv.outside import decode, read_toml

Arguments = TypeVar("Arguments")

Rate = Annotated[float, Meta(gt=0, le=1)]
NonNegative = Annotated[float, Meta(ge=0, le=sys.float_info.max)]
Names = tuple[str, ...]

LARGEST_FILE = 2**20
"""Bytes of a config file: ``/dev/zero`` has no end."""
PLACES = ("out", "config")
"""Arguments on which the result does not depend; a file has neither."""


def read_args(kind: type[Arguments], argv: list[str], description: str | None) -> Arguments:
    """Read the command line over the config file.

    Args:
        kind: A dataclass of arguments, ``out`` and ``config`` among them.
        argv: The command line.
        description: Of the program.

    Raises:
        ValueError: If the file cannot be read, or an argument is wrong.
        OSError: If ``out`` is no folder.
        SystemExit: With status 2 for a wrong flag, after saying so.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--config", type=Path)
    first.add_argument("--out", type=Path, default=Path())
    places = first.parse_known_args(argv)[0]
    with writing(places.out):
        if places.out.exists() and not places.out.is_dir():
            raise NotADirectoryError("it is no folder")
    default = _read_file(kind, places.config) if places.config else kind()
    return tyro.cli(kind, args=argv, default=default, description=description)


def _read_file(kind: type[Arguments], path: Path) -> Arguments:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise ValueError(f"more than {LARGEST_FILE} bytes; give the TOML file of a training")
        table = read_toml(content.decode())
        for name in PLACES:
            if name in table:
                raise unknown("key", name, [known for known in _fields(kind).__struct_fields__ if known not in PLACES])
        return decode(kind, table, "key")
    except (OSError, ValueError) as error:
        raise ValueError(f"{named(path)}: {error}") from None


def check_fields(args: Any) -> None:
    """Check the fields of a dataclass one by one against their types.

    Raises:
        ValueError: For the first that does not fit.
    """
    kind = _fields(type(args))
    decode(kind, {name: getattr(args, name) for name in kind.__struct_fields__})


@cache
def _fields(kind: type) -> type[msgspec.Struct]:
    """Return the fields without the class: decoding makes no other instance of it."""
    return msgspec.defstruct(kind.__name__, list(get_type_hints(kind, include_extras=True).items()))


def check_seeds(args: Any, each: int, name: str) -> None:
    """Refuse a training whose episodes could be those of validation, which start a million seeds later.

    Args:
        args: With ``seed``.
        each: Seeds between one ``seed`` and the next.
        name: Of the argument that says how many seeds a training takes.

    Raises:
        ValueError: If it comes to those of validation.
    """
    below, count = 1_000_000 // each, getattr(args, name)
    if not 0 <= args.seed < below:
        raise ValueError(f"seed={args.seed}: its episodes could be those of validation; use one of 0..{below - 1}")
    if args.seed * each + count > 1_000_000:
        raise ValueError(
            f"{name}={count} with seed={args.seed}: some of its episodes would be those of validation; "
            f"use at most {1_000_000 - args.seed * each}"
        )


def check_width(hidden: int, squares: int) -> None:
    """Refuse layers whose weights do not fit into memory, with their gradients and the two moments of Adam.

    Args:
        hidden: Width of the layers.
        squares: Weights of all layers, in squares of the width.

    Raises:
        ValueError: With the size that they would need.
    """
    each = 4 * 4 * squares
    if each * hidden**2 > installed():
        raise ValueError(
            f"hidden={hidden} would need {each * hidden**2 / 2**30:,.1f} GiB for the weights, and this machine has "
            f"{installed() / 2**30:,.1f}; use at most {math.isqrt(installed() // each)}"
        )


def check_kwargs(kwargs: Mapping[str, Any], reserved: Collection[str]) -> None:
    """Refuse arguments of the environment that the training chooses itself.

    Raises:
        ValueError: For the first of them.
    """
    for name in kwargs:
        if name in reserved:
            raise ValueError(f"kwargs.{name}={shown(kwargs[name])}: the training chooses it; take it out of [kwargs]")
