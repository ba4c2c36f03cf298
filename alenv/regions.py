"""The geometry of regions: every image is tiled by rectangles of one size, numbered through all images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alenv.errors import shown
from alenv.outside import check_array

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class RegionGrid:
    """Regions of ``images`` images, numbered image by image, row by row.

    Attributes:
        size: Height and width of an image in pixels.
        region: Height and width of a region in pixels; divides ``size``.
    """

    size: tuple[int, int]
    region: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of regions in an image."""
        return self.size[0] // self.region[0], self.size[1] // self.region[1]

    @property
    def steps(self) -> tuple[int, int]:
        """Pixels from one region to the next below it, and to the next on its right."""
        return self.region

    @property
    def per_image(self) -> int:
        """Number of regions in an image."""
        return self.shape[0] * self.shape[1]

    @property
    def pixels(self) -> bool:
        """Whether a region is a single pixel."""
        return self.region == (1, 1)

    @property
    def dense(self) -> bool:
        """Whether there is about one for every pixel: so many are compared within their image alone."""
        return self.pixels

    def of_images(self, images: Ids) -> Ids:
        """Return the ids of all regions of some images."""
        return (images[:, None] * self.per_image + np.arange(self.per_image)).ravel()

    def locate(self, ids: Ids) -> tuple[Ids, Ids, Ids]:
        """Return image, row and column (in regions) of each id."""
        image, within = np.divmod(ids, self.per_image)
        row, column = np.divmod(within, self.shape[1])
        return image, row, column

    def cut(self, array: NDArray, ids: Ids, unit: int = 1) -> NDArray:
        """Cut regions out of maps.

        Args:
            array: (images, h / unit, w / unit, ...).
            ids: (n,).
            unit: Pixels along the side of the square that one element of the map stands for.

        Returns:
            (n, region height / unit, region width / unit, ...), a copy. For regions that are single pixels, the one
            element that each lies in: (n, 1, 1, ...).
        """
        image, row, column = self.locate(ids)
        if self.pixels:
            return array[image, row // unit, column // unit][:, None, None]
        h, w = self.region[0] // unit, self.region[1] // unit
        rows, columns = self.shape
        tiles = array.reshape(len(array), rows, h, columns, w, *array.shape[3:])
        return tiles[image, row, :, column]

    def group(self, ids: Ids) -> tuple[Ids, Ids]:
        """Return the distinct images of some regions, and the regions' ids in a stack of these images alone."""
        image, within = np.divmod(ids, self.per_image)
        images, position = np.unique(image, return_inverse=True)
        return images, position * self.per_image + within

    def corner(self, region: int) -> tuple[int, int, int]:
        """Return the image, and y and x of the top left pixel, of one region."""
        image, within = divmod(int(region), self.per_image)
        row, column = divmod(within, self.shape[1])
        return image, row * self.region[0], column * self.region[1]

    def corners(self, ids: Ids) -> NDArray[np.int64]:
        """Return image, y and x of the top left pixel of each id, (n, 3)."""
        image, row, column = self.locate(ids)
        return np.stack([image, row * self.region[0], column * self.region[1]], 1)


class WindowGrid(RegionGrid):
    """Overlapping regions: a square window of ``2 radius + 1`` pixels around every pixel that has one in its image."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of windows in an image."""
        return self.size[0] - self.region[0] + 1, self.size[1] - self.region[1] + 1

    @property
    def steps(self) -> tuple[int, int]:
        """Windows are one pixel apart."""
        return 1, 1

    @property
    def radius(self) -> int:
        """Pixels from a window's middle to its border."""
        return self.region[0] // 2

    @property
    def pixels(self) -> bool:
        """Windows are not single pixels, however small."""
        return False

    @property
    def dense(self) -> bool:
        """Whether there is about one for every pixel."""
        return True

    def cut(self, array: NDArray, ids: Ids, unit: int = 1) -> NDArray:
        """Cut windows out of maps, pixel by pixel whatever the unit: (n, height, width, ...)."""
        image, y, x = (part[:, None, None] for part in self.locate(ids))
        steps = np.arange(self.region[0])
        return np.asarray(array[image, (y + steps[:, None]) // unit, (x + steps) // unit])

    def middle(self, array: NDArray, ids: Ids, unit: int = 1) -> NDArray:
        """Return what maps say of the middle pixels of windows, (n, ...)."""
        image, y, x = self.locate(ids)
        return np.asarray(array[image, (y + self.radius) // unit, (x + self.radius) // unit])

    def inner(self, maps: NDArray) -> NDArray:
        """Return what maps (..., h, w) say of the middle pixels of all windows, (..., *shape)."""
        k = self.radius
        return maps[..., k : maps.shape[-2] - k, k : maps.shape[-1] - k]

    def overlapping(self, ids: Ids) -> Ids:
        """Return all windows that have a pixel in common with some of these, each once."""
        image, y, x = (part[:, None, None] for part in self.locate(ids))
        steps = np.arange(-2 * self.radius, 2 * self.radius + 1)
        (rows, columns), y, x = self.shape, y + steps[:, None], x + steps
        there = (y >= 0) & (y < rows) & (x >= 0) & (x < columns)
        return np.unique((image * self.per_image + y * columns + x)[there])

    def disjoint(self, ids: Ids) -> bool:
        """Return whether no two of some windows have a pixel in common."""
        image, y, x = (part[:, None, None] for part in self.locate(ids))
        steps = np.arange(self.region[0])
        pixels = (image * self.size[0] + y + steps[:, None]) * self.size[1] + x + steps
        return len(np.unique(pixels)) == pixels.size

    def of_images(self, images: Ids) -> Ids:
        """Return the ids of windows that cover some images: side by side, but for the last of a row or column."""
        rows, columns = (np.append(np.arange(0, last, self.region[0]), last) for last in np.subtract(self.shape, 1))
        within = (rows[:, None] * self.shape[1] + columns).ravel()
        return (images[:, None] * self.per_image + within).ravel()

    def corner(self, region: int) -> tuple[int, int, int]:
        """Return the image, and y and x of the top left pixel, of one window."""
        image, y, x = self.corners(np.array([region]))[0].tolist()
        return image, y, x

    def corners(self, ids: Ids) -> NDArray[np.int64]:
        """Return image, y and x of the top left pixel of each id, (n, 3)."""
        return np.stack(self.locate(ids), 1)


def by_image(regions: Ids, grid: RegionGrid) -> dict[int, Ids]:
    """Return the positions of the regions of each image."""
    image, _, _ = grid.locate(regions)
    order = np.argsort(image, kind="stable")
    images, first = np.unique(image[order], return_index=True)
    return dict(zip(images.tolist(), np.split(order, first[1:]), strict=len(images) > 0))


def make_windows(size: tuple[int, int], region: tuple[int, int]) -> WindowGrid:
    """Return the grid of overlapping windows.

    Raises:
        ValueError: If they have no middle, or do not fit into the image.
    """
    if region[0] != region[1] or region[0] % 2 == 0 or region[0] > min(size):
        raise ValueError(
            f"region={list(region)}: pooling='ranked' needs squares around a pixel, such as [3, 3], within {size}"
        )
    return WindowGrid(size, region)


def make_grid(size: tuple[int, int], region: tuple[int, int], cell: int) -> RegionGrid:
    """Return the grid of regions, which may also be single pixels.

    Raises:
        ValueError: If regions do not tile the image, or cells do not tile a region.
    """
    if region == (1, 1):
        return RegionGrid(size, region)
    for axis, whole, part in zip(("height", "width"), size, region, strict=True):
        if part < 1 or whole % part or part % cell:
            fits = [n for n in range(cell, whole + 1, cell) if whole % n == 0]
            raise ValueError(
                f"region={list(region)}: a {axis} of {part} does not tile images of {axis} {whole} "
                f"in cells of {cell} pixels; possible: {', '.join(map(str, fits))}"
            )
    return RegionGrid(size, region)


def check_regions(regions: Ids, grid: RegionGrid, images: int) -> None:
    """Check the ids of labelled regions.

    Args:
        regions: What should be ids (n,).
        grid: The regions.
        images: Number of images.

    Raises:
        ValueError: If they are none, or one of them comes twice.
    """
    check_array("labelled", regions, np.empty(len(regions) if regions.ndim else 0, np.int64))
    if len(regions) and not 0 <= regions.min() <= regions.max() < images * grid.per_image:
        raise ValueError(f"labelled: there are regions 0..{images * grid.per_image - 1}, not {regions.max()}")
    if len(np.unique(regions)) < len(regions):
        raise ValueError(f"labelled: a region is named twice in {shown(regions.tolist())}")
