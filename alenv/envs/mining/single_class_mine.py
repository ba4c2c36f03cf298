"""SingleClassMine: choose which images to label so that as much as possible of one class is found."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from alenv.contact_sheet import ContactSheet, Page
from alenv.envs.actions import checked
from alenv.envs.mining.arguments import STATE, MiningArguments, Options, observation_space
from alenv.envs.mining.draws import first_candidates, settle
from alenv.envs.mining.mining_snapshot import read_episode
from alenv.envs.mining.task import MiningTask
from alenv.envs.resumable import ResumableEnv
from alenv.mining.features import Relation, raw
from alenv.outside import decode
from alenv.tiles import tiles

Observation = dict[str, NDArray]
Info = dict[str, Any]

BLOCK = 64
"""Sets of candidates drawn at once; no draw depends on it."""


class SingleClassMineEnv(ResumableEnv):
    r"""Buy labels of images, one at a time, so that as much as possible of one class is found.

    ## Description
    A pool of images has frozen embeddings (unit vectors). Every episode has a *target class*. It starts with a few
    labelled images. The agent is shown K unlabelled candidates and picks one, whose label arrives at once. It is paid
    for what the picked images hold of the target class, with less for more of the same. No model is trained while
    mining, so a step takes microseconds.

    This is a reconstruction (MiSiCAL-style) of the problem of Lambert and Slade (2023), of which no code and no
    details are public, and no replication.

    Every random draw is a function of (episode, stream, look, slot): two policies with one seed meet the same class,
    the same labelled images and, as far as they have labelled the same, the same candidates.

    ## Action Space
    `Discrete(K)`: which candidate to label. With `skip=True`, `Discrete(K + 1)`: action K looks at new candidates, for
    `look_cost` of the budget; it is masked where that would leave less than one image. A masked action buys nothing,
    costs one image of the budget and sets `info["invalid_action"]`.

    ## Observation Space
    A `Dict` of fresh arrays:

    | key | shape, dtype | meaning |
    |---|---|---|
    | `candidates` | (K, F) float32 in [0, 1] | features of each candidate |
    | `state` | (6,) float32 in [0, 1] | see below |
    | `action_mask` | (K,) or (K + 1,) int8 | 1 where the action is legal |

    Features of a candidate: `cosine` has the first three, `relational` all but the vector, `embedding` all.

    | name | feature |
    |---|---|
    | `fixed`, `positive`, `negative` | cosine to the mean of the positive seeds, of all positives, of all negatives |
    | `ridge_mean` | posterior mean of a ridge regression on all labels (1 with the class, 0 without) |
    | `nearest_positive`, `nearest_labelled` | largest cosine to a positive, to any labelled image |
    | `ridge_deviation` | posterior deviation of the regression |
    | `vector:0` to `vector:63` | the vector itself, as (1 + z) / 2, filled up with 0.5 |

    All but the last two are centred over the candidates: 1/2 + (x - mean) / 4, `ridge_mean` clipped.

    With `vectors="cells"` cosines and regression are those of vectors that depend on the episode: an image is the mean
    of its cells, of which those count most that resemble the positives so far; a labelled image with the class is the
    mean of the cells that the class covers. See `alenv.mining.cells`. `vector:*` is still that of the whole image.

    | name | entry of `state` |
    |---|---|
    | `spent`, `looks` | share of the budget that is spent, that is spent on looks |
    | `positive_share` | share of positives among the bought images |
    | `gain` | the return g so far, as g / (1 + g) |
    | `positives`, `labelled` | log(1 + images), with the seeds, relative to their largest |

    `env.unwrapped.feature_names` and `state_names` name the columns of `candidates` and of `state`;
    `env.unwrapped.action_masks()` is the mask as bool, for sb3-contrib.

    ## Starting State
    The target class is drawn among the eligible ones, those of the argument `classes` that are in at least
    `positives` + 1 images of the pool. `reset(options={"target_class": name})` names one of them instead. The seeds
    are `positives` images with the class and `negatives` without.

    ## Rewards
    The increase of g(n), n the labelled pixels of the class, seeds included. g is summed over the class's modes: on
    `mixture` a class has one to four looks, so finding a new one pays more than another image of the old.

    | `gain` | g |
    |---|---|
    | `log` | log(1 + n / s), s the mean pixels of the class in an image that holds the mode |
    | `saturating` | n / (n + 2.7 s) |
    | `presence` | 1 once n > 0 |
    | `curve` | measured accuracy by class, from `python -m benchmarks.curves`; `curve:<file>` names the file |

    ## Episode End
    *Terminated* when the budget has less than one image left: after `budget` picks, if none was invalid and nothing
    was spent on looks. The environment never truncates.

    ## Information
    The same keys at every step: `target_class` (its name), `picked` (the image bought by this step; -1 if none),
    `quantity` (labelled pixels of the class, seeds included), `positives` (bought images that hold it), `gain` (the
    return so far), `looks` (skips so far), `invalid_action`. Quantities are integers and equal on every machine.

    ## Arguments

    | argument | default | meaning |
    |---|---|---|
    | `dataset` | `"mixture"` | `mixture` (10,000 generated images), `mixture:<n>`, or data with masks (`folder`) |
    | `root`, `embeddings` | `None` | where a dataset lies, and the frozen network that embeds it once |
    | `vectors` | `"image"` | how images are compared: `image` (one vector each) or `cells` (see above; needs photos) |
    | `pool` | `"train"` | `train` (agents learn here) or `eval` (policies are judged here) |
    | `classes` | `"train"` | target classes: `train`, `heldout`, `all`, or a list of names |
    | `candidates` | 20 | K candidates shown, at least 2 |
    | `budget` | 50 | images bought in an episode |
    | `positives`, `negatives` | 1, 1 | labelled images at the start |
    | `skip`, `look_cost` | `False`, 0.1 | whether new candidates can be had, and for how much of an image |
    | `gain` | `"log"` | what pixels are worth, see Rewards |
    | `observation` | `"relational"` | `cosine` (cheapest), `relational`, or `embedding` (memorises) |
    | `render_mode` | `None` | `rgb_array` (a contact sheet of candidates and what was bought) or `ansi` |

    ## Registered Configurations
    - `SingleClassMine-v0`: the generated mixture. `gym.make_vec("SingleClassMine-v0", num_envs=1024)` is a native
      batch, equal to single environments step for step; see `alenv.envs.mining.single_class_mine_vector`.
    - `SingleClassMine-Flat-v0`: the same with one vector (D,) for an observation, of which the mask is the last
      entries, for libraries that know only `Box`; see `alenv.wrappers.FlatObs`.

    ## References
    F. Lambert, E. Slade. Mining of Single-Class by Active Learning for Semantic Segmentation. arXiv:2307.09109, 2023.

    ## Version History
    - v0: first version.
    """

    metadata = {"render_modes": ["rgb_array", "ansi"], "render_fps": 4}  # noqa: RUF012 - as Gymnasium declares it
    kind = "SingleClassMine"
    arguments_type = MiningArguments

    def __init__(
        self,
        dataset: str = "mixture",
        root: str | None = None,
        embeddings: str | None = None,
        vectors: str = "image",
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
        given = {name: value for name, value in locals().items() if name != "self"}
        self._arguments = decode(MiningArguments, given)
        self.render_mode = render_mode
        self._shown, self._budget, self._look_cost = candidates, budget, look_cost if skip else 0.0
        self._actions, self._raw = candidates + skip, observation == "embedding"
        self._legal = np.ones(self._actions, np.int8)
        self.action_space = spaces.Discrete(self._actions)
        self.observation_space = observation_space(self._arguments)
        self._task: MiningTask | None = None
        self._gain = self._worth = 0.0
        self._ended = True

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, Info]:
        """Start an episode.

        Args:
            seed: Seeds this episode and those that follow.
            options: ``target_class``: name of the class to mine.

        Raises:
            ValueError: If an option or a class is unknown, or the class has too few images. Whatever is refused
                changes nothing: the episode before goes on.
        """
        decoded, task = decode(Options, {} if options is None else options, "reset option"), self._build()
        named = None if decoded.target_class is None else task.named(decoded.target_class)
        super().reset(seed=seed)  # whatever is refused was refused before anything changed, or is refused here
        self._snapshot = None
        key = int(self.np_random.integers(2**62))
        target = task.target(key) if named is None else named
        self._begin(key, target, task.seeds(key, target))
        return self._observe(), self._info()

    def step(self, action: np.int64 | int) -> tuple[Observation, float, bool, bool, Info]:
        """Pick one candidate, or look at others.

        Raises:
            gymnasium.error.ResetNeeded: Before the first ``reset`` and after the end of an episode.
            ValueError: If the action is not in the action space.
        """
        if self._ended:
            self._resume()
            if self._over:
                raise gym.error.ResetNeeded("the episode is over; call reset()")
        if type(action) is not int or not 0 <= action < self._actions:
            action = checked(action, self._actions)
        before, self._picked, self._invalid = self._gain, -1, False
        if action < self._shown:
            self._buy(self._row[action])
        elif self._may_look:
            self._looks += 1
        else:
            self._wasted += 1
            self._invalid = True
        self._step += 1
        self._ended = self._over
        return self._observe(), self._gain - before, self._ended, False, self._info()

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which actions are legal now, bool (K,) or (K + 1,)."""
        self._resume()
        return self._mask().astype(bool)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns of ``candidates``."""
        return self._arguments.feature_names

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the entries of ``state``."""
        return STATE

    def render(self) -> NDArray[np.uint8] | str | None:
        """Return a picture (``rgb_array``), a line of text (``ansi``), or None without a render mode.

        The picture, see ``alenv.contact_sheet``, shows no label that was not bought.
        """
        if self.render_mode is None:
            gym.logger.warn("render() needs gym.make(..., render_mode='rgb_array' or 'ansi')")
            return None
        self._resume()
        if self.render_mode == "rgb_array":
            return self._sheet.draw(self._page())
        return (
            f"{self._name}: bought {self._bought} of {self._budget} images, {self._positives} hold the class, "
            f"{self._quantity} pixels, gain {self._gain:.3f}"
        )

    def candidate_gains(self) -> NDArray[np.float64]:
        """Return the reward of each candidate, (K,). For oracles only: it reads labels that were not bought."""
        self._resume()
        task, targets = self._build(), np.full(self._shown, self._target)
        after = self._collected + task.quantities(self._images, targets)
        return task.gain(after, targets) - self._worth

    @property
    def labelled(self) -> list[int]:
        """The images labelled so far, the seeds first."""
        self._resume()
        return list(self._labelled)

    def policy_images(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return vectors (n, D) of the policy images, and their pixels of the target class (n,).

        For supervised controls that mine new images (``pool="eval"``).

        Raises:
            ValueError: If the policy images are those that are mined: their labels must be bought.
        """
        self._resume()
        if self._arguments.pool == "train":
            raise ValueError("pool='train' mines the policy images, so their labels must be bought; use pool='eval'")
        task = self._build()
        targets = np.full(len(task.policy_images), self._target)
        return task.vectors[task.policy_images], task.quantities(task.policy_images, targets).sum(1)

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore a snapshot, see ``Resumable``."""
        task = self._build()
        saved = read_episode(state, task)
        self._snapshot = None
        self._set_random(saved.np_random)
        (key, target, labelled), seeds = saved.episode, self._arguments.seeds
        self._begin(key, target, list(labelled[:seeds]))
        for image in labelled[seeds:]:
            self._buy(image)
        self._step, self._looks, self._wasted = saved.counters
        self._picked, self._invalid = saved.last
        self._ended = self._over
        self._show(task)

    @property
    def _manifest(self) -> str:
        return self._build().manifest

    def _played(self) -> dict[str, Any]:
        """Return what was labelled; what was learned follows from that."""
        return {
            "np_random": self._get_random(),
            "episode": (self._key, self._target, list(self._labelled)),
            "counters": (self._step, self._looks, self._wasted),
            "last": (self._picked, self._invalid),
        }

    def _build(self) -> MiningTask:
        """Load the pool: once, and not before it is needed."""
        return self._task or self._use(MiningTask(self._arguments))

    def _use(self, task: MiningTask) -> MiningTask:
        self._task, self._relation, self._counts = task, Relation(*task.memory), task.counts.tolist()
        return task

    def _begin(self, key: int, target: int, seeds: list[int]) -> None:
        task = self._build()
        self._begun = True
        self._key, self._target, self._name = key, target, task.classes[target]
        self._keys, self._targets = np.array([key], np.uint64), np.array([target])
        self._labelled: list[int] = []
        self._taken: set[int] = set()
        self._collected = np.zeros((1, task.most_modes), np.int64)
        self._quantity = self._held = 0
        self._worth, self._block = 0.0, -1
        self._relation.clear()
        for image in seeds:
            self._label(image)
        self._relation.freeze()
        self._bought = self._positives = self._step = self._looks = self._wasted = 0
        self._picked, self._invalid, self._start, self._gain = -1, False, self._worth, 0.0
        self._ended = False

    def _buy(self, image: int) -> None:
        self._positives += self._label(image)
        self._bought += 1
        self._picked, self._gain = image, self._worth - self._start

    def _label(self, image: int) -> bool:
        """Learn what an image holds; return whether it holds the class."""
        task, found = self._build(), False
        for place, pixels in task.held(image, self._target):
            self._collected[0, place] += pixels
            self._quantity += pixels
            found = True
        if found:
            self._held += 1
            self._worth = float(task.gain(self._collected, self._targets)[0])
        if task.cells is None:
            vector = task.vectors[image]
        else:
            vector = task.cells.learn(image, self._target if found else None, self._relation.sought)
        self._relation.learn(vector, found)
        self._labelled.append(image)
        self._taken.add(image)
        return found

    def _show(self, task: MiningTask) -> None:
        """Draw the candidates of this step."""
        block, at = divmod(self._step, BLOCK)
        if block != self._block:
            looks = np.arange(block * BLOCK, (block + 1) * BLOCK)
            self._drawn = first_candidates(self._keys, looks, self._shown, task.images)
            self._block, self._first = block, self._drawn.tolist()
        self._row, self._images = self._first[at], self._drawn[at]
        if len(set(self._row)) < self._shown or not self._taken.isdisjoint(self._row):
            self._row = settle(self._row, int(self._keys[0]), self._step, task.images, self._taken)
            self._images = np.array(self._row)

    @cached_property
    def _sheet(self) -> ContactSheet:
        arguments = self._arguments
        pictures = tiles(arguments.dataset, arguments.root, arguments.embeddings)
        return ContactSheet(pictures, self._shown, self._budget)

    def _page(self) -> Page:
        """What a picture shows of the episode."""
        labelled, seeds = np.array(self._labelled, np.int64), len(self._labelled) - self._bought
        pixels = self._build().quantities(labelled, np.full(len(labelled), self._target)).sum(1)
        found = dict(zip(self._labelled, pixels.tolist(), strict=True))
        parts = (self._positives, self._bought - self._positives, self._look_cost * self._looks, self._wasted)
        spent = tuple(part / self._budget for part in parts)
        bought, first = self._labelled[seeds:], self._labelled[:seeds]
        return Page(self._name, self._row, first, bought, found, self._gain, spent)

    @property
    def _spent(self) -> float:
        return self._bought + self._wasted + self._look_cost * self._looks

    @property
    def _over(self) -> bool:
        return self._budget - self._spent < 1 - 1e-9

    @property
    def _may_look(self) -> bool:
        return self._budget - (self._spent + self._look_cost) >= 1 - 1e-9

    def _mask(self) -> NDArray[np.int8]:
        mask = self._legal.copy()
        if self._actions > self._shown:
            mask[-1] = self._may_look
        return mask

    def _observe(self) -> Observation:
        task = self._task or self._build()
        self._show(task)
        own = task.vectors.take(self._images, 0)
        vectors = own if task.cells is None else task.cells.look(self._images, self._relation.sought)
        features = self._relation.look(vectors)
        if self._raw:
            features = np.concatenate([features, raw(own)], axis=1)
        return {"candidates": features, "state": self._state(), "action_mask": self._mask()}

    def _state(self) -> NDArray[np.float32]:
        looks = self._look_cost * self._looks
        state = (
            (self._bought + self._wasted + looks) / self._budget,
            self._positives / max(self._bought, 1),
            self._gain / (1 + self._gain),
            self._counts[self._held],
            self._counts[len(self._labelled)],
            looks / self._budget,
        )
        return np.array(state, np.float32)

    def _info(self) -> Info:
        return {
            "target_class": self._name,
            "picked": self._picked,
            "quantity": self._quantity,
            "positives": self._positives,
            "gain": self._gain,
            "looks": self._looks,
            "invalid_action": self._invalid,
        }
