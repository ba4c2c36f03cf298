"""What all environments share to be snapshot, pickled and restored: an episode comes back at the first use."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import gymnasium as gym
import msgspec
import numpy as np
from numpy.typing import NDArray

from alenv.envs.snapshot import Pickled, Random, facts, plain, random_state
from alenv.outside import decode
from alenv.state import fingerprint


class Resumable:
    """Snapshots, pickles and fingerprints of an environment with arguments.

    An environment says what its episode is, in the methods without a body. It calls ``_resume`` before anything that
    needs an episode, and sets ``_begun`` once it has one.
    """

    kind: ClassVar[str]
    """Name in fingerprints."""
    arguments_type: ClassVar[type[msgspec.Struct]]
    _arguments: Any
    _begun = False
    _snapshot: dict[str, Any] | None = None
    """An episode that is yet to be restored."""

    def fingerprint(self) -> dict[str, Any]:
        """Return what the numbers of an episode depend on, with its hash under ``sha256``."""
        about = {"env": self.kind, "arguments": facts(self._arguments), "data": self._manifest}
        return fingerprint(**about, **self._model_facts())

    def get_state(self) -> dict[str, Any]:
        """Return a snapshot of what is being played: plain arrays, numbers, lists and dicts.

        Raises:
            gymnasium.error.ResetNeeded: Before the first ``reset``.
        """
        if self._snapshot is not None:
            return self._snapshot
        self._resume()
        return {"arguments": facts(self._arguments), "data": self._manifest, **self._played()}

    @abstractmethod
    def set_state(self, state: dict[str, Any]) -> None:
        """Restore a snapshot of an environment with the same arguments and data, in this or another process.

        Versions of code and packages may differ: then it goes on, perhaps with other numbers.

        Raises:
            ValueError: If it is none, or one of other arguments or data; nothing is changed then.
        """

    def __getstate__(self) -> dict[str, Any]:
        """Pickle arguments and snapshot: what is large is made anew where it is needed."""
        started = self._begun or self._snapshot is not None
        state = self.get_state() if started else None
        return {"arguments": self._all_arguments(), "np_random": self._get_random(), "state": state}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Unpickle; the snapshot is restored at the first use.

        Raises:
            ValueError: If the arguments or the generators are none.
        """
        pickled = decode(Pickled, state, "entry")
        self._unpickle(pickled.arguments, pickled.np_random)
        self._snapshot = pickled.state

    def _resume(self) -> None:
        """Bring an unpickled episode back to life; there must be one."""
        if self._snapshot is not None:
            self.set_state(self._snapshot)
        if not self._begun:
            raise gym.error.ResetNeeded("there is no episode yet; call reset()")

    def _all_arguments(self) -> dict[str, Any]:
        """Return what the environment is made of again."""
        return plain(self._arguments)

    def _model_facts(self) -> dict[str, Any]:
        """Return what numbers depend on besides arguments and data."""
        return {}

    @property
    @abstractmethod
    def _manifest(self) -> str:
        """Hash of the data."""

    @abstractmethod
    def _played(self) -> dict[str, Any]:
        """Return the entries of a snapshot besides arguments and data."""

    @abstractmethod
    def _get_random(self) -> Any:
        """Return the states of the generators; None if there are none yet."""

    @abstractmethod
    def _unpickle(self, arguments: dict[str, Any], random: Any) -> None:
        """Make the environment anew, with generators in these states.

        Raises:
            ValueError: If arguments or states are none.
        """


class ResumableEnv(Resumable, gym.Env[dict[str, NDArray], np.int64]):
    """A single environment."""

    def _get_random(self) -> dict[str, Any] | None:
        return None if self._np_random is None else random_state(self._np_random, self._np_random_seed)

    def _set_random(self, random: Random) -> None:
        self._np_random, self._np_random_seed = random.make(), random.seed

    def _unpickle(self, arguments: dict[str, Any], random: Any) -> None:
        generator = None if random is None else decode(Random, random, "entry of np_random")
        type(self).__init__(self, **plain(decode(self.arguments_type, arguments)))
        if generator is not None:
            self._set_random(generator)
