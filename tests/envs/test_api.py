"""Every registered id keeps Gymnasium's and Stable-Baselines3's contracts."""

import inspect
import json
import re
import subprocess
import sys
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_sb3

import alenv
from alenv.envs.mining.single_class_mine import SingleClassMineEnv
from alenv.envs.region.region_select import RegionSelectEnv
from alenv.registration import ENVS, MINING, register_envs

ALLOWED = ("unconventional shape", "is out of date")
"""SB3 says the first of any two-dimensional box, and a row per candidate is what we mean; Gymnasium the second of an id
that has a later version."""
HEADINGS = [
    "Description", "Action Space", "Observation Space", "Starting State", "Rewards", "Episode End", "Information",
    "Arguments", "Registered Configurations", "References", "Version History",
]  # fmt: skip


BOTH = {
    "RegionSelect-v0": {"picks": 4, "budget": 12, "scores": ["entropy", "margin"], "pick_gains": True},
    "SingleClassMine-v0": {"dataset": "mixture:1000", "budget": 8, "candidates": 6, "skip": True, "look_cost": 0.3},
}
both = pytest.mark.parametrize("env_id", BOTH)


def marked(env_id):
    """Features of CamVid take minutes."""
    return pytest.param(env_id, marks=[pytest.mark.slow] if env_id.startswith("RegionSelect-CamVid-v") else [])


@pytest.mark.parametrize("env_id", map(marked, ENVS))
def test_checkers_find_nothing(env_id, available, recwarn):
    env = gym.make(env_id, **available(env_id))
    check_env(env.unwrapped, skip_render_check=False)
    check_env_sb3(env)
    unexpected = [str(w.message) for w in recwarn if not any(text in str(w.message) for text in ALLOWED)]
    assert not unexpected


@both
def test_passive_checker_is_silent_over_an_episode(env_id):
    """And infos have the same keys and types at every step."""

    def kinds(info):
        return {name: (type(value), np.shape(value)) for name, value in info.items()}

    env = gym.make(env_id, **BOTH[env_id])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, first = env.reset(seed=0)
        terminated = False
        while not terminated:
            obs, reward, terminated, truncated, info = env.step(int(env.action_space.sample()))
            assert env.observation_space.contains(obs)
            assert (type(reward), type(terminated), truncated) == (float, bool, False)
            assert kinds(info) == kinds(first)


KINDS = [("RegionSelect-v0", kind) for kind in ("compact", "ralis")]
KINDS += [("SingleClassMine-v0", kind) for kind in ("cosine", "relational", "embedding")]


@pytest.mark.parametrize(("env_id", "kind"), KINDS)
def test_every_column_has_a_name_of_its_own(env_id, kind):
    env = gym.make(env_id, observation=kind).unwrapped
    for part, names in (("candidates", env.feature_names), ("state", env.state_names)):
        assert len(set(names)) == len(names) == env.observation_space[part].shape[-1]


def test_a_batch_says_the_names_of_single_environments():
    batch, env = gym.make_vec("SingleClassMine-v0", num_envs=2), gym.make("SingleClassMine-v0").unwrapped
    assert batch.get_attr("feature_names") == (env.feature_names,) * 2
    assert batch.get_attr("state_names") == (env.state_names,) * 2


@both
def test_spec_survives_json(env_id):
    env = gym.make(env_id, **BOTH[env_id])
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert again.unwrapped.observation_space == env.unwrapped.observation_space
    assert again.spec == env.spec


def test_import_registers_once_and_loads_no_torch():
    code = (
        "import sys, warnings; warnings.simplefilter('error'); import alenv, gymnasium as gym; "
        "from alenv.registration import register_envs; register_envs(); gym.register_envs(alenv); "
        "assert 'torch' not in sys.modules and 'torchvision' not in sys.modules; "
        "gym.make('RegionSelect-v0'); gym.make('SingleClassMine-v0').reset(seed=0); "
        "gym.make_vec('SingleClassMine-v0', num_envs=2).reset(seed=0); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_making_an_environment_reads_nothing(cache):
    for env_id in ENVS:
        gym.make(env_id).close()
    gym.make("SingleClassMine-v0", dataset="mixture:1000000").close()
    assert not cache.exists()


def test_module_prefix_and_spelling():
    assert gym.make("alenv:RegionSelect-v0").unwrapped.spec.id == "RegionSelect-v0"
    with pytest.raises(gym.error.NameNotFound, match="Did you mean: `RegionSelect`"):
        gym.make("RegionSelekt-v0")


@pytest.mark.parametrize(("made", "ids"), [(RegionSelectEnv, ENVS), (SingleClassMineEnv, MINING)])
def test_docstring_is_the_documentation_page(made, ids):
    assert re.findall(r"## (.+)", made.__doc__) == HEADINGS
    for argument in inspect.signature(made).parameters:
        assert f"`{argument}`" in made.__doc__, argument
    assert all(env_id in made.__doc__ for env_id in ids)


def test_masks_agree(small):
    env = gym.make("RegionSelect-v0", **small)
    obs, _ = env.reset(seed=0)
    assert obs["action_mask"].dtype == np.int8
    np.testing.assert_array_equal(obs["action_mask"].astype(bool), env.unwrapped.action_masks())
    assert env.unwrapped.action_masks().dtype == bool


def test_render(small):
    env = gym.make("RegionSelect-v0", **small, render_mode="rgb_array")
    env.reset(seed=0)
    for _ in range(4):
        env.step(0)
    picture = env.render()
    assert picture.dtype == np.uint8
    assert picture.shape == (3 * 96, 3 * 128, 3)
    assert (picture[:96] != picture[96:192]).any()
    env = gym.make("RegionSelect-v0", **small, render_mode="ansi")
    env.reset(seed=0)
    assert re.fullmatch(r"round 0  pick 0/4  bought 0/12 regions  mIoU \d+\.\d\d", env.render())


def test_rendering_shows_only_bought_labels(small):
    """The middle panel may colour bought regions only."""
    env = gym.make("RegionSelect-v0", **small, initial="none", render_mode="rgb_array")
    env.reset(seed=0)
    for _ in range(4):
        _, _, _, _, info = env.step(0)
    image, y, x = info["picked"]
    data = env.unwrapped._campaign.data
    middle = env.render()[:96, 128:256]
    outside = np.ones((96, 128), bool)
    for region in env.unwrapped._campaign.learner.labelled:
        other, top, left = env.unwrapped._campaign.grid.corner(int(region))
        if other == image:
            outside[top : top + 24, left : left + 32] = False
    np.testing.assert_array_equal(middle[outside], (data.images[image] // 4)[outside])
    bought = slice(y, y + 24), slice(x, x + 32)
    np.testing.assert_array_equal(middle[bought], data.colours[data.masks[image][bought]])


OWN = {"RegionSelect-v0": lambda env: env.evaluate("test"), "SingleClassMine-v0": lambda env: env.labelled}


@both
def test_before_reset_and_after_the_end(env_id):
    env = gym.make(env_id, **BOTH[env_id]).unwrapped
    uses = (lambda: env.step(0), env.action_masks, env.get_state, env.candidate_gains, lambda: OWN[env_id](env))
    for use in uses:
        with pytest.raises(gym.error.ResetNeeded):
            use()
    env.reset(seed=0)
    while not env.step(0)[2]:
        pass
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)
    env.close()
    env.close()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"dataset": "scene"}, "unknown dataset 'scene'; did you mean 'scenes'"),
        ({"budget": 20}, "budget=20 is smaller than one round of picks=24; use budget >= 24 or picks <= 20"),
        ({"budget": 0}, "budget=0: expected an integer of at least 1"),
        ({"candidates": 2.5}, "candidates=2.5"),
        ({"pool": "evaluation"}, "unknown pool 'evaluation'"),
        ({"segmenter": "linea"}, "did you mean 'linear'"),
        ({"scores": ["entropi"]}, "unknown score 'entropi'; did you mean 'entropy'"),
        ({"reward": "class:cars"}, "unknown class in reward 'cars'; did you mean 'car'"),
        ({"reward": "iou"}, "unknown reward 'iou'; did you mean 'miou'"),
        ({"initial": "state"}, "write a number of at least 1 after the colon, as in 'state:2'"),
        ({"initial": "stat:2"}, "unknown initial 'stat:2'"),
        ({"initial": "train"}, "labels the whole pool"),
        ({"split": "dawn"}, "unknown split of scenes 'dawn'"),
        ({"root": "/nowhere"}, "root='/nowhere' has no effect"),
        ({"dataset": "camvid", "fresh_pool": True}, "'camvid' cannot be generated"),
        ({"region": 24}, r"region=24: expected \[height, width\]"),
        ({"observation": "pixels"}, "unknown observation 'pixels'"),
        ({"weights": 3, "features": "squeezenet1_0"}, "weights=3"),
        ({"features": ["a"]}, "features="),
    ],
)
def test_bad_arguments_name_value_and_remedy(kwargs, message):
    with pytest.raises(ValueError, match=message):
        gym.make("RegionSelect-v0", **kwargs)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"region": [25, 32]}, "height of 25 does not tile images of height 96 in cells of 4 pixels; possible: 4, 8"),
        ({"initial": "state:11"}, "asks for 11, but there are 10"),
        ({"features": "squeezenet1_1x"}, "did you mean 'squeezenet1_1'"),
    ],
)
def test_errors_that_need_the_data(kwargs, message):
    env = gym.make("RegionSelect-v0", **kwargs)
    with pytest.raises(ValueError, match=message):
        env.reset(seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"initial_image": [0]}, "unknown reset option 'initial_image'; did you mean 'initial_images'"),
        ({"initial_images": ["state-d00-f0"]}, "did you mean 'state-d00-f00'"),
        ({"initial_images": [10**6]}, "the dataset has images 0..689"),
        ({"initial_images": [-1]}, "the dataset has images 0..689"),
        ({"initial_images": ["test-d00-f00"]}, "belongs to the split 'test', which is only for scoring"),
    ],
)
def test_bad_reset_options(small, options, message):
    env = gym.make("RegionSelect-v0", **small)
    with pytest.raises(ValueError, match=message):
        env.reset(seed=0, options=options)


def test_unexpected_argument_is_named():
    with pytest.raises(TypeError, match="budgets"):
        gym.make("RegionSelect-v0", budgets=3)


def test_register_envs_is_idempotent(recwarn):
    register_envs()
    assert not recwarn.list
    assert alenv.__version__
    assert json.dumps([kwargs for _, kwargs in ENVS.values()])
