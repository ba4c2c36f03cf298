"""A probe that sees pixels: its logits are upsampled bilinearly, and windows of pixels are cut out of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from alenv.data import IGNORE
from alenv.labels import region_labels
from alenv.regions import Ids, WindowGrid, by_image
from alenv.segmenters.features import count_labels
from alenv.segmenters.probes.learner import Learner, unit
from alenv.segmenters.segmenter import Prediction
from alenv.segmenters.similarity import compare

LEAST = -1e4
"""Logit of a class that is never predicted: minus infinity cannot be interpolated."""
Logits = Callable[[Tensor], Tensor]
"""From features (n, D) to logits (C, n)."""


class WindowLearner(Learner):
    """A ``Learner`` of overlapping windows: probabilities are of pixels. It is trained and scored cell by cell.

    A window teaches the cells that it lies in, with as many pixels as it covers of each; the labels of a whole image
    teach the same, however they were bought. Its embedding is the vector of the cell in its middle.
    """

    _grid: WindowGrid

    def predict(self, regions: Ids) -> Prediction:
        """Predict regions (n,), pixel by pixel."""
        with self.settings():
            embedding = self._middle(regions)
            nearest, typical = compare(embedding, regions, self._embedding, self.labelled, self._grid)
            return Prediction(self._windows(regions, self._head.logits), embedding.numpy(), nearest, typical)

    def passes(self, regions: Ids, rng: np.random.Generator, count: int) -> Iterator[NDArray[np.float32]]:
        """Predict regions again and again, see ``Learner``."""
        for layer in self._layers(rng, count):
            with self.settings():
                yield self._windows(regions, partial(self._again, layer))

    def maps(self, images: Ids) -> NDArray[np.float32]:
        """Predict all pixels of whole images: (m,) -> (m, C, h, w)."""
        with self.settings():
            maps = [self._upsampled(image, self._head.logits) for image in images.tolist()]
            return np.stack(maps) if maps[1:] else maps[0][None]  # of one image without a copy

    def map_passes(self, image: int, rng: np.random.Generator, count: int) -> Iterator[NDArray[np.float32]]:
        """Predict all pixels of an image again and again, (1, C, h, w): with an equal ``rng``, as ``passes``."""
        for layer in self._layers(rng, count):
            with self.settings():
                yield self._upsampled(image, partial(self._again, layer))[None]

    def _layers(self, rng: np.random.Generator, count: int) -> list[Tensor]:
        with self.settings():
            return list(self._head.samples(rng, count))

    def _again(self, layer: Tensor, x: Tensor) -> Tensor:
        return torch.addmm(layer[:, -1:], layer[:, :-1], self._head.body(x).T)

    def _upsampled(self, image: int, logits_of: Logits) -> NDArray[np.float32]:
        """Probabilities of the pixels of an image, (C, h, w)."""
        vectors = torch.from_numpy(np.array(self._cells.vectors[image]))
        maps = logits_of(vectors.flatten(0, 1)).view(1, -1, *vectors.shape[:2])
        maps = maps.clamp_min(LEAST)
        return F.interpolate(maps, self._grid.size, mode="bilinear", align_corners=False)[0].softmax(0).numpy()

    def _windows(self, regions: Ids, logits_of: Logits) -> NDArray[np.float32]:
        """Probabilities (n, C, rows, columns) of windows, image by image."""
        probs = np.empty((len(regions), self._classes, *self._grid.region), np.float32)
        for image, rows in by_image(regions, self._grid).items():
            pixels = np.moveaxis(self._upsampled(image, logits_of), 0, -1)[None]
            probs[rows] = np.moveaxis(self._grid.cut(pixels, regions[rows] % self._grid.per_image), -1, 1)
        return probs

    def _middle(self, regions: Ids) -> Tensor:
        return unit(torch.from_numpy(self._grid.middle(self._cells.vectors, regions, self._cell)))

    def _add(self, regions: Ids) -> None:
        vectors, labels = [self._cells.vectors[:0, 0, 0]], [self._cells.counts[:0, 0, 0]]
        for image, rows in by_image(regions, self._grid).items():
            mask = np.full(self._grid.size, IGNORE, np.uint8)
            _, y, x = (part[:, None, None] for part in self._grid.locate(regions[rows]))
            steps = np.arange(self._grid.region[0])
            mask[y + steps[:, None], x + steps] = region_labels(self._data.masks, self._grid, regions[rows])
            counts = count_labels(mask[None], self._cell, self._classes)[0]
            cells = np.nonzero(counts.any(-1))
            vectors.append(self._cells.vectors[image][cells])
            labels.append(counts[cells])
        self._teach(torch.from_numpy(np.concatenate(vectors)), torch.from_numpy(np.concatenate(labels)).float())
        self.labelled = np.concatenate([self.labelled, regions])
        self._embedding = torch.cat([self._embedding, self._middle(regions)])
