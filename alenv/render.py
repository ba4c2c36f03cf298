"""Pictures of an episode: the images opened last, with what was bought and what the model says."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alenv.data import IGNORE, SegmentationData
from alenv.regions import Ids, RegionGrid
from alenv.segmenters.segmenter import Segmenter

SHOWN = 3
"""Images in a picture."""
FRAME = 255


def frame(data: SegmentationData, grid: RegionGrid, learner: Segmenter) -> NDArray[np.uint8]:
    """Draw the images that were labelled last, see ``draw``; black where fewer are labelled."""
    h, w = grid.size
    opened = learner.labelled[::-1] // grid.per_image
    images = opened[np.sort(np.unique(opened, return_index=True)[1])][:SHOWN]
    picture = np.zeros((SHOWN * h, 3 * w, 3), np.uint8)
    picture[: len(images) * h] = draw(data, grid, learner, images)
    return picture


def draw(data: SegmentationData, grid: RegionGrid, learner: Segmenter, images: Ids) -> NDArray[np.uint8]:
    """Draw images, as rows of image, bought labels and prediction.

    Args:
        data: The dataset.
        grid: Its regions.
        learner: The model.
        images: (n,) of the dataset.

    Returns:
        uint8 (n h, 3 w, 3).
    """
    h, w = grid.size
    picture = np.zeros((len(images) * h, 3 * w, 3), np.uint8)
    for row, image in enumerate(images):
        bought = np.intersect1d(learner.labelled, grid.of_images(images[row : row + 1]))
        panels = [
            data.images[image].copy(),
            _labels(data, grid, image, bought),
            data.colours[learner.label_map(int(image))],
        ]
        for region in bought:
            _outline(panels[0], *grid.corner(region)[1:], *grid.region)
        picture[row * h : (row + 1) * h] = np.concatenate(panels, 1)
    return picture


def _labels(data: SegmentationData, grid: RegionGrid, image: int, bought: Ids) -> NDArray[np.uint8]:
    """The labels that were bought, in colour on the darkened image."""
    panel = data.images[image] // 4
    h, w = grid.region
    for region in bought:
        _, y, x = grid.corner(region)
        mask = data.masks[image, y : y + h, x : x + w]
        known = mask != IGNORE
        panel[y : y + h, x : x + w][known] = data.colours[mask[known]]
    return panel


def _outline(panel: NDArray[np.uint8], y: int, x: int, h: int, w: int) -> None:
    panel[y : y + h, [x, x + w - 1]] = FRAME
    panel[[y, y + h - 1], x : x + w] = FRAME
