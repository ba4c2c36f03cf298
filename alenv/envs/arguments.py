"""Checks of RegionSelect's arguments: an error names the value, the cause and the remedy."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from alenv.acquisition import SCORES
from alenv.data import Dataset
from alenv.errors import unknown

PROBES = ("linear", "lda", "mlp")
"""Segmenters that are heads on frozen features."""
NETWORKS = (
    "tiny",
    "squeezenet_fpn",
    "fpn_resnet50",
    "deeplabv3_resnet50",
    "deeplabv3_resnet101",
    "deeplabv3_mobilenet_v3_large",
)
"""Segmenters that are trained end to end: the names of ``segmenters.networks``, which would import torch."""
CHOICES = {
    "pool": ("train", "eval"),
    "pooling": ("uniform", "per_image", "global", "image_clustered"),
    "segmenter": (*PROBES, *NETWORKS),
    "recipe": ("incremental", "retrain"),
    "observation": ("compact", "ralis"),
    "precision": ("auto", "float32", "bfloat16"),
    "compile": (False, True),
    "render_mode": (None, "rgb_array", "ansi"),
}
INITIAL = ("none", "state:n", "random:n", "train")


def check(arguments: Mapping[str, Any], module: Dataset) -> None:
    """Check what can be checked without reading data.

    Raises:
        ValueError: For the first argument that is wrong.
    """
    for name, choices in CHOICES.items():
        if arguments[name] not in choices:
            raise unknown(name, arguments[name], [str(choice) for choice in choices])
    for name in ("root", "weights", "features", "reward"):
        if not isinstance(arguments[name], str | None):
            raise ValueError(f"{name}={arguments[name]!r}: expected a string")
    for name in ("picks", "candidates", "budget", "passes"):
        _positive(name, arguments[name])
    if arguments["budget"] < arguments["picks"]:
        budget, picks = arguments["budget"], arguments["picks"]
        raise ValueError(
            f"budget={budget} is smaller than one round of picks={picks}; use budget >= {picks} or picks <= {budget}"
        )
    if arguments["split"] is not None and arguments["split"] not in module.SPLIT_TABLES:
        raise unknown(f"split of {arguments['dataset']}", arguments["split"], module.SPLIT_TABLES)
    if arguments["fresh_pool"] and not module.GENERATED:
        raise ValueError(f"fresh_pool=True: {arguments['dataset']!r} cannot be generated; only 'scenes' can")
    if arguments["pick_gains"] and arguments["segmenter"] not in ("linear", "lda"):
        name = arguments["segmenter"]
        raise ValueError(f"pick_gains=True needs segmenter='linear' or 'lda'; for {name!r} single gains are not known")
    about_model = ("segmenter", "features", "recipe", "device", "precision", "compile")
    _check_segmenter(**{name: arguments[name] for name in about_model})
    _check_region(arguments["region"])
    _check_scores(arguments["scores"], arguments["passes"], arguments["region"])
    if arguments["region"] == "pixel" and arguments["observation"] == "ralis":
        raise ValueError("observation='ralis' pools the entropy of regions, which a pixel has not; use 'compact'")
    kind, _ = parse_initial(arguments["initial"], arguments["pool"])
    if arguments["region"] == "pixel" and kind in ("state", "train"):
        raise ValueError(
            f"initial={arguments['initial']!r} labels whole images, which region='pixel' cannot; "
            "use 'random:n' or 'none'"
        )


def parse_initial(initial: str, pool: str) -> tuple[str, int]:
    """Split ``initial`` into its kind and number (0 where it has none)."""
    kind, _, number = str(initial).partition(":")
    if initial in ("none", "train"):
        if initial == pool:
            raise ValueError("initial='train' labels the whole pool 'train'; use pool='eval' or another initial")
        return kind, 0
    if kind in ("state", "random"):
        if not number.isdecimal() or int(number) < 1:
            raise ValueError(f"initial={initial!r}: write a number of at least 1 after the colon, as in '{kind}:2'")
        return kind, int(number)
    raise unknown("initial", initial, INITIAL)


def _positive(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}={value!r}: expected an integer of at least 1")


def _check_segmenter(segmenter: str, features: str, recipe: str, device: object, precision: str, compile: bool) -> None:
    """Check what holds for probes alone, or for networks alone."""
    if not re.fullmatch(r"cpu|cuda(:\d+)?", str(device)):
        raise ValueError(f"device={device!r}: expected 'cpu', 'cuda' or 'cuda:<number>'")
    if segmenter in NETWORKS:
        if features != "filterbank":
            raise ValueError(
                f"features={features!r} has no effect with segmenter={segmenter!r}, which learns its own; "
                "pass features='filterbank', the default"
            )
    elif device != "cpu" or precision == "bfloat16" or compile:
        raise ValueError(
            f"segmenter={segmenter!r} computes on the CPU in float32, not with device={device!r}, "
            f"precision={precision!r}, compile={compile!r}; those are for networks: {', '.join(NETWORKS)}"
        )
    elif recipe != "incremental":
        raise ValueError(
            f"recipe={recipe!r} has no effect with segmenter={segmenter!r}, which is always fitted to all labels; "
            f"drop it, or use a network: {', '.join(NETWORKS)}"
        )


def _check_region(region: object) -> None:
    if region in (None, "image", "pixel"):
        return
    if not isinstance(region, list | tuple) or len(region) != 2:
        raise ValueError(f"region={region!r}: expected [height, width] in pixels, 'image' or 'pixel'")
    for axis, value in zip(("region height", "region width"), region, strict=True):
        _positive(axis, value)


def _check_scores(scores: Sequence[str], passes: int, region: object) -> None:
    if isinstance(scores, str):
        raise ValueError(f"scores={scores!r}: expected a list of names; write scores=[{scores!r}]")
    for name in scores:
        if name not in SCORES:
            raise unknown("score", name, SCORES)
        if "moments" in SCORES[name].needs and passes < 2:
            raise ValueError(f"score {name!r} compares Monte-Carlo passes, but passes={passes}; use passes >= 2")
    if region == "pixel" and "difficulty_entropy" in scores:
        raise ValueError(
            "score 'difficulty_entropy' is the spread within a region, which a pixel has not; use 'difficulty_score'"
        )
