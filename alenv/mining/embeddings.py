"""Frozen embeddings of the images of a dataset, computed once and cached.

An image is cut into horizontal bands, the maps of a frozen network are averaged within each, and principal components
fitted on the policy images alone turn the result into a short unit vector. Measured on Clothing Co-Parsing, street
scenes and CamVid: bands carry more than one average or a 2 x 2 grid, the deeper half of the channels more than all, and
components of the centred maps more than of standardised or whitened ones.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray

from alenv import data as datasets
from alenv.data import SegmentationData
from alenv.data.store import cache_folder, key, open_store
from alenv.files import write_whole
from alenv.imports import is_path
from alenv.mining.cells import ZOOM, Cells
from alenv.mining.embedded import EmbeddedImages
from alenv.segmenters.features import Extractor, as_batch, cell_features, make_extractor, map_parallel

BACKBONE = "squeezenet1_0"
DIMENSIONS = 64
"""Length D of a vector; less where there are fewer policy images."""
BANDS = 8
CENTRED = ("ccp",)
"""Datasets whose subjects stand in the middle: their bands span the central half of the width."""
ENOUGH = 5
"""Images of a class, among policy and new ones each, that make it a candidate for ``heldout``."""
CHUNK = 100
"""Images between two writes: what a killed run loses at most."""
FITTED = 2000
"""Policy images that the principal components are fitted on, at most."""
VERSION = 1
"""Part of the cache key: raise it when the arithmetic here or in ``segmenters`` changes."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Embedder:
    """From an image to the averages of its bands.

    Attributes:
        extractor: Frozen, see ``segmenters.features``.
        shallow: Channels come from shallow to deep; this share of them is left out.
        width: Central share of the width that the bands span.
    """

    extractor: Extractor
    shallow: float
    width: float

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed an image (h, w, 3): float32 (channels * BANDS,)."""
        maps = self.extractor(as_batch(image))
        channels, columns = maps.shape[1], maps.shape[3]
        margin = round((1 - self.width) / 2 * columns)
        maps = maps[:, int(self.shallow * channels) :, :, margin : columns - margin]
        return F.adaptive_avg_pool2d(maps, (BANDS, 1)).flatten().numpy()


def embed_dataset(name: str, root: str | None, backbone: str | None) -> EmbeddedImages:
    """Return the images of a dataset, embedded; the first call embeds them.

    Policy images (``train``) are all that belong neither to ``eval`` nor to ``test``. The dataset's background class
    is no class of them, and every other class has one mode. Held out is the third of the classes that comes first
    by a hash of the name, of those with ``ENOUGH`` images; so it is the same wherever the same classes occur.

    Args:
        name: A name in ``alenv.data.DATASETS``.
        root: Where the dataset lies, if not in the usual places.
        backbone: A torchvision model with weights at hand (``squeezenet1_0`` by default), or ``filterbank``.

    Raises:
        ValueError: If a name is unknown, or files or weights are not what they should be.
        FileNotFoundError: If the dataset or the weights are missing.
    """
    dataset, backbone = datasets.open_dataset(name, root), backbone or BACKBONE
    try:
        extractor, identity = make_extractor(backbone, None, dataset.cell)  # before data are decoded
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; embeddings='filterbank' needs no weights") from error
    data = datasets.read(name, dataset)
    layered = backbone != "filterbank" and not is_path(backbone)
    embedder = _Embedder(extractor, 0.5 if layered else 0.0, 0.5 if name in CENTRED else 1.0)
    splits = _splits(data)
    place = f"embeddings-{data.name}-{key(name, root, identity)}"
    source = key(VERSION, data.manifest, identity, embedder.shallow, embedder.width, DIMENSIONS, BANDS)

    def build(folder: Path) -> dict[str, Any]:
        log.info("embedding %d images of %s with %s (once)", len(data.images), name, backbone)
        chunks = cache_folder() / f"{place}.chunks-{source}"
        chunks.mkdir(exist_ok=True)
        pooled = np.concatenate(list(_chunks(chunks, embedder, data.images)))
        np.save(folder / "embeddings.npy", _project(pooled, splits["train"]))
        np.save(folder / "counts.npy", count_pixels(data.masks, len(data.classes)))
        shutil.rmtree(chunks)
        return {}

    store = open_store(place, source, build)
    return _embedded(data, dataset.background, splits, store.arrays, store.digest)


def embed_cells(embedded: EmbeddedImages, name: str, root: str | None, backbone: str | None) -> EmbeddedImages:
    """Return what ``embed_dataset`` does with the cells of its images; the first call computes them.

    Args:
        embedded: Of the other arguments.
        name: As for ``embed_dataset``, like the others.
        root: Of the dataset.
        backbone: Of the cells too.
    """
    dataset = datasets.open_dataset(name, root)
    data = datasets.read(name, dataset)
    features = cell_features(data, dataset.cell, backbone or BACKBONE, None, zoom=ZOOM)
    # views without the class memmap, whose indexing is slow
    vectors, counts = np.asarray(features.vectors), np.asarray(features.counts)
    cells = Cells(
        vectors.reshape(len(vectors), -1, vectors.shape[-1]),
        counts.reshape(len(counts), -1, counts.shape[-1]),
        np.array([data.classes.index(target) for target in embedded.classes]),
    )
    return replace(embedded, cells=cells, manifest=key(embedded.manifest, features.digest))


def count_pixels(masks: NDArray[np.uint8], classes: int) -> NDArray[np.int32]:
    """Count the pixels of every class in every mask: (n, h, w) -> int32 (n, classes)."""
    return np.stack([np.bincount(mask.ravel(), minlength=256)[:classes] for mask in masks]).astype(np.int32)


def _chunks(folder: Path, embed: Callable[[NDArray], NDArray], images: NDArray[np.uint8]) -> Iterator[NDArray]:
    """Yield vectors of ``CHUNK`` images at a time, from the files that an earlier run has left where it has."""
    for start in range(0, len(images), CHUNK):
        path = folder / f"{start:07d}.npy"
        if not path.exists():
            buffer = BytesIO()
            np.save(buffer, np.stack(list(map_parallel(embed, images[start : start + CHUNK]))))
            write_whole(path, buffer.getvalue())
            log.info("embedded %d of %d images", min(start + CHUNK, len(images)), len(images))
        yield np.load(path)


def _project(pooled: NDArray[np.float32], train: NDArray[np.int64]) -> NDArray[np.float32]:
    """Map (n, channels) to unit vectors (n, D) along the principal axes of the images ``train``."""
    fitted = pooled[train[:: -(-len(train) // FITTED)]].astype(np.float64)
    mean = fitted.mean(0)
    axes = np.linalg.svd(fitted - mean, full_matrices=False)[2][: min(DIMENSIONS, len(fitted) - 1)]
    axes *= np.sign(np.take_along_axis(axes, np.abs(axes).argmax(1, keepdims=True), 1))  # an axis has no sign
    vectors = (pooled - mean.astype(np.float32)) @ axes.T.astype(np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _splits(data: SegmentationData) -> dict[str, NDArray[np.int64]]:
    new = {part: np.sort(data.splits[part]) for part in ("eval", "test")}
    policy = [images for part, images in data.splits.items() if part not in new]
    return {"train": np.unique(np.concatenate(policy)), **new}


def _embedded(
    data: SegmentationData, background: str | None, splits: dict[str, NDArray[np.int64]], arrays: Any, digest: str
) -> EmbeddedImages:
    mined = [index for index, name in enumerate(data.classes) if name != background]
    classes = tuple(data.classes[index] for index in mined)
    counts = arrays["counts"][:, mined]
    modes, pixels = _rows(counts)
    return EmbeddedImages(
        name=data.name,
        embeddings=arrays["embeddings"],
        modes=modes,
        pixels=pixels,
        mode_class=np.arange(len(classes), dtype=np.int16),
        classes=classes,
        heldout=_heldout(classes, counts, splits),
        splits=splits,
        manifest=key(digest, data.manifest, {part: images.tolist() for part, images in splits.items()}),
    )


def _rows(counts: NDArray[np.int32]) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
    """List what each image holds: counts (n, M) -> modes and pixels (n, S), by ascending mode, filled with -1 and 0."""
    present = counts > 0
    order = np.argsort(~present, axis=1, kind="stable")[:, : max(1, int(present.sum(1).max()))]
    pixels = np.take_along_axis(counts, order, 1)
    return np.where(pixels > 0, order, -1).astype(np.int16), pixels


def _heldout(
    classes: tuple[str, ...], counts: NDArray[np.int32], splits: dict[str, NDArray[np.int64]]
) -> tuple[str, ...]:
    images = np.minimum(*((counts[splits[part]] > 0).sum(0) for part in ("train", "eval")))
    enough = {name for name, number in zip(classes, images, strict=True) if number >= ENOUGH}
    first = sorted(enough, key=lambda name: hashlib.sha256(name.encode()).hexdigest())[: len(enough) // 3]
    return tuple(name for name in classes if name in first)
