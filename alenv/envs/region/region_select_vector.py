"""RegionSelect, E episodes at once: `gym.make_vec("RegionSelect-v0", num_envs=E)`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from alenv.arrays import Rows
from alenv.data import SegmentationData
from alenv.envs.batch import Batch, Info, Mask, Observation, own_arguments
from alenv.envs.region.arguments import Arguments, Options
from alenv.envs.region.campaign import evaluate_together
from alenv.envs.region.region_select import RegionSelectEnv
from alenv.envs.region.region_snapshot import RegionBatchSnapshot
from alenv.envs.snapshot import check_number
from alenv.memory import check_memory
from alenv.outside import decode
from alenv.regions import Ids


class RegionSelectVectorEnv(Batch):
    """E episodes of `RegionSelectEnv` that share data and features, equal to single environments bit for bit.

    Everything is as on the page of `alenv.envs.region.region_select.RegionSelectEnv`, with a leading axis of E, and as
    `gymnasium.vector.SyncVectorEnv` would return it; seeds, masks and the end of an episode are explained in
    `alenv.envs.batch.Batch`.

    When rounds end, the models of all these episodes are evaluated in one matrix product over the cells of the reward
    split, see `alenv.segmenters.probes.joint`. Candidates are predicted episode by episode: every episode has others,
    and a product of all models with all cells of the pool would compute three to four times as much.

    Args:
        num_envs: E.
        autoreset_mode: `"NextStep"`, `"SameStep"` or `"Disabled"`, or `gymnasium.vector.AutoresetMode`.
        kwargs: As for a single environment; `render` returns a tuple of E pictures or lines. With `fresh_pool=True`
            every episode holds images and features of its own, as single environments do.

    Networks have no native batch: use `gym.make_vec(..., vectorization_mode="sync")`.
    """

    metadata: dict[str, Any] = RegionSelectEnv.metadata
    kind = RegionSelectEnv.kind
    arguments_type = Arguments
    options_type = Options

    def __init__(
        self, num_envs: int = 1, autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP, **kwargs: Any
    ) -> None:
        first = RegionSelectEnv(**kwargs)
        own = own_arguments(num_envs, autoreset_mode)
        first._arguments.check_batch(own.num_envs)
        self._declare(first._arguments, own, first.action_space, first.observation_space)
        self._episodes = [first, *(RegionSelectEnv(**kwargs) for _ in range(1, num_envs))]
        self._ends: list[tuple[bool, NDArray[np.float64] | None]] = [(False, None)] * num_envs
        """Of every episode's last step: whether it was illegal, and the gains of a round's picks."""

    def action_masks(self) -> Mask:
        """Return which actions are legal now, bool (E, N)."""
        self._resume()
        return np.stack([episode.action_masks() for episode in self._episodes])

    def candidate_gains(self, live: bool = False, splits: Sequence[str] = ("reward",)) -> NDArray[np.float64]:
        """Return what each candidate would gain, (E, N), see ``RegionSelectEnv``. For oracles only."""
        self._resume()
        return np.stack([episode.candidate_gains(live, splits) for episode in self._episodes])

    def fingerprint(self) -> dict[str, Any]:
        """Return that of its episodes, see ``Resumable``."""
        return self._view.fingerprint()

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore a snapshot, see ``Batch``."""
        saved = decode(RegionBatchSnapshot, state, "snapshot entry")
        check_number(len(saved.episodes), self.num_envs)
        self._build()
        read = [episode._read(own) for episode, own in zip(self._episodes, saved.apart(), strict=True)]
        self._snapshot, self._begun = None, True
        for episode, own in zip(self._episodes, read, strict=True):
            episode._restore(*own)
        self._generators = [episode.np_random for episode in self._episodes]
        self._random_seeds = [own.np_random.seed for own, _ in read]

    @property
    def _view(self) -> RegionSelectEnv:
        return self._single(0)

    def _single(self, episode: int) -> RegionSelectEnv:
        if self._snapshot is not None:
            self._resume()
        single = self._episodes[episode]
        single.spec = single.spec or self._spec_of_one()
        return single

    def _build(self) -> None:
        """Make the model: once, and not before it is needed."""
        first, *others = self._episodes
        if not all(episode._built for episode in self._episodes):  # one alone is when it is asked for its fingerprint
            self._check_renewed(first._loaded[0])
            first._build()
            for episode in others:
                episode._join(first)

    def _check_renewed(self, data: SegmentationData) -> None:
        """Refuse more episodes with images of their own than can be held."""
        arguments = self._arguments
        if arguments.fresh_pool:
            cells = data.masks.size // arguments.opened.cell**2
            features = cells * (4 * arguments.dimensions + 2 * len(data.classes))
            check_memory("num_envs", self.num_envs, data.images.nbytes + data.masks.nbytes + features)

    @property
    def _manifest(self) -> str:
        return self._episodes[0]._loaded[0].manifest

    def _state_of(self, episode: int) -> dict[str, Any]:
        state = self._episodes[episode].get_state()
        return {name: value for name, value in state.items() if name not in ("arguments", "data")}

    def _named(self, options: Options) -> Ids | None:
        self._build()
        return self._episodes[0]._named(options.initial_images)

    def _begin(self, episodes: NDArray[np.int64], named: Ids | None) -> None:
        for i in episodes.tolist():
            episode, self._ends[i] = self._episodes[i], (False, None)
            episode._np_random, episode._np_random_seed = self._generators[i], self._random_seeds[i]
            episode._begin(self._draw_key(i), named)
        self._open_rounds(episodes.tolist())

    def _open_rounds(self, which: Sequence[int]) -> None:
        """Score the models of some episodes together, and show their next candidates."""
        opening = [self._episodes[i] for i in which]
        evaluate_together([episode._campaign for episode in opening])
        for episode in opening:
            episode._open_round()

    def _act(self, actions: NDArray[np.int64], active: Mask) -> NDArray[np.float64]:
        """Make a pick in the active episodes, and end the rounds that are complete."""
        for i in np.flatnonzero(active).tolist():
            self._ends[i] = not self._episodes[i]._pick(int(actions[i])), None
        ended = [i for i in np.flatnonzero(active).tolist() if self._episodes[i]._current.over]
        before = [self._episodes[i]._metric for i in ended]
        for i in ended:
            self._ends[i] = self._ends[i][0], self._episodes[i]._close_round()
        self._open_rounds(ended)
        rewards = np.zeros(self.num_envs)
        rewards[ended] = [self._episodes[i]._metric - old for i, old in zip(ended, before, strict=True)]
        return rewards

    @property
    def _over(self) -> Mask:
        return np.array([episode._over for episode in self._episodes])

    def _observe(self, which: Rows) -> Observation:
        episodes = [self._episodes[i] for i in self._numbers[which].tolist()]
        return _stacked([episode._observe() for episode in episodes])

    def _report(self) -> Info:
        infos = [episode._info(*end) for episode, end in zip(self._episodes, self._ends, strict=True)]
        return _stacked(infos)


def _stacked(parts: Sequence[dict[str, Any]]) -> dict[str, NDArray]:
    """Return many dicts with the same keys as one, with a leading axis."""
    return {key: np.array([part[key] for part in parts]) for key in parts[0]}
