"""SingleClassMine, E episodes at once: `gym.make_vec("SingleClassMine-v0", num_envs=E)`."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from alenv.arrays import ALL, Rows
from alenv.envs.batch import Batch, Info, Mask, Observation, own_arguments
from alenv.envs.mining.arguments import MiningArguments, Options
from alenv.envs.mining.draws import first_candidates, settle_many
from alenv.envs.mining.mining_snapshot import read_batch, rows
from alenv.envs.mining.single_class_mine import SingleClassMineEnv
from alenv.envs.mining.task import MiningTask
from alenv.envs.snapshot import facts, plain, random_state
from alenv.mining.features import Relations, raw


class SingleClassMineVectorEnv(Batch):
    """E episodes of `SingleClassMineEnv` in arrays, equal to single environments step for step and bit for bit.

    Everything is as on the page of `alenv.envs.mining.single_class_mine.SingleClassMineEnv`, with a leading axis of E,
    and as `gymnasium.vector.SyncVectorEnv` would return it; seeds, masks and the end of an episode are explained in
    `alenv.envs.batch.Batch`.

    Args:
        num_envs: E.
        autoreset_mode: `"NextStep"`, `"SameStep"` or `"Disabled"`, or `gymnasium.vector.AutoresetMode`.
        kwargs: As for a single environment; `render` returns a tuple of E pictures or lines.
    """

    kind = SingleClassMineEnv.kind
    arguments_type = MiningArguments
    options_type = Options

    def __init__(
        self, num_envs: int = 1, autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP, **kwargs: Any
    ) -> None:
        one, own = SingleClassMineEnv(**kwargs), own_arguments(num_envs, autoreset_mode)
        arguments = one._arguments
        arguments.check_batch(own.num_envs)
        self._declare(arguments, own, one.action_space, one.observation_space)
        self._shown, self._budget = arguments.candidates, arguments.budget
        self._look_cost = arguments.look_cost if arguments.skip else 0.0
        self._actions, self._raw = arguments.actions, arguments.observation == "embedding"
        self._task: MiningTask | None = None

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

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore a snapshot, see ``Batch``."""
        task = self._build()
        episodes = read_batch(state, task, self.num_envs)
        self._snapshot, self._begun = None, True
        self._restore_generators([episode.np_random for episode in episodes])
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

    @cached_property
    def _view(self) -> SingleClassMineEnv:
        """A single environment, to show one episode after the other."""
        view = SingleClassMineEnv(**plain(self._arguments))
        view.spec = self._spec_of_one()
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
        self._relations = Relations(episodes, self._shown, *task.memory)
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

    def _named(self, options: Options) -> int | None:
        """The class that is to be mined in the place of a drawn one."""
        task = self._build()
        return None if options.target_class is None else task.named(options.target_class)

    @property
    def _manifest(self) -> str:
        return self._build().manifest

    def _begin(self, episodes: NDArray[np.int64], named: int | None) -> None:
        """Draw and start new episodes, of the named class or a drawn one."""
        task = self._build()
        keys = [self._draw_key(i) for i in episodes.tolist()]
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

    def _act(self, actions: NDArray[np.int64], active: Mask) -> NDArray[np.float64]:
        """Pick, look, or waste an image, in the active environments."""
        before = self._gain.copy()
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
        return self._gain - before

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
        self._relations.learn(which, self._learned(which, images, found), found)
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
        task, images = self._build(), self._images[which]
        features = self._relations.look(which, *self._looked(which, images))
        if self._raw:
            features = np.concatenate([features, raw(task.vectors.take(images, 0))], axis=2)
        return {"candidates": features, "state": self._state(which), "action_mask": self._mask(which)}

    def _learned(self, which: Rows, images: NDArray[np.int64], found: Mask) -> NDArray[np.float32]:
        """Return the vectors of images that are labelled, one in each of some episodes, (e, D)."""
        task = self._build()
        if task.cells is None:
            return task.vectors.take(images, 0)
        targets = [target if held else None for target, held in zip(self._target[which].tolist(), found, strict=True)]
        labels = zip(images.tolist(), targets, self._relations.sought(which), strict=True)
        return np.stack([task.cells.learn(*label) for label in labels])

    def _looked(self, which: Rows, images: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return a table of vectors, and the rows of it that are the candidates of some episodes, (e, K)."""
        task = self._build()
        if task.cells is None:
            return task.vectors, images
        looks = zip(images, self._relations.sought(which), strict=True)
        table = np.concatenate([task.cells.look(*look) for look in looks])
        return table, np.arange(images.size).reshape(images.shape)

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

    def _report(self) -> Info:
        """Return the infos of all episodes."""
        return {
            "target_class": self._names[self._target],
            "picked": self._picked.copy(),
            "quantity": self._quantity.copy(),
            "positives": self._positives.copy(),
            "gain": self._gain,
            "looks": self._looks.copy(),
            "invalid_action": self._invalid.copy(),
        }
