"""Make submissions out of a run: of policies that have played all episodes of a suite, with the code as it is.

Each is a folder with ``submission.toml``, what is said about the policy, and ``traces.jsonl.gz``, its episodes, see
``benchmarks.submission``. Verify it, and the folder can be sent: ``python -m benchmarks.verify FOLDER``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from agents.catalogue import AGENTS, make_policy
from agents.episode import Episode
from alenv.errors import shown
from alenv.outside import decode
from benchmarks.command import command, refusing, writing
from benchmarks.leaderboard.episodes import finished
from benchmarks.leaderboard.suite import Suite
from benchmarks.leaderboard.suite_file import read_suite, with_policies
from benchmarks.names import folder
from benchmarks.submission import SUBMISSIONS, Named, Submission, Track, find_suite, write_submission
from benchmarks.terminal import say


@dataclass(frozen=True)
class Args:
    """Submit policies of a run."""

    run: Annotated[Path, tyro.conf.Positional]
    """folder of a run, such as results/quick"""
    authors: tuple[str, ...]
    """who made it"""
    policy: tuple[str, ...] = ()
    """policies, as the leaderboard was given them (default: those of the suite)"""
    name: str | None = None
    """of the submission, where there is one policy (default: made of suite and policy)"""
    track: Track | None = None
    """heuristic, learned, search or oracle (default: as the policy was made)"""
    code: str = ""
    """where it can be read, and at which commit"""
    trained_on: str = ""
    """ids, pools and seeds that it learned from"""
    tuned: str = ""
    """what was chosen, out of which ranges, on what"""
    extra_data: str = ""
    """other data or weights that went into it"""
    hardware: str = ""
    """what it ran on"""
    deterministic: bool = True
    """whether it acts the same again"""
    replace: bool = False
    """replace submissions that are there"""
    suite: Path | None = None
    """suite file (default: the one in configs/suites that is called as the folder of the run)"""
    out: Path = SUBMISSIONS
    """folder of submissions"""


@command
def main(args: Args) -> int:
    """Write submissions and return the exit status.

    0: all are written; 2: something is refused, then none is written, or out takes no files; 130: interrupted.
    """
    console = Console()
    with refusing():
        suite = read_suite(args.suite) if args.suite else find_suite(args.run.resolve().name)
        policies = tuple(dict.fromkeys(args.policy or suite.policies))
        names = _names(args, suite, policies)
        said = {policy: _said(args, suite, policy) for policy in policies}
        episodes = {policy: _played(suite, policy, args.run) for policy in policies}
    with writing(args.out):
        for policy, name in names.items():
            write_submission(args.out / name, said[policy], episodes[policy])
            say(console, f"{args.out / name}: {len(episodes[policy])} episodes of {policy}")
    return 0


def _names(args: Args, suite: Suite, policies: Sequence[str]) -> dict[str, str]:
    """Return the folder of every policy.

    Raises:
        ValueError: If one is no name of a folder, is there, or stands for two policies.
    """
    if args.name is not None and len(policies) > 1:
        raise ValueError(f"--name {shown(args.name)} with {len(policies)} policies; name one with --policy")
    names = {policy: args.name or f"{suite.name}-{folder(_last(policy))}" for policy in policies}
    for name in names.values():
        decode(Named, name, "--name")
        if list(names.values()).count(name) > 1:
            raise ValueError(f"two policies would be called {name}; submit one at a time, with --name")
        if (args.out / name).exists() and not args.replace:
            raise ValueError(f"{args.out / name} is there; add --replace, or another --name")
    return names


def _last(policy: str) -> str:
    """Return the class of an import path, the file of an agent, or a policy's own name."""
    return Path(policy.rpartition(":")[2]).stem if ":" in policy else policy


def _said(args: Args, suite: Suite, policy: str) -> Submission:
    """Return what is said about a policy.

    Raises:
        ValueError: If the track is not one that it can be on, or a text is too long.
    """
    made = make_policy(policy, suite.env)
    track = "oracle" if made.oracle else "learned" if policy.partition(":")[0] in AGENTS else "heuristic"
    if args.track is not None and (args.track == "oracle") != made.oracle:
        sees = "is" if made.oracle else "is not"
        raise ValueError(f"--track {args.track}: {policy} {sees} given labels that were not bought; use {track}")
    texts = {name: getattr(args, name) for name in Submission.__struct_fields__ if hasattr(args, name)}
    return decode(Submission, {**texts, "suite": suite.name, "policy": made.name, "track": args.track or track}, "--")


def _played(suite: Suite, policy: str, run: Path) -> list[Episode]:
    """Return all episodes of a policy.

    Raises:
        ValueError: If one is missing, or was played with other code.
    """
    alone = replace(with_policies(suite, [policy]), policies=(policy,))
    episodes, found = finished(alone, run)
    if found.missing:
        raise ValueError(
            f"{run}: {len(found.missing)} records of {policy} are missing, damaged, or of other code; "
            f"run benchmarks.leaderboard with it first"
        )
    return episodes[policy]


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args, description=__doc__)))
