"""What labels of candidate regions would do to a softmax layer: the linear head, or the last layer of a network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from alenv.segmenters.probes import gains
from alenv.segmenters.probes.design import Design, Rows
from alenv.segmenters.probes.linear import LinearHead


class Outlook:
    """Candidates, seen by a layer that knows the labels so far.

    Args:
        head: The layer.
        cut: Features (r, cells, D) of some of the candidates.
        number: How many candidates there are.
    """

    def __init__(self, head: LinearHead, cut: Callable[[Rows], Tensor], number: int) -> None:
        self._head, self._cut, self._number = head, cut, number

    def design(self) -> Design:
        """Return what labels would tell of the weights."""
        return Design(self._head, self._cut, self._number)

    def pseudo_gains(self, possible: bool) -> NDArray[np.float64]:
        """Estimate what single candidates are worth without any label, (n,), see ``gains.pseudo``.

        The candidates themselves stand for the pool.
        """
        return gains.pseudo(self._head, self._cut(slice(None)), possible)

    def class_gains(self) -> NDArray[np.float64]:
        """Estimate the same for the IoU of each class alone, (n, C)."""
        return gains.pseudo_by_class(self._head, self._cut(slice(None)))
