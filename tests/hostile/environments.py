"""Hostile arguments, reset options and snapshots of the environments, and what is right about them.

Right is: one sentence of our own, and nothing has changed; or it is accepted, and the environment plays on.
"""

from __future__ import annotations

import copy
import traceback
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils.env_checker import data_equivalence
from hypothesis import strategies as st

import alenv  # noqa: F401  registers the ids

REGION: dict[str, Any] = {"segmenter": "lda", "picks": 3, "candidates": 4, "budget": 6}
MINING: dict[str, Any] = {"dataset": "mixture:1000", "budget": 5, "candidates": 4, "skip": True}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "regions": ("RegionSelect-v0", REGION),
    "linear": ("RegionSelect-v0", {**REGION, "segmenter": "linear", "scores": ["entropy"]}),
    "mining": ("SingleClassMine-v0", MINING),
    "batch": ("SingleClassMine-v0", {**MINING, "num_envs": 2}),
    "batch of regions": ("RegionSelect-v0", {**REGION, "num_envs": 2}),
}
BATCHES = ("batch", "batch of regions")
HOSTILE = (
    *(None, True, False, 0, -1, 1.5, 10**9, 2**63, 10**30, float("nan"), float("inf"), -1e308, 1e-300),
    *("", "no", "a\0b", "a\nb", "\ud800", b"scenes", "x" * 5000, [], {}, [[]], [1, 1], [0, -3], ["", ""], (1, 2, 3)),
    *(np.int64(3), np.float32(0.5), np.zeros(2), np.array("a"), {1, 2}, object(), lambda: 0, "mixture:1000000000000"),
    *("curve:", "curve:/dev/null", "state:" + "9" * 5000, "class:", "cuda:999999999999", "/nowhere", "random:1000000"),
)


@cache
def started(kind: str) -> Any:
    """Return an environment of a kind in mid-episode, always the same one."""
    env_id, kwargs = KINDS[kind]
    env: Any = gym.make_vec(env_id, **kwargs) if kind in BATCHES else gym.make(env_id, **kwargs).unwrapped
    env.reset(seed=0)
    for _ in range(4):
        env.step(np.ones(2, int) if kind in BATCHES else 1)
    return env


def hostile_arguments(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy of one or two wrong arguments."""
    names = sorted(type(started(kind)._arguments).__struct_fields__)
    return st.dictionaries(st.sampled_from(names), st.sampled_from(HOSTILE), min_size=1, max_size=2)


def check_arguments(kind: str, changes: dict[str, Any]) -> None:
    """Make an environment: of the class, because ``gym.make`` reads ``render_mode`` before the environment can."""
    assert not (said := wrong(lambda: type(started(kind))(**{**KINDS[kind][1], **changes}))), said


def hostile_options(kind: str) -> st.SearchStrategy[Any]:
    """Return a strategy of wrong reset options, and seeds."""
    name = "target_class" if kind in ("mining", "batch") else "initial_images"
    masks = [np.ones(2, bool), np.zeros(2, bool), np.ones(3, bool), [True, False], np.ones(2)]
    value = st.sampled_from(HOSTILE) | st.lists(st.sampled_from(HOSTILE), max_size=2) | st.sampled_from(masks)
    options = value | st.dictionaries(st.sampled_from([name, "reset_mask", "other"]), value, max_size=2)
    seeds = st.sampled_from([3, None, [1, 2], [1], [1, None], [1, -1], [True, 2], [1, "2"]] if kind in BATCHES else [3])
    return st.tuples(options, seeds)


def check_options(kind: str, case: tuple[Any, Any]) -> None:
    """Reset an environment that is in mid-episode."""
    env, (options, seed) = started(kind), case
    before, accepted = copy.deepcopy(env.get_state()), []
    assert not (said := wrong(lambda: accepted.append(env.reset(seed=seed, options=options)))), said
    assert accepted or data_equivalence(before, env.get_state(), exact=True), "a refused reset has changed something"
    env.set_state(before)


def snapshots(kind: str) -> st.SearchStrategy[Any]:
    """Return a strategy of wrong snapshots, with the path of what is wrong."""
    return st.sampled_from(list(hostile_snapshots(started(kind).get_state())))


def check_snapshot(kind: str, case: tuple[Any, Any]) -> None:
    """Restore it."""
    assert not (said := wrong_snapshot(started(kind), case[1])), said


def pickles(kind: str) -> st.SearchStrategy[Any]:
    """Return a strategy of wrong states of a pickled environment, with the path of what is wrong."""
    return st.sampled_from(list(hostile_snapshots(started(kind).__getstate__())))


def check_pickle(kind: str, case: tuple[Any, Any]) -> None:
    """Unpickle it, and play on."""
    twin = object.__new__(type(started(kind)))

    def act() -> None:
        twin.__setstate__(case[1])
        _play(twin)

    assert not (said := wrong(act)), said


def hostile_snapshots(snapshot: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield a snapshot with one leaf or branch removed, replaced or moved; each with its path."""
    for path in _paths(snapshot):
        for change in _changes(_at(snapshot, path)):
            yield path, _changed(snapshot, path, change)
        yield path, _changed(snapshot, path, None, remove=True)


def wrong(act: Callable[[], Any]) -> str:
    """Do something hostile; return what is wrong with how it was refused, or an empty string."""
    try:
        act()
    except (ValueError, FileNotFoundError, OSError, gym.error.Error) as error:
        frames = traceback.extract_tb(error.__traceback__)
        foreign = not isinstance(error, gym.error.Error) and "/alenv/" not in frames[-1].filename
        return f"foreign: {error!r} in {frames[-1].filename}" if foreign or "\n" in str(error) else ""
    except Exception as error:
        return f"foreign: {error!r}"
    return ""


def wrong_snapshot(env: Any, state: Any) -> str:
    """Restore a snapshot; return what is wrong with that, or an empty string. The environment is as before."""
    before, accepted = copy.deepcopy(env.get_state()), []
    said = wrong(lambda: accepted.append(env.set_state(state)))
    if not said and not accepted and not data_equivalence(before, env.get_state(), exact=True):
        said = "a refused snapshot has changed the environment"
    if not said and accepted:
        said = wrong(lambda: _play(env))
    env.set_state(before)
    return said


def _play(env: Any) -> None:
    for _ in range(3):
        masks = env.action_masks()
        action = masks.argmax(-1) if masks.ndim == 2 else int(masks.argmax())
        over = not masks.any() or env.step(action)[2]
        if np.all(over):
            env.reset()


def _paths(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    branches = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list | tuple) else ()
    for name, branch in branches:
        yield from _paths(branch, (*path, name))


def _at(tree: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        tree = tree[step]
    return tree


def _changes(value: Any) -> list[Any]:
    if isinstance(value, np.ndarray):
        same = [value[:-1], value[None], value.astype(np.float16), value.tolist(), np.flip(value), value * 0 - 1]
        return [*same, np.full_like(value, np.nan) if value.dtype.kind == "f" else value + 10**9, None]
    near = [value + 1, value - 1] if isinstance(value, int) and not isinstance(value, bool) else []
    return [*near, None, -1, 2**70, 1.5, float("nan"), "x", [], {}, [value, value], np.zeros(3), True]


def _changed(tree: Any, path: tuple[Any, ...], value: Any, remove: bool = False) -> Any:
    tree = copy.deepcopy(tree)
    if isinstance(tree, tuple):
        tree = list(tree)
    if len(path) == 1 and remove:
        del tree[path[0]]
    else:
        tree[path[0]] = value if len(path) == 1 else _changed(tree[path[0]], path[1:], value, remove)
    return tree


_PARTS = (
    ("arguments", hostile_arguments, check_arguments),
    ("options", hostile_options, check_options),
    ("snapshots", snapshots, check_snapshot),
    ("pickles", pickles, check_pickle),
)
CASES: dict[str, tuple[Callable[[], st.SearchStrategy[Any]], Callable[[Any], None]]] = {
    f"{part} of {kind}": (partial(strategy, kind), partial(check, kind))
    for part, strategy, check in _PARTS
    for kind in KINDS
    if (part, kind) not in (("arguments", "linear"), ("options", "linear"))
}
"""By name what makes a strategy, and a check of what it draws."""
