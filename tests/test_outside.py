"""What comes from outside is decoded strictly, or refused in one sentence that names the value."""

import os
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from alenv.errors import LONGEST, shown
from alenv.files import write_whole
from alenv.memory import check_memory, installed
from alenv.outside import Finite, Positive, Share, decode, decode_json, decode_toml


class Part(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    name: str
    kind: Literal["first", "second"] = "first"


class Whole(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    count: Positive = 1
    share: Share = 0.5
    rate: Finite = 0.0
    mode: Literal["ansi", "rgb_array"] | None = None
    names: tuple[str, ...] = ()
    size: Annotated[list[Positive], Meta(min_length=2, max_length=2)] | str | None = None
    parts: tuple[Part, ...] = ()
    flag: bool = False
    table: dict[str, float] = {}

    def __post_init__(self):
        if self.count == 13:
            raise ValueError("count=13 brings bad luck; use 12")


@dataclass(frozen=True)
class Plain:
    steps: int = 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"count": 0}, "count=0: expected an integer of at least 1"),
        ({"count": True}, "count=True: expected an integer"),
        ({"count": 1.0}, "count=1.0: expected an integer"),
        ({"count": "1"}, "count='1': expected an integer"),
        ({"count": np.int64(3)}, r"count=np.int64\(3\): expected an integer of plain Python"),
        ({"count": 2**63}, "count=9223372036854775808: expected an integer of at most 9223372036854775807"),
        ({"count": 10**9000}, "count=<int>: expected an integer of at most"),
        ({"count": 13}, "count=13 brings bad luck; use 12"),
        ({"share": float("nan")}, "share=nan: expected a number of at "),
        ({"rate": float("inf")}, "rate=inf: expected a finite number"),
        ({"mode": "rgb_aray"}, "unknown mode 'rgb_aray'; did you mean 'rgb_array'?"),
        ({"mode": []}, r"mode=\[\]: expected a string or None"),
        ({"names": "one"}, "names='one': expected a list"),
        ({"names": ["one", 2]}, r"names\[1\]=2: expected a string"),
        ({"size": [3]}, r"size=\[3\]: expected a list of at least 2 entries"),
        ({"size": [3, 0]}, r"size\[1\]=0: expected an integer of at least 1"),
        ({"parts": [{"name": "a"}, {"name": 2}]}, r"parts\[1\].name=2: expected a string"),
        ({"parts": [{"kind": "second"}]}, r"the argument 'parts\[0\].name' is missing; add it"),
        ({"parts": [{"name": "a", "kind": "secnd"}]}, r"unknown parts\[0\].kind 'secnd'; did you mean 'second'"),
        ({"parts": [{"nme": "a", "name": "a"}]}, r"unknown argument parts\[0\]: 'nme'; did you mean 'name'"),
        ({"flag": "no"}, "flag='no': expected True or False"),
        ({"table": np.zeros(3)}, "expected a table of names and values, not an array"),
        ({"names": {"a", "b"}}, "is a set, which has no order; write a list"),
        ({"table": {"a": "b"}}, r"table=\{'a': 'b'\}: expected a number"),
        ({"cuont": 1}, "unknown argument 'cuont'; did you mean 'count'"),
        ({1: 2}, r"argument=\{1: 2\}: expected a string"),
        (5, "argument=5: expected a table of names and values"),
        (None, "argument=None: expected a table"),
    ],
)
def test_refuses_with_value_and_cause(value, message):
    with pytest.raises(ValueError, match=message) as caught:
        decode(Whole, value)
    assert "\n" not in str(caught.value)


def test_makes_what_fits():
    table = {"count": 3, "share": 1, "names": ["a"], "size": [2, 3], "parts": [{"name": "p"}], "mode": None}
    made = decode(Whole, table)
    assert made == Whole(count=3, share=1.0, names=("a",), size=[2, 3], parts=(Part("p"),))


def test_dataclasses_refuse_unknown_names_too():
    assert decode(Plain, {"steps": 2}) == Plain(2)
    with pytest.raises(ValueError, match="unknown key 'stesp'; did you mean 'steps'"):
        decode(Plain, {"stesp": 2}, "key")


@pytest.mark.parametrize("text", ["{", "", "[1]", '{"share": NaN}', "[" * 100_000, b"\xff", '{"count": 1e400}'])
def test_text_that_is_no_json_of_the_type(text):
    with pytest.raises(ValueError, match=r"not JSON|expected"):
        decode_json(Whole, text)


@pytest.mark.parametrize("text", ["count =", "count = 0", "count = " + "[" * 100_000, "count = 1\ncount = 2"])
def test_text_that_is_no_toml_of_the_type(text):
    with pytest.raises(ValueError, match=r"not valid TOML|expected"):
        decode_toml(Whole, text)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*Whole.__struct_fields__, "other"]), anything) | anything)
def test_never_fails_otherwise(value: Any):
    try:
        made = decode(Whole, value)
    except ValueError as error:
        assert len(str(error)) < 5 * LONGEST  # noqa: PT017 - either outcome is right
    else:
        assert decode(Whole, msgspec.to_builtins(made)) == made


@given(anything)
def test_values_are_shown_in_one_short_line(value):
    text = shown(value)
    assert "\n" not in text
    assert len(text) <= LONGEST


def test_sizes_that_cannot_be_held_are_refused_with_the_size_they_need():
    check_memory("rows", 10, 1000)
    with pytest.raises(ValueError, match=r"rows=1000000000000 would need 931,322,574.6 GiB of memory.*use at most"):
        check_memory("rows", 10**12, 10**6)
    assert installed() > 2**28


def test_files_are_whole_or_absent_and_follow_no_link(tmp_path, monkeypatch):
    path, outside = tmp_path / "file.json", tmp_path / "outside"
    write_whole(path, "first")
    assert path.stat().st_mode & 0o777 == 0o666 & ~os.umask(os.umask(0o022))  # as any file that is written
    monkeypatch.setattr("alenv.files.secrets.token_hex", lambda n: "known")
    (tmp_path / ".known.tmp").symlink_to(outside)
    with pytest.raises(FileExistsError):
        write_whole(path, b"second")
    assert path.read_text() == "first"
    assert not outside.exists()


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    write_whole(path, "first")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        write_whole(path, "second")
    assert [p.name for p in tmp_path.iterdir()] == ["file.json"]
    assert path.read_text() == "first"
