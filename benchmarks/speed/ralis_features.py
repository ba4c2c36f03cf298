"""What the features of RALIS cost on one thread, for the largest pool of the paper.

25,600 candidates (256 picks, 100 candidates each), regions of 128 x 128 pixels seen as 8 x 8 cells, 19 classes, as many
labelled regions as a tenth of that, and 240 regions of the state. The histograms alone compare 25,600^2 pairs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from alenv import ralis_features
from benchmarks.speed.acquisition import fastest

CANDIDATES, LABELLED, STATE = 25_600, 2_560, 240
CLASSES, CELLS, UNIT = 19, 8, 16


def tables(repeats: int = 3) -> list[Table]:
    """Measure the features of all candidates, their parts, and those of the state."""
    probs, state = (_probs(np.random.default_rng(seed), n) for seed, n in ((0, CANDIDATES), (1, STATE)))
    counts = ralis_features.predicted_histogram(probs, UNIT)
    labelled = counts[:: CANDIDATES // LABELLED]
    cases = {
        "candidates, all": lambda: ralis_features.candidate_features(probs, UNIT, labelled),
        "of these, the region itself": lambda: ralis_features.region_features(probs, UNIT),
        "of these, divergences from labels": lambda: ralis_features.divergence_histograms(counts, labelled),
        "of these, divergences from candidates": lambda: ralis_features.divergence_histograms(counts, counts),
        "state": lambda: ralis_features.region_features(state, UNIT),
    }
    out = Table(title=f"RALIS features of {CANDIDATES} candidates, processor time, best of {repeats}")
    out.add_column("part")
    out.add_column("ms", justify="right")
    for name, case in cases.items():
        out.add_row(name, f"{1000 * fastest(case, repeats):.1f}")
    return [out]


def _probs(rng: np.random.Generator, n: int) -> NDArray[np.float32]:
    """Probabilities of regions that hold few classes each, (n, C, rows, columns)."""
    share = rng.dirichlet(np.full(CLASSES, 0.1), n)
    noise = rng.gumbel(size=(n, CLASSES, CELLS, CELLS)).astype(np.float32)
    logits = np.log(share + 1e-6)[:, :, None, None].astype(np.float32) + noise
    exponents = np.exp(logits - logits.max(1, keepdims=True))
    return exponents / exponents.sum(1, keepdims=True)
