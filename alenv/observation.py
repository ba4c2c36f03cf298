"""The ``compact`` observation: what is known of each candidate and of the episode, scaled to [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from alenv.acquisition import class_weights, entropy, margin, predicted_weight
from alenv.arrays import Array, in_blocks, to_numpy

CANDIDATE = (
    "entropy",
    "entropy_min",
    "entropy_max",
    "entropy_deviation",
    "margin",
    "uncertain",
    "balanced_entropy",
    "class_weight",
    "nearest_labelled",
    "typical_labelled",
    "nearest_picked",
)
"""Features of a candidate, after the mean probability of each class; see ``candidate_features``."""
PROGRESS = ("budget", "round", "pick")
"""What the state begins with; the labelled frequency and the IoU of each class follow, see ``state_features``."""

Vector = NDArray[np.float32]


def candidate_names(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the F candidate features."""
    return (*(f"probability:{name}" for name in classes), *CANDIDATE)


def state_names(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the S state features."""
    return (*PROGRESS, *(f"{kind}:{name}" for kind in ("labelled", "iou") for name in classes))


def column(name: str) -> int:
    """Return the place of one of ``CANDIDATE`` among the features, from their end: classes come first."""
    return CANDIDATE.index(name) - len(CANDIDATE)


def candidate_features(
    probs: Array, class_pixels: NDArray[np.int64], nearest: Vector, typical: Vector
) -> NDArray[np.float32]:
    """Describe candidate regions.

    Args:
        probs: float32 (n, C, rows, columns), class probabilities; tensors are looked at on their device.
        class_pixels: (C,) labelled pixels of each class so far.
        nearest: (n,) cosine to the nearest labelled region.
        typical: (n,) mean cosine to the labelled regions.

    Returns:
        float32 (n, F) in [0, 1]: mean probability of each class (C), and ``CANDIDATE``: mean, smallest, largest and
        deviation of the entropy; mean of margin uncertainty; share of cells more uncertain than half the maximum;
        entropy times class weight and class weight alone, means (class weight: labels' frequency^-1/2); similarity to
        the nearest and to the typical labelled region; and a place for the similarity to the nearest of this round's
        picks.
    """
    weights = class_weights(class_pixels)
    seen = in_blocks(lambda block: _predicted(block, weights), probs)
    distances = [similarity(nearest), similarity(typical), np.zeros(len(probs))]
    return np.concatenate([seen, np.stack(distances, 1)], 1).clip(0, 1).astype(np.float32)


def _predicted(probs: Array, weights: NDArray[np.float64]) -> NDArray:
    """Features of the predictions alone, (n, C + 8)."""
    n, classes = probs.shape[:2]
    uncertainty = to_numpy(entropy(probs) / np.log(classes)).reshape(n, -1)
    balanced = to_numpy(predicted_weight(probs, weights)).reshape(n, -1)
    columns = [
        uncertainty.mean(1),
        uncertainty.min(1),
        uncertainty.max(1),
        2 * uncertainty.std(1),
        to_numpy(margin(probs)).mean((1, 2)),
        (uncertainty > 0.5).mean(1),
        (uncertainty * balanced).mean(1),
        balanced.mean(1),
    ]
    return np.concatenate([to_numpy(probs.mean((2, 3))), np.stack(columns, 1)], 1)


def similarity(cosine: NDArray) -> NDArray:
    """Map cosines from [-1, 1] to [0, 1]."""
    return (1 + cosine) / 2


def state_features(
    budget: float, round_: float, pick: float, class_pixels: NDArray[np.int64], class_iou: NDArray[np.float64]
) -> Vector:
    """Describe the episode.

    Args:
        budget: Share of the budget that is spent.
        round_: Share of the rounds that are over.
        pick: Share of this round's picks that are made.
        class_pixels: (C,) labelled pixels of each class.
        class_iou: (C,) IoU on the reward split in points; 0 for a class that does not occur there.

    Returns:
        float32 (S,) in [0, 1]: the three shares, the labelled class frequencies, and the class IoUs.
    """
    frequency = class_pixels / max(int(class_pixels.sum()), 1)
    return np.concatenate([(budget, round_, pick), frequency, class_iou / 100]).astype(np.float32)
