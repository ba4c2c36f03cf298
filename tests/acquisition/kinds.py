"""Arrays of both libraries and of all kinds, and probabilities to draw."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "acquisition.npz")
KINDS = [np.float32, np.float64, torch.float32, torch.float64]
kinds = pytest.mark.parametrize("kind", KINDS, ids=str)
modules = pytest.mark.parametrize("module", [np.asarray, torch.tensor], ids=["numpy", "torch"])


def as_kind(array, kind):
    return torch.tensor(array, dtype=kind) if isinstance(kind, torch.dtype) else np.asarray(array, kind)


@st.composite
def probabilities(draw, least=3, most=5):
    """Float64 (..., C, H, W), some of them exactly zero."""
    shape = draw(array_shapes(min_dims=least, max_dims=most, min_side=1, max_side=4))
    raw = draw(arrays(np.float64, shape, elements=st.just(0.0) | st.floats(1e-6, 1)))
    raw[..., 0, :, :] += raw.sum(-3) == 0
    return raw / raw.sum(-3, keepdims=True)
