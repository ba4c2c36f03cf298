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

from alenv.envs.actions import checked_all
from alenv.envs.mining_arguments import BatchArguments, BatchOptions, observation_space
from alenv.envs.mining_draws import first_candidates, settle_many
from alenv.envs.mining_snapshot import read_batch, rows
from alenv.envs.mining_task import MiningTask
from alenv.envs.single_class_mine import SingleClassMineEnv
from alenv.envs.snapshot import Pickled, Random, facts, plain, random_state
from alenv.errors import shown
from alenv.mining.features import ALL, Relations, Rows, raw
from alenv.outside import decode
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
        given = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        if isinstance(autoreset_mode, AutoresetMode):
            given["autoreset_mode"] = autoreset_mode.value
        self._arguments = decode(BatchArguments, given)
        self.autoreset_mode = AutoresetMode(self._arguments.autoreset_mode)
        self.num_envs, self.render_mode = num_envs, render_mode
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self._shown, self._budget, self._look_cost = candidates, budget, look_cost if skip else 0.0
        self._actions, self._raw = candidates + skip, observation == "embedding"
        self.single_action_space = spaces.Discrete(self._actions)
        self.single_observation_space = observation_space(self._arguments)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._numbers = np.arange(num_envs)
        self._task: MiningTask | None = None
        self._generators: list[np.random.Generator] = []
        self._random_seeds: list[int] = []
        self._begun = False
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
            ValueError: If an option, a class, a seed, their number or the mask is wrong. Whatever is refused changes
                nothing: the episodes before go on.
        """
        chosen = decode(BatchOptions, {} if options is None else options, "reset option")
        mask, seeds, task = self._reset_mask(chosen.reset_mask), self._check_seeds(seed), self._build()
        named = None if chosen.target_class is None else task.named(chosen.target_class)
        if mask.all():
            self._snapshot = None
        else:
            self._resume()
        self._seed(seeds, mask)
        self._begin(np.flatnonzero(mask), named)
        return self._observe(ALL), self._infos(mask)

    def step(self, actions: NDArray) -> tuple[Observation, NDArray, NDArray, NDArray, Info]:
        """Take one action in every environment.

        Raises:
            gymnasium.error.ResetNeeded: Before the first ``reset``; with autoreset disabled, after an end.
            ValueError: If an action is not in the action space.
        """
        self._resume()
        chosen = checked_all(actions, self.num_envs, self._actions, "one for each episode")
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
        if name in _AT_ONCE:
            known = getattr(self, name)
            return tuple(known(*args, **kwargs) if callable(known) else known)
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
        return fingerprint(env="SingleClassMine", arguments=facts(self._arguments), data=self._build().manifest)

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

    def get_state(self) -> dict[str, Any]:
        """Return a snapshot of all episodes: plain numbers and lists. What was learned follows from the labels.

        Raises:
            gymnasium.error.ResetNeeded: Before the first ``reset``.
        """
        if self._snapshot is not None:
            return self._snapshot
        self._resume()
        episodes = [self._state_of(episode) for episode in range(self.num_envs)]
        return {"arguments": facts(self._arguments), "data": self._build().manifest, "episodes": episodes}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore a snapshot of an environment with the same arguments and data, in this or another process.

        Versions of code and packages may differ: then the episodes go on, perhaps with other numbers.

        Raises:
            ValueError: If it is none, or one of other arguments, data or number of environments; nothing is changed
                then.
        """
        task = self._build()
        episodes = read_batch(state, task, self.num_envs)
        self._snapshot, self._begun = None, True
        self._restore([episode.np_random for episode in episodes])
        kept = rows(episodes, task.labels)
        self._key, self._target, labelled = kept["key"], kept["target"], kept["labelled"]
        self._start_episodes(self._numbers, labelled[:, : self._seeds])
        for column in range(self._seeds, task.labels):
            which = np.flatnonzero(labelled[:, column] >= 0)
            if len(which):
                self._positives[which] += self._label(which, labelled[which, column])
                self._bought[which] += 1
        self._steps, self._looks, self._wasted = kept["counters"].T.copy()
        self._picked, self._invalid = kept["last"][:, 0].copy(), kept["last"][:, 1].astype(bool)
        self._show(ALL)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle arguments and snapshot: the pool is loaded anew where it is needed."""
        started = self._begun or self._snapshot is not None
        random = [random_state(*pair) for pair in zip(self._generators, self._random_seeds, strict=True)]
        return {
            "arguments": plain(self._arguments),
            "np_random": random or None,
            "state": self.get_state() if started else None,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Unpickle; the snapshot is restored at the first use.

        Raises:
            ValueError: If the arguments or the generators are none.
        """
        pickled = decode(Pickled, state, "entry")
        arguments = decode(BatchArguments, pickled.arguments)
        random = decode(list[Random], pickled.np_random or [], "entry of np_random")
        if random and len(random) != arguments.num_envs:
            raise ValueError(f"np_random holds {len(random)} generators, but num_envs={arguments.num_envs}")
        SingleClassMineVectorEnv.__init__(self, **plain(arguments))
        self._snapshot = pickled.state
        self._restore(random)

    def _state_of(self, episode: int) -> dict[str, Any]:
        """Return what the snapshot of a single environment holds of one episode."""
        labelled = self._labelled[episode, : self._count[episode]].tolist()
        counters, last = (self._steps, self._looks, self._wasted), (self._picked, self._invalid)
        return {
            "np_random": random_state(self._generators[episode], self._random_seeds[episode]),
            "episode": (int(self._key[episode]), int(self._target[episode]), labelled),
            "counters": tuple(array[episode].item() for array in counters),
            "last": tuple(array[episode].item() for array in last),
        }

    def _restore(self, random: Sequence[Random]) -> None:
        self._generators = [one.make() for one in random]
        self._random_seeds = [one.seed for one in random]

    @cached_property
    def _view(self) -> SingleClassMineEnv:
        """A single environment, to show one episode after the other."""
        own = ("num_envs", "autoreset_mode")
        view = SingleClassMineEnv(**{name: value for name, value in plain(self._arguments).items() if name not in own})
        if self.spec is not None:
            kwargs = {k: v for k, v in self.spec.kwargs.items() if k not in (*own, "vectorization_mode")}
            view.spec = replace(self.spec, kwargs=kwargs)
        return view

    def _single(self, episode: int) -> SingleClassMineEnv:
        """Return a copy of one episode, which is good until the next call; it is restored where that is needed."""
        view = self._view
        if self._snapshot is not None or self._begun:
            self._resume()
            task = view._use(self._build())
            same = {"arguments": facts(self._arguments), "data": task.manifest}
            view._snapshot = {**same, **self._state_of(episode)}
        return view

    def _build(self) -> MiningTask:
        """Load the pool and make the arrays: once, and not before they are needed."""
        if self._task is not None:
            return self._task
        task, episodes = MiningTask(self._arguments), self.num_envs
        self._seeds = self._arguments.seeds
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
        if not self._begun:
            raise gym.error.ResetNeeded("there are no episodes yet; call reset()")

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
        """Give new generators to the chosen environments that have a seed, and to those that never had one."""
        if not self._generators:
            pairs = [seeding.np_random(seed) for seed in seeds]
            self._generators, self._random_seeds = [list(column) for column in zip(*pairs, strict=True)]
            return
        for i in np.flatnonzero(mask).tolist():
            if seeds[i] is not None:
                self._generators[i], self._random_seeds[i] = seeding.np_random(seeds[i])

    def _reset_mask(self, mask: Mask | None) -> Mask:
        if mask is None:
            return np.ones(self.num_envs, bool)
        if mask.shape != (self.num_envs,) or mask.dtype != bool or not mask.any():
            raise ValueError(
                f"reset_mask={shown(mask)}: expected a bool array of shape ({self.num_envs},) with at least one True"
            )
        return mask

    def _begin(self, episodes: NDArray[np.int64], named: int | None) -> None:
        """Draw and start new episodes, of the named class or a drawn one."""
        task, self._begun = self._build(), True
        keys = [int(self._generators[i].integers(2**62)) for i in episodes.tolist()]
        targets = [task.target(key) if named is None else named for key in keys]
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


_AT_ONCE = ("action_masks", "candidate_gains", "np_random", "np_random_seed")
"""What is known of all episodes at once; the masks are asked for at every step."""
_CHANGES = ("reset", "step", "set_state", "close")


def _is_seed(seed: object) -> bool:
    return isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0
