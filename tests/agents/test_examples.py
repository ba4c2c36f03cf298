"""Every example runs. Those of libraries that are not installed are skipped."""

import importlib
import math

import pytest

pytestmark = pytest.mark.slow


def run(name, *libraries, **arguments):
    for library in libraries:
        pytest.importorskip(library, reason=f"{library} is not installed; see the comment in pyproject.toml")
    return importlib.import_module(f"agents.examples.{name}").main(**arguments)


def test_gym_loop():
    assert run("gym_loop") > 5


@pytest.mark.parametrize("name", ["sb3_dqn", "maskable_ppo", "cleanrl_loop"])
def test_learners(name):
    assert 0 < run(name, steps=1_000) < math.inf


def test_torchrl():
    frames = run("torchrl_collect", "torchrl")
    assert frames.batch_size.numel() == 200
    assert frames["action_mask"].gather(1, frames["action"].argmax(1, keepdim=True)).all()
    assert not frames["action_mask"][:, -1].all()


def test_tianshou():
    assert 0 < run("tianshou_dqn", "tianshou", steps=400) < math.inf
