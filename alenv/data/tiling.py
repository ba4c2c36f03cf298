"""Cells and regions for images of any size."""

from __future__ import annotations

LARGEST = 16
"""Side of a cell in pixels: about the stride of a backbone."""
FINEST = 16
"""Cells along the shorter side of an image, at least where that is possible."""
MOST = 2**15
"""Cells of an image."""


def tiling(height: int, width: int) -> tuple[tuple[int, int], int]:
    """Return a region and a cell that tile images: regions of a quarter of each side, or less.

    Args:
        height: Of the images, in pixels.
        width: Likewise.

    Raises:
        ValueError: If height and width have no common divisor that would do.
    """
    cells = [cell for cell in range(1, LARGEST + 1) if height % cell == width % cell == 0]
    cell = max((cell for cell in cells if min(height, width) >= FINEST * cell), default=1)
    if height * width > MOST * cell**2:
        raise ValueError(
            f"images of {width}x{height} (width x height): no cell of up to {LARGEST} pixels divides both sides into "
            f"at most {MOST} cells; cut or pad them to multiples of {LARGEST}"
        )
    return (_side(height, cell), _side(width, cell)), cell


def _side(whole: int, cell: int) -> int:
    """Return the largest multiple of a cell that divides a side at least four times, else the cell."""
    fits = [side for side in range(cell, whole // 4 + 1, cell) if whole % side == 0]
    return max(fits, default=cell)
