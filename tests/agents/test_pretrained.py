"""The checkpoints that the README cites load, play, and are small."""

from pathlib import Path

import gymnasium as gym
import pytest

from agents.policy import make_policy, mines

FOLDER = Path(__file__).resolve().parents[2] / "agents" / "pretrained"
FILES = sorted(path.name for path in FOLDER.glob("*.pt"))


def test_there_are_three_trainings_of_each():
    assert FILES
    assert len(FILES) == 3 * len({name.rpartition("_")[0] for name in FILES})


@pytest.mark.parametrize("name", FILES)
def test_it_plays(name):
    env_id = "SingleClassMine-v0" if name.startswith("misical") else "RegionSelect-v0"
    policy = make_policy(f"{name.partition('_')[0]}:{FOLDER / name}", env_id)
    kwargs = {} if mines(env_id) else {"picks": 2, "budget": 4, "scores": list(policy.scores)}
    env = gym.make(env_id, **kwargs)
    obs, info = env.reset(seed=0)
    policy.reset(0)
    for _ in range(4):
        action = policy.act(obs, info)
        assert obs["action_mask"][action]
        obs, _, _, _, info = env.step(action)


@pytest.mark.parametrize("name", FILES)
def test_it_is_small(name):
    assert (FOLDER / name).stat().st_size < 2**20
