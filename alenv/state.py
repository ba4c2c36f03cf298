"""The fingerprint: everything that an episode's numbers depend on, in clear and as one hash."""

from __future__ import annotations

import hashlib
import json
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from alenv.imports import digest_of_folder, sources

PACKAGES = ("gymnasium", "numpy", "scipy", "torch", "torchvision")


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
