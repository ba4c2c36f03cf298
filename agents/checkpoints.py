"""Files of trained agents: whole or absent, and read without running anything that is in them."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

Policy = TypeVar("Policy")


def write(path: Path, entries: dict[str, Any]) -> None:
    """Write tensors, arrays and plain values to a file that is whole or absent."""
    buffer, temporary = io.BytesIO(), path.with_suffix(".tmp")
    torch.save(tensors(entries), buffer)  # to a buffer: the bytes do not depend on the name of the file
    temporary.write_bytes(buffer.getvalue())
    os.replace(temporary, path)


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


def read_policy(path: str | Path, agent: str, make: Callable[[dict[str, Any], str], Policy]) -> Policy:
    """Read a trained policy.

    Args:
        path: File that training kept as the best.
        agent: Module that wrote it.
        make: Makes the policy of the file's entries and its digest, which tells trained agents apart.

    Raises:
        ValueError: If there is no such file, or it is damaged or something else.
    """
    saved = read(Path(path))
    try:
        return make(saved, hashlib.sha256(Path(path).read_bytes()).hexdigest())
    except (KeyError, TypeError, AttributeError, RuntimeError):
        raise ValueError(f"{path} holds no policy; give a best.pt of `python -m agents.{agent}`") from None


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
    return tree.numpy() if isinstance(tree, torch.Tensor) else tree
