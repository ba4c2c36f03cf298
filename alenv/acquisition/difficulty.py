"""Scores of a predicted error map (DEAL: Xie et al., "Difficulty-aware Active Learning", arXiv 2010.08705)."""

from __future__ import annotations

from typing import Any

from alenv.arrays import Array, module_of, to_floats


def difficulty_score(difficulty: Array, uncertainty: Array | None = None) -> Array:
    """DS: mean difficulty, weighted by the uncertainty of each pixel if there is one.

    Args:
        difficulty: (..., H, W) predicted probability of an error, in [0, 1].
        uncertainty: (..., H, W), for example ``entropy``; none in the released runs.

    Returns:
        (...), in the kind of ``difficulty``, in float32 at least.

    Raises:
        ValueError: If a difficulty lies outside [0, 1] or is NaN, or the uncertainty has NaN or another shape.
    """
    _check_difficulty(difficulty)
    difficulty = to_floats(difficulty)
    if uncertainty is None:
        return difficulty.mean((-2, -1))
    if uncertainty.shape != difficulty.shape:
        raise ValueError(f"uncertainty is {tuple(uncertainty.shape)}, but difficulty is {tuple(difficulty.shape)}")
    if module_of(uncertainty).isnan(uncertainty).any():
        raise ValueError("uncertainty holds NaN")
    return (difficulty * uncertainty).mean((-2, -1))


def difficulty_levels(difficulty: Array, levels: int = 8) -> Array:
    """Quantise each map into equal-width bins between its own least and largest value.

    Bins are those of ``numpy.histogram``: closed below and open above, the last one closed.

    Args:
        difficulty: (..., H, W), in [0, 1].
        levels: Number of bins; the paper's runs have 8 (CamVid) and 10 (Cityscapes).

    Returns:
        (..., H, W) int64 in [0, levels); a constant map is level 0 throughout.

    Raises:
        ValueError: If a difficulty lies outside [0, 1] or is NaN, or there is no level.
    """
    if levels < 1:
        raise ValueError(f"levels must be at least 1, got {levels}")
    _check_difficulty(difficulty)
    xp = module_of(difficulty)
    values = xp.asarray(difficulty, dtype=xp.float64)
    low, high = xp.amin(values, (-2, -1))[..., None, None], xp.amax(values, (-2, -1))[..., None, None]
    width = (high - low) / levels
    level = ((values - low) / xp.where(width > 0, width, 1.0)).clip(max=levels - 1)
    level = xp.floor(level)
    # The division may round across an edge, of which the edge itself decides.
    level -= 1.0 * (values < low + level * width)
    level += 1.0 * ((values >= low + (level + 1) * width) & (level < levels - 1) & (width > 0))
    return xp.asarray(level, dtype=xp.int64)


def level_entropy(level_map: Array, levels: int) -> Array:
    """Entropy of the level histogram in nats.

    Args:
        level_map: (..., H, W) integers in [0, levels).
        levels: Number of levels.

    Returns:
        (...) float64, in [0, ln levels].

    Raises:
        ValueError: If a level is out of range.
    """
    xp = module_of(level_map)
    counts = xp.stack([xp.count_nonzero(level_map == level, (-2, -1)) for level in range(levels)], -1)
    pixels = level_map.shape[-2] * level_map.shape[-1]
    if not (counts.sum(-1) == pixels).all():
        raise ValueError(f"level_map holds levels outside [0, {levels})")
    share = xp.asarray(counts, dtype=xp.float64) / pixels
    return -(share * xp.log(share.clip(min=1 / pixels))).sum(-1)


def difficulty_entropy(difficulty: Array, levels: int = 8) -> Array:
    """DE: entropy of the levels of difficulty, see ``difficulty_levels`` and ``level_entropy``.

    Args:
        difficulty: (..., H, W), in [0, 1].
        levels: Number of levels.

    Returns:
        (...) float64, in [0, ln levels] nats: zero for a constant map, largest for an even spread.

    Raises:
        ValueError: As for ``difficulty_levels``.
    """
    return level_entropy(difficulty_levels(difficulty, levels), levels)


def _check_difficulty(difficulty: Any) -> None:
    if difficulty.ndim < 2:
        raise ValueError(f"difficulty has shape {tuple(difficulty.shape)}; expected (..., height, width)")
    if 0 not in difficulty.shape:
        least, largest = float(difficulty.min()), float(difficulty.max())
        if not (least >= 0 and largest <= 1):  # a NaN fails both comparisons
            raise ValueError(f"difficulty must lie in [0, 1], but ranges from {least:.3g} to {largest:.3g}")
