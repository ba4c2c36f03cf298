"""Networks and backbones of users, by import path: made, and looked at before anything relies on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from alenv.errors import shown
from alenv.imports import FEATURES, cause, find_function, source
from alenv.segmenters.weights import digest


class MakeBackbone(Protocol):
    """What ``features="package.module:name"`` names."""

    def __call__(self, cell: int) -> Callable[[Tensor], Tensor]:
        """Return a frozen backbone: uint8 images (b, 3, h, w) -> float32 (b, channels, h / cell, w / cell).

        Make it an ``nn.Module``, or give it an attribute ``digest`` (a string): its weights are then part of the key of
        what is cached. The source of its package is in any case.
        """


def make_extractor(name: str, cell: int) -> tuple[Callable[[Tensor], Tensor], str]:
    """Return the extractor of a user's backbone, and a string that identifies it with its weights.

    Raises:
        ValueError: If it cannot be made; the extractor raises it if it returns something else than it should.
    """
    make: MakeBackbone = find_function("features", name, FEATURES)
    try:
        backbone = make(cell)
    except OSError:
        raise  # it names the file
    except (Exception, SystemExit) as error:
        raise ValueError(f"features={shown(name)} cannot be made for cells of {cell} pixels: {cause(error)}") from error
    if isinstance(backbone, nn.Module):
        backbone.eval().requires_grad_(False)

    def extract(images: Tensor) -> Tensor:
        try:
            with torch.inference_mode():
                maps = backbone(images)
        except Exception as error:
            raise ValueError(f"features={shown(name)} fails on images {tuple(images.shape)}: {cause(error)}") from error
        grid = (images.shape[2] // cell, images.shape[3] // cell)
        if not isinstance(maps, Tensor) or maps.dtype != torch.float32 or not _fits(maps, len(images), grid):
            got = f"{maps.dtype} {tuple(maps.shape)}" if isinstance(maps, Tensor) else shown(maps)
            raise ValueError(
                f"features={shown(name)} makes {got} of images {tuple(images.shape)}; expected a tensor of float32 "
                f"{(len(images), 'channels', *grid)}, one vector for each cell of {cell} pixels"
            )
        if not maps.isfinite().all():
            raise ValueError(f"features={shown(name)} makes values that are infinite or NaN; they must be finite")
        return maps

    return extract, f"{name}-{source(name)}-{_weights(backbone)}"


def _fits(maps: Tensor, images: int, grid: tuple[int, int]) -> bool:
    return maps.ndim == 4 and len(maps) == images and maps.shape[1] > 0 and maps.shape[2:] == grid


def _weights(backbone: object) -> str:
    return digest(backbone.state_dict()) if isinstance(backbone, nn.Module) else str(getattr(backbone, "digest", ""))
