"""What RALIS remembers: rounds of picks, of which every pool gives a transition."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.dqn import Parts, Ring
from agents.play import Observation
from alenv.memory import check_memory


class Replay(Ring):
    """The last rounds: a state, K pools, and what became of a pick from each; a transition is a round and a pool.

    Features are kept in half precision.
    """

    def __init__(self, rows: int, obs: Observation) -> None:
        pools = len(obs["candidates"])
        check_memory("replay", rows * pools, (2 * obs["candidates"].size + 2 * obs["state"].size) // pools + 16)
        kinds = {"candidates": np.float16, "state": np.float16, "action_mask": np.int8}
        of_pools = {"action": np.int64, "reward": np.float32, "present": np.float32}
        parts: Parts = {name: (obs[name].shape, kind) for name, kind in kinds.items()}
        parts |= {name: ((pools,), kind) for name, kind in of_pools.items()}
        super().__init__(rows, parts | {"over": ((), np.float32)})

    def add(self, obs: Observation, action: NDArray, reward: NDArray, over: bool) -> None:
        """Remember a round: choices and rewards (K,); those of pools without a legal candidate do not count."""
        present = obs["action_mask"].any(-1)
        self.put({**obs, "action": action, "reward": reward * present, "present": present, "over": over})

    def pairs(self, n_step: int) -> NDArray[np.int64]:
        """Return the rows and pools (2, transitions) that can be learned from: rounds that n_step others followed."""
        rows = (self.count - self.kept + np.arange(max(self.kept - n_step, 0))) % self.rows
        round_, pool = np.nonzero(self.arrays["present"][rows])
        return np.stack([rows[round_], pool])

    def sample(self, batch: int, gamma: float, n_step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Draw transitions without replacement.

        Returns:
            What is in the arrays by name, of what followed with ``next_``, and two of shape (batch,): ``reward``, the
            discounted sum of n_step rounds, and ``discount``, what the value of what followed counts: 0 at the end.
        """
        pairs = self.pairs(n_step)
        row, pool = pairs[:, rng.choice(pairs.shape[1], batch, replace=False)]
        reward, alive, after = np.zeros(batch, np.float32), np.ones(batch, np.float32), row
        for step in range(n_step):  # rewards after an end are another episode's: ``alive`` is 0 then
            reward += alive * np.float32(gamma**step) * self.arrays["reward"][after, pool]
            alive = alive * (1 - self.arrays["over"][after])
            after = (after + 1) % self.rows
        discount = np.float32(gamma**n_step) * alive * self.arrays["present"][after, pool]
        drawn = {"action": self.arrays["action"][row, pool], "reward": reward, "discount": discount}
        drawn |= self._seen(row, pool) | {f"next_{name}": a for name, a in self._seen(after, pool).items()}
        return {name: torch.from_numpy(array) for name, array in drawn.items()}

    def _seen(self, row: NDArray, pool: NDArray) -> dict[str, NDArray]:
        a = self.arrays
        seen = {"candidates": a["candidates"][row, pool], "state": a["state"][row]}
        return {name: x.astype(np.float32) for name, x in seen.items()} | {"action_mask": a["action_mask"][row, pool]}
