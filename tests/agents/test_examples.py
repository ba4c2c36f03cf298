"""Every example runs. Those of libraries that are not installed are skipped."""

import importlib
import math

import pytest

pytestmark = pytest.mark.slow
BOTH = [
    ("SingleClassMine-v0", {"skip": True}),
    ("RegionSelect-v0", {"segmenter": "lda", "picks": 4, "candidates": 5, "budget": 12}),
]


def run(name, *libraries, **arguments):
    for library in libraries:
        pytest.importorskip(library, reason=f"{library} is not installed; see the comment in pyproject.toml")
    return importlib.import_module(f"agents.examples.{name}").main(**arguments)


def test_gym_loop():
    assert run("gym_loop") > 5


def test_tour(tmp_path):
    means = run("tour", out=str(tmp_path), seeds=1, iterations=2)
    assert list(means) == ["random", "entropy", "bald", "agents.examples.tour:things", f"lookahead:{tmp_path}/best.pt"]
    assert (tmp_path / "episode.png").exists()


@pytest.mark.parametrize("name", ["sb3_dqn", "maskable_ppo"])
def test_learners(name):
    assert 0 < run(name, steps=1_000) < math.inf


@pytest.mark.parametrize("env_id", ["SingleClassMine-Flat-v0", "RegionSelect-Flat-v0"])
def test_cleanrl_on_flat_ids(env_id):
    kwargs = {"segmenter": "lda"} if "Region" in env_id else {"skip": True}
    assert 0 < run("cleanrl_loop", env_id=f"alenv:{env_id}", steps=1_000, **kwargs) < math.inf


def test_torchrl():
    frames = run("torchrl_collect", "torchrl")
    assert frames.batch_size.numel() == 200
    assert frames["action_mask"].gather(1, frames["action"].argmax(1, keepdim=True)).all()
    assert not frames["action_mask"][:, -1].all()


def test_torchrl_ppo_with_masks_on_the_native_batch():
    assert 0 < run("torchrl_ppo", "torchrl", steps=1_600) < math.inf


@pytest.mark.parametrize("env_id", ["SingleClassMine-v0", "SingleClassMine-Flat-v0", "RegionSelect-v0"])
@pytest.mark.filterwarnings("ignore:`.*` is set to None:UserWarning")
def test_minari_episodes_replay(env_id):
    pytest.importorskip("jax", reason="Minari writes with JAX; see the comment in pyproject.toml")
    kwargs = {"segmenter": "lda", "picks": 3, "budget": 6} if "Region" in env_id else {"budget": 6, "skip": True}
    assert run("minari_dataset", "minari", env_id=env_id, episodes=2, **kwargs) == 0


@pytest.mark.parametrize(("env_id", "kwargs"), BOTH)
def test_rllib(env_id, kwargs):
    assert 0 < run("rllib_ppo", "ray.rllib", iterations=1, env_id=f"alenv:{env_id}", **kwargs) < math.inf


@pytest.mark.parametrize(("env_id", "kwargs"), BOTH)
def test_tianshou(env_id, kwargs):
    assert 0 < run("tianshou_dqn", "tianshou", steps=200, env_id=env_id, **kwargs) < math.inf
