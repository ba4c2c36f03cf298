"""What mined pixels are worth: concave functions of the quantity of a class, summed over its modes.

A reconstruction (MiSiCAL-style): Lambert and Slade (2023) reward by quantity-accuracy correlations whose form is not
public. Every form is 0 where nothing is mined, so only its increase counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from alenv.data.store import cache_folder
from alenv.errors import shown, unknown
from alenv.mining.embedded import EmbeddedImages
from alenv.outside import Place, decode, decode_json

Values = NDArray[np.float64]
FORMS: dict[str, Callable[[Values, Values], Values]] = {
    "log": lambda n, n0: np.log1p(n / n0),
    "power": lambda n, alpha: 1 - (n + 1) ** -alpha,
    "saturating": lambda n, h: n / (n + h),
    "presence": lambda n, _: np.minimum(n, 1),
}
"""A concave form of quantity (pixels) and one shape parameter."""
PARAMETERS = {"log": ("b", "n0"), "power": ("b", "alpha"), "saturating": ("a", "h")}
"""Names of slope and shape in a file of measured curves; constants do not matter."""
GAINS = ("log", "saturating", "presence", "curve")
HALF = 2.7
"""Mean quantities after which ``saturating`` has half its worth: measured on Clothing Co-Parsing."""


@dataclass(frozen=True)
class Gain:
    """Worth of a class's pixels.

    Attributes:
        forms: The form of each class, (C,) indices into the order of ``FORMS``.
        slopes: Factor of each class, (C,).
        shapes: Shape parameter of each class, (C,); pixels, or an exponent.
    """

    forms: NDArray[np.int64]
    slopes: Values
    shapes: Values

    def __call__(self, quantities: NDArray[np.int64], classes: NDArray[np.int64]) -> Values:
        """Return the worth of what is mined.

        Args:
            quantities: Pixels of each mode, (episodes, M).
            classes: The class of each episode, (episodes,).

        Returns:
            float64 (episodes,), the same whatever other episodes there are.
        """
        n, shapes = quantities.astype(np.float64), self.shapes[classes][:, None]
        if len(self._known) == 1:
            [worth_of] = self._known.values()
            return self.slopes[classes] * np.add.reduce(worth_of(n, shapes), 1)
        forms, worth = self.forms[classes], np.empty_like(n)
        for form, worth_of in self._known.items():
            worth[forms == form] = worth_of(n[forms == form], shapes[forms == form])
        return self.slopes[classes] * worth.sum(1)

    @cached_property
    def _known(self) -> dict[int, Callable[[Values, Values], Values]]:
        """The forms that occur."""
        return {form: tuple(FORMS.values())[form] for form in np.unique(self.forms).tolist()}


def make_gain(name: str, embedded: EmbeddedImages) -> Gain:
    """Return a gain whose scale is, for each class, the mean quantity of a mode in the images that hold it.

    Args:
        name: ``log``: log(1 + n / n0), n0 the scale. ``saturating``: n / (n + h), h = 2.7 scales. ``presence``: whether
            a mode was found. ``curve``: measured, from the file that ``curve_file`` finds; ``curve:<file>`` names it.
        embedded: The images.

    Raises:
        ValueError: If the name is unknown, or a file does not hold curves of all classes.
        FileNotFoundError: If there is no file of curves.
    """
    kind, _, path = name.partition(":")
    if kind == "curve":
        return read_curves(Path(path) if path else curve_file(embedded.name), embedded.classes)
    form = list(FORMS).index(kind)
    classes = np.ones(len(embedded.classes))
    return Gain(np.full(len(classes), form), classes, _scales(embedded) * (HALF if kind == "saturating" else 1))


def check_gain(name: str) -> None:
    """Check the name of a gain without reading a file.

    Raises:
        ValueError: If it is unknown.
    """
    kind, colon, path = name.partition(":")
    if kind not in GAINS or (colon and kind != "curve"):
        raise unknown("gain", name, [*GAINS, "curve:<file>"])
    if colon:
        decode(Place, path, "file of gain='curve:<file>'")


def curve_file(dataset: str) -> Path:
    """Return the file of a dataset's measured curves.

    Raises:
        FileNotFoundError: If there is none; says which command writes it.
    """
    places = [cache_folder() / f"curves-{dataset}.json", Path("results") / f"curves-{dataset}" / "curves.json"]
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(
        f"gain='curve': there is no {places[0]} or {places[1]}; measure the curves with "
        f"`python -m benchmarks.curves --dataset {dataset}`, or name their file with gain='curve:<file>'"
    )


def read_curves(path: Path, classes: tuple[str, ...]) -> Gain:
    """Read curves: ``{class: {"form": "log" | "power" | "saturating", "parameters": {...}}}``.

    Args:
        path: A JSON file.
        classes: Names of the classes in order.

    Raises:
        ValueError: If it is no such file, or a class is missing.
        FileNotFoundError: If there is no such file.
    """
    try:
        curves = decode_json(dict[str, _Curve], path.read_bytes(), "class")
    except FileNotFoundError:
        raise FileNotFoundError(f"gain='curve:{path}': there is no such file") from None
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path} does not hold a curve for every class ({error}); write it with `python -m benchmarks.curves`"
        ) from None
    forms, slopes, shapes = zip(*(_parse(curves, name, path) for name in classes), strict=True)
    return Gain(np.array(forms), np.array(slopes), np.array(shapes))


class _Curve(msgspec.Struct, frozen=True):
    """A measured curve; what else the file says of it is for people."""

    form: str
    parameters: dict[str, float]


def _parse(curves: Mapping[str, _Curve], name: str, path: Path) -> tuple[int, float, float]:
    if name not in curves:
        raise ValueError(
            f"{path} does not hold a curve for every class: {name!r} is missing; "
            "write it with `python -m benchmarks.curves`"
        )
    form, values = curves[name].form, curves[name].parameters
    if form not in PARAMETERS:
        raise unknown(f"form of {name}", form, PARAMETERS)
    slope, shape = (values.get(parameter, np.nan) for parameter in PARAMETERS[form])
    if not (0 <= slope < np.inf and 0 < shape < np.inf):
        raise ValueError(f"the curve of {name} in {path} is not concave: {shown(values)}; measure it anew")
    return list(FORMS).index(form), slope, shape


def _scales(embedded: EmbeddedImages) -> Values:
    """Return the mean pixels of an entry of each class; 1 for a class without any."""
    held = embedded.modes >= 0
    classes = embedded.mode_class[embedded.modes[held]]
    count = np.bincount(classes, minlength=len(embedded.classes))
    pixels = np.bincount(classes, embedded.pixels[held], len(embedded.classes))
    return np.where(count > 0, pixels / np.maximum(count, 1), 1.0)
