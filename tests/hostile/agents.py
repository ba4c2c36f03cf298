"""Hostile agent files, flags, checkpoints and policy specs, and what is right about them.

Right: accepted, or refused by one of our errors in one line (flags: by exit status 2), and no file changed.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import io
import math
from dataclasses import fields
from pathlib import Path

import gymnasium as gym
import msgspec
import torch
from hypothesis import strategies as st

from agents.arguments import read_args
from agents.catalogue import AGENTS, make_policy

PRETRAINED = Path(__file__).resolve().parents[2] / "agents" / "pretrained"
ONES = {"improve": "improve_lda_0.pt", "lookahead": "lookahead_scenes_0.pt", "misical": "misical_mixture_0.pt"}
ONES |= {"ralis": "ralis_pick_0.pt", "sb3": "sb3_scenes_dqn_0.pt"}

plain = st.one_of(
    st.sampled_from([0, -1, 1, 10**12, 2**63, -(2**70), 0.0, -0.5, 1e308, math.inf, -math.inf, math.nan, True, False]),
    st.sampled_from(["", "x", "nan", "../..", "$(id)", "a\0b", "ü" * 300, "RegionSelect-v0", "builtins:exec"]),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
)
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def names(agent):
    """Fields of an agent's arguments, and names that it does not have."""
    known = [field.name for field in fields(importlib.import_module(f"agents.{agent}").Args)]
    return st.sampled_from(known) | st.sampled_from(["", "gama", "out", "config", "__class__"]) | st.text(max_size=8)


@st.composite
def files(draw):
    """An agent, and the content of a file for ``--config``."""
    agent = draw(st.sampled_from(AGENTS))
    table = draw(st.dictionaries(names(agent), values, max_size=3))
    try:
        text = msgspec.toml.encode(table)
    except Exception:  # a value that TOML does not have
        text = repr(table).encode("utf-8", "replace")
    torn = draw(st.sampled_from([text, text[: len(text) // 2], text + b"\xff", text + text, b"\0" * 10]))
    return agent, torn


@st.composite
def flags(draw):
    """An agent, and flags."""
    agent = draw(st.sampled_from(AGENTS))
    pairs = draw(st.lists(st.tuples(names(agent).filter(lambda name: name != "config"), plain), max_size=3))
    return agent, [part for name, value in pairs for part in (f"--{name.replace('_', '-')}", str(value))]


@st.composite
def checkpoints(draw):
    """An agent, and a trained policy of it with an entry changed, or its bytes cut."""
    agent = draw(st.sampled_from(AGENTS))
    content = (PRETRAINED / ONES[draw(st.sampled_from(AGENTS)) if draw(st.booleans()) else agent]).read_bytes()
    if draw(st.booleans()):
        at = draw(st.integers(0, len(content)))
        return agent, content[:at] + draw(st.binary(max_size=8))
    saved = torch.load(io.BytesIO(content), weights_only=True)
    node = copy.copy(saved)
    top = node
    for _ in range(draw(st.integers(0, 2))):
        inner = [name for name, part in node.items() if isinstance(part, dict) and part]
        if not inner:
            break
        name = draw(st.sampled_from(sorted(inner)))
        node[name] = dict(node[name])
        node = node[name]
    name = draw(st.sampled_from(sorted(node)))
    tensor = st.sampled_from(
        [torch.zeros(0), torch.zeros(3), torch.full((2, 2), math.nan), torch.zeros(1).expand(10**9), torch.tensor(True)]
    )
    match draw(st.sampled_from(["set", "drop", "add", "spoil"])):
        case "set":
            node[name] = draw(values | tensor)
        case "drop":
            del node[name]
        case "add":
            node[draw(st.text(max_size=5))] = draw(values | tensor)
        case "spoil" if isinstance(node[name], torch.Tensor) and node[name].is_floating_point():
            node[name] = node[name] * math.nan
    buffer = io.BytesIO()
    torch.save(top, buffer)
    return agent, buffer.getvalue()


specs = st.one_of(
    st.text(max_size=20),
    plain,
    st.sampled_from([":", "a:", ":a", "lookahead:", "lookahed:best.pt", "os:system", "os:abort", "subprocess:Popen"]),
    st.sampled_from(["code:interact", "agents.heuristics:Rndom", "agents.heuristics:Greedy", "agents.play:Policy"]),
    st.sampled_from([".x:Y", "a..b:C", "builtins:exit", "misical:/dev/zero", "sb3:.", "ralis:/"]),
    st.tuples(st.sampled_from(["os", "sys", "builtins", *AGENTS]), st.text(max_size=8)).map(":".join),
)


def right(call):
    """Whether a call is accepted or refused as it should be; raises AssertionError otherwise."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            call()
    except (ValueError, OSError, gym.error.Error) as error:
        assert str(error), f"an empty {type(error).__name__}"  # noqa: PT017 - either outcome is right
        assert "\n" not in str(error).strip(), f"not one line: {error}"  # noqa: PT017
    except SystemExit as error:
        assert error.code in (0, 2), f"exit status {error.code}"  # noqa: PT017


def check_file(folder, case):
    """Read an agent file."""
    agent, content = case
    path = folder / "agent.toml"
    path.write_bytes(content)
    unchanged(folder, lambda: read_args(_args(agent), ["--config", str(path), "--out", str(folder / "out")], ""))


def check_flags(folder, case):
    """Read a command line."""
    agent, argv = case
    unchanged(folder, lambda: read_args(_args(agent), argv, ""))


def check_checkpoint(folder, case):
    """Load a trained policy."""
    agent, content = case
    (folder / "best.pt").write_bytes(content)
    unchanged(folder, lambda: make_policy(f"{agent}:{folder / 'best.pt'}"))


def check_spec(folder, spec):
    """Make a policy by its spec."""
    unchanged(folder, lambda: make_policy(spec))


CASES = ((files(), check_file), (flags(), check_flags), (checkpoints(), check_checkpoint), (specs, check_spec))
"""Strategies, and what checks an example of each in a folder of its own."""


def unchanged(folder, call):
    """Check a call, and that it wrote nothing."""
    before = {path: path.read_bytes() for path in folder.iterdir()}
    right(call)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before, "files changed"


def _args(agent):
    return importlib.import_module(f"agents.{agent}").Args
