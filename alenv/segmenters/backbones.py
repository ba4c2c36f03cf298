"""Frozen torchvision classification backbones as feature extractors."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alenv.errors import unknown

if TYPE_CHECKING:
    from collections.abc import Callable

_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
_STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def make_extractor(name: str, weights: str | None, cell: int) -> tuple[Callable[[Tensor], Tensor], str]:
    """Return the extractor of a backbone, and a string that identifies it with its weights.

    The extractor concatenates the last map of every resolution of ``model.features``, resized to the grid.

    Args:
        name: A torchvision classification model with a ``features`` sequence, such as ``squeezenet1_0``.
        weights: A torchvision weights name (``IMAGENET1K_V1``), a file with a state dict, or None for
            ``$ALENV_WEIGHTS/<name>_imagenet.pth``.
        cell: Side of a cell in pixels.

    Raises:
        ValueError: If the model is unknown, has no ``features``, or the weights do not fit it.
        FileNotFoundError: If the weights are not found. There is no silent random initialisation.
    """
    model = _model(name)  # an unknown name is reported before missing weights
    state = load_weights(name, weights, f"features={name!r}")
    layers = _layers(name, model, state)

    def extract(images: Tensor) -> Tensor:
        grid = (images.shape[2] // cell, images.shape[3] // cell)
        with torch.inference_mode():
            x = (images.float() / 255 - _MEAN) / _STD
            return torch.cat([_resize(tap, grid) for tap in _taps(layers, x)], 1)

    return extract, f"{name}-{_digest(state)}"


def _taps(layers: nn.Module, x: Tensor) -> Iterator[Tensor]:
    """Yield the last map of each resolution."""
    for layer in layers.children():
        before, x = x, layer(x)
        if x.shape[2:] != before.shape[2:] and before.shape[1] > 3:
            yield before
    yield x


def _resize(x: Tensor, grid: tuple[int, int]) -> Tensor:
    if x.shape[2] > grid[0]:
        return F.interpolate(x, grid, mode="area")
    return F.interpolate(x, grid, mode="bilinear", align_corners=False)


def _layers(name: str, model: nn.Module, state: Mapping[str, Tensor]) -> nn.Sequential:
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"the weights do not fit features={name!r}: {error}") from error
    layers = model.features
    assert isinstance(layers, nn.Sequential)
    return layers.eval().requires_grad_(False)


def _model(name: str) -> nn.Module:
    models = torchvision_models()
    if name not in models.list_models(models):
        raise unknown("features", name, ["filterbank", *models.list_models(models)])
    with torch.random.fork_rng(devices=[]):  # the random initialisation, overwritten later, draws from it
        model = models.get_model(name, weights=None, **({"init_weights": False} if "googlenet" in name else {}))
    if not isinstance(getattr(model, "features", None), nn.Sequential):
        raise ValueError(
            f"features={name!r}: this model has no sequence of feature layers; use one that has, "
            "such as squeezenet1_0, vgg11, mobilenet_v3_small, efficientnet_b0 or convnext_tiny"
        )
    return model


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


def load_weights(name: str, weights: str | None, asking: str) -> Mapping[str, Tensor]:
    """Return a backbone's state dict.

    Args:
        name: A torchvision classification model.
        weights: A torchvision weights name, a file, or None for ``$ALENV_WEIGHTS/<name>_imagenet.pth``.
        asking: The argument that needs them, for errors.

    Raises:
        ValueError: If there are no weights of that name, or the file cannot be read.
        FileNotFoundError: If the file is missing.
    """
    models = torchvision_models()
    if weights is not None and not Path(weights).suffix:
        try:
            return models.get_model_weights(name)[weights].get_state_dict(check_hash=True)
        except KeyError:
            known = [entry.name for entry in models.get_model_weights(name)]
            raise unknown(f"weights of {name}", weights, known) from None
    path = Path(weights).expanduser() if weights else _default_file(name, asking)
    if not path.is_file():
        raise FileNotFoundError(
            f"{asking}: there is no weights file {path}; pass weights='<file>.pth', "
            "a torchvision name such as weights='IMAGENET1K_V1' (downloads), or set ALENV_WEIGHTS"
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged or foreign file
        raise ValueError(f"cannot read {path} as a state dict: {error}") from error


def _default_file(name: str, asking: str) -> Path:
    folder = os.environ.get("ALENV_WEIGHTS")
    if not folder:
        raise FileNotFoundError(
            f"{asking} needs weights: set ALENV_WEIGHTS to the folder of {name}_imagenet.pth, "
            "or pass weights='<file>.pth' or a torchvision name such as weights='IMAGENET1K_V1' (downloads)"
        )
    return Path(folder).expanduser() / f"{name}_imagenet.pth"


def _digest(state: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in state.items():
        digest.update(name.encode())
        digest.update(value.contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
