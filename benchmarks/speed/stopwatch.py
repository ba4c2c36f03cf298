"""Times of the parts of a labelling round, and the yardstick they are held against."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch

PARTS = ("candidates", "observation", "fit", "evaluate", "rest")


class Stopwatch:
    """Collects the time spent in functions that it has wrapped.

    Args:
        device: Its work is waited for before the clock is read.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._device = device

    def wrap(self, owner: Any, name: str, part: str) -> None:
        """Count the calls of ``owner.name`` towards a part."""
        function = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = now(self._device)
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[part] += now(self._device) - start

        setattr(owner, name, timed)

    def wrap_parts(self, env: Any) -> None:
        """Count the calls that make up the parts of a round."""
        learner = env._campaign.learner
        for name, part in (("predict", "candidates"), ("fit", "fit"), ("evaluate", "evaluate")):
            self.wrap(learner, name, part)
        self.wrap(env, "_show", "round opened")
        self.wrap(env, "step", "step")

    def parts(self) -> dict[str, float]:
        """Split a round's seconds into disjoint parts, in milliseconds."""
        parts = {part: self.seconds[part] for part in ("candidates", "fit", "evaluate")}
        parts["observation"] = self.seconds["round opened"] - self.seconds["candidates"]
        parts["rest"] = self.seconds["step"] - sum(parts.values())
        return {part: 1000 * parts[part] for part in PARTS}


def now(device: str = "cpu") -> float:
    """Return a clock in seconds: processor time, as machines are shared; with a GPU, after all work it was given."""
    if not device.startswith("cuda"):
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def matrix_product_rate(device: str = "cpu", kind: torch.dtype = torch.float32) -> float:
    """Return the rate of a large matrix product, in 1e9 operations per second; on a CPU with torch's threads."""
    size = 8192 if device.startswith("cuda") else 1024
    a = torch.ones(size, size, device=device, dtype=kind)
    best = min(elapsed(lambda: a @ a, device) for _ in range(10))
    return 2 * size**3 / best / 1e9


def elapsed(function: Callable[[], Any], device: str = "cpu") -> float:
    """Return the seconds that a call takes."""
    start = now(device)
    function()
    return now(device) - start
