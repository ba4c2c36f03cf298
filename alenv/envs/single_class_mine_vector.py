"""SingleClassMine, E episodes at once: `gym.make_vec("SingleClassMine-v0", num_envs=E)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from alenv.envs import mining_arguments
from alenv.envs.mining_draws import first_candidates, settle_many
from alenv.envs.mining_task import MiningTask
from alenv.envs.single_class_mine import SingleClassMineEnv
from alenv.errors import unknown
from alenv.mining.features import ALL, Relations, Rows, raw
from alenv.state import fingerprint

Observation = dict[str, NDArray]
Info = dict[str, Any]
Mask = NDArray[np.bool_]


class SingleClassMineVectorEnv(VectorEnv[Observation, NDArray, NDArray]):
    """E episodes of `SingleClassMineEnv` in arrays, equal to single environments step for step and bit for bit.

    Everything is as on the page of `alenv.envs.single_class_mine.SingleClassMineEnv`, with a leading axis of E, and as
    `gymnasium.vector.SyncVectorEnv` would return it: `reset(seed=s)` seeds environment i with s + i, a list of E seeds
    is possible, and infos come with masks `_key`.

    `metadata["autoreset_mode"]` says what happens at the end of an episode, see
    https://farama.org/Vector-Autoreset-Mode:

    - `"NextStep"` (default): the next step ignores the action of that environment and returns its new start.
    - `"SameStep"`: the same step returns the new start, and `infos["final_obs"]`, `infos["final_info"]` the end.
    - `"Disabled"`: the caller resets ended environments with `options={"reset_mask": mask}` before the next step.

    Args:
        num_envs: E.
        autoreset_mode: One of the above, or `gymnasium.vector.AutoresetMode`.
        dataset, root, embeddings, pool, classes, candidates, budget, positives, negatives, skip, look_cost, gain,
            observation: As for a single environment.
        render_mode: As for a single environment; `render` returns a tuple of E pictures or lines.

    `call`, `get_attr` and `set_attr` are those of `SyncVectorEnv`: the episodes answer what single environments would.
    Gymnasium passes no `vector_kwargs` to a native batch: write `gym.make_vec("SingleClassMine-v0", num_envs=E,
    autoreset_mode="SameStep")`.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "ansi"], "render_fps": 4}  # noqa: RUF012 - likewise

    def __init__(
        self,
        num_envs: int = 1,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        dataset: str = "mixture",
        root: str | None = None,
        embeddings: str | None = None,
        pool: str = "train",
        classes: str | tuple[str, ...] | list[str] = "train",
        candidates: int = 20,
        budget: int = 50,
        positives: int = 1,
        negatives: int = 1,
        skip: bool = False,
        look_cost: float = 0.1,
        gain: str = "log",
        observation: str = "relational",
        render_mode: str | None = None,
    ) -> None:
        self._arguments = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        self.autoreset_mode = _autoreset_mode(autoreset_mode)
        self._arguments["autoreset_mode"] = self.autoreset_mode.value
        mining_arguments.check(self._arguments)
        if isinstance(num_envs, bool) or not isinstance(num_envs, int) or num_envs < 1:
            raise ValueError(f"num_envs={num_envs!r}: expected an integer of at least 1")
        self.num_envs, self.render_mode = num_envs, render_mode
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self._shown, self._budget, self._look_cost = candidates, budget, look_cost if skip else 0.0
        self._actions, self._raw = candidates + skip, observation == "embedding"
        self.single_action_space = spaces.Discrete(self._actions)
        self.single_observation_space = mining_arguments.observation_space(self._arguments)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._numbers = np.arange(num_envs)
        self._task: MiningTask | None = None
        self._generators: list[np.random.Generator] = []
        self._snapshot: dict[str, Any] | None = None
        self._set: dict[str, tuple[Any, ...]] = {}

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, Info]:
        """Start an episode in every environment, or in some.

        Args:
            seed: Environment i is seeded with seed + i, or with the i-th of a list.
            options: ``target_class``: name of the class to mine. ``reset_mask``: bool (E,), which environments.

        Raises:
            ValueError: If an option, a class, the number of seeds or the mask is wrong.
        """
        chosen = dict(options or {})
        mask = self._reset_mask(chosen.pop("reset_mask", None))
        for name in chosen:
            if name != "target_class":
                raise unknown("reset option", name, ["target_class", "reset_mask"])
        self._build()
        if mask.all():
            self._snapshot = None
        else:
            self._resume()
        self._seed(seed, mask)
        which = self._rows(mask)
        self._begin(self._numbers[which], chosen.get("target_class"))
        if which is ALL:
            self._last = self._observe(ALL)
        else:  # a copy: the caller has the arrays of the last step
            self._last = {key: array.copy() for key, array in self._last.items()}
            self._refresh(self._last, which)
        return {key: array.copy() for key, array in self._last.items()}, self._infos(mask)

    def step(self, actions: NDArray) -> tuple[Observation, NDArray, NDArray, NDArray, Info]:
        """Take one action in every environment.

        Raises:
            gymnasium.error.ResetNeeded: Before the first ``reset``; with autoreset disabled, after an end.
            ValueError: If an action is not in the action space.
        """
        self._resume()
        chosen = self._check_actions(actions)
        resting = self._over.copy()
        if self.autoreset_mode is AutoresetMode.DISABLED and resting.any():
            ended = np.flatnonzero(resting).tolist()
            raise gym.error.ResetNeeded(f"episodes {ended} are over; call reset(options={{'reset_mask': mask}})")
        before = self._gain.copy()
        self._act(chosen, ~resting)
        rewards = self._gain - before
        if resting.any():
            self._begin(np.flatnonzero(resting), None)
        obs, over = self._observe(ALL), self._over.copy()
        final: Info = {}
        if self.autoreset_mode is AutoresetMode.SAME_STEP and over.any():
            final = self._finals(obs, over)
            self._begin(np.flatnonzero(over), None)
            self._refresh(obs, self._rows(over))
        self._last = obs
        infos = {**final, **self._infos(np.ones(self.num_envs, bool))}
        return dict(obs), rewards, over, np.zeros(self.num_envs, bool), infos

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
        if name in _AT_ONCE:
            return tuple(getattr(self, name)(*args, **kwargs))
        if name in _CHANGES or name.startswith("_"):
            raise AttributeError(f"{name!r} cannot be asked of the episodes of a batch, which are copies")
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

    def action_masks(self) -> Mask:
        """Return which actions are legal now, bool (E, K) or (E, K + 1)."""
        self._resume()
        return self._mask(ALL).astype(bool)

    def candidate_gains(self) -> NDArray[np.float64]:
        """Return the reward of each candidate, (E, K). For oracles only: it reads labels that were not bought."""
        self._resume()
        task, targets = self._build(), np.repeat(self._target, self._shown)
        after = np.repeat(self._collected, self._shown, 0) + task.quantities(self._images.ravel(), targets)
        return task.gain(after, targets).reshape(self.num_envs, -1) - self._worth[:, None]

    def fingerprint(self) -> dict[str, Any]:
        """Return what the numbers of an episode depend on, with its hash under ``sha256``."""
        hidden = ("root", "render_mode", "num_envs", "autoreset_mode")
        facts = {k: v for k, v in self._arguments.items() if k not in hidden}
        return fingerprint(env="SingleClassMine", arguments=facts, data=self._build().manifest)

    def get_state(self) -> dict[str, Any]:
        """Return a snapshot of all episodes: plain arrays, numbers and dicts. What was learned follows from the labels.

        Raises:
            gymnasium.error.ResetNeeded: Before the first ``reset``.
        """
        if self._snapshot is not None:
            return self._snapshot
        self._resume()
        return {
            "data": self._build().manifest,
            "np_random": [generator.bit_generator.state for generator in self._generators],
            "episodes": {name: getattr(self, name).copy() for name in _KEPT},
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore a snapshot of an environment with the same arguments, in this or another process.

        Raises:
            ValueError: If the snapshot was taken on other data, or of another number of environments.
        """
        task, self._snapshot = self._build(), None
        if state["data"] != task.manifest or len(state["np_random"]) != self.num_envs:
            raise ValueError(
                f"the snapshot is of {len(state['np_random'])} environments on data {state['data']}, this batch has "
                f"{self.num_envs} on {task.manifest}; make it with the same dataset and num_envs"
            )
        self._generators = [np.random.default_rng() for _ in range(self.num_envs)]
        for generator, position in zip(self._generators, state["np_random"], strict=True):
            generator.bit_generator.state = position
        kept = {name: array.copy() for name, array in state["episodes"].items()}
        self._key, self._target = kept["_key"], kept["_target"]
        self._start_episodes(self._numbers, kept["_labelled"][:, : self._seeds])
        for column in range(self._seeds, task.labels):
            which = np.flatnonzero(kept["_labelled"][:, column] >= 0)
            if len(which):
                self._label(which, kept["_labelled"][which, column])
        for name, array in kept.items():
            setattr(self, name, array)
        self._last = self._observe(ALL)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle arguments and snapshot: the pool is loaded anew where it is needed."""
        started = bool(self._generators) or self._snapshot is not None
        return {"arguments": self._arguments, "state": self.get_state() if started else None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Unpickle; the snapshot is restored at the first use."""
        SingleClassMineVectorEnv.__init__(self, **state["arguments"])
        self._snapshot = state["state"]

    @cached_property
    def _view(self) -> SingleClassMineEnv:
        """A single environment, to show one episode after the other."""
        own = ("num_envs", "autoreset_mode")
        view = SingleClassMineEnv(**{name: value for name, value in self._arguments.items() if name not in own})
        if self.spec is not None:
            kwargs = {k: v for k, v in self.spec.kwargs.items() if k not in (*own, "vectorization_mode")}
            view.spec = replace(self.spec, kwargs=kwargs)
        return view

    def _single(self, episode: int) -> SingleClassMineEnv:
        """Return a copy of one episode, which is good until the next call; it is restored where that is needed."""
        view = self._view
        if self._snapshot is not None or self._generators:
            self._resume()
            view._use(self._build())
            view._snapshot = self._state_of(episode)
        return view

    def _state_of(self, episode: int) -> dict[str, Any]:
        """Return the snapshot of one episode, as of a single environment."""
        labelled = self._labelled[episode, : self._count[episode]].tolist()
        counters, last = (self._steps, self._looks, self._wasted), (self._picked, self._invalid)
        return {
            "data": self._build().manifest,
            "np_random": self._generators[episode].bit_generator.state,
            "episode": (int(self._key[episode]), int(self._target[episode]), labelled),
            "counters": tuple(array[episode].item() for array in counters),
            "last": tuple(array[episode].item() for array in last),
        }

    def _build(self) -> MiningTask:
        """Load the pool and make the arrays: once, and not before they are needed."""
        if self._task is not None:
            return self._task
        task, episodes = MiningTask(self._arguments), self.num_envs
        self._seeds = self._arguments["positives"] + self._arguments["negatives"]
        self._relations = Relations(episodes, *task.memory)
        self._names = np.array(task.classes, object)
        self._key, self._target = np.zeros(episodes, np.uint64), np.zeros(episodes, np.int64)
        self._images = np.zeros((episodes, self._shown), np.int64)
        self._labelled = np.full((episodes, task.labels), -1)
        self._collected = np.zeros((episodes, task.most_modes), np.int64)
        (
            self._count,
            self._held,
            self._bought,
            self._positives,
            self._steps,
            self._looks,
            self._wasted,
            self._quantity,
        ) = (np.zeros(episodes, np.int64) for _ in range(8))
        self._worth, self._start = np.zeros(episodes), np.zeros(episodes)
        self._picked, self._invalid = np.full(episodes, -1), np.zeros(episodes, bool)
        self._task = task
        return task

    def _resume(self) -> None:
        """Bring an unpickled batch back to life; there must be one."""
        if self._snapshot is not None:
            self.set_state(self._snapshot)
        if not self._generators:
            raise gym.error.ResetNeeded("there are no episodes yet; call reset()")

    def _seed(self, seed: int | Sequence[int | None] | None, mask: Mask) -> None:
        """Give new generators to the chosen environments that have a seed, and to those that never had one."""
        seeds = [None if seed is None else seed + i for i in range(self.num_envs)] if _is_one(seed) else list(seed)  # type: ignore[operator, arg-type]
        if len(seeds) != self.num_envs:
            raise ValueError(f"seed is a list of {len(seeds)}, but num_envs={self.num_envs}; give one seed for each")
        if not self._generators:
            self._generators = [seeding.np_random(s)[0] for s in seeds]
            return
        for i in np.flatnonzero(mask).tolist():
            if seeds[i] is not None:
                self._generators[i] = seeding.np_random(seeds[i])[0]

    def _reset_mask(self, mask: object) -> Mask:
        if mask is None:
            return np.ones(self.num_envs, bool)
        if not isinstance(mask, np.ndarray) or mask.shape != (self.num_envs,) or mask.dtype != bool or not mask.any():
            raise ValueError(
                f"reset_mask={mask!r}: expected a bool array of shape ({self.num_envs},) with at least one True"
            )
        return mask

    def _check_actions(self, actions: NDArray) -> NDArray[np.int64]:
        chosen = np.asarray(actions)
        if chosen.shape != (self.num_envs,) or not np.issubdtype(chosen.dtype, np.integer):
            raise ValueError(f"actions={actions!r}: expected {self.num_envs} integers")
        if chosen.min() < 0 or chosen.max() >= self._actions:
            wrong = chosen[(chosen < 0) | (chosen >= self._actions)][0]
            raise ValueError(f"action {wrong} is not one of 0..{self._actions - 1}")
        return chosen

    def _begin(self, episodes: NDArray[np.int64], name: str | None) -> None:
        """Draw and start new episodes."""
        task = self._build()
        keys = [int(self._generators[i].integers(2**62)) for i in episodes.tolist()]
        targets = [task.target(key, name) for key in keys]
        seeds = [task.seeds(key, target) for key, target in zip(keys, targets, strict=True)]
        self._key[episodes], self._target[episodes] = np.array(keys, np.uint64), targets
        self._start_episodes(episodes, np.array(seeds, np.int64).reshape(len(episodes), self._seeds))

    def _start_episodes(self, episodes: NDArray[np.int64], seeds: NDArray[np.int64]) -> None:
        which = ALL if len(episodes) == self.num_envs else episodes
        for array in (self._count, self._held, self._steps, self._looks, self._wasted, self._quantity, self._worth):
            array[which] = 0
        self._collected[which] = 0
        self._labelled[which] = self._picked[which] = -1
        self._invalid[which] = False
        self._relations.clear(which)
        for column in seeds.T:
            self._label(which, column)
        self._relations.freeze(which)
        self._start[which] = self._worth[which]
        self._bought[which] = self._positives[which] = 0

    def _act(self, actions: NDArray[np.int64], active: Mask) -> None:
        """Pick, look, or waste an image, in the active environments."""
        picks = active & (actions < self._shown)
        others = active & ~picks
        looks = others & self._may_look
        self._invalid = others & ~looks
        self._looks += looks
        self._wasted += self._invalid
        self._picked.fill(-1)
        which = self._rows(picks)
        images = self._images[self._numbers[which], actions[which]]
        self._picked[which] = images
        if len(images):
            self._positives[which] += self._label(which, images)
            self._bought[which] += 1
        self._steps += 1

    def _label(self, which: Rows, images: NDArray[np.int64]) -> Mask:
        """Learn what images hold, one in each of some episodes; return whether they hold the class."""
        task, episodes = self._build(), self._numbers[which]
        quantities = task.quantities(images, self._target[which])
        pixels = quantities.sum(1)
        found = pixels > 0
        self._quantity[which] += pixels
        self._held[which] += found
        gained = episodes[found]
        self._collected[gained] += quantities[found]
        self._worth[gained] = task.gain(self._collected[gained], self._target[gained])
        self._relations.learn(which, task.vectors.take(images, 0), found)
        self._labelled[episodes, self._count[which]] = images
        self._count[which] += 1
        return found

    @property
    def _gain(self) -> NDArray[np.float64]:
        return self._worth - self._start

    @property
    def _spent(self) -> NDArray[np.float64]:
        return self._bought + self._wasted + self._look_cost * self._looks

    @property
    def _over(self) -> Mask:
        return self._budget - self._spent < 1 - 1e-9

    @property
    def _may_look(self) -> Mask:
        return self._budget - (self._spent + self._look_cost) >= 1 - 1e-9

    def _rows(self, mask: Mask) -> Rows:
        return ALL if mask.all() else np.flatnonzero(mask)

    def _mask(self, which: Rows) -> NDArray[np.int8]:
        mask = np.ones((len(self._numbers[which]), self._actions), np.int8)
        if self._actions > self._shown:
            mask[:, -1] = self._may_look[which]
        return mask

    def _show(self, which: Rows) -> None:
        """Draw the candidates of some episodes."""
        task = self._build()
        images = first_candidates(self._key[which], self._steps[which], self._shown, task.images)
        labelled = self._labelled[which, : int(self._count[which].max())]
        settle_many(images, self._key[which], self._steps[which], task.images, labelled)
        self._images[which] = images

    def _observe(self, which: Rows) -> Observation:
        self._show(which)
        vectors = self._build().vectors.take(self._images[which], 0)
        features = self._relations.look(which, vectors)
        if self._raw:
            features = np.concatenate([features, raw(vectors)], axis=2)
        return {"candidates": features, "state": self._state(which), "action_mask": self._mask(which)}

    def _refresh(self, obs: Observation, which: Rows) -> None:
        """Observe some episodes anew, in place."""
        for key, array in self._observe(which).items():
            obs[key][which] = array

    def _state(self, which: Rows) -> NDArray[np.float32]:
        task, gain = self._build(), self._gain[which]
        state = (
            self._spent[which] / self._budget,
            self._positives[which] / np.maximum(self._bought[which], 1),
            gain / (1 + gain),
            task.counts[self._held[which]],
            task.counts[self._count[which]],
            self._look_cost * self._looks[which] / self._budget,
        )
        return np.stack(state, 1).astype(np.float32)

    def _infos(self, mask: Mask) -> Info:
        """Return the infos of the environments in the mask, as ``SyncVectorEnv`` does."""
        infos: Info = {
            "target_class": np.where(mask, self._names[self._target], None),
            "picked": np.where(mask, self._picked, 0),
            "quantity": np.where(mask, self._quantity, 0),
            "positives": np.where(mask, self._positives, 0),
            "gain": np.where(mask, self._gain, 0.0),
            "looks": np.where(mask, self._looks, 0),
            "invalid_action": mask & self._invalid,
        }
        return infos | {f"_{key}": mask.copy() for key in infos}

    def _finals(self, obs: Observation, over: Mask) -> Info:
        """Return the last observations and infos of the ended episodes."""
        final = np.full(self.num_envs, None, object)
        for i in np.flatnonzero(over).tolist():
            final[i] = {key: array[i].copy() for key, array in obs.items()}
        infos = self._infos(over)
        return {"final_obs": final, "_final_obs": over.copy(), "final_info": infos, "_final_info": over.copy()}


_AT_ONCE = ("action_masks", "candidate_gains")
"""What clients ask of every episode at every step, and is known for all of them at once."""
_CHANGES = ("reset", "step", "set_state", "close")
_KEPT = (
    *("_key", "_target", "_labelled", "_collected", "_count", "_held", "_bought", "_positives", "_steps", "_looks"),
    *("_wasted", "_quantity", "_worth", "_start", "_picked", "_invalid"),
)
"""The arrays of a snapshot."""


def _is_one(seed: object) -> bool:
    return seed is None or isinstance(seed, int | np.integer)


def _autoreset_mode(mode: str | AutoresetMode) -> AutoresetMode:
    known = {m.value: m for m in AutoresetMode}
    if isinstance(mode, AutoresetMode):
        return mode
    if mode not in known:
        raise unknown("autoreset_mode", mode, known)
    return known[mode]
