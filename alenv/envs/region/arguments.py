"""RegionSelect's arguments and reset options: what each can be, and what they cannot be together."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from alenv import data as datasets
from alenv import observation
from alenv.acquisition import GRADIENTS, MAPS, POSTERIOR, Score, class_number, find_score
from alenv.data import Dataset
from alenv.data.adaptation import parse_source
from alenv.errors import shown, unknown
from alenv.imports import FEATURES, find_function, is_path
from alenv.memory import check_memory
from alenv.metrics import Reward
from alenv.outside import Place, Positive, parse_count
from alenv.segmenters.segmenter import Kind, find_segmenter, named

INITIAL = ("none", "state:n", "random:n", "train", "source:<dataset>[:<split>]")

RANKED = MAPS | {"nearest", "image"}
"""What is known of windows."""

DatasetName = Annotated[str, Meta(description="the name of a dataset, or 'package.module:name' of yours")]
Region = Annotated[
    tuple[Positive, Positive] | str | None, Meta(description="[height, width] in pixels, 'image' or 'pixel'")
]
Dimensions = Annotated[
    int, Meta(ge=5, le=4096, description="a number from 5, of which 4 say where a cell lies, to 4096")
]
Device = Annotated[str, Meta(pattern=r"\A(cpu|cuda(:[0-9]{1,2})?)\Z", description="'cpu', 'cuda' or 'cuda:<number>'")]


class Arguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """See the page of ``RegionSelectEnv``; what can be checked without reading images is checked here."""

    dataset: DatasetName
    root: Place | None
    split: str | None
    pool: Literal["train", "eval"]
    fresh_pool: bool
    region: Region
    picks: Positive
    candidates: Positive
    budget: Positive
    pooling: Literal["uniform", "per_image", "global", "image_clustered", "ranked"]
    initial: str
    segmenter: str
    features: str
    weights: Place | None
    dimensions: Dimensions
    recipe: Literal["incremental", "retrain"]
    observation: Literal["compact", "ralis"]
    scores: Annotated[tuple[str, ...], Meta(description="a list of names")]
    passes: Positive
    reward: str
    pick_gains: bool
    device: Device
    precision: Literal["auto", "float32", "bfloat16"]
    compile: bool
    render_mode: Literal["rgb_array", "ansi"] | None

    def __post_init__(self) -> None:
        """Check what concerns several arguments.

        Raises:
            ValueError: For the first that is wrong.
        """
        self._check_data()
        if self.budget < self.picks:
            raise ValueError(
                f"budget={self.budget} is smaller than one round of picks={self.picks}; "
                f"use budget >= {self.picks} or picks <= {self.budget}"
            )
        self._check_segmenter()
        if self.pooling == "ranked":
            self._check_ranked()
        self._check_region()
        self._check_scores()
        Reward(self.reward, self.opened.classes)
        self._check_sizes()

    @cached_property
    def opened(self) -> Dataset:
        """The dataset."""
        return datasets.open_dataset(self.dataset, self.root)

    @property
    def kind(self) -> Kind:
        """What kind the segmenter is of."""
        return find_segmenter(self.segmenter)

    @property
    def pixel(self) -> bool:
        """Whether a region is a single pixel."""
        return self.region in ("pixel", (1, 1)) and self.pooling != "ranked"

    @property
    def shown(self) -> int:
        """Candidates N that a pick chooses among."""
        return self.candidates * (self.picks if self.shared else 1)

    @property
    def shared(self) -> bool:
        """Whether all picks of a round choose from one pool."""
        return self.pooling in ("global", "ranked")

    @property
    def ranker(self) -> Score | None:
        """The channel that windows are ranked by: the first, if it is a map."""
        return self.channels[0] if self.scores and self.channels[0].ranks else None

    @property
    def channels(self) -> list[Score]:
        """The acquisition channels."""
        return [find_score(name) for name in self.scores]

    def _check_data(self) -> None:
        datasets.check_split(self.dataset, self.opened, self.split)
        if self.fresh_pool and not self.opened.generated:
            raise ValueError(f"fresh_pool=True: {self.dataset!r} cannot be generated; only 'scenes' can")
        kind, _ = parse_initial(self.initial, self.pool)
        if (
            kind == "source"
            and parse_source(self.initial)[0] == self.dataset
            and self.pool == "train"
            and not self.fresh_pool
        ):
            raise ValueError(
                f"initial={self.initial!r} would give away the labels of the pool 'train'; use pool='eval'"
            )
        if self.pooling == "ranked" and kind in ("state", "train", "random"):
            raise ValueError(f"initial={self.initial!r}: with pooling='ranked' use 'none' or 'source:<dataset>'")
        if self.pixel and kind in ("state", "train"):
            raise ValueError(
                f"initial={self.initial!r} labels whole images, which region='pixel' cannot; use 'random:n' or 'none'"
            )

    def _check_segmenter(self) -> None:
        """Check what holds for probes alone, or for networks alone."""
        name, networks = self.segmenter, named(network=True)
        if self.pick_gains and not self.kind.gains:
            raise ValueError(
                f"pick_gains=True needs segmenter={named(gains=True)}; for {name!r} single gains are not known"
            )
        if self.kind.network:
            if self.features != "filterbank":
                raise ValueError(
                    f"features={shown(self.features)} has no effect with segmenter={name!r}, which learns its own; "
                    "pass features='filterbank', the default"
                )
            if self.dimensions != 64:
                raise ValueError(
                    f"dimensions={self.dimensions} has no effect with segmenter={name!r}, which learns its "
                    "own features; drop it"
                )
            return
        if is_path(self.features):
            find_function("features", self.features, FEATURES)
        if self.device != "cpu" or self.precision == "bfloat16" or self.compile:
            raise ValueError(
                f"segmenter={name!r} computes on the CPU in float32, not with device={self.device!r}, "
                f"precision={self.precision!r}, compile={self.compile!r}; those are for networks: {networks}"
            )
        if self.recipe != "incremental":
            raise ValueError(
                f"recipe={self.recipe!r} has no effect with segmenter={name!r}, which is always fitted to all labels; "
                f"drop it, or use a network: {networks}"
            )

    def _check_ranked(self) -> None:
        if not isinstance(self.region, tuple):
            raise ValueError(f"pooling='ranked' labels windows; pass region=[3, 3], or [1, 1], not {self.region!r}")
        if self.observation == "ralis" or self.pick_gains:
            raise ValueError("pooling='ranked' goes with observation='compact' and no pick_gains")
        for name in self.scores:
            if not RANKED.issuperset(find_score(name).needs):
                raise ValueError(f"score {name!r} is not known of windows; use another pooling than 'ranked'")

    def _check_region(self) -> None:
        if isinstance(self.region, str) and self.region not in ("image", "pixel"):
            raise ValueError(f"region={shown(self.region)}: expected [height, width] in pixels, 'image' or 'pixel'")
        if self.pixel and self.observation == "ralis":
            raise ValueError("observation='ralis' pools the entropy of regions, which a pixel has not; use 'compact'")

    def _check_scores(self) -> None:
        for name in self.scores:
            needs = find_score(name).needs
            if not {"moments", "samples"}.isdisjoint(needs) and self.passes < 2:
                raise ValueError(
                    f"score {name!r} compares Monte-Carlo passes, but passes={self.passes}; use passes >= 2"
                )
            for what, fact in (GRADIENTS, "gradients"), (POSTERIOR, "posterior"):
                if not (what.isdisjoint(needs) or getattr(self.kind, fact)):
                    raise ValueError(
                        f"score {name!r} is not known for segmenter={self.segmenter!r}; use {named(**{fact: True})}"
                    )
            if (class_number(name) or 0) >= len(self.opened.classes):
                last = len(self.opened.classes) - 1
                raise ValueError(f"score {name!r}: the classes of {self.dataset!r} have numbers from 0 to {last}")
            if self.scores.count(name) > 1:
                raise ValueError(f"scores={shown(list(self.scores))}: {name!r} is named twice; name it once")
        if self.pixel and "difficulty_entropy" in self.scores:
            raise ValueError(
                "score 'difficulty_entropy' is the spread within a region, which a pixel has not; "
                "use 'difficulty_score'"
            )

    def _check_sizes(self) -> None:
        """Refuse what cannot be held: the rows of the observation with its bounds, and what a pick and a pass keep."""
        classes = self.opened.classes
        row = 16 * (len(observation.candidate_names(classes)) + len(self.scores) + 1)
        check_memory("picks", self.picks, 256)
        check_memory("candidates", self.candidates, row * (self.picks if self.shared else 1))
        check_memory("passes", self.passes, 8 * len(classes) * (self.dimensions + 1))

    def check_batch(self, num_envs: int) -> None:
        """Check that there can be a native batch of so many episodes.

        Raises:
            ValueError: If there cannot.
        """
        if self.kind.network:
            raise ValueError(
                f"segmenter={self.segmenter!r} is a network, of which there is no native batch; "
                'use gym.make_vec(..., vectorization_mode="sync")'
            )
        width = len(observation.candidate_names(self.opened.classes)) + len(self.scores)
        check_memory("num_envs", num_envs, 4 * self.picks * self.candidates * (width + self.dimensions))


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``RegionSelectEnv.reset`` can be given."""

    initial_images: tuple[str | int, ...] | None = None


def parse_initial(initial: str, pool: str) -> tuple[str, int]:
    """Split ``initial`` into its kind and number (0 where it has none).

    Raises:
        ValueError: If it is none of ``INITIAL``, or labels the whole pool.
    """
    if initial in ("none", "train"):
        if initial == pool:
            raise ValueError("initial='train' labels the whole pool 'train'; use pool='eval' or another initial")
        return initial, 0
    kind, _, number = initial.partition(":")
    if kind == "source" and number.strip(":"):
        return kind, 0
    if kind not in ("state", "random"):
        raise unknown("initial", initial, INITIAL)
    if (count := parse_count(number)) is None:
        raise ValueError(f"initial={shown(initial)}: write a number of at least 1 after the colon, as in '{kind}:2'")
    return kind, count
