"""Frozen features: what a probe sees of every cell of an image, computed once per dataset and cached.

An extractor maps images to one vector per grid cell. The vectors are standardised and reduced by a principal
component analysis, both fitted on the state split alone, and the cell's position is appended.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from alenv.data import SegmentationData
from alenv.data.store import key, open_store, save_blocks
from alenv.imports import is_path
from alenv.segmenters import backbones, outside
from alenv.segmenters.filterbank import filterbank
from alenv.segmenters.threads import torch_threads

POSITION = 4
"""Entries of a cell's vector that say where it lies."""
VERSION = 1
"""Part of the cache key: raise it when the arithmetic of this folder changes."""

Extractor = Callable[[Tensor], Tensor]
"""uint8 (b, 3, h, w) -> float32 (b, channels, rows, columns)."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Projection:
    """Standardisation and principal components as one affine map.

    Attributes:
        mean: float32 (channels,).
        basis: float32 (channels, components).
    """

    mean: NDArray[np.float32]
    basis: NDArray[np.float32]

    def __call__(self, maps: Tensor) -> Tensor:
        """Map (b, channels, rows, columns) to (b, rows, columns, components)."""
        return (maps.movedim(1, -1) - torch.tensor(self.mean)) @ torch.tensor(self.basis)


@dataclass(frozen=True)
class FeatureMap:
    """From images to vectors.

    Attributes:
        extractor: The frozen extractor.
        projection: Fitted on the state split.
        cell: Side of a cell in pixels.
    """

    extractor: Extractor
    projection: Projection
    cell: int

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute vectors: uint8 (n, h, w, 3) -> float32 (n, rows, columns, D)."""
        return np.concatenate(list(self.blocks(images)))

    def blocks(self, images: NDArray[np.uint8]) -> Iterator[NDArray[np.float32]]:
        """Compute vectors image by image: float32 (1, rows, columns, D)."""
        for done, one in enumerate(map_parallel(self._one, images), start=1):
            yield one
            if done % 100 == 0:
                log.info("features of %d of %d images", done, len(images))

    def _one(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        vectors = self.projection(self.extractor(as_batch(image)))
        return torch.cat([vectors, _position(*vectors.shape[1:3])], -1).numpy()


@dataclass(frozen=True)
class CellFeatures:
    """Features and label counts of every cell of a dataset.

    Attributes:
        vectors: float32 (n, rows, columns, D).
        counts: uint16 (n, rows, columns, C): how many pixels of the cell have each label. Scores over cells are
            therefore exact over pixels.
        map: Computes vectors of further images.
        digest: Hash of the arrays.
    """

    vectors: NDArray[np.float32]
    counts: NDArray[np.uint16]
    map: FeatureMap
    digest: str


def cell_features(
    data: SegmentationData, cell: int, name: str, weights: str | None, dimensions: int = 64, zoom: int = 1
) -> CellFeatures:
    """Return the features of a dataset, computed on the first call and cached.

    Args:
        data: Images and masks; its split ``state`` fits the projection.
        cell: Side of a cell in pixels; divides height and width of the images.
        name: ``filterbank``, a backbone of torchvision or timm (see ``backbones``), or ``package.module:name`` (see
            ``outside``).
        weights: Weights of the backbone, see ``weights.load_weights``.
        dimensions: Length D of a cell's vector, position included; less where there are fewer components.
        zoom: The extractor sees images enlarged by this factor.

    Raises:
        ValueError: If the name is unknown, or weights do not fit it.
        FileNotFoundError: If weights are missing.
    """
    extractor, identity = make_extractor(name, weights, cell * zoom)
    if zoom > 1:
        extractor, identity = _zoomed(extractor, zoom), f"{identity}-x{zoom}"
    source = key(VERSION, data.manifest, cell, identity, dimensions)

    def build(folder: Path) -> dict[str, Any]:
        log.info("computing %s features of %d images (once)", name, len(data.images))
        states = data.images[data.splits["state"]]
        projection = _fit([_flat(maps) for maps in map_parallel(lambda x: extractor(as_batch(x)), states)], dimensions)
        count, vectors = len(data.images), FeatureMap(extractor, projection, cell).blocks(data.images)
        counts = (count_labels(data.masks[i : i + 1], cell, len(data.classes)) for i in range(count))
        save_blocks(folder / "vectors.npy", count, vectors)  # which may not fit into memory
        save_blocks(folder / "counts.npy", count, counts)
        np.save(folder / "mean.npy", projection.mean)
        np.save(folder / "basis.npy", projection.basis)
        return {}

    store = open_store(f"features-{data.name}-{source}", source, build)
    projection = Projection(store.arrays["mean"], store.arrays["basis"])
    feature_map = FeatureMap(extractor, projection, cell)
    return CellFeatures(store.arrays["vectors"], store.arrays["counts"], feature_map, store.digest)


def make_extractor(name: str, weights: str | None, cell: int) -> tuple[Extractor, str]:
    """Return an extractor, and a string that identifies it with its weights."""
    if name != "filterbank" and not is_path(name):
        return backbones.make_extractor(name, weights, cell)
    if weights is not None:
        raise ValueError(f"weights={weights!r} has no effect with features={name!r}; drop it")
    if is_path(name):
        return outside.make_extractor(name, cell)
    return lambda images: filterbank(images, cell), name


def _zoomed(extractor: Extractor, zoom: int) -> Extractor:
    """Enlarge the images that an extractor sees."""
    return lambda images: extractor(F.interpolate(images.float(), None, zoom, "bilinear").round().byte())


def count_labels(masks: NDArray[np.uint8], cell: int, classes: int) -> NDArray[np.uint16]:
    """Count the labels in every cell: (n, h, w) -> uint16 (n, h / cell, w / cell, classes)."""
    n, h, w = masks.shape
    rows, columns = h // cell, w // cell
    # every cell counts in 256 slots of its own: one for each value that a mask can have
    bins = 256 * (np.arange(h)[:, None] // cell * columns + np.arange(w) // cell)
    counts = np.empty((n, rows, columns, classes), np.uint16)
    for mask, count in zip(masks, counts, strict=True):  # one pass over the pixels, however many classes there are
        found = np.bincount((bins + mask).ravel(), minlength=256 * rows * columns)
        count[:] = found.reshape(rows, columns, 256)[..., :classes]
    return counts


def map_parallel(function: Callable[[NDArray], Any], images: NDArray) -> Iterator[Any]:
    """Apply a function image by image, on all cores but with one torch thread each: same bits on any machine."""
    # The outer setting is for later threads: torch gives them the count that was set last, in whichever thread.
    with (
        torch_threads(1),
        ThreadPoolExecutor(os.cpu_count(), initializer=torch.set_num_threads, initargs=(1,)) as workers,
    ):
        yield from workers.map(function, images)


def as_batch(image: NDArray[np.uint8]) -> Tensor:
    """Return an image (height, width, 3) as a batch of one, (1, 3, height, width)."""
    return torch.from_numpy(np.array(image)).movedim(-1, 0)[None]


def _flat(maps: Tensor) -> Tensor:
    return maps.movedim(1, -1).flatten(0, 2)


def _position(rows: int, columns: int) -> Tensor:
    """Position terms with about unit variance: y, x and their squares, (1, rows, columns, 4)."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, columns), indexing="ij")
    # sqrt(3) and sqrt(45 / 4) give y and y^2 - 1/3 variance one where y is uniform in [-1, 1]
    squares = [3.354 * (axis.square() - 1 / 3) for axis in (y, x)]
    return torch.stack([1.732 * y, 1.732 * x, *squares], -1)[None]


def _fit(maps: list[Tensor], dimensions: int) -> Projection:
    """Fit standardisation and principal components, scaled by one number to a mean variance of one.

    The components keep their relative variances: whitened ones learn worse and take the probes longer to fit.
    """
    x = torch.cat(maps).double()
    mean, deviation = x.mean(0), x.std(0).clamp_min(1e-6)
    z = (x - mean) / deviation
    values, axes = torch.linalg.eigh(z.T @ z / len(z))
    count = min(dimensions - POSITION, int((values > 1e-6 * values[-1]).sum()))
    values, axes = values[-count:].flip(0), axes[:, -count:].flip(1)
    axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()  # eigenvectors have no sign
    basis = axes / values.mean().sqrt() / deviation[:, None]
    return Projection(mean.float().numpy(), basis.float().numpy())
