"""What single regions are worth: exact for a closed-form head, by influence functions for a convex one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alenv.segmenters.probes.cells import winners
from alenv.segmenters.probes.heads import Head
from alenv.segmenters.probes.lda import LdaHead
from alenv.segmenters.probes.linear import LinearHead

SHARPNESS = 2.0
"""Factor on the logits of the soft IoU: closer to the arg-max that is evaluated, still smooth."""


def exact(head: LdaHead, x: Tensor, counts: Tensor, metric: Callable[[], float], remove: bool) -> NDArray[np.float64]:
    """Refit with (or without) each group of cells and evaluate it.

    Args:
        head: The fitted head; unchanged afterwards.
        x: Features (groups, cells, D).
        counts: Label counts (groups, cells, C).
        metric: Evaluates the head as it stands.
        remove: Take each group away instead of adding it.

    Returns:
        Metric with the group minus metric without it, (groups,).
    """
    state, now = head.get_state(), metric()
    changes = np.zeros(len(x))
    for i in range(len(x)):
        head.add(x[i], counts[i], -1 if remove else 1)
        head.fit()
        changes[i] = metric() - now
        head.set_state(state)
    return -changes if remove else changes


def influence(
    head: LinearHead, x: Tensor, counts: Tensor, x_score: Tensor, counts_score: Tensor, weights: Tensor
) -> NDArray[np.float64]:
    """Estimate the change of a soft IoU when each group of cells is added.

    First order in the group's weight, so the same number estimates what a labelled group has added. The soft IoU
    replaces hard predictions by probabilities with sharpened logits.

    Args:
        head: The fitted head.
        x: Features (groups, cells, D).
        counts: Label counts (groups, cells, C).
        x_score: Features of the scored cells (n, D).
        counts_score: Their label counts (C, n).
        weights: Weight of each class in the metric (C,).

    Returns:
        IoU points (groups,).
    """
    gradient = head.gradient(lambda logits: -_soft_iou(logits, counts_score, weights), x_score)
    return 100 * head.influence(x, counts, gradient).double().numpy()


def pseudo(head: LinearHead, x: Tensor, possible: bool) -> NDArray[np.float64]:
    """Estimate the change of the soft IoU when each group of cells is added, without a label.

    The most probable classes of all cells are taken for the truth, and the mean is over the classes among them: it is
    the influence on what the model believes of the pool.

    Args:
        head: The fitted head.
        x: Features (groups, cells, D).
        possible: False: the groups' own labels are the most probable classes, too. True: any class can be the label of
            a cell; of its influence counts the positive part, as expected under the prediction. Expected as it is, the
            influence would be that of the class weights alone: a gradient vanishes on average over its labels.

    Returns:
        IoU points (groups,).
    """
    present = winners(head.logits(x.flatten(0, 1))).any(1).float()
    return _without_labels(head, x, present / present.sum(), possible)


def pseudo_by_class(head: LinearHead, x: Tensor) -> NDArray[np.float64]:
    """Return what ``pseudo`` estimates for the IoU of each class alone, (groups, C)."""
    every = torch.eye(len(head.affine[0]))
    return np.stack([_without_labels(head, x, one, possible=False) for one in every], 1)


def gradients(head: Head, x: Tensor) -> NDArray[np.float32]:
    """Return gradients of the last layer's log-loss if the most probable classes were right.

    The mean of ``(p - y) h'`` over the cells of a region: BADGE's embedding (Ash et al., "Deep Batch Active Learning by
    Diverse, Uncertain Gradient Lower Bounds", ICLR 2020, arXiv 1906.03671).

    Args:
        head: The fitted head.
        x: Features (groups, cells, D).

    Returns:
        (groups, C, D'), D' the inputs of the last layer.
    """
    logits = head.logits(x.flatten(0, 1))
    residual = (logits.softmax(0) - winners(logits)).view(-1, *x.shape[:2]).movedim(0, 1)
    hidden = head.body(x.flatten(0, 1)).view(*x.shape[:2], -1)
    return (residual @ hidden / x.shape[1]).numpy()


def _without_labels(head: LinearHead, x: Tensor, weights: Tensor, possible: bool) -> NDArray[np.float64]:
    flat = x.flatten(0, 1)
    logits = head.logits(flat)
    labels = winners(logits)
    gradient = head.gradient(lambda made: -_soft_iou(made, labels, weights), flat)
    by_label = head.influences(flat, gradient)
    each = (logits.softmax(0) * by_label.clamp_min(0)).sum(0) if possible else (labels * by_label).sum(0)
    return 100 * each.view(x.shape[:2]).sum(1).double().numpy()


def _soft_iou(logits: Tensor, counts: Tensor, weights: Tensor) -> Tensor:
    probs = (SHARPNESS * logits).softmax(0)
    hit = (probs * counts).sum(1)
    # predicted and labelled less both, in pixels: cells have a probability and counts
    union = probs @ counts.sum(0) + counts.sum(1) - hit
    return (weights * hit / union.clamp_min(1)).sum()
