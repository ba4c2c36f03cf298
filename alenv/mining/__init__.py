"""Mining images of one class: frozen embeddings, and what their images hold."""

from __future__ import annotations

from alenv.data import DATASETS
from alenv.errors import shown, unknown
from alenv.imports import is_path
from alenv.memory import check_memory
from alenv.mining.embedded import EmbeddedImages
from alenv.mining.mixture import EACH, IMAGES, generate
from alenv.outside import parse_count

GENERATED = {"mixture": generate}
"""Datasets that need no images; ``name:n`` asks for n of them."""
SMALLEST = 1000


def check_name(name: str, root: str | None = None, embeddings: str | None = None) -> tuple[str, int]:
    """Check what can be checked without reading data.

    Returns:
        The name without its size, and how many images are to be generated (0 for others).

    Raises:
        ValueError: If the name is unknown, its size is not one, or generated images are given arguments of others.
    """
    kind, colon, size = name.partition(":")
    if kind not in GENERATED:
        if name not in DATASETS and not is_path(name):
            raise unknown("dataset", name, [*GENERATED, *DATASETS])
        return name, 0
    for argument, value in (("root", root), ("embeddings", embeddings)):
        if value is not None:
            raise ValueError(
                f"{argument}={shown(value)} has no effect on dataset={shown(name)}, which is generated; drop it"
            )
    images = parse_count(size) if colon else IMAGES
    if images is None or images < SMALLEST:
        raise ValueError(
            f"dataset={shown(name)}: write a number of at least {SMALLEST} after the colon: '{kind}:100000'"
        )
    check_memory(f"dataset={kind!r} with images", images, EACH)
    return kind, images


def load(name: str, root: str | None = None, embeddings: str | None = None, vectors: str = "image") -> EmbeddedImages:
    """Return embedded images.

    Args:
        name: ``mixture``, ``mixture:<images>``, or a name in ``alenv.data.DATASETS``, embedded at the first call.
        root: Where that dataset lies, if not in the usual places.
        embeddings: The frozen network that embeds it.
        vectors: ``cells`` for the cells of the images besides, which generated ones do not have.

    Raises:
        ValueError: If a name is unknown.
        FileNotFoundError: If data or weights are missing.
    """
    kind, images = check_name(name, root, embeddings)
    if kind in GENERATED:
        return GENERATED[kind](images)
    from alenv.mining.embeddings import embed_cells, embed_dataset  # imports torch: `import alenv` must not

    embedded = embed_dataset(name, root, embeddings)
    return embed_cells(embedded, name, root, embeddings) if vectors == "cells" else embedded
