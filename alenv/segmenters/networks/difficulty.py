"""DEAL's difficulty of a network's predictions, on squares: attention between all pixels would be too large."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from alenv.data import IGNORE
from alenv.regions import Ids
from alenv.segmenters.difficulty import DifficultyBranch, attend
from alenv.segmenters.networks.layers import resize
from alenv.segmenters.networks.model import NetworkModel

STRIDE = 8
"""Side of a square in pixels, where that divides the image."""


def predict_difficulty(
    model: NetworkModel, labels: Mapping[int, NDArray[np.uint8]], images: Ids
) -> NDArray[np.float32]:
    """Fit the branch to what is labelled and apply it.

    Args:
        model: The network.
        labels: What was bought, by image: (h, w), ``IGNORE`` elsewhere.
        images: (m,).

    Returns:
        (m, h, w) in [0, 1].
    """
    labelled = np.array(sorted(labels), np.int64)
    probs, attended = _squares(model, labelled)
    branch = DifficultyBranch(probs.shape[-1])
    if len(labelled):
        shares = np.array([_shares(labels[i], p.argmax(-1)) for i, p in zip(labelled.tolist(), probs, strict=True)])
        there = shares.sum(1) > 0
        branch.fit(probs[there], attended[there], shares[:, 0][there], shares[:, 1][there])
    coarse = torch.from_numpy(branch(*_squares(model, images)).astype(np.float32))
    return resize(coarse[:, None], model.grid.size)[:, 0].clamp(0, 1).numpy()


def _squares(model: NetworkModel, images: Ids) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Probabilities of the squares of images, and what attention makes of them, (m, rows, columns, C) each."""
    rows, columns = (-(-length // STRIDE) for length in model.grid.size)
    probs = np.empty((len(images), rows, columns, model.network.head.out_channels), np.float32)
    attended = np.empty_like(probs)
    for i, logits in enumerate(model.logits(images)):
        whole = model.full(logits).contiguous().softmax(1)
        flat = F.interpolate(whole, (rows, columns), mode="area").flatten(2).mT.contiguous()
        probs[i] = flat.view(rows, columns, -1).cpu().numpy()
        with torch.autocast(model.device.type, enabled=False):
            attended[i] = attend(flat).view(rows, columns, -1).cpu().numpy()
    return probs, attended


def _shares(labels: NDArray[np.uint8], predicted: NDArray[np.int64]) -> NDArray[np.float64]:
    """Shares of each square's labelled pixels that are predicted rightly, and that are not, (2, rows, columns)."""
    # which square a pixel lies in, also where squares do not divide the region evenly
    y, x = (
        np.arange(pixels) * squares // pixels for pixels, squares in zip(labels.shape, predicted.shape, strict=True)
    )
    square = y[:, None] * predicted.shape[1] + x
    right = labels == predicted[y[:, None], x]
    wrong = ~right & (labels != IGNORE)
    counts = np.array([np.bincount(square[chosen], minlength=predicted.size) for chosen in (right, wrong)])
    return (counts / np.maximum(counts.sum(0), 1)).reshape(2, *predicted.shape)
