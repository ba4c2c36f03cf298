"""What native batches have in common: autoreset, infos, seeds, snapshots, questions to single episodes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar, Literal, cast

import gymnasium as gym
import msgspec
import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from alenv.arrays import ALL, Rows
from alenv.envs.actions import checked_all
from alenv.envs.resumable import Resumable
from alenv.envs.snapshot import Random, plain, random_state
from alenv.errors import shown
from alenv.outside import Positive, decode

Observation = dict[str, NDArray]
Info = dict[str, Any]
Mask = NDArray[np.bool_]


class Own(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments that single environments do not have."""

    num_envs: Positive
    autoreset_mode: Literal["NextStep", "SameStep", "Disabled"]


OWN = Own.__struct_fields__


def own_arguments(num_envs: int, autoreset_mode: str | AutoresetMode) -> Own:
    """Return the arguments of a batch.

    Raises:
        ValueError: If they are none.
    """
    mode = autoreset_mode.value if isinstance(autoreset_mode, AutoresetMode) else autoreset_mode
    return decode(Own, {"num_envs": num_envs, "autoreset_mode": mode})


@cache
def _masked(options: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """Return the reset options of a batch: those of a single environment, and a mask."""
    mask = ("reset_mask", NDArray[np.bool_] | None, None)
    return msgspec.defstruct("BatchOptions", [mask], bases=(options,), frozen=True, forbid_unknown_fields=True)


class Batch(Resumable, VectorEnv[Observation, NDArray, NDArray]):
    """E episodes, as ``gymnasium.vector.SyncVectorEnv`` would return those of single environments.

    ``reset(seed=s)`` seeds environment i with s + i, a list of E seeds is possible, and infos come with masks ``_key``.
    A batch says how its episodes begin, act and are observed, in the methods without a body. Its arguments are those of
    a single environment, ``num_envs`` and ``autoreset_mode``; its reset options those of one, and ``reset_mask``.

    ``metadata["autoreset_mode"]`` says what happens at the end of an episode, see
    https://farama.org/Vector-Autoreset-Mode:

    - ``"NextStep"`` (default): the next step ignores the action of that environment and returns its new start.
    - ``"SameStep"``: the same step returns the new start, and ``infos["final_obs"]``, ``infos["final_info"]`` the end.
    - ``"Disabled"``: the caller resets ended environments with ``options={"reset_mask": mask}`` before the next step.

    ``call``, ``get_attr`` and ``set_attr`` are those of ``SyncVectorEnv``: episodes answer what single environments
    would. Gymnasium passes no ``vector_kwargs`` to a native batch: write ``gym.make_vec(id, num_envs=E,
    autoreset_mode="SameStep")``.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "ansi"], "render_fps": 4}  # noqa: RUF012 - as Gymnasium
    options_type: ClassVar[type[msgspec.Struct]]

    def _declare(self, arguments: Any, own: Own, actions: spaces.Space, observations: spaces.Space) -> None:
        """Set what clients read before the first reset; arguments, and the spaces of an episode."""
        self._arguments, self._own = arguments, own
        self.autoreset_mode = AutoresetMode(own.autoreset_mode)
        self.num_envs, self.render_mode = own.num_envs, arguments.render_mode
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.single_action_space, self.single_observation_space = actions, observations
        self.action_space = batch_space(actions, self.num_envs)
        self.observation_space = batch_space(observations, self.num_envs)
        self._numbers = np.arange(self.num_envs)
        self._generators: list[np.random.Generator] = []
        self._random_seeds: list[int] = []
        self._set: dict[str, tuple[Any, ...]] = {}

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, Info]:
        """Start an episode in every environment, or in some.

        Args:
            seed: Environment i is seeded with seed + i, or with the i-th of a list.
            options: Those of a single environment, and ``reset_mask``: bool (E,), which environments.

        Raises:
            ValueError: If an option, a seed, their number or the mask is wrong. Whatever is refused changes nothing:
                the episodes before go on.
        """
        decoded: Any = decode(_masked(self.options_type), {} if options is None else options, "reset option")
        mask, seeds, named = self._reset_mask(decoded.reset_mask), self._check_seeds(seed), self._named(decoded)
        if mask.all():
            self._snapshot = None
        else:
            self._resume()
        self._seed(seeds, mask)
        self._begin(np.flatnonzero(mask), named)
        self._begun = True
        return self._observe(ALL), self._infos(mask)

    def step(self, actions: NDArray) -> tuple[Observation, NDArray, NDArray, NDArray, Info]:
        """Take one action in every environment.

        Raises:
            gymnasium.error.ResetNeeded: Before the first ``reset``; with autoreset disabled, after an end.
            ValueError: If an action is not in the action space.
        """
        self._resume()
        count = int(cast(spaces.Discrete, self.single_action_space).n)
        picks, resting = checked_all(actions, self.num_envs, count, "one for each episode"), self._over.copy()
        if self.autoreset_mode is AutoresetMode.DISABLED and resting.any():
            ended = np.flatnonzero(resting).tolist()
            raise gym.error.ResetNeeded(f"episodes {ended} are over; call reset(options={{'reset_mask': mask}})")
        rewards = self._act(picks, ~resting)
        if resting.any():
            self._begin(np.flatnonzero(resting), None)
        obs, over = self._observe(ALL), self._over.copy()
        final: Info = {}
        if self.autoreset_mode is AutoresetMode.SAME_STEP and over.any():
            final = self._finals(obs, over)
            self._begin(np.flatnonzero(over), None)
            self._refresh(obs, self._rows(over))
        infos = {**final, **self._infos(np.ones(self.num_envs, bool))}
        return obs, rewards, over, np.zeros(self.num_envs, bool), infos

    def render(self) -> Any:
        """Return a picture (``rgb_array``) or a line (``ansi``) of every episode; None without a render mode."""
        if self.render_mode is None:
            gym.logger.warn("render() needs gym.make_vec(..., render_mode='rgb_array' or 'ansi')")
            return None
        return self.call("render")

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Call a method, or read an attribute, of every episode as a single environment.

        Raises:
            AttributeError: If single environments have no such name, or it is private, or it would change them.
        """
        if name in self._set:
            return self._set[name]
        if name in _AT_ONCE and hasattr(type(self), name):
            known = getattr(self, name)
            return tuple(known(*args, **kwargs) if callable(known) else known)
        if name in _CHANGES or name.startswith("_"):
            raise AttributeError(f"{name!r} cannot be asked of the episodes of a batch, which it alone changes")
        found = (getattr(self._single(episode), name) for episode in range(self.num_envs))
        return tuple(value(*args, **kwargs) if callable(value) else value for value in found)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """Return an attribute of every episode, see ``call``."""
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Keep an attribute of every episode for ``get_attr``: one value, or a list or tuple of E.

        Raises:
            ValueError: If there are not E values.
            AttributeError: If single environments have an attribute of that name: it belongs to the batch.
        """
        kept = tuple(values) if isinstance(values, list | tuple) else (values,) * self.num_envs
        if len(kept) != self.num_envs:
            raise ValueError(f"{len(kept)} values of {name!r}, but num_envs={self.num_envs}; give one, or one for each")
        if hasattr(self._view, name):
            raise AttributeError(f"{name!r} cannot be set in a batch; make the batch with it, or choose another name")
        self._set[name] = kept

    @property  # type: ignore[misc] # as ``SyncVectorEnv`` has it
    def np_random(self) -> Any:
        """The generators of all environments."""
        self._seed([None] * self.num_envs, np.zeros(self.num_envs, bool))
        return tuple(self._generators)

    @property
    def np_random_seed(self) -> Any:
        """The seeds that they were made of."""
        self._seed([None] * self.num_envs, np.zeros(self.num_envs, bool))
        return tuple(self._random_seeds)

    def _played(self) -> dict[str, Any]:
        return {"episodes": [self._state_of(episode) for episode in range(self.num_envs)]}

    def _all_arguments(self) -> dict[str, Any]:
        return {**plain(self._arguments), **plain(self._own)}

    def _get_random(self) -> list[dict[str, Any]] | None:
        return [random_state(*pair) for pair in zip(self._generators, self._random_seeds, strict=True)] or None

    def _unpickle(self, arguments: dict[str, Any], random: Any) -> None:
        own = decode(Own, {name: arguments[name] for name in OWN if name in arguments})
        others = decode(self.arguments_type, {name: value for name, value in arguments.items() if name not in OWN})
        generators = decode(list[Random], random or [], "entry of np_random")
        if generators and len(generators) != own.num_envs:
            raise ValueError(f"np_random holds {len(generators)} generators, but num_envs={own.num_envs}")
        type(self).__init__(self, **plain(own), **plain(others))
        self._restore_generators(generators)

    @abstractmethod
    def _named(self, options: Any) -> Any:
        """Check the reset options, and return what ``_begin`` is told of them; None if they say nothing."""

    @abstractmethod
    def _begin(self, episodes: NDArray[np.int64], named: Any) -> None:
        """Draw and start new episodes in some environments."""

    @abstractmethod
    def _act(self, actions: NDArray[np.int64], active: Mask) -> NDArray[np.float64]:
        """Act in the active environments; return the rewards of all (E,)."""

    @abstractmethod
    def _observe(self, which: Rows) -> Observation:
        """Return the observations of some episodes, in new arrays."""

    @abstractmethod
    def _report(self) -> Info:
        """Return the infos of all episodes, each a new array (E, ...)."""

    @property
    @abstractmethod
    def _over(self) -> Mask:
        """Which episodes are over."""

    @abstractmethod
    def _state_of(self, episode: int) -> dict[str, Any]:
        """Return what the snapshot of a single environment holds of one episode, besides arguments and data."""

    @property
    @abstractmethod
    def _view(self) -> gym.Env:
        """A single environment: it has the attributes of an episode."""

    @abstractmethod
    def _single(self, episode: int) -> gym.Env:
        """Return an episode as a single environment, good until the next call."""

    def _spec_of_one(self) -> Any:
        """The specification of a single environment."""
        if self.spec is None:
            return None
        kwargs = {k: v for k, v in self.spec.kwargs.items() if k not in (*OWN, "vectorization_mode")}
        return replace(self.spec, kwargs=kwargs)

    def _restore_generators(self, random: Sequence[Random]) -> None:
        self._generators = [one.make() for one in random]
        self._random_seeds = [one.seed for one in random]

    def _check_seeds(self, seed: object) -> list[int | None]:
        """Return one seed for each environment; None leaves its generator as it is."""
        one = seed is None or _is_seed(seed)
        seeds = [seed + i if isinstance(seed, int) else None for i in range(self.num_envs)] if one else seed
        if not isinstance(seeds, list | tuple) or not all(s is None or _is_seed(s) for s in seeds):
            raise ValueError(f"seed={shown(seed)}: expected an integer of at least 0, or a list of such and None")
        if len(seeds) != self.num_envs:
            raise ValueError(f"seed is a list of {len(seeds)}, but num_envs={self.num_envs}; give one seed for each")
        return list(seeds)

    def _seed(self, seeds: Sequence[int | None], mask: Mask) -> None:
        """Give new generators to those environments that have a seed, and to those that never had one."""
        if not self._generators:
            pairs = [seeding.np_random(seed) for seed in seeds]
            self._generators, self._random_seeds = [list(column) for column in zip(*pairs, strict=True)]
            return
        for i in np.flatnonzero(mask).tolist():
            if seeds[i] is not None:
                self._generators[i], self._random_seeds[i] = seeding.np_random(seeds[i])

    def _draw_key(self, episode: int) -> int:
        """Draw the key of an environment's next episode."""
        return int(self._generators[episode].integers(2**62))

    def _reset_mask(self, mask: Mask | None) -> Mask:
        if mask is None:
            return np.ones(self.num_envs, bool)
        if mask.shape != (self.num_envs,) or mask.dtype != bool or not mask.any():
            raise ValueError(
                f"reset_mask={shown(mask)}: expected a bool array of shape ({self.num_envs},) with at least one True"
            )
        return mask

    def _rows(self, mask: Mask) -> Rows:
        return ALL if mask.all() else np.flatnonzero(mask)

    def _refresh(self, obs: Observation, which: Rows) -> None:
        """Observe some episodes anew, in place."""
        for key, array in self._observe(which).items():
            obs[key][which] = array

    def _infos(self, mask: Mask) -> Info:
        """Return the infos of the environments in the mask, as ``SyncVectorEnv`` does."""
        infos = self._report()
        for array in infos.values():
            array[~mask] = None if array.dtype == object else 0
        return infos | {f"_{key}": mask.copy() for key in infos}

    def _finals(self, obs: Observation, over: Mask) -> Info:
        """Return the last observations and infos of the ended episodes."""
        final = np.full(self.num_envs, None, object)
        for i in np.flatnonzero(over).tolist():
            final[i] = {key: array[i].copy() for key, array in obs.items()}
        infos = self._infos(over)
        return {"final_obs": final, "_final_obs": over.copy(), "final_info": infos, "_final_info": over.copy()}


_AT_ONCE = ("action_masks", "candidate_gains", "np_random", "np_random_seed")
"""What a batch knows of all episodes at once, if it has it; the masks are asked for at every step."""
_CHANGES = ("reset", "step", "set_state", "close")


def _is_seed(seed: object) -> bool:
    return isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0
