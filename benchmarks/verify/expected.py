"""What a suite expects of an episode before it is replayed: environment, arguments, seed. Nothing is made or run here.

An environment is made of the suite's own arguments, never of those in a trace, which must be equal: so what a trace
names is neither imported nor opened.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from agents.episode import Episode
from alenv.errors import shown
from alenv.state import seal
from benchmarks.leaderboard.suite import Suite
from benchmarks.leaderboard.task import Part
from benchmarks.leaderboard.tasks import make_task
from benchmarks.submission import Claim
from benchmarks.verify.claims import Group, Verdict

Played = dict[tuple[str, int], Part]
"""By options and seed, the part of the suite that an episode belongs to."""


def expected(suite: Suite) -> Played:
    """Return every episode that a policy has to play."""
    return {(_canonical(part.options), seed): part for part in make_task(suite).parts() for seed in part.seeds}


def check_group(group: Group, played: Played) -> tuple[list[tuple[Claim, Part]], list[Verdict]]:
    """Return the episodes that can be replayed, each with its part of the suite, and what is wrong with the others."""
    good: list[tuple[Claim, Part]] = []
    wrong = [*group.faults]
    found: dict[tuple[str, str, int], str] = {}
    for claim in group.claims:
        options, seed = key = _canonical(claim.episode.options), claim.episode.seed
        fault = _fault(claim.episode, group, played)
        if fault is None and (claim.file, *key) in found:  # other files of a run are of other code
            fault = f"seed {seed} stands twice, in {found[claim.file, options, seed]} too; leave one out"
        found.setdefault((claim.file, *key), claim.where)
        if fault is None:
            good.append((claim, played[key]))
        else:
            wrong.append(Verdict(claim.where, "failed", fault))
    return good, [*wrong, *_missing(group.name, played, {(options, seed) for _, options, seed in found})]


def _missing(name: str, played: Played, found: set[tuple[str, int]]) -> Iterator[Verdict]:
    for key, part in played.items():
        if key not in found:
            seed = part.name if part.name.startswith("seed") else f"{part.name}, seed {key[1]}"
            yield Verdict(f"{name}, {seed}", "failed", "the episode is missing; play all seeds of the suite")


def _fault(episode: Episode, group: Group, played: Played) -> str | None:
    """Return what does not fit the suite, or what is said about the policy."""
    try:
        part = played.get((_canonical(episode.options), episode.seed))
        return (
            _fault_of_env(episode.env_id, group.suite.env)
            or _fault_of_place(episode, part, played)
            or _fault_of_arguments(episode.kwargs, part.kwargs if part else {})
            or _fault_of_policy(episode, group)
            or _fault_of_seal(episode.fingerprint)
        )
    except RecursionError:
        return "it is nested too deeply; write what benchmarks.submit writes"


def _fault_of_env(env_id: str, env: str) -> str | None:
    if env_id == env:
        return None
    name, version = _versioned(env_id)
    wanted, newest = _versioned(env)
    if name == wanted and version < newest:
        return f"env_id={env_id!r} is stale: the suite has {env!r} now; play it again"
    return f"env_id={shown(env_id)}, but the suite has {env!r}; play that"


def _versioned(env_id: str) -> tuple[str, int]:
    found = re.fullmatch(r"(?:alenv:)?([\w-]{1,100})-v(\d{1,9})", env_id, re.ASCII)
    return (found[1], int(found[2])) if found else (env_id, -1)


def _fault_of_place(episode: Episode, part: Part | None, played: Played) -> str | None:
    if part is not None:
        return None
    options = _canonical(episode.options)
    if not any(options == known for known, _ in played):
        return f"options={shown(episode.options)} are not the suite's; play it as it is"
    return f"seed={episode.seed} is not among the suite's; leave it out"


def _fault_of_arguments(kwargs: dict[str, Any], own: dict[str, Any]) -> str | None:
    for name in {**own, **kwargs}:
        if name not in own:
            return f"kwargs: {shown(name)[1:-1]}={shown(kwargs[name])}, which the suite leaves as it is; play it so"
        if name not in kwargs or _canonical(kwargs[name]) != _canonical(own[name]):
            said = shown(kwargs[name]) if name in kwargs else "missing"
            return f"kwargs: {name} is {said}, in the suite {shown(own[name])}; play it so"
    return None


def _fault_of_policy(episode: Episode, group: Group) -> str | None:
    if episode.policy != (first := group.claims[0].episode.policy):
        return f"policy={shown(episode.policy)} among episodes of {shown(first)}; submit one at a time"
    if group.said is None:
        return None
    if episode.policy != group.said.policy:
        return f"policy={shown(episode.policy)}, in submission.toml {shown(group.said.policy)}; correct one of them"
    if episode.oracle != (group.said.track == "oracle"):
        sees = "was given labels that were not bought" if episode.oracle else "was given no more labels than it bought"
        return f"the policy {sees}, but the track is {group.said.track!r}; correct it"
    return None


def _fault_of_seal(fingerprint: dict[str, Any]) -> str | None:
    facts = {name: value for name, value in fingerprint.items() if name != "sha256"}
    if seal(facts)["sha256"] == fingerprint["sha256"]:
        return None
    return "fingerprint: its sha256 is not that of its entries; send what the environment wrote"


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
