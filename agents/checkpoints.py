"""Files of trained agents: whole or absent, and read without running anything that is in them."""

from __future__ import annotations

import io
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch


def write(path: Path, entries: dict[str, Any]) -> None:
    """Write tensors and plain values to a file that is whole or absent."""
    buffer, temporary = io.BytesIO(), path.with_suffix(".tmp")
    torch.save(_interned(entries), buffer)  # to a buffer: the bytes do not depend on the name of the file
    temporary.write_bytes(buffer.getvalue())
    os.replace(temporary, path)


def _interned(tree: Any) -> Any:
    """Make equal strings one: pickle writes an object once, so the bytes would tell strings that were read apart."""
    if type(tree) is dict:
        return {_interned(name): _interned(branch) for name, branch in tree.items()}
    if type(tree) in (list, tuple):
        return type(tree)(_interned(branch) for branch in tree)
    return sys.intern(tree) if isinstance(tree, str) else tree


def read(path: Path) -> dict[str, Any]:
    """Read a file of ``write``; nothing in it is executed.

    Raises:
        ValueError: If there is no such file, or it is damaged.
    """
    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such file; train an agent first") from None
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        cause = str(error).partition("\n")[0]
        raise ValueError(f"{path} cannot be read ({cause}); delete it and train again") from error


def tensors(tree: Any) -> Any:
    """Replace the arrays in nested dicts and lists by tensors."""
    if isinstance(tree, dict):
        return {name: tensors(branch) for name, branch in tree.items()}
    if isinstance(tree, list):
        return [tensors(branch) for branch in tree]
    return torch.from_numpy(tree) if isinstance(tree, np.ndarray) else tree


def arrays(tree: Any) -> Any:
    """Undo ``tensors``."""
    if isinstance(tree, dict):
        return {name: arrays(branch) for name, branch in tree.items()}
    if isinstance(tree, list):
        return [arrays(branch) for branch in tree]
    return tree.numpy() if isinstance(tree, torch.Tensor) else tree
