"""What snapshots of all environments hold, and how one of another environment is refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Protocol

import msgspec
import numpy as np
from msgspec import Meta

from alenv.errors import shown

HIDDEN = ("root", "render_mode")
"""Arguments that the numbers of an episode do not depend on."""
Key = Annotated[int, Meta(ge=0, lt=2**62)]
"""Of the random draws of an episode."""


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The two numbers of 128 bits that make up the state of PCG64."""

    state: int
    inc: int

    def __post_init__(self) -> None:
        """Check their range.

        Raises:
            ValueError: If they are out of it.
        """
        if not (0 <= self.state < 2**128 and 0 <= self.inc < 2**128 and self.inc % 2):
            raise ValueError(f"state={self.state}, inc={self.inc} of np_random are no state of PCG64")


class Random(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A generator, and the seed it was made of; -1 if that is not known."""

    seed: int
    bit_generator: Literal["PCG64"]
    state: Words
    has_uint32: Literal[0, 1]
    uinteger: Annotated[int, Meta(ge=0, lt=2**32)]

    def __post_init__(self) -> None:
        """Check the seed.

        Raises:
            ValueError: If it is none.
        """
        if self.seed < -1:
            raise ValueError(f"seed={shown(self.seed)} of np_random: expected an integer of at least -1")

    def make(self) -> np.random.Generator:
        """Return the generator in its state."""
        generator = np.random.default_rng()
        generator.bit_generator.state = {k: v for k, v in msgspec.to_builtins(self).items() if k != "seed"}
        return generator


class Pickled(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an environment is pickled as; data and model are made anew where they are needed."""

    arguments: dict[str, Any]
    np_random: Any
    state: dict[str, Any] | None


class Taken(Protocol):
    """What the snapshot of any environment says of where it was taken.

    Attributes:
        arguments: See ``facts``.
        data: Hash of the data.
    """

    @property
    def arguments(self) -> dict[str, Any]:
        """See above."""

    @property
    def data(self) -> str:
        """See above."""


def check_same(saved: Taken, arguments: msgspec.Struct, data: str) -> None:
    """Refuse a snapshot of other arguments or data.

    Args:
        saved: The snapshot.
        arguments: Of the environment that is to be restored.
        data: Hash of its data.

    Raises:
        ValueError: With the first argument that differs.
    """
    own = facts(arguments)
    for name in sorted({*own, *saved.arguments}, key=str):
        there, here = (table.get(name, "nothing") for table in (saved.arguments, own))
        if not _equal(there, here):
            raise ValueError(
                f"the snapshot was taken with {name}={shown(there)}, this environment has {name}={shown(here)}; "
                "restore it in one with the same arguments"
            )
    if saved.data != data:
        raise ValueError(
            f"the snapshot was taken on other data (manifest {shown(saved.data)}) than these ({data}); "
            "restore it in an environment with the same files"
        )


def check_number(saved: int, here: int) -> None:
    """Refuse the snapshot of a batch of another number of episodes.

    Raises:
        ValueError: If the numbers differ.
    """
    if saved != here:
        raise ValueError(
            f"the snapshot is of {saved} environments, this batch has {here}; restore it in one with the same num_envs"
        )


def _equal(there: object, here: object) -> bool:
    """Compare JSON values; arrays are none."""
    try:
        return bool(there == here)
    except ValueError:
        return False


def facts(arguments: msgspec.Struct) -> dict[str, Any]:
    """Return the arguments that the numbers of an episode depend on, as JSON values."""
    return {name: value for name, value in plain(arguments).items() if name not in HIDDEN}


def plain(arguments: msgspec.Struct) -> dict[str, Any]:
    """Return all arguments as JSON values."""
    table: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(arguments))  # lists in the place of tuples
    return table


def random_state(generator: np.random.Generator, seed: int | None) -> dict[str, Any]:
    """Return what ``Random`` is decoded from."""
    return {"seed": -1 if seed is None else int(seed), **generator.bit_generator.state}


def check_counts(counts: dict[str, int], condition: bool, rule: str) -> None:
    """Refuse counters that contradict each other.

    Raises:
        ValueError: With all of them, unless the condition holds.
    """
    if not condition:
        values = ", ".join(f"{name}={value}" for name, value in counts.items())
        raise ValueError(f"the snapshot contradicts itself: {values}, but {rule}; take it anew")
