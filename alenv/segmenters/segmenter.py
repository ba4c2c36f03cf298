"""What a model in the loop does, and the table of those there are. No torch is imported before one is made."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from alenv.data import SegmentationData
from alenv.errors import unknown
from alenv.imports import find_function, is_path
from alenv.metrics import Confusion, Reward
from alenv.regions import Ids

if TYPE_CHECKING:
    from torch import Tensor

    from alenv.segmenters.probes.outlook import Outlook


@dataclass(frozen=True)
class Prediction:
    """What the model says of n regions.

    Attributes:
        probs: float32 (n, C, rows, columns), class probabilities of every cell; of a network's pixels, a tensor on its
            device.
        embedding: float32 (n, D), unit vectors: the mean features of the region.
        nearest: float32 (n,), largest cosine of the embedding to a labelled region (-1 while nothing is labelled); of
            a single pixel, to a labelled one of its own image (-1 while there is none).
        typical: float32 (n,), mean cosine to the labelled regions.
    """

    probs: NDArray[np.float32] | Tensor
    embedding: NDArray[np.float32]
    nearest: NDArray[np.float32]
    typical: NDArray[np.float32]


class Segmenter(Protocol):
    """A model in the loop: ``Learner`` (a head on frozen features) or ``NetworkLearner``; their pages say more."""

    given: int
    """Pixels labelled in another domain."""
    labelled: Ids
    """Ids of the labelled regions, in the order of labelling."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What results depend on besides data and arguments, as JSON values."""

    def settings(self) -> AbstractContextManager[None]:
        """Return a block in which results repeat, those computed from predictions too."""

    def reset(self) -> None:
        """Forget all labels."""

    def fit(self, regions: Ids) -> None:
        """Label further regions and learn from them."""

    def predict(self, regions: Ids) -> Prediction:
        """Predict regions (n,)."""

    def passes(self, regions: Ids, rng: np.random.Generator, count: int) -> Iterator[Any]:
        """Yield Monte-Carlo predictions of regions, (n, C, rows, columns) each."""

    def maps(self, images: Ids) -> Any:
        """Predict whole images, (m, C, rows, columns)."""

    def difficulty(self, images: Ids) -> NDArray[np.float32]:
        """Predict how wrong the model is, (m, rows, columns) in [0, 1]."""

    def evaluate(self, split: str) -> Confusion:
        """Return the confusion matrix (C, C) over all labelled pixels of a split."""

    def gains(
        self, regions: Ids, reward: Reward, remove: bool = ..., splits: Sequence[str] = ...
    ) -> NDArray[np.float64]:
        """Measure what single regions are worth for a metric, (n,)."""

    def replace(self, data: SegmentationData, images: Ids) -> None:
        """Go over to data in which some images are others."""

    def label_map(self, image: int) -> NDArray[np.uint8]:
        """Return the predicted labels of one image, (h, w)."""

    def get_state(self) -> dict[str, Any]:
        """Return all that later results depend on."""

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore what ``get_state`` returned."""

    def check_state(self, state: dict[str, Any]) -> None:
        """Refuse what ``set_state`` cannot restore."""


class LayeredSegmenter(Segmenter, Protocol):
    """One whose last layer is a softmax of features that are known."""

    def gradients(self, regions: Ids) -> NDArray[np.float32]:
        """Return gradients of the last layer, (n, C, D)."""

    def outlook(self, regions: Ids) -> Outlook:
        """Return what labels of regions (n,) would do to the last layer."""


class WindowSegmenter(Segmenter, Protocol):
    """One whose regions can be windows of pixels: ``WindowLearner`` or ``NetworkLearner``."""

    def map_passes(self, image: int, rng: np.random.Generator, count: int) -> Iterator[Any]:
        """Yield the same Monte-Carlo predictions as ``passes``, of all pixels of an image: (1, C, h, w)."""


@dataclass(frozen=True)
class Kind:
    """One kind of segmenter.

    Attributes:
        path: Where its head (``probes.Head``) or network (``networks.Design``) is.
        network: Whether it is trained end to end.
        gains: Whether single gains are known.
        gradients: Whether those of the last layer are, see ``alenv.acquisition.GRADIENTS``.
        posterior: Whether that of the weights is, see ``alenv.acquisition.POSTERIOR``.
    """

    path: str
    network: bool = False
    gains: bool = False
    gradients: bool = False
    posterior: bool = False

    def load(self) -> Any:
        """Import it."""
        module, _, name = self.path.partition(":")
        return getattr(importlib.import_module(module), name)


def _network(name: str, pointwise: bool = True) -> Kind:
    """A network of ours; its last layer is known if that is a convolution of 1 x 1."""
    path = f"alenv.segmenters.networks.architectures:{name}"
    return Kind(path, network=True, gradients=pointwise, posterior=pointwise)


SEGMENTERS = {
    "linear": Kind("alenv.segmenters.probes.linear:LinearHead", gains=True, gradients=True, posterior=True),
    "lda": Kind("alenv.segmenters.probes.lda:LdaHead", gains=True, gradients=True),
    "mlp": Kind("alenv.segmenters.probes.mlp:MlpHead", gradients=True),
    "tiny": _network("TINY"),
    "squeezenet_fpn": _network("SQUEEZENET_FPN"),
    "lite0_fpn": _network("LITE0_FPN"),
    "fpn_resnet50": _network("FPN_RESNET50", pointwise=False),
    "deeplabv3_resnet50": _network("DEEPLABV3_RESNET50"),
    "deeplabv3_resnet101": _network("DEEPLABV3_RESNET101"),
    "deeplabv3_mobilenet_v3_large": _network("DEEPLABV3_MOBILENET_V3_LARGE"),
}
"""Segmenters by name."""
_FORM = "write 'package.module:name' of a function like alenv.segmenters.networks.Build"


def find_segmenter(name: str) -> Kind:
    """Return the kind of a name.

    Args:
        name: A name in ``SEGMENTERS``, or ``package.module:name`` of a function like ``networks.Build``.

    Raises:
        ValueError: If it is unknown, or no function.
    """
    if is_path(name):
        find_function("segmenter", name, _FORM)
        return Kind(name, network=True, gradients=True, posterior=True)  # unless its last layer says otherwise
    if name not in SEGMENTERS:
        raise unknown("segmenter", name, SEGMENTERS)
    return SEGMENTERS[name]


def named(**facts: bool) -> str:
    """Return the names of the kinds with some attributes, as a sentence lists them."""
    names = [repr(n) for n, kind in SEGMENTERS.items() if all(getattr(kind, f) == v for f, v in facts.items())]
    return " or ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)


def no_gains(name: str) -> ValueError:
    """Return (not raise) an error for a segmenter of which single gains are asked."""
    return ValueError(f"single gains are not known for segmenter={name!r}; use {named(gains=True)}")
