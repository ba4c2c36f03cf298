"""What all episodes of a SingleClassMine configuration share: the pool, the classes, what images are worth."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from alenv import mining
from alenv.envs.mining.arguments import MiningArguments
from alenv.envs.mining.draws import Draw, Images, draw
from alenv.errors import unknown
from alenv.mining.features import Floats
from alenv.mining.gains import make_gain


class MiningTask:
    """Images, classes and their worth; immutable once made.

    Attributes:
        arguments: Of the environment.
        vectors: float32 (n, D) of all images, and ``cells``, their cells if they are compared by these, else None.
        images: Those of the pool, int64; ``policy_images`` are those of ``train``.
        modes: int16 (n, S), and ``pixels`` int32 (n, S): what images hold.
        classes: Names of the C classes.
        eligible: Classes that an episode may be about.
        gain: Worth of a class's pixels.
        manifest: Hash of the data.
        labels: Images that an episode labels, at most, and ``memory``, the arguments of a ``Relation``.
        counts: Logarithmic scale of counts of labels, 0 to 1.
    """

    def __init__(self, arguments: MiningArguments) -> None:
        data = mining.load(arguments.dataset, arguments.root, arguments.embeddings, arguments.vectors)
        self.arguments = arguments
        self.images, self.policy_images = data.splits[arguments.pool], data.splits["train"]
        arguments.check_pool(len(self.images))
        # views without the class memmap, whose indexing is slow
        self.vectors: Floats = np.asarray(data.embeddings)
        self.cells = data.cells
        self.modes: NDArray[np.int16] = np.asarray(data.modes)
        self.pixels: NDArray[np.int32] = np.asarray(data.pixels)
        self.classes, self.manifest = data.classes, data.manifest
        self._heldout = set(data.heldout)
        self._classes_of = np.append(data.mode_class, -1).astype(np.int64)  # mode -1 has no class
        self._place = _places(data.mode_class)
        self._modes_of: list[dict[int, int]] = [{} for _ in data.classes]
        for mode, (target, place) in enumerate(zip(data.mode_class.tolist(), self._place.tolist(), strict=True)):
            self._modes_of[target][mode] = place
        self.most_modes = int(self._place.max()) + 1
        self._members, self._starts = self._index()
        self.gain = make_gain(arguments.gain, data)
        self.labels = arguments.labels
        width = (self.vectors if self.cells is None else self.cells.vectors).shape[-1]
        self.memory = (self.labels, width, arguments.observation != "cosine")
        self.counts = np.log1p(np.arange(self.labels + 1)) / np.log1p(self.labels)
        self.eligible = self._choose()

    def members(self, target: int) -> Images:
        """Return the pool's images that hold a class."""
        return self._members[self._starts[target] : self._starts[target + 1]]

    def holds(self, image: int, target: int) -> bool:
        """Return whether an image holds a class."""
        return not self._modes_of[target].keys().isdisjoint(self.modes[image].tolist())

    def named(self, name: str) -> int:
        """Return the class of a name.

        Raises:
            ValueError: If the class is unknown, or is not eligible.
        """
        target = self._find(name)
        if target not in self.eligible:
            self._refuse(target)
        return target

    def target(self, key: int) -> int:
        """Draw the class of an episode among the eligible ones."""
        return int(self.eligible[draw(key, Draw.TARGET, len(self.eligible))])

    def seeds(self, key: int, target: int) -> list[int]:
        """Return the images labelled at the start of an episode, first those that hold its class."""
        have, drawn = self.members(target), list[int]()
        for slot in range(self.arguments.seeds):
            positive, attempt = slot < self.arguments.positives, 0
            pool, stream = (have, Draw.POSITIVES) if positive else (self.images, Draw.NEGATIVES)
            image = int(pool[draw(key, stream, len(pool), slot)])
            while image in drawn or (not positive and self.holds(image, target)):
                attempt += 1
                image = int(pool[draw(key, stream, len(pool), slot, attempt)])
            drawn.append(image)
        return drawn

    def held(self, image: int, target: int) -> Iterator[tuple[int, int]]:
        """Yield what one image holds of a class: modes (numbered within the class) and their pixels."""
        first = self._modes_of[target]
        for slot, mode in enumerate(self.modes[image].tolist()):
            if mode in first:
                yield first[mode], int(self.pixels[image, slot])

    def quantities(self, images: Images, targets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the pixels that images hold of a class's modes, (e, modes of a class).

        Args:
            images: (e,).
            targets: The class that is asked for, (e,).
        """
        modes = self.modes[images]
        episode, slot = np.nonzero(self._classes_of[modes] == targets[:, None])
        out = np.zeros((len(images), self.most_modes), np.int64)
        out[episode, self._place[modes[episode, slot]]] = self.pixels[images[episode], slot]
        return out

    def _index(self) -> tuple[Images, NDArray[np.int64]]:
        """List the pool's images by class: images, and where each class begins."""
        classes = np.sort(self._classes_of[self.modes[self.images]], axis=1)
        # an image that holds two modes of a class is listed once
        repeated = np.zeros(classes.shape, bool)
        repeated[:, 1:] = classes[:, 1:] == classes[:, :-1]
        row, slot = np.nonzero((classes >= 0) & ~repeated)
        held = classes[row, slot]
        starts = np.concatenate([[0], np.cumsum(np.bincount(held, minlength=len(self.classes)))])
        return self.images[row[np.argsort(held, kind="stable")]], starts

    def _choose(self) -> NDArray[np.int64]:
        """Return the classes of the argument ``classes`` that have enough images."""
        wanted = self.arguments.classes
        if not isinstance(wanted, str):
            named = np.array([self._find(name) for name in wanted])
            for target in named[~self._enough[named]]:
                self._refuse(int(target))
            return np.unique(named)
        heldout = np.array([name in self._heldout for name in self.classes])
        kinds = {"train": ~heldout, "heldout": heldout, "all": np.full(len(heldout), True)}
        eligible = np.flatnonzero(kinds[wanted] & self._enough)
        if not len(eligible):
            raise ValueError(
                f"classes={wanted!r}: none of them has enough images in pool={self.arguments.pool!r} of "
                f"{self.arguments.dataset!r}; use fewer seeds or other classes"
            )
        return eligible

    @cached_property
    def _enough(self) -> NDArray[np.bool_]:
        """Whether a class has more images than positive seeds, and as many without it as negative seeds, (C,)."""
        have = np.diff(self._starts)
        return (have > self.arguments.positives) & (len(self.images) - have >= self.arguments.negatives)

    def _find(self, name: str) -> int:
        if name not in self.classes:
            raise unknown(f"class of {self.arguments.dataset}", name, self.classes)
        return self.classes.index(name)

    def _refuse(self, target: int) -> None:
        if self._enough[target]:
            raise ValueError(
                f"class {self.classes[target]!r} is not among classes={self.arguments.classes!r}; use classes='all'"
            )
        arguments, have = self.arguments, len(self.members(target))
        raise ValueError(
            f"class {self.classes[target]!r} is in {have} of the {len(self.images)} images of pool={arguments.pool!r}; "
            f"an episode with positives={arguments.positives} and negatives={arguments.negatives} needs "
            f"{arguments.positives + 1} with it and {arguments.negatives} without; use fewer seeds or another class"
        )


def _places(mode_class: NDArray[np.int16]) -> NDArray[np.int64]:
    """Return which mode of its class each mode is, (M,)."""
    order = np.argsort(mode_class, kind="stable")
    starts = np.cumsum(np.bincount(mode_class)) - np.bincount(mode_class)
    places = np.empty(len(mode_class), np.int64)
    places[order] = np.arange(len(order)) - starts[mode_class[order]]
    return places
