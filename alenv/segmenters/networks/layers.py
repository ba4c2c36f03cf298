"""Layers whose results, and whose gradients, repeat bit for bit on every device."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Return a 3x3 convolution, group norm (a batch of two crops is enough for it) and rectifier."""
    layer = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return nn.Sequential(layer, nn.GroupNorm(outputs // 8, outputs), nn.ReLU(inplace=True))


class ImageStages(nn.Module):
    """Layers in stages, one after the other.

    Args:
        stages: Each takes the map that the one before returned, the first one images.
    """

    def __init__(self, *stages: nn.Module) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the map of every stage, fine to coarse."""
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


def resize(x: Tensor, size: tuple[int, ...] | torch.Size) -> Tensor:
    """Resize maps (n, C, h', w') to (n, C, *size), bilinear, corners not aligned."""
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    result: Tensor = _Resize.apply(x, tuple(size))
    return result


class _Resize(torch.autograd.Function):
    """Torch's bilinear resize, with a gradient made of two matrix products: torch's own adds in a random order."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, size: tuple[int, int]) -> Tensor:
        ctx.sizes = x.shape[-2:], size
        return F.interpolate(x, size, mode="bilinear", align_corners=False)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (h, w), (rows, columns) = ctx.sizes
        gradient = gradients[0]
        down, across = bilinear(h, rows, gradient.device), bilinear(w, columns, gradient.device)
        return down.to(gradient).T @ gradient @ across.to(gradient), None


def bilinear(source: int, target: int, device: torch.device | None = None) -> Tensor:
    """Return the matrix (target, source) that resizes a vector as ``resize`` does; rows sum to one."""
    # centres of pixels lie half a pixel inside, as with ``align_corners=False``
    position = ((torch.arange(target, dtype=torch.float64, device=device) + 0.5) * source / target - 0.5).clamp_min(0)
    low = position.long().clamp_max(source - 1)[:, None]
    high = (low + 1).clamp_max(source - 1)
    share = (position[:, None] - low).float()
    columns = torch.arange(source, device=device)
    return (columns == low) * (1 - share) + (columns == high) * share


class Mean(nn.Module):
    """Mean over the map, as a map of one pixel."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, C, 1, 1)."""
        return x.mean((2, 3), keepdim=True)


class ImagePooling(nn.Module):
    """Layers on the mean of the map, spread over all of it."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the size of ``x``."""
        return self.layers(x).expand(-1, -1, *x.shape[-2:])


class MaxPool(nn.Module):
    """Maximum over windows; on CUDA as maxima of shifted maps, because its own gradient adds in a random order."""

    def __init__(self, pool: nn.MaxPool2d) -> None:
        super().__init__()
        self.pool = pool
        self.side, self.stride, self.padding = cast(tuple[int, int, int], (pool.kernel_size, pool.stride, pool.padding))

    def forward(self, x: Tensor) -> Tensor:
        """Return what the layer it replaces would."""
        if not (x.is_cuda and x.requires_grad):
            return self.pool(x)
        return self.shifted(x)

    def shifted(self, x: Tensor) -> Tensor:
        """Compute it from ``side ** 2`` shifted maps."""
        size = [self._length(n) for n in x.shape[-2:]]
        reach = [(n - 1) * self.stride + self.side for n in size]
        missing = [max(r - n - self.padding, 0) for r, n in zip(reach, x.shape[-2:], strict=True)]
        x = F.pad(x, (self.padding, missing[1], self.padding, missing[0]), value=float("-inf"))
        result = None
        for dy in range(self.side):
            for dx in range(self.side):
                y_end, x_end = (d + (n - 1) * self.stride + 1 for d, n in zip((dy, dx), size, strict=True))
                part = x[:, :, dy : y_end : self.stride, dx : x_end : self.stride]
                result = part if result is None else torch.maximum(result, part)
        assert result is not None
        return result

    def _length(self, n: int) -> int:
        """Windows along a side of length n; the last one starts within the map or its padding before it."""
        span = n + 2 * self.padding - self.side
        windows = (-(-span // self.stride) if self.pool.ceil_mode else span // self.stride) + 1
        return windows - 1 if (windows - 1) * self.stride >= n + self.padding else windows


def make_repeatable(module: nn.Module) -> None:
    """Replace the layers that draw random numbers, or whose gradient on CUDA does not repeat."""
    for name, child in module.named_children():
        make_repeatable(child)
        setattr(module, name, _replacement(child))


def _replacement(layer: nn.Module) -> nn.Module:
    if type(layer).__name__ == "ASPPPooling":
        return ImagePooling(*layer.children())
    if isinstance(layer, nn.AdaptiveAvgPool2d):
        if layer.output_size not in (1, (1, 1)):
            raise ValueError(f"{layer}: its gradient does not repeat on a GPU; pool to 1, or by AvgPool2d")
        return Mean()
    if isinstance(layer, nn.MaxPool2d):
        return MaxPool(layer)
    return nn.Identity() if isinstance(layer, nn.Dropout) else layer
