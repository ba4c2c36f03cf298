"""A filter bank: colour, local statistics and oriented edge energies. Needs no weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SCALES = (1, 3, 7)
"""Windows of the local statistics, in cells."""
SHIFTS = (3, 8)
"""How far above and below a cell its vertical context is read, in cells."""
ORIENTATIONS = 4

# Intensity and two opponent colours: decorrelates RGB, so that light and hue are separate axes.
_OPPONENT = torch.tensor([[1 / 3, 1 / 3, 1 / 3], [0.5, -0.5, 0.0], [-0.25, -0.25, 0.5]])


def filterbank(images: Tensor, cell: int) -> Tensor:
    """Compute filter responses for every cell.

    Args:
        images: uint8 (b, 3, h, w).
        cell: Side of a cell in pixels; divides h and w.

    Returns:
        float32 (b, 71, h / cell, w / cell).
    """
    colour = torch.einsum("oc,bchw->bohw", _OPPONENT, images.float() / 255)
    # first and second moments add up, so that deviations at all scales come from the same two maps
    mean = F.avg_pool2d(colour, cell)
    square = F.avg_pool2d(colour * colour, cell)
    edges = torch.cat([_edge_energy(colour[:, :1], cell, step) for step in (1, 2)], 1)
    edges = torch.cat([edges, _edge_energy(colour[:, 1:2], cell, 1)], 1)
    statistics = [_local_statistics(mean, square, scale) for scale in SCALES]
    context = [_shifted(mean, rows) for shift in SHIFTS for rows in (-shift, shift)]
    smooth = [_box(edges, scale) for scale in SCALES[:2]]
    extremes = [F.max_pool2d(colour, cell), -F.max_pool2d(-colour, cell)]
    return torch.cat([*statistics, *context, *smooth, *extremes, _box(edges[:, :5], SCALES[2])], 1)


def _box(x: Tensor, window: int) -> Tensor:
    """Mean over a square window of cells, over what exists of it at the border."""
    return F.avg_pool2d(x, window, 1, window // 2, count_include_pad=False)


def _local_statistics(mean: Tensor, square: Tensor, window: int) -> Tensor:
    mean, square = _box(mean, window), _box(square, window)
    return torch.cat([mean, (square - mean * mean).clamp_min(1e-8).sqrt()], 1)


def _shifted(x: Tensor, rows: int) -> Tensor:
    """The value ``rows`` cells below (above if negative), border repeated."""
    index = (torch.arange(x.shape[2]) + rows).clamp(0, x.shape[2] - 1)
    return x[:, :, index]


def _edge_energy(plane: Tensor, cell: int, step: int) -> Tensor:
    """Log energy of central differences, in four orientations and in total."""
    padded = F.pad(plane, (step, step, step, step), mode="replicate")
    dx = padded[:, :, step:-step, 2 * step :] - padded[:, :, step:-step, : -2 * step]
    dy = padded[:, :, 2 * step :, step:-step] - padded[:, :, : -2 * step, step:-step]
    angles = torch.arange(ORIENTATIONS) * (torch.pi / ORIENTATIONS)
    along = dx * angles.cos().view(1, -1, 1, 1) + dy * angles.sin().view(1, -1, 1, 1)
    energy = torch.cat([along.square(), dx.square() + dy.square()], 1)
    return (F.avg_pool2d(energy, cell) + 1e-4).log()
