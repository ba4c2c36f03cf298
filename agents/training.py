"""What all agents that learn here share: the loop around training, its checkpoints, and its command."""

from __future__ import annotations

import copy
import hashlib
import math
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Protocol

import gymnasium as gym
import msgspec
import torch
from msgspec import Meta
from rich.console import Console
from rich.progress import Progress
from torch.utils.tensorboard import SummaryWriter

from agents.arguments import PLACES
from agents.checkpoints import arrays, check, finite, read, write, writing
from alenv.outside import Count, decode
from alenv.segmenters.threads import torch_threads
from alenv.state import code_digest


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

    Raises:
        ValueError: If there is another training's checkpoint or a damaged one, or if the weights become NaN.
        OSError: If files cannot be written; what was written before stands.
    """
    args = run.args
    _load(run)
    if run.best > -math.inf:
        _check_best(run)
    if run.iteration >= args.iterations:
        return
    with writing(args.out):
        args.out.mkdir(parents=True, exist_ok=True)
        writer = SummaryWriter(str(args.out), purge_step=run.steps + 1)
    with writer, Progress(console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("training", total=args.iterations, completed=run.iteration)
        while run.iteration < args.iterations:
            scalars = run.advance()
            last = run.iteration == args.iterations
            if run.iteration % args.validate_every == 0 or last:
                _check_weights(run)
                scalars["charts/validation_return"] = value = run.validate()
                _keep_if_best(run, value)
                console.print(f"iteration {run.iteration}: validation {value:.4f}, best {run.best:.4f}")
            with writing(args.out):
                for name, value in scalars.items():
                    if run.iteration % log_every == 0 or "return" in name:
                        writer.add_scalar(name, value, run.steps)
            if run.iteration % args.save_every == 0 or last:
                save(run)
            progress.update(bar, completed=run.iteration)


def save(run: Run) -> None:
    """Write the checkpoint.

    Raises:
        ValueError: If it would hold weights that are not finite.
        OSError: If it cannot be written.
    """
    _check_weights(run)
    modules = {name: module.state_dict() for name, module in run.modules.items()}
    state = {"iteration": run.iteration, "best": run.best, **run.get_state()}
    facts = {"args": plain(run.args), "code": code()}
    write(_checkpoint(run), {**facts, "modules": modules, "state": state})


class _Progress(msgspec.Struct):
    iteration: Count
    best: Annotated[float, Meta(le=sys.float_info.max)]  # at the start minus infinity


class _Checkpoint(msgspec.Struct, forbid_unknown_fields=True):
    args: dict[str, Any]
    modules: dict[str, Any]
    state: dict[str, Any]
    code: str = ""


def _load(run: Run) -> None:
    """Go on from the checkpoint, if there is one; of a training that is done, only note that it is.

    Raises:
        ValueError: If it was written with other arguments, or by other code and is not done, or is damaged.
    """
    path = _checkpoint(run)
    if not path.exists():
        return
    saved = _part(path, _Checkpoint, read(path))
    for name, value in plain(run.args).items():
        was = saved.args.get(name)
        if was != value:
            raise ValueError(f"{path} has {name}={was!r}, not {value!r}; give another --out, or delete the folder")
    _part(path, type(run.args), saved.args)
    progress = _part(path, _Progress, saved.state)
    if progress.iteration > run.args.iterations:
        raise _damaged(path, f"iteration {progress.iteration} is beyond the last, {run.args.iterations}")
    if progress.iteration < run.args.iterations:
        if saved.code != code():
            raise ValueError(
                f"{path} was written by another version of the code; give another --out, or delete the folder"
            )
        _restore(run, path, saved)
    run.iteration, run.best = progress.iteration, progress.best


def _restore(run: Run, path: Path, saved: _Checkpoint) -> None:
    """Put networks, optimisers and all else into the state of a checkpoint."""
    state = {name: part for name, part in saved.state.items() if name not in ("iteration", "best")}
    try:
        check_modules(saved.modules, run.modules)
        for name, module in run.modules.items():
            module.load_state_dict(saved.modules[name])
        run.set_state(arrays(state))
        check(dict.fromkeys(state), dict.fromkeys(run.get_state()), "state")
    except (ValueError, TypeError, LookupError, AttributeError, RuntimeError, OverflowError) as error:
        raise _damaged(path, str(error)) from error


def check_modules(saved: dict[str, Any], modules: dict[str, Any]) -> None:
    """Compare saved networks and optimisers with those of a training.

    Raises:
        ValueError: If a name, shape, type or setting differs, or a number is not finite.
    """
    check(dict.fromkeys(saved), dict.fromkeys(modules), "modules")
    stepped = copy.deepcopy(modules)  # together: an optimiser shares the weights of its network
    for name, module in stepped.items():
        if not isinstance(module, torch.optim.Optimizer):
            check(saved[name], module.state_dict(), name)
            continue
        like = _step(module).state_dict()
        part = saved[name] if isinstance(saved[name], dict) else {}
        begun = part.get("state") if isinstance(part.get("state"), dict) else {}
        like["state"] = {key: value for key, value in like["state"].items() if key in begun}  # those without gradients
        check(part, like, name)
        for group, example in zip(part["param_groups"], like["param_groups"], strict=True):
            for key in example.keys() - {"lr"}:
                if group[key] != example[key]:
                    raise ValueError(f"{name} has {key}={group[key]!r}, not {example[key]!r}")


def _step(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Take one step with gradients of 0: only then does an optimiser have a state."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return optimizer


def _part(path: Path, kind: type, value: dict[str, Any]) -> Any:
    try:
        return decode(kind, value, "entry")
    except ValueError as error:
        raise _damaged(path, str(error)) from None


def _damaged(path: Path, cause: str) -> ValueError:
    cause = cause.partition("\n")[0]
    return ValueError(f"{path} is no checkpoint of this training ({cause}); give another --out, or delete the folder")


def _checkpoint(run: Run) -> Path:
    path: Path = run.args.out / "checkpoint.pt"
    return path


def _check_best(run: Run) -> None:
    """Refuse to go on from a checkpoint, or to be done, without the policy that was the best so far."""
    try:
        read(run.args.out / "best.pt")
    except ValueError as error:
        cause = str(error).partition(";")[0]
        raise ValueError(f"{cause}; put it back beside {_checkpoint(run)}, or delete both and train again") from None


def _check_weights(run: Run) -> None:
    """Refuse to keep what has diverged."""
    for name, module in run.modules.items():
        if isinstance(module, torch.nn.Module) and not all(map(finite, module.state_dict().values())):
            raise _diverged(run, f"weights of {name!r} are no longer finite")


def _diverged(run: Run, what: str) -> ValueError:
    return ValueError(f"iteration {run.iteration}: {what}; train with a smaller learning_rate and another --out")


def _keep_if_best(run: Run, value: float) -> None:
    """Write the policy if it validates better than all before."""
    if not math.isfinite(value):
        raise _diverged(run, f"validation is {value}")
    if value > run.best:
        run.best = value
        about = {"iteration": run.iteration, "validation": value, "args": plain(run.args), "code": code()}
        write(run.args.out / "best.pt", {**run.policy(), **about})


@cache
def code() -> str:
    """Return a hash of the environments and the agents: a training that goes on must end as if it had not stopped."""
    agents = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
    return f"{code_digest()}-{hashlib.sha256(b''.join(agents)).hexdigest()[:16]}"


def plain(args: Any) -> dict[str, Any]:
    """Return the arguments on which the result depends, as plain values."""
    return {name: value for name, value in asdict(args).items() if name not in PLACES}


def command(make: Callable[[], Run], log_every: int = 1) -> int:
    """Train in one thread and return the exit status: 0 when done, 2 if the arguments are wrong, 130 if interrupted.

    Args:
        make: Reads the arguments and returns the training.
        log_every: See ``train``.
    """
    console = Console(highlight=False)
    try:
        if callable(signal.getsignal(signal.SIGINT)):  # it may be ignored, in the background
            signal.signal(signal.SIGINT, signal.default_int_handler)
        with torch_threads(1):
            run = make()
            train(run, console, log_every)
    except (ValueError, OSError, RuntimeError, MemoryError, gym.error.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on")
        return 130
    console.print(f"validation {run.best:.4f}: {run.args.out / 'best.pt'}")
    return 0
