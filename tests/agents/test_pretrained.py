"""The checkpoints that the README cites load, play, and are small."""

import re
from pathlib import Path

import gymnasium as gym
import pytest

from agents.catalogue import make_policy
from agents.checkpoints import read
from agents.environments import mines

FOLDER = Path(__file__).resolve().parents[2] / "agents" / "pretrained"
FILES = sorted(path.name for path in FOLDER.glob("*.pt"))


def test_all_that_the_suites_name_are_there():
    suites = (FOLDER.parents[1] / "configs" / "suites").glob("agents_*.toml")
    named = {name for suite in suites for name in re.findall(r"pretrained/(\w+\.pt)", suite.read_text())}
    assert FILES
    assert set(FILES) == named


def marked(name):
    """Features of CamVid take minutes."""
    return pytest.param(name, marks=[pytest.mark.slow] if "camvid" in name else [])


@pytest.mark.parametrize("name", map(marked, FILES))
def test_it_plays(name, request):
    usual = "SingleClassMine-v0" if name.startswith("misical") else "RegionSelect-v0"
    env_id = read(FOLDER / name)["args"].get("env", usual)
    if "CamVid" in env_id:
        request.getfixturevalue("camvid_root")
        request.getfixturevalue("squeezenet_weights")
    policy = make_policy(f"{name.partition('_')[0]}:{FOLDER / name}", env_id)
    observation = getattr(policy, "observation", "compact")
    few = {"picks": 2, "budget": 4, "scores": list(policy.scores), "observation": observation}
    env = gym.make(env_id, **({} if mines(env_id) else few))
    obs, info = env.reset(seed=0)
    policy.reset(0)
    for _ in range(4):
        action = policy.act(obs, info)
        assert obs["action_mask"][action]
        obs, _, _, _, info = env.step(action)


@pytest.mark.parametrize("name", FILES)
def test_it_is_small(name):
    assert (FOLDER / name).stat().st_size < 2**20
