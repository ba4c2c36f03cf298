"""SingleClassMine's arguments and reset options, and the spaces that follow from them; nothing is read from disk."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from gymnasium import spaces
from msgspec import Meta

from alenv import mining
from alenv.envs.region.arguments import DatasetName
from alenv.errors import shown, unknown
from alenv.memory import check_memory
from alenv.mining.features import COSINES, DIMENSIONS, RELATIONS
from alenv.mining.gains import check_gain
from alenv.outside import LARGEST, Count, Place, Positive

CLASSES = ("train", "heldout", "all")
STATE = ("spent", "positive_share", "gain", "positives", "labelled", "looks")
"""The entries of ``state``, see the environment's page."""

Shown = Annotated[int, Meta(ge=2, le=LARGEST)]
Name = Annotated[str, Meta(min_length=1)]
Classes = Annotated[tuple[str, ...] | str, Meta(description="'train', 'heldout', 'all' or a list of class names")]
Cost = Annotated[float, Meta(gt=0, le=1, description="a number above 0, at most 1; an image costs 1")]


class MiningArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """See the page of ``SingleClassMineEnv``; what can be checked without reading data is checked here."""

    dataset: DatasetName
    root: Place | None
    embeddings: Name | None
    vectors: Literal["image", "cells"]
    pool: Literal["train", "eval"]
    classes: Classes
    candidates: Shown
    budget: Positive
    positives: Count
    negatives: Count
    skip: bool
    look_cost: Cost
    gain: str
    observation: Literal["cosine", "relational", "embedding"]
    render_mode: Literal["rgb_array", "ansi"] | None

    def __post_init__(self) -> None:
        """Check what concerns several arguments.

        Raises:
            ValueError: For the first that is wrong.
        """
        self._check_classes()
        check_gain(self.gain)
        _, size = mining.check_name(self.dataset, self.root, self.embeddings)
        check_memory("candidates", self.candidates, 16 * (len(self.feature_names) + 1))
        if size and self.vectors == "cells":
            raise ValueError(
                f"vectors='cells': the images of dataset={shown(self.dataset)} are generated and have no cells; "
                "use vectors='image', or data with photos"
            )
        if size:
            self.check_pool(size // 2)

    @property
    def seeds(self) -> int:
        """Images that an episode starts with."""
        return self.positives + self.negatives

    @property
    def labels(self) -> int:
        """Images that an episode labels, at most."""
        return self.budget + self.seeds

    @property
    def actions(self) -> int:
        """Number of actions."""
        return self.candidates + self.skip

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the F features of a candidate."""
        raw = [f"vector:{i}" for i in range(DIMENSIONS)] if self.observation == "embedding" else []
        return (*(COSINES if self.observation == "cosine" else RELATIONS), *raw)

    def check_pool(self, size: int) -> None:
        """Check that a pool of so many images cannot run out, and that the candidates can be compared.

        Raises:
            ValueError: If it can, or they cannot.
        """
        if self.labels + self.candidates > size:
            raise ValueError(
                f"budget={self.budget} with {self.seeds} seeds and candidates={self.candidates} needs more than the "
                f"{size} images of pool={self.pool!r} of {shown(self.dataset)}; "
                f"use budget <= {max(size - self.seeds - self.candidates, 0)}"
            )
        check_memory("candidates", self.candidates, 20, power=2)

    def check_batch(self, num_envs: int) -> None:
        """Check that so many episodes can be held.

        Raises:
            ValueError: If they cannot.
        """
        ridge = self.observation != "cosine"
        rows, penalties = 6 + (4 + 2 * self.labels) * ridge, self.labels * self.candidates * ridge
        labelled = 4 * (DIMENSIONS * rows + penalties) + 16 * self.labels
        check_memory("num_envs", num_envs, labelled + 16 * self.candidates * (len(self.feature_names) + 2))

    def _check_classes(self) -> None:
        if isinstance(self.classes, str):
            if self.classes not in CLASSES:
                raise unknown("classes", self.classes, [*CLASSES, "or a list of class names"])
        elif not self.classes:
            raise ValueError("classes=[]: expected 'train', 'heldout', 'all' or a list of class names")
        elif len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes={shown(list(self.classes))}: a class is named twice; name it once")


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``SingleClassMineEnv.reset`` can be given."""

    target_class: str | None = None


def observation_space(arguments: MiningArguments) -> Any:
    """Return the space of one episode's observations."""
    return spaces.Dict(
        {
            "candidates": spaces.Box(0, 1, (arguments.candidates, len(arguments.feature_names)), np.float32),
            "state": spaces.Box(0, 1, (len(STATE),), np.float32),
            "action_mask": spaces.Box(0, 1, (arguments.actions,), np.int8),
        }
    )
