"""What cannot be held is refused before it is made."""

from __future__ import annotations

import math
import os


def installed() -> int:
    """Return the bytes of main memory, or 2^62 where the system does not tell."""
    if not hasattr(os, "sysconf"):
        return 2**62
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check_memory(name: str, value: int, each: int, power: int = 1) -> None:
    """Refuse a number of things that take more than the memory of this machine.

    Args:
        name: Of the argument.
        value: How many things.
        each: Bytes of one; of one pair of things with ``power=2``.
        power: Of ``value`` in the size.

    Raises:
        ValueError: With the size that they would need.
    """
    if value**power * each > installed():
        most = installed() // each if power == 1 else math.isqrt(installed() // each)
        raise ValueError(
            f"{name}={value} would need {value**power * each / 2**30:,.1f} GiB of memory, and this machine has "
            f"{installed() / 2**30:,.1f}; use at most {most:,}"
        )
