"""NumPy arrays and torch tensors, treated alike; torch is imported only where there is a tensor."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array", NDArray, "Tensor")
"""A NumPy array or a torch tensor: what goes in comes out."""

Rows = NDArray[np.int64] | slice
"""Some of many rows; a slice wherever possible, because then nothing is copied."""
ALL = slice(None)

BLOCK = {"cpu": 2**19, "cuda": 2**27}
"""Elements at a time: on a CPU what its cache holds, on a GPU enough to keep it busy."""


def module_of(array: Any) -> ModuleType:
    """Return ``numpy`` or ``torch``, whichever the array is of."""
    if isinstance(array, np.ndarray):
        return np
    import torch

    return torch


def like(array: NDArray, other: Any) -> Any:
    """Return a NumPy array in the kind of another array, on its device."""
    return array if isinstance(other, np.ndarray) else module_of(other).as_tensor(array, device=other.device)


def to_numpy(array: Any) -> NDArray:
    """Return a tensor's values, wherever it lies, as a NumPy array; arrays are returned as they are."""
    return array if isinstance(array, np.ndarray) else array.cpu().numpy()


def rounding(array: Any) -> float:
    """Return the distance from one to the next number of an array's type, zero where that is not floating.

    Raises:
        ValueError: If the array does not hold real numbers.
    """
    if isinstance(array, np.ndarray):
        real, floating = array.dtype.kind in "fiub", array.dtype.kind == "f"
    else:
        real, floating = not array.is_complex(), array.is_floating_point()
    if not real:
        raise ValueError(f"expected real numbers, got an array of {array.dtype}; convert it to float32 first")
    return float(module_of(array).finfo(array.dtype).eps) if floating else 0.0


def to_floats(array: Array) -> Array:
    """Return an array in float32 at least: half precision, integers and booleans are converted, others returned as is.

    Raises:
        ValueError: If the array does not hold real numbers.
    """
    if 0 < rounding(array) < 1e-6:
        return array
    return array.astype(np.float32) if isinstance(array, np.ndarray) else array.float()


def blocks(array: Any) -> Iterator[slice]:
    """Yield slices that cover the first axis, each of about ``BLOCK`` elements."""
    kind = "cpu" if isinstance(array, np.ndarray) else array.device.type
    rows = max(1, BLOCK[kind] // max(1, math.prod(array.shape[1:])))
    for start in range(0, len(array), rows):
        yield slice(start, start + rows)


def in_blocks(function: Callable[[Any], NDArray], array: Any) -> NDArray:
    """Apply a function that treats rows apart, block by block; there must be a row."""
    return np.concatenate([function(array[at]) for at in blocks(array)])


def first_largest(maps: Any) -> Any:
    """Arg-max over axis 1, the first of equal ones, uint8; many times as fast as NumPy's and torch's across memory.

    Args:
        maps: (n, C, ...), array or tensor, of at most 256 classes C.
    """
    xp = module_of(maps)
    if xp is not np and maps.device.type == "cpu":  # NumPy compares twice as fast, and nothing is copied
        return xp.from_numpy(first_largest(maps.numpy()))
    top, last = xp.amax(maps, 1), maps.shape[1] - 1
    ahead = xp.zeros_like(top, dtype=xp.uint8)
    for label in range(last):
        ahead = xp.maximum(ahead, (maps[:, label] == top) * xp.asarray(last - label, dtype=xp.uint8))
    return last - ahead
