"""The last layer of a network as a linear head, so that what is known of that is known of networks, too.

Everything before the layer is taken for fixed: the last-layer Laplace approximation (Kristiadi et al., "Being Bayesian,
Even Just a Bit, Fixes Overconfidence in ReLU Networks", ICML 2020, arXiv 2002.10118). Cells of the data stand for
single observations, as with frozen features, and so do the head's penalty and its weights of the classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from alenv.segmenters.probes.linear import LinearHead


class LastLayer:
    """A convolution of 1 x 1, and the labelled cells it was trained on.

    Attributes:
        head: The layer as a linear head, of features in units of ``scale``.
        scale: Root mean square of the labelled cells' features.

    Args:
        layer: The convolution.
        x: Features of the labelled cells (n, D), on the CPU.
        counts: Their label counts (n, C).
        unit: Labelled pixels that count as one observation.
    """

    def __init__(self, layer: nn.Conv2d, x: Tensor, counts: Tensor, unit: int) -> None:
        weights = layer.weight.detach().flatten(1).float().cpu()
        bias = torch.zeros(len(weights)) if layer.bias is None else layer.bias.detach().float().cpu()
        # in units of its own: what the penalty means does not depend on how large a network's features happen to be
        self.scale = float(x.square().mean().sqrt().clamp_min(1e-12)) if len(x) else 1.0
        self.head = LinearHead(weights.shape[1], len(weights), unit)
        self.head.add(self.seen(x), counts)
        self.head.stand(torch.cat([weights * self.scale, bias[:, None]], 1))

    def seen(self, x: Tensor) -> Tensor:
        """Return features (..., D) as the head sees them."""
        return x / self.scale
