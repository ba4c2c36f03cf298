"""The Policy protocol, and ``play``: the one loop for all policies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

import alenv  # noqa: F401  registers the ids
from agents.environments import mines
from agents.episode import Episode
from agents.recorders import Info, Recorder, RegionRecorder
from alenv.acquisition import find_score

Observation = dict[str, NDArray]


class Policy(Protocol):
    """Chooses actions from what the environment shows.

    It can also have a method ``act_round(obs, info) -> (k,) actions`` for all ``k = info["picks_left"]`` picks of a
    round, where a call for each would take long. ``obs`` is what ``RegionSelectEnv.observe_round`` returns, and it must
    choose as ``act`` would. It is not asked where a pick changes one of the policy's channels.

    Attributes:
        name: Name in tables.
        scores: Acquisition channels that the environment must add to the observation.
        oracle: Whether the policy is given labels that were not bought. Such a policy also has a method
            ``attach(env)``, and the evaluator, not the environment, hands it the environment.
    """

    name: str
    scores: tuple[str, ...]
    oracle: bool

    def reset(self, seed: int) -> None:
        """Start an episode."""

    def act(self, obs: Observation, info: Info) -> int:
        """Return an action that ``obs["action_mask"]`` allows."""


def evaluate(
    policy: Policy,
    env_id: str,
    kwargs: dict[str, Any],
    seeds: Iterable[int],
    splits: Sequence[str] = ("holdout", "test"),
) -> Iterator[Episode]:
    """Run a policy on RegionSelect, one episode per seed.

    Args:
        policy: The policy.
        env_id: A RegionSelect id.
        kwargs: Arguments of the environment.
        seeds: Equal seeds give every policy the same initial labels and candidates.
        splits: What to score at the end of every round, besides the reward split.

    Yields:
        The finished episodes.
    """
    yield from play(policy, env_id, kwargs, seeds, partial(RegionRecorder, splits))


def play(
    policy: Policy,
    env_id: str,
    kwargs: dict[str, Any],
    seeds: Iterable[int],
    make_recorder: Callable[[], Recorder],
    options: dict[str, Any] | None = None,
) -> Iterator[Episode]:
    """Run a policy, one episode per seed: the one loop for all environments.

    Args:
        policy: The policy; its channels are added to the environment's ``scores``, and its ``observation``, if it has
            this attribute, is the environment's where ``kwargs`` does not name another.
        env_id: Id of the environment.
        kwargs: Arguments of the environment.
        seeds: Those of ``reset``.
        make_recorder: Makes what measures one episode, see ``agents.recorders``.
        options: Those of ``reset``.

    Yields:
        The finished episodes.
    """
    env = gym.make(env_id, **shown_to(policy, kwargs))
    if policy.oracle or (mines(env_id) and hasattr(policy, "attach")):  # mining has a control that learns from images
        policy.attach(env.unwrapped)  # type: ignore[attr-defined]
    try:
        for seed in seeds:
            yield _run(policy, env, env_id, kwargs, seed, make_recorder(), options or {})
    finally:
        env.close()


def shown_to(policy: Policy, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the environment's arguments with what the policy must see; none of it changes what can be picked."""
    scores = list(dict.fromkeys([*policy.scores, *kwargs.get("scores", ())]))  # its own are the first columns
    observation = {"observation": policy.observation} if hasattr(policy, "observation") else {}
    return {**observation, **kwargs, **({"scores": scores} if scores else {})}


def _run(
    policy: Policy,
    env: gym.Env,
    env_id: str,
    kwargs: dict[str, Any],
    seed: int,
    recorder: Recorder,
    options: dict[str, Any],
) -> Episode:
    seconds = {"policy": 0.0, "env": 0.0, "evaluator": 0.0}

    def timed(part: str, function: Any, *args: Any, **named: Any) -> Any:
        start = time.perf_counter()
        result = function(*args, **named)
        seconds[part] += time.perf_counter() - start
        return result

    obs, info = timed("env", env.reset, seed=seed, options=options)
    timed("policy", policy.reset, seed)
    timed("evaluator", recorder.start, env, info)
    actions: list[int] = []
    rewards: list[float] = []
    picked: list[list[int]] = []
    terminated = not np.any(obs["action_mask"])  # nothing is left to label
    base: Any = env.unwrapped
    by_round = hasattr(policy, "act_round") and hasattr(base, "step_round")
    by_round = by_round and not any(find_score(name).live for name in policy.scores)
    while not terminated:
        if by_round:
            obs = timed("env", base.observe_round)
            picks = timed("policy", policy.act_round, obs, info)  # type: ignore[attr-defined]
            _, reward, terminated, _, info = timed("env", base.step_round, picks)
            picked += info["round_picked"].tolist()
        else:
            picks = [int(timed("policy", policy.act, obs, info))]
            obs, reward, terminated, _, info = timed("env", env.step, picks[0])
            picked.append(np.atleast_1d(info["picked"]).tolist())
        actions += [int(action) for action in picks]
        rewards += [0.0] * (len(picks) - 1) + [float(reward)]
        timed("evaluator", recorder.step, env, info)
    timed("evaluator", recorder.end, info)
    return Episode(
        policy=policy.name,
        oracle=policy.oracle,
        env_id=env_id,
        kwargs=kwargs,
        options=options,
        seed=seed,
        actions=actions,
        rewards=rewards,
        picked=picked,
        costs=recorder.costs,
        metrics=recorder.metrics,
        class_metrics=recorder.class_metrics,
        given=recorder.given,
        seconds=seconds,
        fingerprint=base.fingerprint(),
    )


def channels(obs: Observation, policy: Policy) -> NDArray[np.float32]:
    """Return the channels that a policy asked for, (N, channels); of a whole round (pools, N, channels).

    Raises:
        ValueError: If the environment does not compute them: a policy never falls back to another score.
    """
    wanted = len(policy.scores)
    given: NDArray[np.float32] = obs.get("scores", np.empty((*obs["action_mask"].shape, 0), np.float32))
    if given.shape[-1] < wanted:
        names = list(policy.scores)
        raise ValueError(
            f"policy {policy.name!r} needs channels that the environment lacks; make it with scores={names}"
        )
    return given[..., :wanted]
