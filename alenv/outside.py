"""The one strict decoder of what comes from outside: arguments, options, snapshots, suites, agent and episode files.

What is expected is written down as a type (``msgspec.Struct`` with ``forbid_unknown_fields``, or a dataclass, with
``Annotated[..., Meta]`` for bounds); ``decode`` makes an instance of it, or one sentence that names the value, what was
expected, and what was probably meant. Nothing is coerced, unpickled or executed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
from msgspec import Meta, inspect

from alenv.errors import shown, unknown

T = TypeVar("T")

LARGEST = 2**63 - 1
"""Of integers: larger ones do not fit the arrays and files that they go into."""
Count = Annotated[int, Meta(ge=0, le=LARGEST)]
Positive = Annotated[int, Meta(ge=1, le=LARGEST)]
Share = Annotated[float, Meta(ge=0, le=1)]
Finite = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
"""Neither infinite nor NaN."""


def decode(kind: type[T], value: object, what: str = "argument") -> T:
    """Make an instance of a type out of plain values (those of JSON and TOML), strictly.

    Args:
        kind: Any type that msgspec knows.
        value: Dicts, lists, strings, numbers, booleans, None; and arrays where ``kind`` has them.
        what: What a name in it is called: "argument", "key", ...

    Raises:
        ValueError: For the first value that does not fit. An error of ``kind.__post_init__`` is passed on.
    """
    if is_dataclass(kind) and isinstance(value, Mapping):  # Structs refuse unknown names themselves
        known = [field.name for field in fields(kind)]
        for name in value:
            if name not in known:
                raise unknown(what, name, known)
    try:
        return msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        raise _explained(error, kind, value, what) from None
    except RecursionError:
        raise ValueError(f"{what} {shown(value)} is nested too deeply; take it out of its lists and tables") from None


def decode_json(kind: type[T], text: str | bytes, what: str = "entry") -> T:
    """Read JSON, see ``decode``.

    Raises:
        ValueError: Also if the text is no JSON.
    """
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    return decode(kind, value, what)


def decode_toml(kind: type[T], text: str, what: str = "key") -> T:
    """Read TOML, see ``decode``.

    Raises:
        ValueError: Also if the text is no TOML.
    """
    return decode(kind, read_toml(text), what)


def read_toml(text: str) -> dict[str, Any]:
    """Return the table of a TOML text.

    Raises:
        ValueError: If it is none.
    """
    try:
        table: dict[str, Any] = msgspec.toml.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"not valid TOML: {error}; mend that line") from None
    return table


def _explained(error: msgspec.ValidationError, kind: type, value: object, what: str) -> ValueError:
    """Say what msgspec says with the value, and with the names that are known in its place."""
    if isinstance(error.__cause__, ValueError | TypeError):  # of a __post_init__
        return ValueError(str(error.__cause__))
    message, _, path = str(error).partition(" - at `$")
    steps = list(_steps(path.rstrip("`")))
    types, inner = _follow(inspect.type_info(kind), value, steps)
    place = _named(steps) or what
    if found := re.fullmatch("Object contains unknown field `(.*)`", message, re.DOTALL):
        return unknown(f"{what} {place}:" if steps else what, found[1], _names(types))
    if found := re.fullmatch("Object missing required field `(.*)`", message, re.DOTALL):
        return ValueError(f"the {what} {_named([*steps, found[1]])!r} is missing; add it")
    if message.startswith("Invalid enum value"):
        return unknown(place, inner, [str(choice) for choice in _choices(types)])
    return ValueError(f"{place}={shown(inner)}: expected {_expected(message, inner)}")


def _steps(path: str) -> Iterator[str | int]:
    """Yield names and indices of a path such as ``.rungs[1].name``; ``[...]`` is somewhere in a dict, and ends it."""
    for name, index in re.findall(r"\.([^.\[]+)|\[(\d+)\]", path.partition("[...]")[0]):
        yield name or int(index)


def _named(steps: list[str | int]) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return text.removeprefix(".")


def _follow(kind: inspect.Type, value: Any, steps: list[str | int]) -> tuple[list[inspect.Type], Any]:
    """Return what may stand at the end of a path, and what stands there."""
    types = list(_parts(kind))
    for step in steps:
        types = [part for outer in types for inner in _inside(outer, step) for part in _parts(inner)]
        value = value[step]
    return types, value


def _parts(kind: inspect.Type) -> Iterator[inspect.Type]:
    """Yield the members of a union; anything else is its own only member."""
    if isinstance(kind, inspect.Metadata):
        yield from _parts(kind.type)
    elif isinstance(kind, inspect.UnionType):
        for member in kind.types:
            yield from _parts(member)
    else:
        yield kind


def _inside(kind: inspect.Type, step: str | int) -> Iterator[inspect.Type]:
    """Yield the type of a field or an item."""
    for field in getattr(kind, "fields", ()):
        if step in (field.name, field.encode_name):
            yield field.type
    if isinstance(kind, inspect.TupleType) and isinstance(step, int) and step < len(kind.item_types):
        yield kind.item_types[step]
    elif isinstance(step, int) and hasattr(kind, "item_type"):
        yield kind.item_type


def _names(types: list[inspect.Type]) -> list[str]:
    return [field.encode_name for kind in types for field in getattr(kind, "fields", ())]


def _choices(types: list[inspect.Type]) -> list[object]:
    return [choice for kind in types if isinstance(kind, inspect.LiteralType) for choice in kind.values]


_WORDS = {
    "int": "an integer",
    "float": "a number",
    "str": "a string",
    "bool": "True or False",
    "array": "a list",
    "object": "a table of names and values",
    "null": "None",
}


def _expected(message: str, value: object) -> str:
    """Put msgspec's "Expected `int | null` >= 1, got `str`" into words."""
    found = re.match(r"Expected `([^`]*)`(?: of length)?\s*([<>=!]*)\s*([^ ,]*)", message)
    if not found:
        return message[:1].lower() + message[1:]
    kinds, sign, bound = found.groups()
    words = " or ".join(_WORDS.get(kind, kind) for kind in kinds.split(" | "))
    if isinstance(value, np.generic):
        words += " of plain Python, such as value.item(): arguments are JSON values"
    if "e+308" in bound:
        return "a finite number"
    if "of length" in message:
        return f"{words} of {_BOUNDS.get(sign, '')}{bound} entries"
    return words + (f" {_RELATIONS.get(sign, sign)} {bound}" if sign else "")


_BOUNDS = {">=": "at least ", "<=": "at most ", "": ""}
_RELATIONS = {">=": "of at least", "<=": "of at most", ">": "above", "<": "below"}
