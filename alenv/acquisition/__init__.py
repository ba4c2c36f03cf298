"""Acquisition functions: predictions in, scores out. NumPy or torch, any leading batch shape, natural logarithms."""

from alenv.acquisition.scores import SCORES, Score
from alenv.acquisition.uncertainty import (
    class_balanced_entropy,
    class_weights,
    entropy,
    least_confidence,
    margin,
    predicted_weight,
)

__all__ = [
    "SCORES",
    "Score",
    "class_balanced_entropy",
    "class_weights",
    "entropy",
    "least_confidence",
    "margin",
    "predicted_weight",
]
