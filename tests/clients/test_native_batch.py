"""The native batch is a Gymnasium VectorEnv wherever a client touches it: SyncVectorEnv says what is right."""

import json

import gymnasium as gym
import gymnasium.wrappers.vector as wrappers
import numpy as np
import pytest
from batches import BOTH, MINING, REGIONS, native, sync
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode

Flat = wrappers.FlattenObservation


def actions(steps, envs=3):
    return np.random.default_rng(0).integers(6, size=(steps, envs))


def comparable(step):
    """Gymnasium's wrapper adds a time."""
    if isinstance(step[-1], dict):
        step[-1].get("episode", {}).pop("t", None)
    return step


WRAPPERS = {
    "RecordEpisodeStatistics": wrappers.RecordEpisodeStatistics,
    "DictInfoToList": wrappers.DictInfoToList,
    "FlattenObservation": Flat,
    "FilterObservation": lambda env: wrappers.FilterObservation(env, ["candidates", "action_mask"]),
    "TransformObservation": lambda env: wrappers.TransformObservation(env, lambda obs: obs),
    "VectorizeTransformObservation": lambda env: wrappers.VectorizeTransformObservation(
        env, gym.wrappers.FlattenObservation
    ),
    "RescaleObservation": lambda env: wrappers.RescaleObservation(Flat(env), -1.0, 1.0),
    "ReshapeObservation": lambda env: wrappers.ReshapeObservation(Flat(env), (1, 47)),
    "DtypeObservation": lambda env: wrappers.DtypeObservation(Flat(env), np.float64),
    "NormalizeObservation": lambda env: wrappers.NormalizeObservation(Flat(env)),
    "TransformAction": lambda env: wrappers.TransformAction(env, lambda action: action),
    "TransformReward": lambda env: wrappers.TransformReward(env, lambda reward: 2 * reward),
    "ClipReward": lambda env: wrappers.ClipReward(env, 0, 0.5),
    "NormalizeReward": wrappers.NormalizeReward,
}


@pytest.mark.filterwarnings("ignore:.*precision lowered by casting", "ignore:overflow encountered in cast")
@pytest.mark.parametrize(
    ("case", "name"),
    [
        *((MINING, name) for name in WRAPPERS),
        *((REGIONS, name) for name in ("RecordEpisodeStatistics", "DictInfoToList", "NormalizeObservation")),
    ],
    ids=lambda part: part if isinstance(part, str) else part[0],
)
def test_wrappers_do_what_they_do_on_single_environments(case, name):
    ours, theirs = WRAPPERS[name](native(case)), WRAPPERS[name](sync(case))
    assert data_equivalence(ours.reset(seed=1), theirs.reset(seed=1), exact=True)
    for action in actions(9):
        assert data_equivalence(comparable(ours.step(action)), comparable(theirs.step(action)), exact=True)


@pytest.mark.parametrize("kind", ["HumanRendering", "RecordVideo"])
def test_wrappers_that_show_it(kind, monkeypatch, tmp_path):
    for needed in {"HumanRendering": ("pygame", "cv2"), "RecordVideo": ("moviepy",)}[kind]:
        pytest.importorskip(needed)
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = native(MINING, render_mode="rgb_array")
    env = (
        wrappers.HumanRendering(env)
        if kind == "HumanRendering"
        else wrappers.RecordVideo(env, str(tmp_path / "videos"))
    )
    env.reset(seed=0)
    for action in actions(9):
        env.step(action)
    env.close()
    assert kind == "HumanRendering" or list(tmp_path.glob("videos/*.mp4"))


ASKED = ("action_masks", "get_state", "fingerprint", "render", "get_state")
OWN = {MINING[0]: ("labelled",), REGIONS[0]: ("observe_round",)}


@BOTH
@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_every_episode_answers_as_a_single_environment(case, mode):
    ours, theirs = (make(case, mode, render_mode="rgb_array") for make in (native, sync))
    for name in ("spec", "metadata", "render_mode", "action_space", "observation_space"):
        assert ours.get_attr(name) == theirs.get_attr(name)
    ours.reset(seed=1), theirs.reset(seed=1)
    for action in actions(9 if case is MINING else 6):
        assert data_equivalence(ours.step(action), theirs.step(action), exact=True)
        for name in ASKED + OWN[case[0]]:
            answers = ours.call(name), theirs.call(name)
            assert all(type(answer) is tuple and len(answer) == 3 for answer in answers)
            assert all(data_equivalence(*pair, exact=True) for pair in zip(*answers, strict=True)), name
        assert data_equivalence(ours.render(), theirs.render(), exact=True)
        np.testing.assert_array_equal(*(env.call("candidate_gains") for env in (ours, theirs)))
    np.testing.assert_array_equal(ours.action_masks(), np.stack(ours.call("action_masks")))
    assert ours.get_attr("np_random_seed") == theirs.get_attr("np_random_seed") == (1, 2, 3)
    assert ours.get_attr("np_random")[2] is ours.np_random[2]


@BOTH
def test_what_cannot_be_asked(case):
    env = native(case)
    with pytest.raises(gym.error.ResetNeeded):
        env.call("get_state")
    env.reset(seed=0)
    for name in ("reset", "step", "set_state", "close", "_bought"):
        with pytest.raises(AttributeError, match=f"'{name}' cannot be asked of the episodes of a batch"):
            env.call(name)
    with pytest.raises(AttributeError, match="no attribute 'labeled'"):
        env.get_attr("labeled")


@BOTH
def test_attributes_can_be_kept(case):
    env = native(case)
    env.set_attr("mark", 3)
    env.set_attr("marks", [1, 2, 3])
    assert env.get_attr("mark") == (3, 3, 3)
    assert env.call("marks") == (1, 2, 3)
    with pytest.raises(ValueError, match="2 values of 'mark', but num_envs=3"):
        env.set_attr("mark", [1, 2])
    with pytest.raises(AttributeError, match="'render_mode' cannot be set in a batch"):
        env.set_attr("render_mode", None)


def test_rendering():
    env = native(MINING, render_mode="ansi")
    env.reset(seed=0)
    assert len(env.render()) == 3
    assert all("bought 0 of 6 images" in line for line in env.render())
    assert env.metadata["render_modes"] == ["rgb_array", "ansi"]
    env = native(MINING)
    env.reset(seed=0)
    with pytest.warns(UserWarning, match=r"render\(\) needs gym.make_vec"):
        assert env.render() is None


@BOTH
@pytest.mark.parametrize("mode", AutoresetMode)
def test_autoreset_mode_is_an_argument_and_an_attribute(case, mode):
    """Gymnasium gives ``vector_kwargs`` to sync and async batches alone."""
    env = native(case, mode)
    assert env.autoreset_mode is mode
    assert env.metadata["autoreset_mode"] is mode
    assert native(case, mode.value).autoreset_mode is mode
    again = gym.make_vec(native(case, mode.value).spec)
    assert (again.autoreset_mode, again.num_envs) == (mode, 3)
    assert json.loads(native(case, mode.value).spec.to_json())["kwargs"]["autoreset_mode"] == mode.value
    with pytest.raises(gym.error.Error, match="only through kwargs"):
        gym.make_vec(case[0], num_envs=3, vector_kwargs={"autoreset_mode": mode})


def test_a_partial_reset_leaves_what_was_returned():
    env = native(MINING, "Disabled", budget=1)
    env.reset(seed=0)
    last = env.step(np.zeros(3, int))[0]
    kept = {name: array.copy() for name, array in last.items()}
    env.reset(options={"reset_mask": np.array([True, False, True])})
    assert data_equivalence(last, kept, exact=True)


@pytest.mark.parametrize("wrong", [[True, False, True], [0.0, 1.0, 2.0], [0, 1], [[0, 1, 2]], None, ["0", "1", "2"]])
def test_what_are_no_actions(wrong):
    env = native(MINING)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="expected 3 integers"):
        env.step(wrong)
    same = native(MINING)
    same.reset(seed=0)
    for kind in (list, np.int32, np.uint8):
        action = [0, 1, 2] if kind is list else np.array([0, 1, 2], kind)
        assert data_equivalence(env.step(action)[0], same.step(np.array([0, 1, 2]))[0], exact=True)
