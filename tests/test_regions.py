"""RegionGrid: numbering, cutting and locating agree."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alenv.regions import RegionGrid, make_grid


@st.composite
def grids(draw):
    """A grid and the side of its cells."""
    cell, rows, columns, high, wide = (draw(st.integers(1, 4)) for _ in range(5))
    region = (high * cell, wide * cell)
    return make_grid((rows * region[0], columns * region[1]), region, cell), cell


@given(grids(), st.integers(1, 3), st.data())
def test_cut_equals_slicing(case, images, data):
    """Maps of pixels, cells and cells with channels are cut alike."""
    grid, cell = case
    ids = np.array(data.draw(st.lists(st.integers(0, images * grid.per_image - 1), max_size=6)), np.int64)
    (height, width), (h, w) = grid.size, grid.region
    pixels = np.arange(images * height * width).reshape(images, height, width)
    cells = np.arange(images * height * width // cell**2 * 5).reshape(images, height // cell, width // cell, 5)
    cut, cut_cells = grid.cut(pixels, ids), grid.cut(cells, ids, cell)
    assert cut.shape == (len(ids), h, w)
    assert cut_cells.shape == (len(ids), h // cell, w // cell, 5)
    for i, region in enumerate(ids.tolist()):
        image, y, x = grid.corner(region)
        np.testing.assert_array_equal(cut[i], pixels[image, y : y + h, x : x + w])
        y, x = y // cell, x // cell
        np.testing.assert_array_equal(cut_cells[i], cells[image, y : y + h // cell, x : x + w // cell])


def test_cut_is_a_copy():
    array = np.zeros((1, 4, 4))
    RegionGrid((4, 4), (2, 2)).cut(array, np.array([0]))[:] = 1
    assert not array.any()


@given(grids(), st.lists(st.integers(0, 6), min_size=1, max_size=4, unique=True))
def test_numbering_is_image_by_image_row_by_row(case, images):
    grid, _ = case
    ids = grid.of_images(np.array(images))
    image, row, column = grid.locate(ids)
    rows, columns = grid.shape
    expected = [(i, r, c) for i in images for r in range(rows) for c in range(columns)]
    assert list(zip(image.tolist(), row.tolist(), column.tolist(), strict=True)) == expected
    assert [grid.corner(i) for i in ids] == [(i, r * grid.region[0], c * grid.region[1]) for i, r, c in expected]
    np.testing.assert_array_equal((image * rows + row) * columns + column, ids)


def test_golden_numbers():
    grid = make_grid((360, 480), (90, 80), 10)
    assert (grid.shape, grid.per_image) == ((4, 6), 24)
    assert grid.corner(24 + 13) == (1, 180, 80)
    assert grid.of_images(np.array([2, 0])).tolist() == [*range(48, 72), *range(24)]
    assert grid.of_images(np.empty(0, np.int64)).size == 0


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (
            (25, 16),
            "a height of 25 does not tile images of height 48 in cells of 4 pixels; possible: 4, 8, 12, 16, 24, 48",
        ),
        ((6, 16), "a height of 6 does not tile"),  # tiles the image, but not in whole cells
        ((16, 40), "a width of 40 does not tile images of width 64 in cells of 4 pixels; possible: 4, 8, 16, 32, 64"),
        ((0, 16), "a height of 0 does not tile"),
        ((16, -16), "a width of -16 does not tile"),
        ((96, 16), "a height of 96 does not tile"),
    ],
)
def test_sizes_that_do_not_tile_are_errors_that_name_possible_ones(region, message):
    with pytest.raises(ValueError, match=message):
        make_grid((48, 64), region, 4)
