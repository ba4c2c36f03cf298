"""Wrappers of the environments: whole rounds as steps, and observations as other libraries want them."""

from __future__ import annotations

from typing import Any, SupportsFloat, cast

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from alenv.envs.actions import checked_all

Observation = dict[str, NDArray]


class JointPools(gym.Wrapper[Observation, NDArray[np.int64], Observation, np.int64], gym.utils.RecordConstructorArgs):
    """A whole round of ``RegionSelect`` as one step, as in Casanova et al. (2020).

    The action is ``MultiDiscrete([N] * K)``: one candidate of every pool. Observations have a first axis of length K
    (``candidates``, ``action_mask`` and ``scores``); ``state`` is as it was. Picks of a pool do not see those of the
    others: the similarity to this round's picks is 0. In a last round with fewer picks the pools past its end are
    masked, and what is chosen there is passed over. The reward is that of the round.

    Args:
        env: A ``RegionSelect`` environment, with any ``pooling`` but ``global``.

    Raises:
        ValueError: If all picks share one pool: distinct choices cannot be told by a product of choices.
    """

    def __init__(self, env: Any) -> None:
        gym.utils.RecordConstructorArgs.__init__(self)  # so that its spec can be made again
        gym.Wrapper.__init__(self, env)
        base = env.unwrapped
        if base.pooling == "global":
            raise ValueError("JointPools needs one pool for each pick; use another pooling than 'global'")
        assert isinstance(env.action_space, spaces.Discrete)
        assert isinstance(env.observation_space, spaces.Dict)
        self._picks: int = base.picks
        self._shown = int(env.action_space.n)
        self.action_space = spaces.MultiDiscrete([self._shown] * self._picks)
        parts = {
            name: space if name == "state" else self._stacked(space) for name, space in env.observation_space.items()
        }
        self.observation_space = cast(Any, spaces.Dict(parts))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, Any]:
        """Start an episode."""
        _, info = self.env.reset(seed=seed, options=options)
        return self._observe(), info

    def step(self, action: NDArray[np.int64]) -> tuple[Observation, SupportsFloat, bool, bool, dict[str, Any]]:
        """Pick one candidate of every pool.

        Raises:
            ValueError: If there is not one choice for every pool, each in the action space.
            gymnasium.error.ResetNeeded: After the end of an episode.
        """
        choices = checked_all(action, self._picks, self._shown, "one of each pool")
        there, invalid = self.action_masks().any(1), False
        if not there.any():
            raise gym.error.ResetNeeded("the episode is over; call reset()")
        for choice in choices[there]:  # empty pools come last, so the others keep their places
            _, reward, terminated, truncated, info = self.env.step(choice)
            invalid |= info["invalid_action"]
        return self._observe(), reward, terminated, truncated, {**info, "invalid_action": invalid}

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which choices are legal, bool (K, N)."""
        return self._observe()["action_mask"].astype(bool)

    def _observe(self) -> Observation:
        base: Any = self.env.unwrapped
        observation: Observation = base.observe_round()
        return observation

    def _stacked(self, space: spaces.Space[Any]) -> spaces.Box:
        assert isinstance(space, spaces.Box)
        low, high = (np.tile(bound, (self._picks, *(1,) * bound.ndim)) for bound in (space.low, space.high))
        return spaces.Box(low, high, dtype=space.dtype.type)


class FlatObs(gym.ObservationWrapper[Any, Any, Any], gym.utils.RecordConstructorArgs):
    """Observations for libraries that know only ``Box``: one float32 vector (D,), whose last A entries are the mask.

    It is Gymnasium's ``FlattenObservation``, but for the order of the entries (a space sorts them by name, so that the
    mask would come first: here it is ``obs[-env.action_space.n :]``), and that it can be pickled.

    Args:
        env: An environment with ``action_mask`` in its observations.
    """

    def __init__(self, env: Any) -> None:
        gym.utils.RecordConstructorArgs.__init__(self)
        gym.ObservationWrapper.__init__(self, env)
        # a list, unlike a dict, is not sorted
        self._parts = spaces.Dict(sorted(env.observation_space.items(), key=lambda part: part[0] == "action_mask"))
        self.observation_space = spaces.flatten_space(self._parts)

    def observation(self, observation: Observation) -> NDArray[np.float32]:
        """Return the vector."""
        return cast(NDArray, spaces.flatten(self._parts, observation))


class TianshouObs(gym.ObservationWrapper[Any, Any, Any], gym.utils.RecordConstructorArgs):
    """Observations for Tianshou, which masks by ``mask``, bool (A,), and gives ``obs`` to the network.

    Args:
        env: An environment with ``action_mask`` in its observations.
    """

    def __init__(self, env: Any) -> None:
        gym.utils.RecordConstructorArgs.__init__(self)
        gym.ObservationWrapper.__init__(self, env)
        mask: spaces.Space[Any] = spaces.Box(0, 1, env.observation_space["action_mask"].shape, cast(Any, np.bool_))
        self.observation_space = spaces.Dict({"obs": env.observation_space, "mask": mask})

    def observation(self, observation: Observation) -> dict[str, Any]:
        """Return the observation beside its mask."""
        return {"obs": observation, "mask": observation["action_mask"].astype(bool)}


class RllibObs(gym.ObservationWrapper[Any, Any, Any], gym.utils.RecordConstructorArgs):
    """Observations for RLlib's masking modules: ``observations``, all else in one vector (D,), and ``action_mask``.

    Both are float32, the mask because RLlib takes its logarithm.

    Args:
        env: An environment with ``action_mask`` in its observations.
    """

    def __init__(self, env: Any) -> None:
        gym.utils.RecordConstructorArgs.__init__(self)
        gym.ObservationWrapper.__init__(self, env)
        parts = dict(env.observation_space.items())
        mask = spaces.Box(0, 1, parts.pop("action_mask").shape, np.float32)
        self._parts = spaces.Dict(parts)
        self.observation_space = spaces.Dict({"observations": spaces.flatten_space(self._parts), "action_mask": mask})

    def observation(self, observation: Observation) -> Observation:
        """Return the vector and the mask."""
        mask = observation["action_mask"].astype(np.float32)
        parts = {name: observation[name] for name in self._parts}
        return {"observations": cast(NDArray, spaces.flatten(self._parts, parts)), "action_mask": mask}
