"""What mined images are worth: the accuracy of a head trained on them alone, on the test images.

The head is a binary logistic regression on frozen cell features, class against rest: small, convex and therefore free
of training noise. Cells keep their label counts, so an accuracy over cells is exact over pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from alenv import data as datasets
from alenv.data.store import key
from alenv.errors import unknown
from alenv.mining.embeddings import BACKBONE
from alenv.segmenters.features import cell_features
from alenv.segmenters.probes.linear import LinearHead
from alenv.segmenters.threads import torch_threads


@dataclass(frozen=True)
class Accuracy:
    """How well a class is found, 0..1; NaN where no tested pixel has the class.

    Attributes:
        iou: Intersection over union of the cells that the head assigns to the class.
        average_precision: Area under precision over recall; free of a threshold.
    """

    iou: float
    average_precision: float


class Target:
    """Trains and evaluates heads for single classes of one dataset.

    Images have the indices that they have in the dataset and when it is embedded.

    Args:
        name: A name in ``alenv.data.DATASETS``.
        root: Where the dataset lies, if not in the usual places.
        backbone: Of the cell features: a torchvision model (``squeezenet1_0`` by default), or ``filterbank``.
        split: The images to test on.

    Raises:
        ValueError: If a name is unknown, or files or weights are not what they should be.
        FileNotFoundError: If the dataset or the weights are missing.
    """

    def __init__(self, name: str, root: str | None = None, backbone: str | None = None, split: str = "test") -> None:
        dataset = datasets.open_dataset(name, root)
        data, cell = datasets.read(name, dataset), dataset.cell
        if split not in data.splits:
            raise unknown(f"split of {name}", split, data.splits)
        features = cell_features(data, cell, backbone or BACKBONE, None)
        self.classes = data.classes
        self.manifest = key(data.manifest, features.digest, split)
        """Hash of all that an accuracy depends on, but the arithmetic."""
        self._tested = data.splits[split]
        self._cell_pixels = cell * cell
        self._x, self._counts = features.vectors, features.counts
        self._labelled = features.counts.sum(-1, dtype=np.int32)
        self._tested_x = self._features(self._tested)

    def evaluate(self, images: ArrayLike, target: str) -> Accuracy:
        """Train a head on all cells of some images, and measure it on the test images.

        Args:
            images: Indices of the images, in any order; none at all is allowed.
            target: Name of the class.

        Raises:
            ValueError: If the class is unknown, or an image is among those that are tested.
        """
        [accuracy] = self.evaluate_prefixes(images, [len(np.asarray(images))], target)
        return accuracy

    def evaluate_prefixes(self, images: ArrayLike, lengths: Sequence[int], target: str) -> list[Accuracy]:
        """Evaluate the first images of a list, for several lengths: each head starts from the one before.

        The minimum does not depend on the start, but the fit ends within its tolerance of it.

        Args:
            images: Indices of the images, in the order in which they were mined.
            lengths: Ascending.
            target: Name of the class.

        Raises:
            ValueError: As for ``evaluate``.
        """
        mined = list(dict.fromkeys(np.asarray(images, np.int64).tolist()))
        self._check(np.array(mined, np.int64), target)
        index, done, found = self.classes.index(target), 0, []
        own, rest = self._split(self._tested, index)
        head = LinearHead(self._x.shape[-1], 2, self._cell_pixels)
        for length in lengths:
            with torch_threads(1):
                self._train(head, np.sort(np.array(mined[done:length], np.int64)), index)
                logits = head.logits(self._tested_x)
            found.append(cell_accuracy((logits[1] - logits[0]).numpy(), own, rest))
            done = max(done, length)
        return found

    def _check(self, images: NDArray[np.int64], target: str) -> None:
        if target not in self.classes:
            raise unknown("class", target, self.classes)
        if len(leaked := np.intersect1d(images, self._tested)):
            raise ValueError(
                f"image {leaked[0]} ({len(leaked)} in all) is among those that are tested; mine other splits"
            )

    def _train(self, head: LinearHead, images: NDArray[np.int64], index: int) -> None:
        own, rest = self._split(images, index)
        head.add(self._features(images), torch.from_numpy(np.stack([rest, own], 1)).float())
        head.fit()

    def _features(self, images: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(self._x[images].reshape(-1, self._x.shape[-1]))

    def _split(self, images: NDArray[np.int64], index: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return pixels of the class and of all others in every cell of some images, (cells,) each."""
        own = self._counts[images, ..., index].astype(np.int64).ravel()
        return own, self._labelled[images].ravel() - own


def cell_accuracy(logits: NDArray[np.floating], own: NDArray[np.int64], rest: NDArray[np.int64]) -> Accuracy:
    """Return how well cells are classified, counted in the pixels they hold.

    Args:
        logits: (cells,), above 0 where the class is predicted.
        own: (cells,), pixels of the class.
        rest: (cells,), labelled pixels of all other classes.
    """
    if not own.any():
        return Accuracy(np.nan, np.nan)
    found = logits > 0
    iou = own[found].sum() / (own.sum() + rest[found].sum())
    return Accuracy(float(iou), average_precision(logits, own, rest))


def average_precision(logits: NDArray[np.floating], own: NDArray[np.int64], rest: NDArray[np.int64]) -> float:
    """Average the precision over the pixels of a class, cells in falling order of logits; equal ones count as one."""
    order = np.argsort(-logits, kind="stable")
    # no threshold lies between equal logits: of these only the last one is a point of the curve
    last = np.flatnonzero(np.append(np.diff(logits[order]) != 0, True))
    hits, misses = np.cumsum(own[order])[last], np.cumsum(rest[order])[last]
    gained = np.diff(hits, prepend=0)
    return float((gained * hits / np.maximum(hits + misses, 1)).sum() / hits[-1])
