"""What a label would tell of other labels: scores of joint predictions, passes over several places at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from alenv.acquisition.uncertainty import as_probabilities, unchecked_entropy
from alenv.arrays import Array, module_of

PLACES = 64
"""That are compared with the targets at once: what is between stays in the processor's cache."""


def epig(mc_probs: Array, mc_targets: Array) -> Array:
    """Expected predictive information gain: what the label of a place tells of those of the targets, on average.

    The mutual information of both predictions, ``H(y) + H(y*) - H(y, y*)``, where the joint prediction is the mean over
    the passes of the product of both. Bickford Smith et al., "Prediction-Oriented Bayesian Active Learning", AISTATS
    2023, arXiv 2304.08151, equation 5. Time grows with places times targets.

    Args:
        mc_probs: (T, ..., C, H, W), T >= 2 passes.
        mc_targets: (T, M, C), the same passes at M places of the distribution that is to be predicted.

    Returns:
        (..., H, W), in [0, ln C] nats, in float32 at least.

    Raises:
        ValueError: If these are not probabilities, or not of the same passes and classes.
    """
    probs, targets = as_probabilities(mc_probs), as_probabilities(mc_targets[..., None, None])[..., 0, 0]
    passes, classes = len(probs), probs.shape[-3]
    if passes < 2 or len(targets) != passes or targets.shape[2] != classes or not targets.shape[1]:
        raise ValueError(
            f"expected two passes or more, (T, ..., C, H, W), and the same at targets (T, M, C); got "
            f"{tuple(mc_probs.shape)} and {tuple(mc_targets.shape)}"
        )
    xp = module_of(probs)
    own = unchecked_entropy(probs.mean(0))
    places = xp.moveaxis(probs, -3, -1).reshape(passes, -1, classes)
    joint = xp.concatenate([_joint_entropy(part, targets) for part in _split(places)])
    theirs = unchecked_entropy(targets.mean(0)[..., None, None]).mean()
    return (own + theirs - joint.reshape(own.shape)).clip(min=0)


def _joint_entropy(probs: Any, targets: Any) -> Any:
    """Return the entropy of the labels of a place and of a target, the mean over targets: (T, n, C) -> (n,)."""
    xp, (passes, count, _) = module_of(probs), probs.shape
    both = probs.reshape(passes, -1).T @ targets.reshape(passes, -1) / passes  # (n C, m C)
    total = (both * xp.log(both.clip(min=xp.finfo(both.dtype).tiny))).reshape(count, -1).sum(1)
    return -total / targets.shape[1]


def _split(places: Any) -> Iterator[Any]:
    for start in range(0, places.shape[1], PLACES):
        yield places[:, start : start + PLACES]
