"""What all agents that learn here share: the command line, the loop around training, and its checkpoints."""

from __future__ import annotations

import argparse
import hashlib
import sys
import tomllib
from collections.abc import Callable
from dataclasses import asdict, fields
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

import gymnasium as gym
import tyro
from rich.console import Console
from rich.progress import Progress
from torch.utils.tensorboard import SummaryWriter

from agents.checkpoints import arrays, read, write
from alenv.errors import unknown
from alenv.segmenters.threads import torch_threads
from alenv.state import code_digest

Arguments = TypeVar("Arguments")


class Run(Protocol):
    """All that a training changes.

    Attributes:
        args: A dataclass with ``out``, ``config``, ``iterations``, ``validate_every`` and ``save_every``.
        iteration: Calls of ``advance`` so far.
        best: The best validation so far, at the start minus infinity.
        modules: Networks and optimisers by name.
    """

    args: Any
    iteration: int
    best: float
    modules: dict[str, Any]

    @property
    def steps(self) -> int:
        """Steps in the environment, where TensorBoard's curves stand."""

    def advance(self) -> dict[str, float]:
        """Go on by one iteration, and return scalars for TensorBoard by name."""

    def validate(self) -> float:
        """Return how good the policy is; larger is better."""

    def policy(self) -> dict[str, Any]:
        """Return what a policy is made of again: tensors and plain values."""

    def get_state(self) -> dict[str, Any]:
        """Return all that ``advance`` changes besides the modules: arrays and plain values."""

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore what ``get_state`` returned."""


def train(run: Run, console: Console, log_every: int = 1) -> None:
    """Train to the end, from the checkpoint if there is one; the best policy is kept in ``best.pt``.

    Args:
        run: The training.
        console: Shows the progress.
        log_every: Iterations between points of TensorBoard's curves; returns are all there.
    """
    args = run.args
    _load(run)
    if run.iteration >= args.iterations:
        return
    args.out.mkdir(parents=True, exist_ok=True)
    with (
        SummaryWriter(str(args.out), purge_step=run.steps + 1) as writer,
        Progress(console=console, disable=not console.is_terminal) as progress,
    ):
        bar = progress.add_task("training", total=args.iterations, completed=run.iteration)
        while run.iteration < args.iterations:
            scalars = run.advance()
            last = run.iteration == args.iterations
            if run.iteration % args.validate_every == 0 or last:
                scalars["charts/validation_return"] = score = run.validate()
                _keep_if_best(run, score)
                console.print(f"iteration {run.iteration}: validation {score:.4f}, best {run.best:.4f}")
            for name, value in scalars.items():
                if run.iteration % log_every == 0 or "return" in name:
                    writer.add_scalar(name, value, run.steps)
            if run.iteration % args.save_every == 0 or last:
                save(run)
            progress.update(bar, completed=run.iteration)


def save(run: Run) -> None:
    """Write the checkpoint."""
    modules = {name: module.state_dict() for name, module in run.modules.items()}
    state = {"iteration": run.iteration, "best": run.best, **run.get_state()}
    facts = {"args": plain(run.args), "code": code()}
    write(run.args.out / "checkpoint.pt", {**facts, "modules": modules, "state": state})


def _load(run: Run) -> None:
    """Go on from the checkpoint, if there is one; of a training that is done, only note that it is.

    Raises:
        ValueError: If it was written with other arguments, or by other code and is not done, or is damaged.
    """
    path = run.args.out / "checkpoint.pt"
    if not path.exists():
        return
    saved = read(path)
    for name, value in plain(run.args).items():
        was = saved["args"].get(name)
        if was != value:
            raise ValueError(f"{path} has {name}={was!r}, not {value!r}; give another --out, or delete the folder")
    state = arrays(saved["state"])
    run.iteration, run.best = state.pop("iteration"), state.pop("best")
    if run.iteration >= run.args.iterations:
        return
    if saved.get("code") != code():
        raise ValueError(f"{path} was written by another version of the code; give another --out, or delete the folder")
    for name, module in run.modules.items():
        module.load_state_dict(saved["modules"][name])
    run.set_state(state)


def _keep_if_best(run: Run, score: float) -> None:
    """Write the policy if it validates better than all before."""
    if score > run.best:
        run.best = score
        about = {"iteration": run.iteration, "validation": score, "args": plain(run.args), "code": code()}
        write(run.args.out / "best.pt", {**run.policy(), **about})


@cache
def code() -> str:
    """Return a hash of the environments and the agents: a training that goes on must end as if it had not stopped."""
    agents = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
    return f"{code_digest()}-{hashlib.sha256(b''.join(agents)).hexdigest()[:16]}"


def check_seed(seed: int, below: int) -> None:
    """Refuse a seed of training whose episodes could be those of validation.

    Raises:
        ValueError: If it is not in [0, below).
    """
    if not 0 <= seed < below:
        raise ValueError(f"seed={seed}: its episodes could be those of validation; use one of 0..{below - 1}")


def plain(args: Any) -> dict[str, Any]:
    """Return the arguments on which the result depends, as plain values."""
    return {name: value for name, value in asdict(args).items() if name not in ("out", "config")}


def read_args(kind: type[Arguments], argv: list[str], description: str | None) -> Arguments:
    """Read the command line over the config file.

    Args:
        kind: A dataclass of arguments, ``out`` and ``config`` among them.
        argv: The command line.
        description: Of the program.

    Raises:
        ValueError: If the file cannot be read, or has an unknown key.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--config", type=Path)
    path = first.parse_known_args(argv)[0].config
    known = [field.name for field in fields(kind) if field.name not in ("out", "config")]  # type: ignore[arg-type]
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")) if path else {}
        table = {name: tuple(value) if isinstance(value, list) else value for name, value in table.items()}
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path}: {error}") from None
    for name in table:
        if name not in known:
            raise unknown(f"key in {path}:", name, known)
    return tyro.cli(kind, args=argv, default=kind(**table), description=description)


def command(make: Callable[[], Run], log_every: int = 1) -> int:
    """Train in one thread and return the exit status: 0 when done, 2 if the arguments are wrong, 130 if interrupted.

    Args:
        make: Reads the arguments and returns the training.
        log_every: See ``train``.
    """
    console = Console(highlight=False)
    try:
        with torch_threads(1):
            run = _made(make)
            train(run, console, log_every)
    except (ValueError, FileNotFoundError, RuntimeError, gym.error.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on")
        return 130
    console.print(f"validation {run.best:.4f}: {run.args.out / 'best.pt'}")
    return 0


def _made(make: Callable[[], Run]) -> Run:
    try:
        return make()
    except TypeError as error:  # an argument that the environment does not have
        raise ValueError(str(error)) from error
