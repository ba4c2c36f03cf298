"""Learner: the model in the loop. Label regions and fit, predict, evaluate; snapshot and restore.

It is the only owner of torch's threads, devices and precision, and leaves all of torch's global state as it was.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from copy import copy
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alenv.data import SegmentationData
from alenv.errors import shown
from alenv.metrics import Confusion, Reward, mean_iou
from alenv.outside import decode
from alenv.regions import Ids, RegionGrid, check_regions
from alenv.segmenters.difficulty import DifficultyBranch, attend
from alenv.segmenters.features import cell_features
from alenv.segmenters.probes import gains
from alenv.segmenters.probes.cells import Cells, chunks, winners
from alenv.segmenters.probes.heads import Head
from alenv.segmenters.probes.lda import LdaHead
from alenv.segmenters.probes.linear import LinearHead
from alenv.segmenters.probes.outlook import Outlook
from alenv.segmenters.probes.source import source_cells
from alenv.segmenters.segmenter import Prediction, find_segmenter, no_gains
from alenv.segmenters.similarity import compare
from alenv.segmenters.threads import THREADS, torch_threads

SOURCE_WEIGHTS = (1.0, 0.1, 0.01)
"""Of a pixel of the source domain, where one of the target counts 1."""
AT_ONCE = 2304
"""Cells that are predicted at once: their features stay in the processor's cache."""


class _State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    labelled: NDArray
    head: dict[str, Any]


class Learner:
    """A probe on frozen features, trained on the labelled regions.

    Args:
        data: Images and masks.
        grid: The regions.
        cell: Side of a feature cell in pixels.
        segmenter: ``linear``, ``lda`` or ``mlp``.
        features: ``filterbank`` or a backbone of torchvision or timm.
        weights: The backbone's weights, see ``weights.load_weights``.
        dimensions: Length D of a cell's features.
        source: Labelled data of another domain, which the head is also trained on, with that of ``SOURCE_WEIGHTS``
            which is best on the reward split after each fit.

    Raises:
        ValueError: If a name is unknown.
        FileNotFoundError: If weights are missing.
    """

    def __init__(
        self,
        data: SegmentationData,
        grid: RegionGrid,
        cell: int,
        segmenter: str,
        features: str,
        weights: str | None,
        dimensions: int = 64,
        source: SegmentationData | None = None,
    ) -> None:
        self._data = data
        self._grid = grid
        self._cell = cell
        self._segmenter = segmenter
        with self.settings():
            of_cells = cell_features(data, cell, features, weights, dimensions)
        self._cells = Cells(data, grid, cell, of_cells)
        self._classes = len(data.classes)
        with self.settings():
            self._source = source_cells(of_cells, source, cell) if source else None
        self.given = int(self._source.counts.sum()) if self._source else 0
        """Labelled pixels of the source."""
        self.facts = {
            "features": of_cells.digest,
            "threads": THREADS,
            "cpu": torch.backends.cpu.get_cpu_capability(),
            "mkldnn": torch.backends.mkldnn.enabled,
            **({"source": self._source.digest, "source_weights": SOURCE_WEIGHTS} if self._source else {}),
        }
        """What results depend on besides data and arguments, as JSON values."""
        self.reset()

    def twin(self) -> Learner:
        """Return a learner with labels of its own; the features, and the cells of the reward split, are shared."""
        self._cells.labelled("reward")
        twin = copy(self)
        twin._cells = copy(self._cells)
        twin.reset()
        return twin

    def settings(self) -> AbstractContextManager[None]:
        """Return a block in which results repeat, those computed from predictions too."""
        return torch_threads(THREADS)

    def reset(self) -> None:
        """Forget all labels."""
        weights = SOURCE_WEIGHTS if self._source else (0.0,)
        self._heads = [self._make_head() for _ in weights]
        for head, weight in zip(self._heads, weights, strict=True):
            if self._source:
                head.add(self._source.x, weight * self._source.counts)
        self._head = self._heads[0]
        self.labelled: Ids = np.empty(0, np.int64)
        """Ids of the labelled regions, in the order of labelling."""
        self._embedding = torch.empty(0, self._cells.vectors.shape[-1])

    def fit(self, regions: Ids) -> None:
        """Label further regions and fit the head to all labels so far."""
        with self.settings():
            self._add(regions)
            for head in self._heads:
                head.fit()
            self._choose()

    def predict(self, regions: Ids) -> Prediction:
        """Predict regions (n,)."""
        with self.settings():
            means, probs = [], []
            for part in self._parts(regions):
                x = self._cells.maps(part)
                means.append(x.mean((1, 2)))
                probs.append(self._probs(x))
            embedding = unit(torch.cat(means))
            nearest, typical = compare(embedding, regions, self._embedding, self.labelled, self._grid)
            return Prediction(torch.cat(probs, 1).movedim(0, 1).numpy(), embedding.numpy(), nearest, typical)

    def passes(self, regions: Ids, rng: np.random.Generator, count: int) -> Iterator[NDArray[np.float32]]:
        """Predict regions again and again, each time with another last layer; the rest is computed once.

        Args:
            regions: (n,) ids.
            rng: Source of the passes' randomness.
            count: Number of passes.

        Yields:
            Class probabilities (n, C, rows, columns).
        """
        with self.settings():
            x = self._cells.maps(regions)
            hidden = self._head.body(x.flatten(0, 2)).T
            layers = list(self._head.samples(rng, count))
        for layer in layers:
            with self.settings():
                probs = torch.addmm(layer[:, -1:], layer[:, :-1], hidden).softmax(0)
            yield probs.view(-1, *x.shape[:3]).movedim(0, 1).numpy()

    def maps(self, images: Ids) -> NDArray[np.float32]:
        """Predict all cells of whole images: (m,) -> (m, C, rows, columns)."""
        with self.settings():
            return self._probs(torch.from_numpy(self._cells.vectors[images])).movedim(0, 1).numpy()

    def difficulty(self, images: Ids) -> NDArray[np.float32]:
        """Predict how wrong the model is at each cell of whole images: (m,) -> (m, rows, columns), in [0, 1].

        The branch is fitted to the labelled regions on the way, see ``DifficultyBranch``.
        """
        labelled, regions = self._grid.group(self.labelled)
        everything = np.union1d(images, labelled)
        probs = np.ascontiguousarray(np.moveaxis(self.maps(everything), 1, -1))
        with self.settings():
            flat = torch.from_numpy(probs).flatten(1, 2)
            attended = torch.cat([attend(one[None]) for one in flat]).view(probs.shape).numpy()
        where = np.searchsorted(everything, labelled)
        known, gathered = (
            self._grid.cut(maps[where], regions, self._cell).reshape(-1, self._classes) for maps in (probs, attended)
        )
        counts = self._cells.labels(self.labelled).reshape(-1, self._classes)
        right = counts[np.arange(len(counts)), known.argmax(1)]
        total = counts.sum(1)
        branch = DifficultyBranch(self._classes)
        branch.fit(known, gathered, right / total.clip(1), (total - right) / total.clip(1))
        chosen = np.searchsorted(everything, images)
        return branch(probs[chosen], attended[chosen]).astype(np.float32)

    def evaluate(self, split: str) -> Confusion:
        """Return the confusion matrix (C, C) over all labelled pixels of a split.

        Raises:
            ValueError: If the data have no such split.
        """
        with self.settings():
            return self._confusion(self._cells.of_split(split))

    def gains(
        self, regions: Ids, reward: Reward, remove: bool = False, splits: Sequence[str] = ("reward",)
    ) -> NDArray[np.float64]:
        """Measure what single regions are worth for a metric: this reads labels that were not bought.

        Args:
            regions: (n,) ids.
            reward: The metric.
            remove: False: what labelling each of them would add. True: what each labelled one has added.
            splits: On the images of which the metric is taken.

        Returns:
            Points of the metric (n,); exact for ``lda``, the influence on a soft IoU for ``linear``.

        Raises:
            ValueError: For other segmenters, or if the data have no such split.
        """
        with self.settings():
            x = self._cells.of_regions(regions)
            counts = torch.from_numpy(self._cells.labels(regions))
            scored = self._cells.labelled(*splits)
            if isinstance(self._head, LdaHead):
                return gains.exact(self._head, x, counts, lambda: reward(self._confusion(chunks(*scored))), remove)
            if not isinstance(self._head, LinearHead):
                raise no_gains(self._segmenter)
            weights = torch.from_numpy(reward.weights(self._confusion(chunks(*scored)))).float()
            return gains.influence(self._head, x, counts, *scored, weights)

    def gradients(self, regions: Ids) -> NDArray[np.float32]:
        """Return gradients of the last layer (n, C, D'), see ``gains.gradients``."""
        with self.settings():
            return gains.gradients(self._head, self._cells.of_regions(regions))

    def outlook(self, regions: Ids) -> Outlook:
        """Return what labels of some regions would do; for ``linear`` alone."""
        assert isinstance(self._head, LinearHead)
        return Outlook(self._head, lambda rows: self._cells.of_regions(regions[rows]), len(regions))

    def replace(self, data: SegmentationData, images: Ids) -> None:
        """Go over to data in which some images are others, for pools that are made anew."""
        self._data = data
        with self.settings():
            self._cells.replace(data, images)

    def label_map(self, image: int) -> NDArray[np.uint8]:
        """Return the predicted labels of one image, uint8 (h, w)."""
        with self.settings():
            vectors = torch.from_numpy(np.array(self._cells.vectors[image]))
            labels = self._head.logits(vectors.flatten(0, 1)).argmax(0).view(vectors.shape[:2])
            return labels.to(torch.uint8).numpy().repeat(self._cell, 0).repeat(self._cell, 1)

    def get_state(self) -> dict[str, Any]:
        """Return all that later results depend on."""
        heads = {f"{i}": head.get_state() for i, head in enumerate(self._heads)}
        head = heads["0"] if len(heads) == 1 else heads
        return {"labelled": self.labelled.copy(), "head": head}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore what ``get_state`` returned, in this or another process.

        Raises:
            ValueError: See ``check_state``.
        """
        self.check_state(state)
        self.reset()
        with self.settings():
            self._add(state["labelled"])
            for i, head in enumerate(self._heads):
                head.set_state(state["head"] if len(self._heads) == 1 else state["head"][f"{i}"])
            self._choose()

    def check_state(self, state: dict[str, Any]) -> None:
        """Refuse what ``set_state`` cannot restore.

        Raises:
            ValueError: If an entry is missing or unknown, or is not what a fit leaves.
        """
        head = decode(_State, state, "entry of the learner").head
        check_regions(state["labelled"], self._grid, len(self._data.images))
        names = [f"{i}" for i in range(len(self._heads))]
        if self._source and sorted(head) != names:
            raise ValueError(f"head: expected the states of {len(names)} heads, not {shown(sorted(head))}")
        with self.settings():
            for one in [head[name] for name in names] if self._source else [head]:
                self._make_head().set_state(one)

    def _add(self, regions: Ids) -> None:
        x = self._cells.of_regions(regions)
        self._teach(x.flatten(0, 1), torch.from_numpy(self._cells.labels(regions)).flatten(0, 1))
        self.labelled = np.concatenate([self.labelled, regions])
        self._embedding = torch.cat([self._embedding, unit(x.mean(1))])

    def _teach(self, x: Tensor, counts: Tensor) -> None:
        for head in self._heads:
            head.add(x, counts)

    def _choose(self) -> None:
        """Go over to the head that is best on the reward split, if there are several; of equal ones to the first."""
        if self._source:
            found = [mean_iou(self._confusion(self._cells.of_split("reward"), head)) for head in self._heads]
            self._head = self._heads[int(np.argmax(found))]

    def _parts(self, regions: Ids) -> list[Ids]:
        """Cut regions into parts of at most ``AT_ONCE`` cells, or of one region."""
        cells = max(1, math.prod(self._grid.region) // self._cell**2)
        step = max(1, AT_ONCE // cells)
        return np.split(regions, range(step, len(regions), step))

    def _probs(self, x: Tensor) -> Tensor:
        """Class probabilities of cells: features (n, rows, columns, D) -> (C, n, rows, columns)."""
        return self._head.logits(x.flatten(0, 2)).softmax(0).view(self._classes, *x.shape[:3])

    def _confusion(self, cells: Iterable[tuple[Tensor, Tensor]], head: Head | None = None) -> Confusion:
        """Return the confusion matrix (C, C) over chunks of cells."""
        total = torch.zeros(self._classes, self._classes, dtype=torch.float64)
        for x, counts in cells:
            total += winners((head or self._head).logits(x)) @ counts.T
        return total.to(torch.int64).numpy()

    def _make_head(self) -> Head:
        unit = 1 if self._grid.pixels else self._cell**2
        head: Head = find_segmenter(self._segmenter).load()(self._cells.vectors.shape[-1], self._classes, unit)
        return head


def unit(x: Tensor) -> Tensor:
    """Scale rows to length one."""
    return torch.nn.functional.normalize(x, dim=1)
