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


def blocks(array: Any) -> Iterator[slice]:
    """Yield slices that cover the first axis, each of about ``BLOCK`` elements."""
    kind = "cpu" if isinstance(array, np.ndarray) else array.device.type
    rows = max(1, BLOCK[kind] // max(1, math.prod(array.shape[1:])))
    for start in range(0, len(array), rows):
        yield slice(start, start + rows)


def in_blocks(function: Callable[[Any], NDArray], array: Any) -> NDArray:
    """Apply a function that treats rows apart, block by block; there must be a row."""
    return np.concatenate([function(array[at]) for at in blocks(array)])
