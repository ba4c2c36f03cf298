"""What a labelling round of a network costs, against its arithmetic and against plain PyTorch.

The networks have their initial weights: the long training, paid once and cached, is no part of a round. A round is the
paper's: 20 candidates for each of 24 picks out of few images, the state split seen through the model, one epoch over
what was picked, the reward split. *candidates* contains the state. Operations are those of convolutions and matrix
products: one pass of each image, and for a crop that is trained on three. The yardstick is a large matrix product on
the same device, in the same precision.

*outside the model* is the share of a round that is not spent in the network's forward and backward passes and its
optimiser, taken in a round of its own because waiting for the GPU after each of them costs time. *plain* is the same
round in float32, with torch's own settings and without any of our shortcuts: image by image, one pass for labels,
another for entropies, and no features. It is not compiled, in no row.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import torch.nn.functional as F
from rich.table import Table
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import alenv  # noqa: F401  registers the ids
from alenv.data import IGNORE
from alenv.regions import Ids
from alenv.segmenters.networks.training import TRAININGS, Optimizer, Training, crops
from alenv.segmenters.segmenter import SEGMENTERS
from alenv.segmenters.threads import THREADS
from benchmarks.speed.stopwatch import PARTS, Stopwatch, elapsed, matrix_product_rate

ROUND = {"observation": "ralis", "pooling": "image_clustered", "initial": "state:2"}
CAMVID = "RegionSelect-CamVid-FPN-v0"
CONFIGURATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "scenes, tiny": ("RegionSelect-v0", {**ROUND, "segmenter": "tiny"}),
    "scenes, tiny, compiled": ("RegionSelect-v0", {**ROUND, "segmenter": "tiny", "compile": True}),
    **{
        f"CamVid, {name}": (CAMVID, {**ROUND, "segmenter": name, "weights": "random"})
        for name, kind in SEGMENTERS.items()
        if kind.network and name != "tiny"
    },
    "CamVid, fpn_resnet50, compiled": (
        CAMVID,
        {**ROUND, "segmenter": "fpn_resnet50", "weights": "random", "compile": True},
    ),
}


def tables(name: str, rounds: int, device: str) -> list[Table]:
    """Measure some rounds of one configuration."""
    return [table(name, measure(*CONFIGURATIONS[name], rounds, device))]


def measure(env_id: str, kwargs: dict[str, Any], rounds: int, device: str) -> dict[str, Any]:
    """Play some rounds and time their parts, after one that is not counted.

    Returns:
        ``rounds``: milliseconds of each part in each round; ``gflop`` of a round's parts; ``gflops``: rate of the
        yardstick; ``outside``: share of a round outside the model; ``plain``: how many times longer the plain
        formulation takes; ``precision``; ``peak_mib`` of device memory (on a CPU, of the process).
    """
    torch.set_num_threads(THREADS)
    env = _untrained(env_id, {**kwargs, "device": device, "budget": 24 * (rounds + 3)})
    watch, rng = Stopwatch(device), np.random.default_rng(0)
    watch.wrap_parts(env)
    times = [_play(env, watch, rng) for _ in range(1 + rounds)][1:]
    gflop, peak = _operations(env), _peak_mib(device)
    outside = _outside_model(env, watch, rng, device)
    plain_round = _plain_round(env)
    with torch.compiler.set_stance("force_eager"):
        plain_round()  # as ours had a round to warm up
        plain = elapsed(plain_round, device) * 1000
    ours = float(np.median([row["candidates"] + row["fit"] + row["evaluate"] for row in times]))
    precision = env._campaign.learner.facts["precision"]
    rate = matrix_product_rate(device, getattr(torch, precision))
    return {
        "rounds": times,
        "gflop": gflop,
        "gflops": rate,
        "outside": outside,
        "plain": plain / ours,
        "precision": precision,
        "peak_mib": peak,
    }


def _untrained(env_id: str, kwargs: dict[str, Any]) -> Any:
    """Start an episode whose first training takes no step."""
    name = kwargs["segmenter"]
    usual = TRAININGS.get(name, Training())
    TRAININGS[name] = replace(usual, long_steps=0)
    try:
        env = gym.make(env_id, **kwargs).unwrapped
        env.reset(seed=0)
    finally:
        TRAININGS[name] = usual
    return env


def _play(env: Any, watch: Stopwatch, rng: np.random.Generator) -> dict[str, float]:
    watch.seconds.clear()
    for _ in range(env.picks):
        env.step(rng.integers(env._shown))
    return watch.parts()


def _operations(env: Any) -> dict[str, float]:
    """Floating-point operations (1e9) of the network in a round."""
    campaign, training = env._campaign, env._campaign.learner._training
    splits, size = campaign.data.splits, campaign.grid.size
    image = _count(env, *size)
    crop = _count(env, *(min(training.crop, length) for length in size))
    seen = np.union1d(env._current.candidates // campaign.grid.per_image, splits["state"])
    return {"candidates": len(seen) * image, "fit": 3 * env.picks * crop, "evaluate": len(splits["reward"]) * image}


def _count(env: Any, height: int, width: int) -> float:
    """Operations (1e9) of one forward pass."""
    model = env._campaign.learner._model
    eager = torch.compiler.set_stance("force_eager")
    with eager, FlopCounterMode(display=False) as counter, torch.no_grad():
        model.network(torch.zeros(1, 3, height, width, device=model.device))
    return counter.get_total_flops() / 1e9


def _outside_model(env: Any, watch: Stopwatch, rng: np.random.Generator, device: str) -> float:
    """Play a round and return the share of it that is not spent in the model."""
    inside, network = Stopwatch(device), env._campaign.learner._model.network
    body = "_compiled_call_impl" if env._arguments.compile else "forward"
    model: list[tuple[Any, str]] = [(network.body, body), (network.head, "forward"), (Optimizer, "step")]
    functions = [getattr(owner, name) for owner, name in model]
    for owner, name in model:
        inside.wrap(owner, name, "model")
    try:
        total = sum(_play(env, watch, rng).values()) / 1000
    finally:
        for (owner, name), function in zip(model, functions, strict=True):
            setattr(owner, name, function)
    return 1 - inside.seconds["model"] / total


def _plain_round(env: Any) -> Callable[[], None]:
    """Return a function that does what a round asks of a network, as one would write it down."""
    campaign, learner = env._campaign, env._campaign.learner
    data, grid, model = campaign.data, campaign.grid, learner._model
    seen = np.union1d(env._current.candidates // grid.per_image, data.splits["state"])
    picked = env._current.candidates[: env.picks]
    sgd = torch.optim.SGD(model.network.parameters(), 1e-3, momentum=0.95, weight_decay=1e-4)

    @torch.no_grad()
    def look(image: int) -> Tensor:
        return model.network(model.frames.whole(np.array([image]))).softmax(1)

    def run() -> None:
        for image in seen.tolist():
            look(image).argmax(1).cpu()
            probs = look(image)
            (-(probs * probs.clamp_min(1e-30).log()).sum(1)).cpu()
        for image in data.splits["reward"].tolist():
            labels = torch.from_numpy(np.array(data.masks[image])).long()
            torch.bincount((256 * look(image).argmax(1).cpu() + labels).flatten())
        _plain_fit(learner, picked, sgd)

    return run


def _plain_fit(learner: Any, regions: Ids, sgd: torch.optim.Optimizer) -> None:
    place = crops(np.random.default_rng(0), learner._grid, regions, learner._training.crop)
    images, ys, xs = place
    masks = np.asarray(learner._data.masks[images[:, None, None], ys[:, :, None], xs[:, None, :]])
    labels = torch.from_numpy(masks).long().to(learner._model.device)
    for part in torch.arange(len(regions)).split(learner._training.batch):
        rows = part.numpy()
        logits = learner._model.network(learner._model.frames.crops(images[rows], ys[rows], xs[rows]))
        sgd.zero_grad()
        F.cross_entropy(logits, labels[part.to(labels.device)], ignore_index=IGNORE).backward()
        sgd.step()


def _peak_mib(device: str) -> float:
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def table(name: str, result: dict[str, Any]) -> Table:
    """Lay out one configuration."""
    title = (
        f"{name}, {result['precision']}: {result['peak_mib']:.0f} MiB peak, yardstick {result['gflops']:.0f} GFLOP/s"
    )
    caption = f"outside the model {result['outside']:.0%}; plain float32 PyTorch takes {result['plain']:.1f} x as long"
    out = Table(title=title, caption=caption)
    for column in ("part", "median ms", "GFLOP", "GFLOP/s", "x bound"):
        out.add_column(column, justify="left" if column == "part" else "right")
    for part in PARTS:
        milliseconds = float(np.median([row[part] for row in result["rounds"]]))
        out.add_row(part, f"{milliseconds:.1f}", *_rates(milliseconds, result["gflop"].get(part), result["gflops"]))
    total = float(np.median([sum(row.values()) for row in result["rounds"]]))
    rates = _rates(total, sum(result["gflop"].values()), result["gflops"])
    out.add_row("round", f"{total:.1f}", *rates, style="bold")
    return out


def _rates(milliseconds: float, gflop: float | None, yardstick: float) -> list[str]:
    if gflop is None:
        return ["-"] * 3
    rate = 1000 * gflop / milliseconds
    return [f"{gflop:.1f}", f"{rate:.0f}", f"{yardstick / rate:.1f}"]
