"""The native batch of SingleClassMine as a ``VecEnv`` of Stable-Baselines3: hundreds of episodes in one process.

    from agents.sb3_vec import NativeVecEnv

    model = MaskablePPO("MultiInputPolicy", NativeVecEnv("SingleClassMine-v0", 256), n_steps=50)

It equals a ``DummyVecEnv`` of single environments step for step, masks, infos and last observations included. Episode
statistics come from ``VecMonitor``, as with every ``VecEnv``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvObs, VecEnvStepReturn

import alenv  # noqa: F401  registers the ids


class NativeVecEnv(VecEnv):
    """E episodes, reset in the step that ends them.

    Args:
        env_id: An id with a native batch.
        n_envs: E.
        kwargs: Arguments of the environment.
    """

    def __init__(self, env_id: str = "SingleClassMine-v0", n_envs: int = 256, **kwargs: Any) -> None:
        self.batch: Any = gym.make_vec(
            env_id, n_envs, "vector_entry_point", autoreset_mode=AutoresetMode.SAME_STEP, **kwargs
        )
        super().__init__(n_envs, self.batch.single_observation_space, self.batch.single_action_space)
        self.metadata = self.batch.get_attr("metadata")[0]

    def reset(self) -> VecEnvObs:
        """Start all episodes anew, with the seeds and options of ``seed`` and ``set_options``.

        Raises:
            ValueError: If the environments are given different options.
        """
        options = self._options[0]
        if any(other != options for other in self._options):
            raise ValueError(f"options={self._options}: a batch takes the same options for all environments")
        obs, infos = self.batch.reset(seed=list(self._seeds), options=options or None)
        self.reset_infos = _rows(infos, self.num_envs)
        self._reset_seeds()
        self._reset_options()
        return obs

    def step_async(self, actions: NDArray) -> None:
        """Take one action in every episode."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Return what the actions have led to."""
        obs, rewards, terminated, truncated, infos = self.batch.step(self._actions)
        rows, over = _rows(infos, self.num_envs), terminated | truncated
        if over.any():
            last = _rows(infos["final_info"], self.num_envs)
            for i in np.flatnonzero(over).tolist():
                self.reset_infos[i], rows[i] = rows[i], last[i]
                rows[i]["terminal_observation"] = infos["final_obs"][i]
        for row, cut in zip(rows, (truncated & ~terminated).tolist(), strict=True):
            row["TimeLimit.truncated"] = cut
        return obs, rewards.astype(np.float32), over, rows

    def close(self) -> None:
        """Close the batch."""
        self.batch.close()

    def get_images(self) -> Sequence[NDArray | None]:
        """Return a picture of every episode, or as many times None without ``render_mode="rgb_array"``."""
        return self.batch.render() if self.render_mode == "rgb_array" else [None] * self.num_envs

    def has_attr(self, attr_name: str) -> bool:
        """Return whether ``get_attr`` knows a name; a method is not called for it, so this works before ``reset``."""
        single = self.batch.get_attr("unwrapped")[0]
        return hasattr(single, attr_name) or super().has_attr(attr_name)

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute of some episodes."""
        values = self.batch.get_attr(attr_name)
        return [values[i] for i in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Keep an attribute of all episodes for ``get_attr``.

        Raises:
            ValueError: If it is for some of them only.
        """
        if set(self._get_indices(indices)) != set(range(self.num_envs)):
            raise ValueError(f"indices={indices!r}: an attribute of a batch is set in all environments")
        self.batch.set_attr(attr_name, [value] * self.num_envs)

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        """Call a method of some episodes, see ``call`` of the batch."""
        values = self.batch.call(method_name, *args, **kwargs)
        return [values[i] for i in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        """Return False: nothing is wrapped here."""
        return [False for _ in self._get_indices(indices)]


def _rows(infos: dict[str, Any], envs: int) -> list[dict[str, Any]]:
    """Turn infos of arrays (E,) into a dict for each environment."""
    names = [name for name in infos if f"_{name}" in infos and not name.startswith("final")]
    columns: Iterable[list[Any]] = (infos[name].tolist() for name in names)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
