"""Files of trained agents: whole or absent, and read without running or believing anything that is in them."""

from __future__ import annotations

import hashlib
import io
import math
import pickle
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alenv.errors import shown, unknown
from alenv.files import write_whole
from alenv.outside import Count, Finite, decode

Policy = TypeVar("Policy")
Saved = TypeVar("Saved", bound="Trained")

MOST, DEEPEST = 1_000_000, 64
"""Entries of a file, and tables within tables: a small file can hold references that unfold to any size."""


class Trained(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What every ``best.pt`` holds.

    Attributes:
        iteration: When it was kept.
        validation: How good it was then.
        args: What it was trained with.
        code: Of which version; the first ones did not say.
    """

    iteration: Count
    validation: Finite
    args: dict[str, Any]
    code: str = ""


class Weights(Trained):
    """A policy that is one network."""

    weights: dict[str, Tensor]


def named(path: Path) -> str:
    """Return a path for a sentence of one line."""
    return str(path) if str(path).isprintable() else shown(str(path))


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say what cannot be written, and that nothing is lost.

    Raises:
        OSError: In place of any other.
    """
    try:
        yield
    except OSError as error:
        cause = error.strerror or str(error)
        raise OSError(
            f"{named(path)} cannot be written ({cause}); make room, or give another --out: files stand"
        ) from error


def write(path: Path, entries: dict[str, Any]) -> None:
    """Write tensors, arrays and plain values to a file that is whole or absent.

    Raises:
        OSError: If it cannot be written; what was there stands.
    """
    buffer = io.BytesIO()
    torch.save(tensors(entries), buffer)  # to a buffer: the bytes do not depend on the name of the file
    with writing(path):
        write_whole(path, buffer.getvalue())


def read(path: Path) -> dict[str, Any]:
    """Read a file of ``write``; nothing in it is executed.

    Raises:
        ValueError: If there is no such file, or it is damaged.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[dict[str, Any], str]:
    """Return the entries of a file, and its digest."""
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is no file")
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{named(path)}: there is no such file; train an agent first") from None
    except (OSError, ValueError) as error:  # a path with a null byte
        raise ValueError(f"{named(path)} cannot be read ({error}); give the file of a trained agent") from None
    try:
        return _entries(content), hashlib.sha256(content).hexdigest()
    except Exception as error:  # of a damaged file, torch.load raises nearly everything
        cause = str(error).partition("\n")[0].partition(". ")[0]
        raise ValueError(f"{named(path)} cannot be read ({cause}); delete it and train again") from error


def _entries(content: bytes) -> dict[str, Any]:
    if zipfile.is_zipfile(io.BytesIO(content)):  # the oldest files are none
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                raise ValueError("it is compressed, and would have any size")
    saved = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    if not isinstance(saved, dict):
        raise pickle.UnpicklingError(f"it holds {shown(saved)}, no table")
    _check_plain(saved)
    return saved


def _check_plain(tree: Any) -> None:
    """Refuse what is not made of tables, sequences, plain values and tensors with memory of their own."""
    left, count = [(tree, 0)], 0
    while left:
        value, depth = left.pop()
        count += 1
        if count > MOST or depth > DEEPEST:
            raise ValueError(f"more than {MOST} entries, or {DEEPEST} tables within each other")
        if isinstance(value, dict):
            if not all(isinstance(name, str | int) for name in value):
                raise ValueError("a name is neither a string nor an integer")
            left += [(part, depth + 1) for part in value.values()]
        elif isinstance(value, list | tuple):
            left += [(part, depth + 1) for part in value]
        elif isinstance(value, Tensor):
            if value.layout != torch.strided or value.device.type != "cpu":
                raise ValueError("a tensor is no plain one")
            if value.numel() * value.element_size() > value.untyped_storage().nbytes():
                raise ValueError(f"a tensor of shape {list(value.shape)} has fewer elements than that")
        elif not isinstance(value, str | bool | int | float | None):
            raise ValueError(f"{shown(value)} is no plain value")


def read_policy(path: str | Path, agent: str, kind: type[Saved], make: Callable[[Saved, str], Policy]) -> Policy:
    """Read a trained policy.

    Args:
        path: File that training kept as the best.
        agent: Module that wrote it.
        kind: What the file holds.
        make: Makes the policy of it and its digest, which tells trained agents apart.

    Raises:
        ValueError: If there is no such file, or it is damaged or something else.
    """
    saved, digest = _read(Path(path))
    try:
        return make(decode(kind, saved, "entry"), digest)
    except (ValueError, RuntimeError) as error:
        cause = str(error).partition("\n")[0]
        raise ValueError(
            f"{named(path)} holds no policy of agents.{agent} ({cause}); give a best.pt of `python -m agents.{agent}`"
        ) from error


def check(value: Any, like: Any, place: str) -> None:
    """Compare what was read with an example: names, kinds, shapes and types must be equal, and numbers finite.

    Args:
        value: Nested tables and sequences of tensors, arrays and plain values.
        like: The example; its numbers do not matter, nor does the device of its tensors.
        place: What the value is called.

    Raises:
        ValueError: For the first difference.
    """
    if isinstance(like, dict) and isinstance(value, dict):
        for name in value:
            if name not in like:
                raise unknown(f"entry of {place}", name, map(str, like))
        for name in like:
            if name not in value:
                raise ValueError(f"{place}.{name} is missing")
            check(value[name], like[name], f"{place}.{name}")
    elif isinstance(like, list | tuple) and isinstance(value, list | tuple):
        if len(value) != len(like):
            raise ValueError(f"{place} has {len(value)} entries, not {len(like)}")
        for index, (part, example) in enumerate(zip(value, like, strict=True)):
            check(part, example, f"{place}[{index}]")
    elif isinstance(like, Tensor | np.ndarray) and type(value) is type(like):
        _check_array(value, like, place)
    elif type(value) is not type(like) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"{place} is {shown(value)}, not such as {shown(like)}")


def _check_array(value: Any, like: Any, place: str) -> None:
    for fact in ("dtype", "shape"):
        is_, should = (getattr(array, fact) for array in (value, like))
        if is_ != should:
            is_, should = (tuple(shape) if fact == "shape" else shape for shape in (is_, should))
            raise ValueError(f"{place} has {fact} {is_}, not {should}")
    if not finite(value):
        raise ValueError(f"{place} holds numbers that are not finite")


def finite(array: Tensor | NDArray) -> bool:
    """Whether an array holds neither infinity nor NaN."""
    return bool((torch.isfinite(array) if isinstance(array, Tensor) else np.isfinite(array)).all())


def tensors(tree: Any) -> Any:
    """Replace the arrays in nested dicts and sequences by tensors.

    Equal strings become one object: otherwise files of equal content could differ, after a restart for example.
    """
    if isinstance(tree, dict):
        return {tensors(name): tensors(branch) for name, branch in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(tensors(branch) for branch in tree)
    if isinstance(tree, str):
        return sys.intern(tree)
    return torch.from_numpy(tree) if isinstance(tree, np.ndarray) else tree


def arrays(tree: Any) -> Any:
    """Undo ``tensors``."""
    if isinstance(tree, dict):
        return {name: arrays(branch) for name, branch in tree.items()}
    if isinstance(tree, list):
        return [arrays(branch) for branch in tree]
    return tree.numpy() if isinstance(tree, Tensor) else tree
