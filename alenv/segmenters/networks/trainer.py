"""Training a network on labelled crops: from its initial weights on, or further, by a round; beside a source domain."""

from __future__ import annotations

from itertools import islice

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from alenv.regions import Ids, RegionGrid, WindowGrid
from alenv.segmenters.networks.architectures import dropout
from alenv.segmenters.networks.frames import BoughtLabels, Frames
from alenv.segmenters.networks.layers import resize
from alenv.segmenters.networks.model import NetworkModel
from alenv.segmenters.networks.source import Source
from alenv.segmenters.networks.training import Crops, Optimizer, Training, endless, epoch, loss


class Trainer:
    """Trains a network on the labels that were bought.

    Args:
        model: The network.
        grid: The regions.
        labels: What was bought of them.
        training: Hyper-parameters.
        source: Labelled data of another domain, of which half of every batch is.

    Attributes:
        momentum: Of the gradient, of all weights (n,), after a round; None after a long training.
    """

    def __init__(
        self, model: NetworkModel, grid: RegionGrid, labels: BoughtLabels, training: Training, source: Source | None
    ) -> None:
        self._model, self._grid, self._labels = model, grid, labels
        self._training, self._source = training, source
        self.momentum: Tensor | None = None

    def train_long(self, regions: Ids, rng: np.random.Generator, name: str) -> None:
        """Train from the initial weights on regions (n,); without any, on the source alone."""
        self._model.restart()
        training = self._training
        batches = endless(rng, self._grid, regions, training.crop, self._share(training.long_batch))
        steps = training.source_steps if self._source else training.long_steps
        rates = np.linspace(training.long_rate, 0, steps, endpoint=False)
        optimizer = Optimizer(self._model.network, training)
        self._model.network.train()
        try:
            with tqdm(rates, f"training {name}", leave=False, disable=None) as bar:  # None: on terminals
                for rate, crops in zip(bar, batches, strict=False):
                    value = self.step(crops, training.long_batch, optimizer, float(rate), rng)
                    bar.set_postfix(loss=value, refresh=False)
        finally:
            self._model.network.eval()
        self.momentum = None

    def train_round(self, regions: Ids, labelled: Ids, fits: int, rng: np.random.Generator) -> None:
        """Train for one epoch on the newest regions; if they are windows of pixels, for some steps on all labels.

        Args:
            regions: (n,) those of the round.
            labelled: (m,) all, with them.
            fits: Number of trainings before, with which the learning rate fades.
            rng: Source of crops and dropout.
        """
        training = self._training
        optimizer = Optimizer(self._model.network, training, self.momentum)
        batch = self._share(training.batch)
        batches = epoch(rng, self._grid, regions, training.crop, batch)
        if isinstance(self._grid, WindowGrid):
            batches = islice(endless(rng, self._grid, labelled, training.crop, batch), training.window_steps)
        for crops in batches:
            self.step(crops, training.batch, optimizer, training.rate * training.fade**fits, rng)
        self.momentum = optimizer.momentum

    def step(self, crops: Crops, batch: int, optimizer: Optimizer, rate: float, rng: np.random.Generator) -> float:
        """Take a step on crops of the target, and on those of the source that fill up the batch; return the loss."""
        parts = [self._loss(self._model.frames, self._labels, crops, rng)] if len(crops[0]) else []
        if self._source:
            given = self._source.draw(rng, batch - len(crops[0]), self._training.crop)
            parts.append(self._loss(self._source.frames, self._source, given, rng))
        value = sum(parts[1:], parts[0])
        optimizer.step(value, rate)
        return float(value.detach())

    def _share(self, batch: int) -> int:
        """The target's crops in a batch."""
        return batch - batch // 2 if self._source else batch

    def _loss(self, frames: Frames, known: BoughtLabels | Source, crops: Crops, rng: np.random.Generator) -> Tensor:
        network, labels = self._model.network, known.crops(*crops)
        features = dropout(network.body(frames.crops(*crops)), self._model.mask(rng, len(labels)))
        logits = resize(network.head(features).float(), labels.shape[1:])
        return loss(logits, torch.from_numpy(labels).to(self._model.device))
