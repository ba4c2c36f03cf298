"""Small square pictures of the images that are mined: as a policy may see them, and with their label.

Where the data have photos, these are the photos. A generated image is drawn: unlabelled as the pattern of its vector
(images that look alike to the ridge regression look alike here), and labelled as the mixture of classes that it holds,
each with its share of the pixels. What a label says is not of the target class is pale.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from alenv import data as datasets
from alenv import mining
from alenv.data.resized import palette
from alenv.mining.embedded import EmbeddedImages

SIDE = 64
"""Pixels of a side."""
Colour = tuple[int, ...]
_FADED = 0.7
"""How much paler things are where they are not the target class."""
_LINE, _NOTHING = (250, 249, 246), (214, 212, 206)
_COLD, _PALE, _WARM = (np.array(colour, float) for colour in ((38, 70, 120), (238, 232, 220), (196, 84, 44)))


class Tiles(Protocol):
    """Pictures of embedded images, ``SIDE`` x ``SIDE``, RGB."""

    def unlabelled(self, image: int) -> Image.Image:
        """Return the image as it looks; nothing of its label."""

    def labelled(self, image: int, target: str) -> Image.Image:
        """Return the image with what its label says of a class."""

    def colour(self, target: str) -> Colour:
        """Return the colour of a class."""


def tiles(dataset: str, root: str | None, embeddings: str | None) -> Tiles:
    """Return the pictures of embedded images, see ``alenv.mining.load`` for the arguments."""
    if mining.check_name(dataset, root, embeddings)[0] in mining.GENERATED:
        return Drawn(mining.load(dataset, root, embeddings))
    return Photos(datasets.load(dataset, root))


class Photos:
    """Pictures of data that have images.

    Args:
        data: Its images and masks are the embedded ones, in the same order.
    """

    def __init__(self, data: datasets.SegmentationData) -> None:
        self._data = data

    def unlabelled(self, image: int) -> Image.Image:
        """Return the middle of the photo."""
        return _square(self._data.images[image], Image.Resampling.BILINEAR)

    def labelled(self, image: int, target: str) -> Image.Image:
        """Return the photo, grey and pale where it is not of the class."""
        mask = self._data.masks[image] == self._data.classes.index(target)
        shown = _square(mask.astype(np.uint8) * 255, Image.Resampling.BILINEAR)
        photo = self.unlabelled(image)
        faded = Image.blend(ImageOps.grayscale(photo).convert("RGB"), Image.new("RGB", photo.size, _LINE), _FADED)
        return Image.composite(photo, faded, shown)

    def colour(self, target: str) -> Colour:
        """Return the colour that the dataset gives the class."""
        return tuple(self._data.colours[self._data.classes.index(target)].tolist())


class Drawn:
    """Pictures of generated images.

    Args:
        embedded: Vectors, and what its images hold.
    """

    def __init__(self, embedded: EmbeddedImages) -> None:
        self._embedded, self._colours = embedded, palette(len(embedded.classes))
        self._first = np.searchsorted(embedded.mode_class, np.arange(len(embedded.classes)))

    def unlabelled(self, image: int) -> Image.Image:
        """Return the pattern of the vector."""
        vector = np.asarray(self._embedded.embeddings[image], float)
        side = int(np.ceil(np.sqrt(len(vector))))
        cells = np.zeros(side * side)
        cells[: len(vector)] = np.tanh(vector * np.sqrt(len(vector)) / 1.5)
        shade = np.abs(cells)[:, None]
        colours = (1 - shade) * _PALE + shade * np.where(cells[:, None] < 0, _COLD, _WARM)
        pattern = Image.fromarray(colours.reshape(side, side, 3).astype(np.uint8))
        return pattern.resize((SIDE, SIDE), Image.Resampling.BICUBIC)

    def labelled(self, image: int, target: str) -> Image.Image:
        """Return a field for each class the image holds; those of other classes are pale."""
        picture = Image.new("RGB", (SIDE, SIDE), _NOTHING)
        draw, held = ImageDraw.Draw(picture), self._held(image)
        for (mode, _), box in zip(held, _fields([pixels for _, pixels in held]), strict=True):
            of = int(self._embedded.mode_class[mode])
            colour = self._colours[of] * (1 - 0.16 * (mode - int(self._first[of])))  # a mode is a shade of its class
            if self._embedded.classes[of] != target:
                colour = (1 - _FADED) * colour + _FADED * _PALE
            draw.rectangle(box, tuple(colour.astype(int).tolist()), _LINE)
        return picture

    def colour(self, target: str) -> Colour:
        """Return the colour of the class."""
        return tuple(self._colours[self._embedded.classes.index(target)].tolist())

    def _held(self, image: int) -> list[tuple[int, int]]:
        """Modes and pixels, the largest first."""
        modes, pixels = self._embedded.modes[image].tolist(), self._embedded.pixels[image].tolist()
        return sorted(((m, p) for m, p in zip(modes, pixels, strict=True) if m >= 0), key=lambda held: -held[1])


def _square(array: NDArray[np.uint8], method: Image.Resampling) -> Image.Image:
    return ImageOps.fit(Image.fromarray(array), (SIDE, SIDE), method)


def _fields(sizes: list[int]) -> list[tuple[float, float, float, float]]:
    """Divide a tile into rectangles with areas in proportion to sizes, by cutting along the longer side."""
    left, top, right, bottom = 0.0, 0.0, SIDE - 1.0, SIDE - 1.0
    boxes, rest = [], float(sum(sizes))
    for size in sizes:
        if right - left >= bottom - top:
            edge = left + (right - left) * size / rest
            boxes.append((left, top, edge, bottom))
            left = edge
        else:
            edge = top + (bottom - top) * size / rest
            boxes.append((left, top, right, edge))
            top = edge
        rest -= size
    return boxes
