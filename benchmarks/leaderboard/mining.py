"""Plays the missing episodes of a mining suite: one file per policy and class, all seeds in it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from agents.catalogue import make_policy
from alenv import mining
from alenv.mining.pool import MiningPool
from alenv.mining.target import Target
from alenv.state import code_digest
from benchmarks.jobs import source
from benchmarks.leaderboard.mining_record import Record, read_record
from benchmarks.leaderboard.report import null_nan
from benchmarks.leaderboard.suite import Suite
from benchmarks.names import folder
from benchmarks.workers import Call, attempt


@dataclass
class Finished:
    """The finished records by policy and class, the runs still missing, and files that could not be read."""

    records: dict[str, dict[str, Record]]
    missing: list[Call] = field(default_factory=list)
    damaged: dict[Path, str] = field(default_factory=dict)


def load_pool(suite: Suite) -> MiningPool:
    """Return the pool that a suite mines."""
    kwargs = suite.kwargs
    return mining.load(kwargs.get("dataset", "mixture"), kwargs.get("root"), kwargs.get("embeddings"))


def positives(suite: Suite, pool: MiningPool) -> dict[str, int]:
    """Count the images of each class that can be mined; those without enough images with or without it are left out."""
    split = pool.splits[suite.kwargs.get("pool", "train")]
    counts = np.zeros(len(pool.classes), np.int64)
    for start in range(0, len(split), 4096):
        held = np.zeros((len(split[start : start + 4096]), len(pool.classes) + 1), bool)
        modes = pool.modes[split[start : start + 4096]]
        held[np.arange(len(modes))[:, None], np.where(modes < 0, len(pool.classes), pool.mode_class[modes])] = True
        counts += held[:, :-1].sum(0)
    least = suite.kwargs.get("positives", 1) + 1
    most = len(split) - suite.kwargs.get("negatives", 1)
    return {name: int(n) for name, n in zip(pool.classes, counts, strict=True) if least <= n <= most}


def read_finished(suite: Suite, out: Path, targets: list[str]) -> Finished:
    """Sort the runs of a suite into finished and missing ones, damaged ones among these."""
    finished = Finished({policy: {} for policy in suite.policies})
    for policy in suite.policies:
        for target in targets:
            path = _path(suite, policy, target, out)
            try:
                finished.records[policy][target] = read_record(path, suite, policy, target)
                continue
            except FileNotFoundError:
                pass
            except (ValueError, OSError) as error:
                finished.damaged[path] = str(error)
            finished.missing.append(Call(_named(policy, target), partial(run, suite, policy, target, path)))
    return finished


def _path(suite: Suite, policy: str, target: str, out: Path) -> Path:
    what = [suite.env, suite.kwargs, policy, target, suite.seeds, suite.budgets, code_digest(), suite.sources]
    text = json.dumps([*what, source(policy, suite.env)], sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:12]
    return out / "episodes" / folder(policy) / f"{folder(target)}-{key}.json"


def _named(policy: str, target: str) -> str:
    return f"{policy} on class {target!r}"


def run(suite: Suite, policy: str, target: str, path: Path) -> str | None:
    """Play all seeds of a policy on one class and write the file; return what went wrong, if anything did."""
    return attempt(_named(policy, target), path, partial(_run, suite, policy, target))


def _run(suite: Suite, name: str, target: str) -> str:
    policy = make_policy(name, suite.env)
    kwargs = {**suite.kwargs, "budget": max(suite.budgets), "classes": [target]}
    env = gym.make(suite.env, **{"observation": getattr(policy, "observation", "relational"), **kwargs})
    if hasattr(policy, "attach"):  # oracles, and supervised controls that learn from policy images
        policy.attach(env.unwrapped)
    episodes = {str(seed): play(policy, env, seed, target, suite.budgets) for seed in suite.seeds}
    scorer = _scorer(suite)
    if scorer:
        for episode in episodes.values():
            lengths = [len(episode["given"]) + budget for budget in suite.budgets]
            scores = scorer.score_prefixes(episode["given"] + episode["images"], lengths, target)
            episode["trained"] = {str(b): vars(score) for b, score in zip(suite.budgets, scores, strict=True)}
    fingerprint = env.unwrapped.fingerprint()  # type: ignore[attr-defined]
    record = {
        "policy": name,
        "target": target,
        "oracle": policy.oracle,
        "episodes": episodes,
        "fingerprint": fingerprint,
    }
    return json.dumps(null_nan(record), allow_nan=False)


@cache
def _make_target(dataset: str, root: str | None, backbone: str | None) -> Target:
    return Target(dataset, root, backbone)


def _scorer(suite: Suite) -> Target | None:
    """Return what trains and scores heads on mined images; generated embeddings have no images to train on."""
    kwargs = suite.kwargs
    name, root, backbone = kwargs.get("dataset", "mixture"), kwargs.get("root"), kwargs.get("embeddings")
    return None if mining.check_name(name, root, backbone)[1] else _make_target(name, root, backbone)


def play(policy: Any, env: gym.Env, seed: int, target: str, budgets: tuple[int, ...]) -> dict[str, Any]:
    """Play one episode.

    Returns:
        ``given``: the labelled images at the start; ``images``: those bought, in order; by budget ``gain``: the sum of
        rewards, ``pixels`` and ``positives`` of the class among the images bought.
    """
    obs, info = env.reset(seed=seed, options={"target_class": target})
    policy.reset(seed)
    given = [int(i) for i in env.unwrapped.labelled]  # type: ignore[attr-defined]
    start, total, over = (int(info["quantity"]), int(info["positives"])), 0.0, False
    images: list[int] = []
    rows = {0: {"gain": 0.0, "pixels": 0, "positives": 0}}
    while not over:
        obs, reward, over, _, info = env.step(policy.act(obs, info))
        total += float(reward)
        if info["picked"] >= 0:
            images.append(int(info["picked"]))
        pixels, held = int(info["quantity"]) - start[0], int(info["positives"]) - start[1]
        rows[len(images)] = {"gain": total, "pixels": pixels, "positives": held}
    last = {budget: rows[min(budget, len(images))] for budget in budgets}
    by_budget = {key: {str(b): row[key] for b, row in last.items()} for key in ("gain", "pixels", "positives")}
    return {"given": given, "images": images, **by_budget}
