"""Acquisition functions: predictions in, scores out. NumPy or torch, any leading batch shape, natural logarithms."""

from alenv.acquisition.bayesian import MonteCarloMoments, bald, balent, power_bald
from alenv.acquisition.clustering import k_means_start, pure_radius, weighted_k_means
from alenv.acquisition.difficulty import difficulty_entropy, difficulty_levels, difficulty_score, level_entropy
from alenv.acquisition.diversity import k_center, suppressed_top_k
from alenv.acquisition.impurity import (
    box_mean,
    cbda,
    cbda_pixel,
    cbda_weights,
    region_impurity,
    region_uncertainty,
    ripu,
    ripu_pixel,
)
from alenv.acquisition.joint import epig
from alenv.acquisition.score import CHANGING, GRADIENTS, MAPS, POSTERIOR, WHOLE, Score
from alenv.acquisition.scores import SCORES, class_number, find_score
from alenv.acquisition.uncertainty import (
    class_balanced_entropy,
    class_weights,
    entropy,
    least_confidence,
    margin,
    predicted_weight,
)

__all__ = [
    "CHANGING",
    "GRADIENTS",
    "MAPS",
    "POSTERIOR",
    "SCORES",
    "WHOLE",
    "MonteCarloMoments",
    "Score",
    "bald",
    "balent",
    "box_mean",
    "cbda",
    "cbda_pixel",
    "cbda_weights",
    "class_balanced_entropy",
    "class_number",
    "class_weights",
    "difficulty_entropy",
    "difficulty_levels",
    "difficulty_score",
    "entropy",
    "epig",
    "find_score",
    "k_center",
    "k_means_start",
    "least_confidence",
    "level_entropy",
    "margin",
    "power_bald",
    "predicted_weight",
    "pure_radius",
    "region_impurity",
    "region_uncertainty",
    "ripu",
    "ripu_pixel",
    "suppressed_top_k",
    "weighted_k_means",
]
