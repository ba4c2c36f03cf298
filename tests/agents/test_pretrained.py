"""The checkpoints that the README cites load, play, and are small."""

import json
import re
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from agents.catalogue import make_policy
from agents.checkpoints import read
from agents.environments import mines
from alenv.envs.mining.arguments import STATE
from alenv.mining.features import RELATIONS
from alenv.observation import CANDIDATE, PROGRESS

FOLDER = Path(__file__).resolve().parents[2] / "agents" / "pretrained"
FILES = sorted(path.name for path in FOLDER.glob("*.pt"))
ACTIONS = json.loads((Path(__file__).parents[1] / "golden" / "pretrained_actions.json").read_text())
CLASSES = 11


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


def shapes(name, policy):
    """Shapes of what an agent sees: candidates and state."""
    saved = read(FOLDER / name)
    if "shapes" in saved:
        return saved["shapes"]["candidates"], saved["shapes"]["state"]
    if "sizes" in saved:
        features, *state = saved["sizes"]
        return (20, features - len(policy.scores)), state
    return (
        ((20, len(RELATIONS)), (len(STATE),))
        if name.startswith("misical")
        else ((20, CLASSES + len(CANDIDATE)), (2 * CLASSES + len(PROGRESS),))
    )


def actions(name, count=24):
    """What an agent does when it is shown noise: rounds of eight picks."""
    policy, rng = make_policy(f"{name.partition('_')[0]}:{FOLDER / name}"), np.random.default_rng(0)
    policy.reset(0)
    candidates, state = shapes(name, policy)
    done = []
    for step in range(count):
        obs = {"candidates": rng.random(candidates, np.float32), "state": rng.random(state, np.float32)}
        obs["action_mask"] = (rng.random(20) < 0.8).astype(np.int8)
        obs["scores"] = rng.random((20, len(policy.scores)), np.float32)
        if not name.startswith("misical") and obs["state"].ndim == 1:
            obs["state"][PROGRESS.index("pick")] = step % 8 / 8
        done.append(int(policy.act(obs, {})))
    return done


@pytest.mark.parametrize("name", FILES)
def test_it_acts_as_when_it_was_released(name):
    assert actions(name) == ACTIONS[name]
