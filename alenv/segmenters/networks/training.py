"""How networks are trained: hyper-parameters, crops around labelled regions, the loss, and the optimiser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from alenv.data import IGNORE
from alenv.regions import Ids, RegionGrid


@dataclass(frozen=True)
class Training:
    """Hyper-parameters of one network.

    Attributes:
        long_steps: Steps of the long training, on the first labels.
        long_rate: Learning rate of its first step; it falls linearly to zero.
        long_batch: Crops in one of its steps.
        rate: Learning rate of a round.
        batch: Crops in a step of a round.
        crop: Side of a crop in pixels; smaller images are taken whole.
        fade: Factor on the learning rate after each round's epoch.
        source_steps: In the place of ``long_steps`` where there is a source domain.
        window_steps: Steps of a round whose regions are windows of pixels: thousands of them lie in one crop, so that
            an epoch over them would have no end.
        momentum: Of the gradient.
        decay: Weight decay.
        clip: Largest norm of the gradient.
    """

    long_steps: int = 2000
    long_rate: float = 1e-2
    long_batch: int = 16
    rate: float = 1e-3
    batch: int = 32
    crop: int = 224
    fade: float = 0.998
    source_steps: int = 2000
    window_steps: int = 200
    momentum: float = 0.95
    decay: float = 1e-4
    clip: float = 4.0


TRAININGS = {
    "tiny": Training(long_steps=60, long_rate=5e-2, long_batch=4, rate=5e-3, batch=4, crop=64, window_steps=300),
    "squeezenet_fpn": Training(long_steps=400, long_rate=2e-2, long_batch=4, rate=2e-3),
    "lite0_fpn": Training(long_steps=400, long_rate=2e-2, long_batch=4, rate=2e-3),
}
"""Where they differ from the defaults, which from ``rate`` on are those of Casanova et al. (ICLR 2020)."""

Crops = tuple[Ids, NDArray[np.int64], NDArray[np.int64]]
"""Images (n,), and the rows (n, height) and columns (n, width) of pixels of each crop, in the order they are shown."""


def epoch(rng: np.random.Generator, grid: RegionGrid, regions: Ids, side: int, batch: int) -> Iterator[Crops]:
    """Yield crops that cover every region once, in random order."""
    order = rng.permutation(regions)
    for start in range(0, len(order), batch):
        yield crops(rng, grid, order[start : start + batch], side)


def endless(rng: np.random.Generator, grid: RegionGrid, regions: Ids, side: int, batch: int) -> Iterator[Crops]:
    """Yield crops around regions drawn uniformly, without end; empty ones if there are no regions."""
    while True:
        chosen = rng.integers(len(regions), size=batch) if len(regions) else np.empty(0, np.int64)
        yield crops(rng, grid, regions[chosen], side)


def crops(rng: np.random.Generator, grid: RegionGrid, regions: Ids, side: int) -> Crops:
    """Draw a crop for each region: it contains the region, or lies in it where that is larger; half are mirrored."""
    image, y, x = grid.corners(regions).T
    ys = _span(rng, y, grid.region[0], grid.size[0], side)
    xs = _span(rng, x, grid.region[1], grid.size[1], side)
    mirrored = rng.random(len(regions)) < 0.5
    return image, ys, np.where(mirrored[:, None], xs[:, ::-1], xs)


def _span(rng: np.random.Generator, start: Ids, length: int, whole: int, side: int) -> NDArray[np.int64]:
    """Indices (n, min(side, whole)) of neighbouring pixels around (or within) ``length`` pixels from each start."""
    side = min(side, whole)
    slack = length - side
    low, high = np.minimum(start, start + slack), np.maximum(start, start + slack)
    first = rng.integers(low.clip(0, whole - side), high.clip(0, whole - side) + 1)
    return first[:, None] + np.arange(side)


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy, a mean over labelled pixels; 0 if there are none.

    As a product with one-hot labels: the gradient of torch's own adds in a random order on CUDA.

    Args:
        logits: (n, C, h, w).
        labels: uint8 (n, h, w); ``IGNORE`` where there is none.
    """
    classes = torch.arange(logits.shape[1], device=labels.device, dtype=torch.uint8).view(-1, 1, 1)
    wanted = labels[:, None] == classes
    total = torch.where(wanted, logits.log_softmax(1), 0.0).sum()
    return -total / (labels != IGNORE).sum().clamp_min(1)


class Optimizer:
    """Gradient descent with momentum, in one vector.

    Args:
        network: What is trained.
        training: Hyper-parameters.
        momentum: State of an earlier optimiser (all parameters in a row); None to start from rest.
    """

    def __init__(self, network: nn.Module, training: Training, momentum: Tensor | None = None) -> None:
        self._parameters = list(network.parameters())
        self._training = training
        self._sgd = torch.optim.SGD(
            self._parameters, training.rate, momentum=training.momentum, weight_decay=training.decay
        )
        if momentum is not None:
            parts = torch.split(momentum, [p.numel() for p in self._parameters])
            for parameter, part in zip(self._parameters, parts, strict=True):
                buffer = torch.empty_like(parameter).copy_(part.view_as(parameter))
                self._sgd.state[parameter]["momentum_buffer"] = buffer

    def step(self, value: Tensor, rate: float) -> None:
        """Descend the gradient of a loss."""
        for group in self._sgd.param_groups:
            group["lr"] = rate
        self._sgd.zero_grad()
        with torch.autocast(value.device.type, enabled=False):  # gradients have the types of what they belong to
            torch.autograd.backward(value)
        nn.utils.clip_grad_norm_(self._parameters, self._training.clip)
        self._sgd.step()

    @property
    def momentum(self) -> Tensor:
        """The momentum of all parameters in a row, float32, on the CPU."""
        buffers = [self._sgd.state[p].get("momentum_buffer", torch.zeros_like(p)) for p in self._parameters]
        return torch.cat([buffer.detach().reshape(-1).cpu() for buffer in buffers])


def get_weights(network: nn.Module) -> Tensor:
    """Return a copy of all parameters and running statistics in a row, float32, on the CPU."""
    return torch.cat([value.detach().reshape(-1).cpu() for value in _floats(network)])


def set_weights(network: nn.Module, weights: Tensor) -> None:
    """Put back what ``get_weights`` returned."""
    values = _floats(network)
    with torch.no_grad():
        for value, part in zip(values, torch.split(weights, [v.numel() for v in values]), strict=True):
            value.copy_(part.view_as(value))


def _floats(network: nn.Module) -> list[Tensor]:
    return [value for value in network.state_dict().values() if value.is_floating_point()]
