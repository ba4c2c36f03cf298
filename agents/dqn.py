"""What the double DQNs have in common (van Hasselt et al., 2016): memory, targets, and the best legal actions.

Networks are called as ``network(candidates, state, action_mask)``, each with a first axis of observations, and return
the value of every action.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.checkpoints import check
from agents.play import Observation
from alenv.outside import Count, decode

OBSERVED = ("candidates", "state", "action_mask")
"""What networks see of an observation, in this order."""

Network = Callable[..., Tensor]
Parts = dict[str, tuple[tuple[int, ...], Any]]
"""Shape and type of arrays, by name."""


class Ring:
    """The last steps, as rows of arrays: a full one overwrites its oldest.

    The next row holds what followed, so that nothing is kept twice. After the end of an episode that is the start of
    another one, which is right because nothing after an end counts, and environments here never truncate.

    Args:
        rows: How many steps are kept.
        parts: What a row holds.
    """

    def __init__(self, rows: int, parts: Parts) -> None:
        self.arrays: dict[str, NDArray] = {name: np.zeros((rows, *shape), t) for name, (shape, t) in parts.items()}
        self.rows, self.count = rows, 0

    @property
    def kept(self) -> int:
        """Number of rows that are filled."""
        return min(self.count, self.rows)

    def put(self, row: dict[str, Any]) -> None:
        """Remember one step."""
        for name, value in row.items():
            self.arrays[name][self.count % self.rows] = value
        self.count += 1

    def get_state(self) -> dict[str, Any]:
        """Return all that is remembered."""
        return {"count": self.count, **{name: array[: self.kept] for name, array in self.arrays.items()}}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore a snapshot.

        Raises:
            ValueError: If it is of another training.
        """
        kept = min(decode(Count, state["count"], "count"), self.rows)
        check(state, {"count": 0, **{name: array[:kept] for name, array in self.arrays.items()}}, "replay")
        self.count = state["count"]
        for name, array in self.arrays.items():
            array[: len(state[name])] = state[name]


def legal(q: Tensor, mask: Tensor) -> Tensor:
    """Return the values of actions with minus infinity for masked ones."""
    return q.masked_fill(mask == 0, -torch.inf)


def td_target(online: Network, target: Network, batch: dict[str, Tensor]) -> Tensor:
    """Return what the values should be: the online network picks the next action, the target network rates it.

    Args:
        online: The network that is trained.
        target: The one that follows it.
        batch: Transitions; ``discount`` is what the value of what followed counts, 0 after an end.
    """
    if not batch["discount"].any():
        return batch["reward"]
    with torch.no_grad():
        following = [batch[f"next_{name}"] for name in OBSERVED]
        best = legal(online(*following), batch["next_action_mask"]).argmax(1, keepdim=True)
        return batch["reward"] + batch["discount"] * target(*following).gather(1, best)[:, 0]


def q_of(network: Network, batch: dict[str, Tensor]) -> Tensor:
    """Return the values of the actions that were taken."""
    return network(*(batch[name] for name in OBSERVED)).gather(1, batch["action"][:, None])[:, 0]


def greedy(network: Network, obs: Observation) -> NDArray[np.int64]:
    """Return the best legal action of every observation; 0 where there is none."""
    candidates, state, mask = (torch.from_numpy(obs[name]) for name in OBSERVED)
    with torch.no_grad():
        return legal(network(candidates, state, mask), mask).argmax(1).numpy()


def uniform(mask: NDArray, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return any legal action of every row of a mask."""
    return np.where(mask == 1, rng.random(mask.shape), -1).argmax(1)
