"""NetworkLearner: a segmentation network in the loop, with the methods of ``Learner``.

What is a choice here, and why:

- The first labels train the network for a fixed number of steps; the result is cached on disk. A round is one epoch
  over its own regions (Casanova et al., ICLR 2020), or, with ``recipe="retrain"``, the long training on all labels.
- With a source domain, the first training is on its labels alone, and half of every later batch is of them: the loss
  is the mean over the source's labelled pixels plus that over the target's, each forward pass apart (as in RIPU, Xie et
  al., CVPR 2022). A round of windows of pixels is a fixed number of steps around all labels so far, not an epoch.
- Batch norm learns its statistics in the long training and keeps them in a round: those of a few crops that look
  alike would carry it away.
- A region's embedding for ``nearest`` and ``typical`` is that of the model that met its label: the one it was picked
  with, and for the labels of a long training the one they trained. Cosines to regions of older models are approximate.
- All random numbers come from NumPy generators that are keyed by the number of fits, none from torch: episodes differ
  by their labels alone.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alenv.data import SegmentationData
from alenv.data.store import open_store
from alenv.errors import unknown
from alenv.metrics import Confusion, Reward
from alenv.outside import Count, check_array, decode
from alenv.regions import Ids, RegionGrid, check_regions
from alenv.segmenters.features import count_labels
from alenv.segmenters.networks.difficulty import predict_difficulty
from alenv.segmenters.networks.frames import BoughtLabels
from alenv.segmenters.networks.last_layer import LastLayer
from alenv.segmenters.networks.model import NetworkModel
from alenv.segmenters.networks.source import Source
from alenv.segmenters.networks.trainer import Trainer
from alenv.segmenters.networks.training import TRAININGS
from alenv.segmenters.probes.design import Rows
from alenv.segmenters.probes.gains import gradients
from alenv.segmenters.probes.outlook import Outlook
from alenv.segmenters.segmenter import Prediction, no_gains
from alenv.segmenters.similarity import compare
from alenv.state import fingerprint

log = logging.getLogger(__name__)

LARGEST = 1e6
"""Beyond all weights of a network that has learned something."""
SEED = 0
"""Of initial weights, crops and dropout."""


class _State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    labelled: NDArray
    fits: Count
    weights: NDArray
    momentum: NDArray
    embedding: NDArray


class NetworkLearner:
    """A network, trained end to end on the labelled regions.

    Args:
        data: Images and masks.
        grid: The regions.
        cell: Side in pixels of a cell, of which many make a region: what counts as one observation.
        segmenter: Of a network in ``segmenter.SEGMENTERS``.
        weights: ImageNet weights of its backbone, see ``networks.make_network``.
        device: ``cpu``, ``cuda`` or ``cuda:<n>``.
        precision: ``float32``, ``bfloat16`` (autocast), or ``auto``: bfloat16 where the device is fast at it.
        recipe: ``incremental`` or ``retrain``: what a round trains on.
        compile: Whether torch.compile makes the code of all but the last layer. Bits then depend on the compiler.
        source: Labelled data of another domain, of which half of every batch is.

    Raises:
        ValueError: If a name is unknown.
        FileNotFoundError: If weights are missing.
        RuntimeError: If the network cannot be compiled.
    """

    def __init__(
        self,
        data: SegmentationData,
        grid: RegionGrid,
        cell: int,
        segmenter: str,
        weights: str | None = None,
        device: str = "cpu",
        precision: str = "auto",
        recipe: str = "incremental",
        compile: bool = False,
        source: SegmentationData | None = None,
    ) -> None:
        if recipe not in ("incremental", "retrain"):
            raise unknown("recipe", recipe, ["incremental", "retrain"])
        self._data, self._grid = data, grid
        self._segmenter, self._recipe = segmenter, recipe
        self._classes = len(data.classes)
        self._side = 1 if grid.pixels else cell
        self._model = NetworkModel(data, grid, segmenter, weights, device, precision, SEED, compile)
        self._training = TRAININGS.get(segmenter, self._model.network.schedule)
        self._source = Source(source, self._model.device) if source else None
        self.given = self._source.given if self._source else 0
        """Labelled pixels of the source."""
        self.facts = {
            **self._model.facts,
            "training": asdict(self._training),
            "recipe": recipe,
            **({"source_domain": self._source.facts} if self._source else {}),
        }
        """What results depend on besides data and arguments, as JSON values."""
        self._last: LastLayer | None = None
        """The last layer as the labels so far have made it, if it was asked for."""
        self.reset()

    @property
    def reach(self) -> int:
        """How many features to each side the last layer sees."""
        return self._model.network.reach

    def settings(self) -> AbstractContextManager[None]:
        """Return a block in which results repeat, those computed from predictions too."""
        return self._model.settings(autocast=False)

    def reset(self) -> None:
        """Forget all labels; the weights are the initial ones again."""
        self._model.restart()
        self._fits = 0
        self.labelled: Ids = np.empty(0, np.int64)
        """Ids of the labelled regions, in the order of labelling."""
        self._labels = BoughtLabels(self._grid)
        self._trainer = Trainer(self._model, self._grid, self._labels, self._training, self._source)
        self._embedding = torch.empty(0, self._model.channels)
        self._forget()

    def fit(self, regions: Ids) -> None:
        """Label further regions and train on them; before the first, on the source domain if there is one."""
        if self._source and not self._fits:
            self._learn(np.empty(0, np.int64))
        if len(regions):
            self._learn(regions)

    def predict(self, regions: Ids) -> Prediction:
        """Predict regions (n,), pixel by pixel, with one pass of each image through the network."""
        with self._model.settings():
            probs, embedding, windows = self._model.look(regions)
            self._windows = regions.copy(), windows
            self._met.update(zip(regions.tolist(), embedding, strict=True))
            with torch.autocast("cpu", enabled=False):
                nearest, typical = compare(embedding, regions, self._embedding, self.labelled, self._grid)
            return Prediction(probs, embedding.numpy(), nearest, typical)

    def passes(self, regions: Ids, rng: np.random.Generator, count: int) -> Iterator[Tensor]:
        """Predict regions again and again, each time with other channels dropped before the last layer.

        The channels are the same at all pixels and in all regions of a pass. The features are computed once and kept
        in half precision: its rounding is far below what dropout changes.

        Args:
            regions: (n,) ids.
            rng: Source of the passes' randomness.
            count: Number of passes.

        Yields:
            Class probabilities (n, C, rows, columns), on the device.
        """
        windows = self._windows_of(regions)
        for _ in range(count):
            with self._model.settings():
                probs = self._model.look_again(windows, regions, rng)
            yield probs

    def maps(self, images: Ids) -> Tensor:
        """Predict all pixels of whole images, on the device: (m,) -> (m, C, h, w)."""
        with self._model.settings():
            maps = torch.empty(len(images), self._classes, *self._grid.size, device=self._model.device)
            for i, logits in enumerate(self._model.logits(images)):
                maps[i] = self._model.full(logits).contiguous().softmax(1)[0]
            return maps

    def map_passes(self, image: int, rng: np.random.Generator, count: int) -> Iterator[Tensor]:
        """Predict all pixels of an image again and again, (1, C, h, w): with an equal ``rng``, as ``passes``."""
        with self._model.settings():
            features = self._model.features(image)
        for _ in range(count):
            with self._model.settings():
                probs = self._model.look_again_at_all(features, rng)
            yield probs

    def difficulty(self, images: Ids) -> NDArray[np.float32]:
        """Predict how wrong the model is at each pixel of whole images: (m,) -> (m, h, w), in [0, 1].

        The branch is fitted to the labelled regions on the way, see ``network_difficulty``.
        """
        with self._model.settings():
            return predict_difficulty(self._model, self._labels.maps, images)

    def evaluate(self, split: str) -> Confusion:
        """Return the confusion matrix (C, C) over all labelled pixels of a split.

        Raises:
            ValueError: If the data have no such split.
        """
        if split not in self._data.splits:
            raise unknown("split", split, self._data.splits)
        images = self._data.splits[split]
        total = torch.zeros(self._classes * 256, dtype=torch.int64, device=self._model.device)
        with self._model.settings():
            for image, logits in zip(images, self._model.logits(images), strict=True):
                labels = torch.from_numpy(np.array(self._data.masks[image])).to(self._model.device)
                # 256 columns: IGNORE is counted like a class, and dropped at the end
                pairs = self._model.winners(logits)[0].int() * 256 + labels
                total += torch.bincount(pairs.flatten(), minlength=len(total))
        return total.view(-1, 256)[:, : self._classes].cpu().numpy()  # without the column of IGNORE

    def gains(
        self, regions: Ids, reward: Reward, remove: bool = False, splits: Sequence[str] = ("reward",)
    ) -> NDArray[np.float64]:
        """Networks have no such thing: see ``Learner.gains``.

        Raises:
            ValueError: Always.
        """
        raise no_gains(self._segmenter)

    def gradients(self, regions: Ids) -> NDArray[np.float32]:
        """Return gradients of the last layer, a convolution of 1 x 1, (n, C, D): see ``gains.gradients``."""
        with self.settings():
            last = self._last_layer()
            cells = self._model.cells_of(self._windows_of(regions), regions, self._side)
            return last.scale * gradients(last.head, last.seen(cells))

    def outlook(self, regions: Ids) -> Outlook:
        """Return what labels of some regions would do to the last layer, which has to be a convolution of 1 x 1."""
        windows = self._windows_of(regions)
        with self.settings():
            last = self._last_layer()

        def cut(rows: Rows) -> Tensor:
            return last.seen(self._model.cells_of(windows[rows], regions[rows], self._side))

        return Outlook(last.head, cut, len(regions))

    def replace(self, data: SegmentationData, images: Ids) -> None:
        """Go over to data in which some images are others, for pools that are made anew."""
        self._data = data
        self._model.frames.replace(data, images)
        self._forget()

    def label_map(self, image: int) -> NDArray[np.uint8]:
        """Return the predicted labels of one image, uint8 (h, w)."""
        with self._model.settings():
            logits = next(self._model.logits(np.array([image])))
            return self._model.winners(logits)[0].cpu().numpy()

    def get_state(self) -> dict[str, Any]:
        """Return all that later results depend on."""
        momentum = torch.empty(0) if self._trainer.momentum is None else self._trainer.momentum
        return {
            "labelled": self.labelled.copy(),
            "fits": self._fits,
            "weights": self._model.get_weights().numpy(),
            "momentum": momentum.numpy().copy(),
            "embedding": self._embedding.numpy().copy(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore what ``get_state`` returned, in this or another process.

        Raises:
            ValueError: See ``check_state``.
        """
        self.check_state(state)
        self.reset()
        self._take(state["labelled"])
        self._fits = state["fits"]
        self._model.set_weights(torch.tensor(state["weights"]))
        self._trainer.momentum = torch.tensor(state["momentum"]) if len(state["momentum"]) else None
        self._embedding = torch.tensor(state["embedding"])

    def check_state(self, state: dict[str, Any]) -> None:
        """Refuse what ``set_state`` cannot restore.

        Raises:
            ValueError: If an entry is missing or unknown, or is not what a fit leaves.
        """
        saved = decode(_State, state, "entry of the learner")
        check_regions(saved.labelled, self._grid, len(self._data.images))
        most = len(saved.labelled) + (self._source is not None)
        if not (len(saved.labelled) > 0) <= saved.fits <= most:
            raise ValueError(f"fits={saved.fits}: there are {len(saved.labelled)} labelled regions to fit to")
        momentum = self._model.parameters if saved.momentum.size else 0
        embedding = np.empty((len(saved.labelled), self._model.channels), np.float32)
        check_array("momentum", saved.momentum, np.empty(momentum, np.float32), LARGEST)
        check_array("embedding", saved.embedding, embedding, LARGEST)
        check_array("weights", saved.weights, self._model.get_weights().numpy(), LARGEST)
        with self._model.settings():
            self._model.try_weights(torch.tensor(saved.weights))

    def _windows_of(self, regions: Ids) -> Tensor:
        """Return the features around regions; of those that were predicted last they are at hand."""
        if not np.array_equal(self._windows[0], regions):
            self.predict(regions)
        return self._windows[1]

    def _last_layer(self) -> LastLayer:
        if self._last is None:
            labels = count_labels(self._labels.of_regions(self.labelled), self._side, self._classes)
            counts = torch.from_numpy(labels.astype(np.float32)).flatten(0, 2)
            with self._model.settings():
                x = self._model.cells(self.labelled, self._side).flatten(0, 1)
            self._last = LastLayer(self._model.network.head, x, counts, self._side**2)
        return self._last

    def _learn(self, regions: Ids) -> None:
        with self._model.settings():
            if self._fits == 0 or self._recipe == "retrain":
                self._take(regions)
                self._train_long()
            else:
                embedding = self._embed(regions)
                self._take(regions)
                self._trainer.train_round(regions, self.labelled, self._fits, self._rng())
                self._embedding = torch.cat([self._embedding, embedding])
        self._fits += 1
        self._forget()

    def _take(self, regions: Ids) -> None:
        self._labels.take(self._data.masks, regions)
        self.labelled = np.concatenate([self.labelled, regions])

    def _train_long(self) -> None:
        """Train from the initial weights on all labels; the first training of an episode is looked up on disk."""
        if self._fits:
            self._train_from_start()
            return

        def build(folder: Path) -> dict[str, Any]:
            log.info("training %s on its first %d regions (once)", self._segmenter, len(self.labelled))
            self._train_from_start()
            np.save(folder / "weights.npy", self._model.get_weights().numpy())
            np.save(folder / "embedding.npy", self._embedding.numpy())
            return {}

        shape = self._grid.region, self._grid.steps
        source = fingerprint(learner=self.facts, region=shape, labels=self._content())["sha256"]
        store = open_store(f"network-{self._segmenter}-{source[:16]}", source, build)
        self._model.set_weights(torch.tensor(store.arrays["weights"]))
        self._embedding = torch.tensor(store.arrays["embedding"])
        self._trainer.momentum = None

    def _train_from_start(self) -> None:
        self._trainer.train_long(self.labelled, self._rng(), self._segmenter)
        self._forget()
        self._embedding = self._embed(self.labelled)

    def _rng(self) -> np.random.Generator:
        return np.random.default_rng([SEED, self._fits])

    def _embed(self, regions: Ids) -> Tensor:
        """Return unit embeddings (n, D); those of regions that were predicted are at hand."""
        if len(regions) and all(region in self._met for region in regions.tolist()):
            return torch.stack([self._met[region] for region in regions.tolist()])
        return self._model.embed(regions)

    def _content(self) -> str:
        """Hash of the labelled ids and of all that a training on them reads: a pool made anew has other pixels."""
        digest = hashlib.sha256(self.labelled.tobytes())
        for image, labels in sorted(self._labels.maps.items(), key=lambda item: item[0]):
            digest.update(self._data.images[image].tobytes() + labels.tobytes())
        return digest.hexdigest()

    def _forget(self) -> None:
        self._model.forget()
        self._windows = np.empty(0, np.int64), torch.empty(0)
        self._met: dict[int, Tensor] = {}
        self._last = None
