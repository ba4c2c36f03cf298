"""The one strict decoder of what comes from outside: arguments, options, snapshots, suites, agent and episode files.

What is expected is written down as a type (``msgspec.Struct`` with ``forbid_unknown_fields``, or a dataclass, with
``Annotated[..., Meta]`` for bounds); ``decode`` makes an instance of it, or one sentence that names the value, what was
expected (the ``description`` of its ``Meta`` where that says it better), and what was probably meant. Nothing is
coerced, unpickled or executed. Arrays, which msgspec takes as they are, are checked by ``check_array``.
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
from numpy.typing import NDArray

from alenv.errors import shown, unknown

T = TypeVar("T")

LARGEST = 2**63 - 1
"""Of integers: larger ones do not fit the arrays and files that they go into."""
Count = Annotated[int, Meta(ge=0, le=LARGEST)]
Positive = Annotated[int, Meta(ge=1, le=LARGEST)]
Share = Annotated[float, Meta(ge=0, le=1)]
Finite = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
"""Neither infinite nor NaN."""
Place = Annotated[str, Meta(pattern="\\A[^\0\ud800-\udbff]+\\Z", description="the path of a file or folder")]
"""What a file system can find: not empty, and without characters that no path has."""


def decode(kind: type[T], value: object, what: str = "argument") -> T:
    """Make an instance of a type out of plain values (those of JSON and TOML), strictly.

    Args:
        kind: Any type that msgspec knows.
        value: Dicts, lists, strings, numbers, booleans, None; and arrays where ``kind`` has them.
        what: What a name in it is called: "argument", "key", ...

    Raises:
        ValueError: For the first value that does not fit. An error of ``kind.__post_init__`` is passed on.
    """
    if (found := _set_inside(value)) is not None:
        raise ValueError(f"{what} {shown(found)} is a set, which has no order; write a list")
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
        raise _too_deep(what, value) from None
    except AttributeError as error:  # msgspec asks an array in the place of a table for its keys
        raise ValueError(f"{what} {shown(value)}: expected a table of names and values, not an array") from error
    except UnicodeEncodeError:
        raise ValueError(f"{what} {shown(value)}: expected text, but half a character is no Unicode") from None


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


def parse_count(text: str) -> int | None:
    """Return the number of at least 1 that some digits mean; None if they are none, or too large for an array."""
    digits = re.fullmatch("[0-9]{1,19}", text)
    return int(text) if digits and 1 <= int(text) <= LARGEST else None


def check_array(name: str, value: object, example: NDArray, largest: float = np.inf) -> None:
    """Check that a value is an array like another one.

    Args:
        name: Of the value.
        value: The value.
        example: An array of the right dtype and shape.
        largest: Bound of the absolute values; NaN is refused in any case.

    Raises:
        ValueError: If it is not.
    """
    if not isinstance(value, np.ndarray) or value.dtype != example.dtype or value.shape != example.shape:
        got = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else shown(value)
        raise ValueError(f"{name}: expected an array of {example.dtype} {example.shape}, not {got}")
    if value.dtype.kind in "iuf" and not (np.abs(value) <= largest).all():
        wrong = value[~(np.abs(value) <= largest)][0]
        raise ValueError(f"{name}: {wrong} is not finite, or too large to have been computed")


def check_arrays(name: str, values: object, examples: Mapping[str, NDArray], largest: float = np.inf) -> None:
    """Check that a table holds the same arrays as another one, see ``check_array``.

    Raises:
        ValueError: If an array is missing, unknown, or not like its example.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{name}={shown(values)}: expected a table of names and arrays")
    for entry in values:
        if entry not in examples:
            raise unknown(f"entry of {name}:", entry, examples)
    for entry, example in examples.items():
        if entry not in values:
            raise ValueError(f"the entry {f'{name}.{entry}'!r} is missing; add it")
        check_array(f"{name}.{entry}", values[entry], example, largest)


_PLAIN = frozenset((bool, int, float, str, type(None)))
"""Of which a long list is mostly made: they hold nothing."""


def _set_inside(value: object) -> object:
    """Return a set within lists and tables; None if there is none."""
    if isinstance(value, set | frozenset):
        return value
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    try:
        for part in inner:
            if type(part) not in _PLAIN and (found := _set_inside(part)) is not None:
                return found
    except RecursionError:
        raise _too_deep("value", value) from None
    return None


def _too_deep(what: str, value: object) -> ValueError:
    return ValueError(f"{what} {shown(value)} is nested too deeply; take it out of its lists and tables")


def _explained(error: msgspec.ValidationError, kind: type, value: object, what: str) -> ValueError:
    """Say what msgspec says with the value, and with the names that are known in its place."""
    if isinstance(error.__cause__, ValueError | TypeError):  # of a __post_init__
        return ValueError(str(error.__cause__))
    message, _, path = str(error).partition(" - at `$")
    steps = list(_steps(path.rstrip("`")))
    types, inner, description = _follow(inspect.type_info(kind), value, steps)
    place = _named(steps) or what
    if found := re.fullmatch("Object contains unknown field `(.*)`", message, re.DOTALL):
        return unknown(f"{what} {place}:" if steps else what, found[1], _names(types))
    if found := re.fullmatch("Object missing required field `(.*)`", message, re.DOTALL):
        return ValueError(f"the {what} {_named([*steps, found[1]])!r} is missing; add it")
    if message.startswith("Invalid enum value"):
        return unknown(place, inner, [str(choice) for choice in _choices(types)])
    return ValueError(f"{place}={shown(inner)}: expected {description or _expected(message, inner)}")


def _steps(path: str) -> Iterator[str | int]:
    """Yield names and indices of a path such as ``.rungs[1].name``; ``[...]`` is somewhere in a dict, and ends it."""
    for name, index in re.findall(r"\.([^.\[]+)|\[(\d+)\]", path.partition("[...]")[0]):
        yield name or int(index)


def _named(steps: list[str | int]) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return text.removeprefix(".")


def _follow(kind: inspect.Type, value: Any, steps: list[str | int]) -> tuple[list[inspect.Type], Any, str]:
    """Return what may stand at the end of a path, what stands there, and the description of what should."""
    types = [kind]
    for step in steps:
        types = [inner for outer in types for part in _parts(outer) for inner in _inside(part, step)]
        value = value[step]
    notes = [note for kind in types for note in _notes(kind)]
    return [part for kind in types for part in _parts(kind)], value, " or ".join(notes)


def _notes(kind: inspect.Type) -> Iterator[str]:
    """Yield the descriptions of a type, or of the members of a union."""
    if isinstance(kind, inspect.Metadata) and kind.extra_json_schema:
        yield from (note for key, note in kind.extra_json_schema.items() if key == "description")
    elif isinstance(kind, inspect.UnionType):
        for member in kind.types:
            yield from _notes(member)


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
    "numpy.ndarray": "an array",
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
