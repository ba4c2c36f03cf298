"""The fingerprint: everything that an episode's numbers depend on, in clear and as one hash."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from alenv.data.adaptation import parse_source
from alenv.imports import digest_of_folder, is_path, source

PACKAGES = ("gymnasium", "numpy", "scipy", "timm", "torch", "torchvision")


def fingerprint(**facts: Any) -> dict[str, Any]:
    """Return facts and software versions, with their hash under ``sha256``.

    Args:
        **facts: JSON values, such as environment arguments and data hashes.
    """
    from alenv import __version__

    software = {name: _version(name) for name in PACKAGES}
    outside = sources(facts.get("arguments", {}))
    clear = {
        **facts,
        **({"outside": outside} if outside else {}),
        "alenv": __version__,
        "code": code_digest(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "simd": _simd(),
        "packages": software,
    }
    return seal(clear)


def sources(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Return the import paths among the arguments of an environment, each with the hash of its source.

    Raises:
        ValueError: See ``source``.
    """
    names = [arguments.get(argument) for argument in ("dataset", "segmenter", "features", "embeddings")]
    names += arguments.get("scores", ())
    if (initial := str(arguments.get("initial"))).startswith("source:"):
        names.append(parse_source(initial)[0])
    return {name: source(name) for name in names if isinstance(name, str) and is_path(name)}


def seal(facts: dict[str, Any]) -> dict[str, Any]:
    """Return JSON facts with their hash under ``sha256``."""
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return {**facts, "sha256": hashlib.sha256(canonical.encode()).hexdigest()}


@cache
def _simd() -> list[str]:
    """What NumPy found in the processor: it decides the last bits of logarithms."""
    found: list[str] = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    return found


@cache
def code_digest() -> str:
    """Return a hash of the package's source: a version number does not tell what a working copy holds."""
    return digest_of_folder(Path(__file__).parent)


@cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
