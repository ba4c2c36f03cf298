"""What ``python -m alenv.data check`` says of a dataset."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alenv.data.duplicates import BITS, NEAR, nearest
from alenv.data.items import Files
from alenv.data.survey import Look, Survey
from alenv.data.writing import needed
from alenv.regions import Ids


def report(classes: Sequence[str], files: Files, found: Survey, cache: Path) -> Iterator[str]:
    """Yield lines: counts, class shares, faults, oddities, what splits share, and what the store needs.

    Args:
        classes: Names of the C classes.
        files: What there is.
        found: What a look at it has found.
        cache: Where the store goes.
    """
    yield from _counts(files)
    yield ""
    yield from _shares(classes, files.splits, found.looks)
    yield ""
    yield from (f"unreadable: {fault}" for fault in found.faults)
    yield from (f"odd: {files.items[i].name}: {look.odd}" for i, look in found.looks.items() if look.odd)
    yield from _twins(files, found.looks)
    yield from _overlaps(files)
    yield from _near_duplicates(files, found.looks)
    yield _costs(files, found, cache)


def _counts(files: Files) -> Iterator[str]:
    height, width = files.size
    unused = len(files.items) - len(np.unique(np.concatenate(list(files.splits.values()))))
    parts = [f"{part} {len(ids)}" for part, ids in files.splits.items()] + [f"unused {unused}"] * bool(unused)
    yield f"{len(files.items)} images of {width}x{height}: {', '.join(parts)}"


def _shares(classes: Sequence[str], splits: Mapping[str, Ids], looks: Mapping[int, Look]) -> Iterator[str]:
    """A table: for each class, its share of the labelled pixels of each split in percent, and the images it is in."""
    pixels = np.zeros((max(looks, default=-1) + 1, len(classes) + 1), np.int64)
    for i, look in looks.items():
        pixels[i] = look.pixels
    sums = np.stack([pixels[ids[ids < len(pixels)]].sum(0) for ids in splits.values()], 1)
    shares = 100 * sums[:-1] / np.maximum(sums[:-1].sum(0), 1)
    blank = 100 * sums[-1] / np.maximum(sums.sum(0), 1)
    width = max(map(len, ("% without a label", *classes)))
    yield " ".join([f"{'% of labels':{width}}", *(f"{part:>9}" for part in splits), f"{'images':>9}"])
    for name, row, images in zip(classes, shares, (pixels > 0).sum(0), strict=False):
        yield " ".join([f"{name:{width}}", *(f"{share:9.4f}" for share in row), f"{images:9}"])
    yield " ".join([f"{'% without a label':{width}}", *(f"{share:9.4f}" for share in blank)])
    if never := [name for name, images in zip(classes, (pixels > 0).sum(0), strict=False) if not images]:
        yield f"never there: {', '.join(never)}"


def _twins(files: Files, looks: Mapping[int, Look]) -> Iterator[str]:
    first: dict[bytes, int] = {}
    for i, look in looks.items():
        twin = first.setdefault(look.hash.tobytes() + look.pixels.tobytes(), i)
        if twin != i and not look.odd:
            yield f"odd: {files.items[i].name} looks just like {files.items[twin].name}"


def _overlaps(files: Files) -> Iterator[str]:
    for (part, ids), (other, others) in combinations(files.splits.items(), 2):
        if shared := len(np.intersect1d(ids, others)):
            yield f"warning: {shared} images are both in {part!r} and in {other!r}"


def _near_duplicates(files: Files, looks: Mapping[int, Look]) -> Iterator[str]:
    for (part, ids), (other, others) in combinations(files.splits.items(), 2):
        left = _alone(ids, others, looks)
        right = _alone(others, ids, looks)
        if not len(left) or not len(right):
            continue
        hashes, theirs = (np.stack([looks[i].hash for i in side.tolist()]) for side in (left, right))
        found = nearest(theirs, hashes)
        if count := int((found.bits <= NEAR).sum()):
            closest = int(found.bits.argmin())
            pair = " and ".join(files.items[i].name for i in (right[closest], left[found.which[closest]]))
            yield (
                f"warning: {count} of {len(right)} images of {other!r} ({100 * count / len(right):.1f} %) nearly "
                f"repeat one of {part!r}; the closest: {pair} ({found.bits[closest]} of {BITS} bits differ)"
            )


def _alone(ids: Ids, others: Ids, looks: Mapping[int, Look]) -> NDArray[np.int64]:
    """Return the images that are not in the other split as well, and can be read."""
    return np.array([i for i in np.setdiff1d(ids, others).tolist() if i in looks], np.int64)


def _costs(files: Files, found: Survey, cache: Path) -> str:
    gib = needed(len(files.items), files.size) / 2**30
    place = next(place for place in (cache, *cache.parents) if place.exists())
    return (
        f"the store takes {gib:,.2f} GiB in {cache}, where {shutil.disk_usage(place).free / 2**30:,.1f} are free, and "
        f"about {found.seconds:,.0f} s: reading took as long, in {found.processes} "
        f"{'processes' if found.processes > 1 else 'process'}"
    )
