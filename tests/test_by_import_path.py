"""A dataset, a score, a network and a backbone of one's own, by import path: as CONTRIBUTING.md has them, and wrong."""

import importlib
import pickle
import re
import sys
import types
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from agents.catalogue import make_policy
from agents.play import evaluate
from alenv import imports
from benchmarks.leaderboard import episodes
from benchmarks.leaderboard.suite import Suite

PAGE = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()


def shown(name):
    """The module of that name as CONTRIBUTING.md shows it."""
    (text,) = re.findall(rf"```python\n# {name}\.py: .*?\n(.*?)```", PAGE, re.DOTALL)
    return text


CLASS = """
import numpy as np
from alenv.data import Dataset, from_arrays
from alenv.data.resized import palette


class Leaves(Dataset):
    classes, colours = ("soil", "leaf", "weed"), palette(3)
    region, cell = (8, 8), 2
    split_tables = ("even", "odd")

    def __init__(self, root):
        self.root = root

    def load(self, split):
        masks = np.load(self.root / "masks.npy")
        images = np.stack([80 * masks] * 3, -1)
        parts = np.arange(10).reshape(5, 2) + (split == "odd")
        splits = dict(zip(("state", "train", "reward", "eval", "test"), parts))
        return from_arrays(images, masks, self.classes, splits).load(split)
"""

MODULES = {name: shown(name) for name in ("plants", "ranks", "nets", "eyes", "mine")} | {"fields": CLASS}
SMALL = {"dataset": "plants:leaves", "budget": 4, "picks": 2, "candidates": 3, "initial": "state:1"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder on the path with all modules, and the data of one of them."""
    monkeypatch.setenv("ALENV_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    np.save(tmp_path / "masks.npy", np.arange(12, dtype=np.uint8).reshape(12, 1, 1).repeat(32, 1).repeat(32, 2) % 3)
    yield tmp_path
    for name in MODULES:
        sys.modules.pop(name, None)
    imports._source_of_module.cache_clear()


def made(**kwargs):
    return gym.make("RegionSelect-v0", **{**SMALL, **kwargs}).unwrapped


def play(env):
    """The picks and rewards of one episode."""
    obs, _ = env.reset(seed=0)
    rewards, over = [], False
    while not over:
        obs, reward, over, _, _ = env.step(int(obs["action_mask"].argmax()))
        rewards.append(reward)
    return rewards


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"dataset": "fields:Leaves", "split": "odd"},
        {"scores": ["ranks:weeds", "entropy"]},
        {"segmenter": "nets:build"},
        {"features": "eyes:make", "segmenter": "lda"},
    ],
    ids=lambda kwargs: "-".join(kwargs) or "arrays",
)
def test_an_episode_pickles_repeats_and_says_what_source_it_had(kwargs, folder):
    root = {"root": str(folder)} if "split" in kwargs else {}
    env = made(**kwargs, **root)
    env.reset(seed=3)
    env.step(0)
    again = pickle.loads(pickle.dumps(env))
    for _ in range(3):
        first, second = env.step(1), again.step(1)
        assert first[1] == second[1]
        np.testing.assert_array_equal(first[0]["candidates"], second[0]["candidates"])
    assert play(env) == play(made(**kwargs, **root))
    named = {"dataset": "plants:leaves", **kwargs, "scores": kwargs.get("scores", ["none"])[0]}.values()
    assert set(env.fingerprint()["outside"]) == {name for name in named if ":" in name}


@pytest.mark.parametrize("segmenter", ["lda", "nets:build"])
def test_a_source_domain_of_ones_own(segmenter, folder):
    """Three images of 32 x 32 pixels; the split may be named as well."""
    kwargs = {"dataset": "fields:Leaves", "root": str(folder), "segmenter": segmenter}
    for initial in ("source:plants:leaves", "source:plants:leaves:given"):
        env = made(initial=initial, **kwargs)
        env.reset(seed=0)
        assert env._campaign.learner.given == 3 * 32 * 32
        assert {"plants:leaves", "fields:Leaves"} <= set(env.fingerprint()["outside"])
    with pytest.raises(ValueError, match="unknown split of plants:leaves"):
        made(initial="source:plants:leaves:odd", **kwargs).reset()


def test_a_class_of_several_tables_gets_its_root_and_table(folder):
    even, odd = (made(dataset="fields:Leaves", root=str(folder), split=split) for split in ("even", "odd"))
    assert even._loaded[1].region == (8, 8)
    assert [int(env._loaded[0].splits["test"][0]) for env in (even, odd)] == [8, 9]


def test_mining_a_dataset_with_a_backbone_of_ones_own():
    arguments = {"budget": 1, "candidates": 2, "negatives": 0, "pool": "train", "classes": "all"}
    env = gym.make("SingleClassMine-v0", dataset="plants:leaves", embeddings="eyes:make", **arguments)
    _, info = env.reset(seed=0)
    assert info["target_class"] in ("soil", "leaf", "weed")
    assert set(env.unwrapped.fingerprint()["outside"]) == {"plants:leaves", "eyes:make"}


def test_a_score_is_a_channel_and_a_policy():
    policy = make_policy("ranks:weeds")
    [episode] = evaluate(policy, "RegionSelect-v0", SMALL, [0], [])
    assert episode.policy == "ranks:weeds"
    env = made(scores=["ranks:weeds"])
    obs, _ = env.reset(seed=0)
    probs = env._campaign.learner.predict(env._current.candidates[env._current.current]).probs
    np.testing.assert_allclose(obs["scores"][:, 0], probs[:, 1].mean((1, 2)), rtol=1e-5)
    assert episode.actions[0] == obs["scores"][:, 0].argmax()


def test_a_policy_takes_the_candidate_of_the_rarest_class():
    policy, env = make_policy("mine:Rarest"), made()
    obs, info = env.reset(seed=0)
    seen = [
        value
        for name, value in zip(env.unwrapped.state_names, obs["state"], strict=True)
        if name.startswith("labelled:")
    ]
    chances = [name.startswith("probability:") for name in env.unwrapped.feature_names]
    value = obs["candidates"][:, chances] @ (np.array(seen) + 1e-3) ** -0.5
    assert policy.act(obs, info) == np.argmax(np.where(obs["action_mask"], value, -1))
    assert len(set(value)) > 1


def test_other_source_is_another_fingerprint_and_another_episode(folder, tmp_path):
    def seen():
        for name in MODULES:
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        imports._source_of_module.cache_clear()
        env = made(scores=["ranks:weeds"], features="eyes:make")
        env.reset(seed=0)
        suite = Suite("s", "RegionSelect-v0", {**SMALL, "features": "eyes:make"}, ("random",), (0,))
        return (
            env.fingerprint()["sha256"],
            env._campaign.learner.facts["features"],
            episodes.jobs(suite, tmp_path)["random"][0].path,
        )

    first, again = seen(), seen()
    (folder / "eyes.py").write_text(shown("eyes").replace("255", "510"))
    assert first == again
    assert all(new != old for new, old in zip(seen(), first, strict=True))


def test_the_source_of_a_package_is_all_of_it(folder):
    (folder / "herbs").mkdir()
    for name, text in {"__init__": "", "mint": "from herbs.seeds import grow\n", "seeds": "grow = 1\n"}.items():
        (folder / "herbs" / f"{name}.py").write_text(text)
    before = imports.source("herbs.mint:grow")
    (folder / "herbs" / "seeds.py").write_text("grow = 2\n")
    imports._source_of_module.cache_clear()
    assert imports.source("herbs.mint:grow") != before
    for name in ("herbs", "herbs.mint", "herbs.seeds"):
        sys.modules.pop(name)


WRONG = {
    "plants": (
        "leaves = 3\nclass Bare:\n    def load(self, split): ...\n    def __init__(self, root): ...\n"
        "from alenv.data import Dataset\nclass Odd(Dataset):\n    classes = ('a', 'a')\n"
        "    def load(self, split): ...\n    def __init__(self, root): pass\n"
    ),
    "ranks": "weeds = len\nimport alenv.acquisition as a\nnan = a.Score(lambda p: p[:, 0] * float('nan'), ('probs',), "
    "lambda c: 1)\nmaps = a.Score(lambda p: p, ('probs',), lambda c: 1)\n"
    "fails = a.Score(lambda p: p[9:] / p[99], ('probs',), lambda c: 1)\n"
    "words = a.Score(lambda p: p[:, 0].astype(object), ('probs',), lambda c: 1)\n"
    "things = a.Score(lambda p: p[:, 0, 0, 0].astype(object), ('probs',), lambda c: 1)\n"
    "odd = a.Score(lambda p: p[:, 0], ('probs',), lambda c: 1, reduce=lambda m: m[:, 0, 0].astype(object))\n"
    "lists = a.Score(lambda p: p[:, 0].tolist(), ('probs',), lambda c: 1)\n"
    "fewer = a.Score(lambda p: p[1:, 0], ('probs',), lambda c: 1)\n"
    "whole = a.Score(lambda p: p[:, 0, 1:], ('image_probs',), lambda c: 1)\n",
    "nets": (
        "build = 3\ndef none(classes): return None\ndef fails(classes): raise KeyError('width')\n"
        "from torch import nn\nfrom alenv.segmenters.networks.architectures import Network\n"
        "def narrow(classes): return Network(nn.Conv2d(3, 8, 3), nn.Conv2d(5, classes, 1))\n"
        "def deep(classes): return Network(nn.Conv2d(4, 8, 3), nn.Conv2d(8, classes, 1))\n"
    ),
    "eyes": "make = 3\ndef pixels(cell): return lambda images: images.float()\n"
    "def fails(cell): return lambda images: 1 / 0\n"
    "def nan(cell): return lambda images: images[:, :, ::cell, ::cell] * float('nan')\n",
    "broken": "import nothing_of_that_name\n",
}


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"dataset": "plant:leaves"}, "dataset 'plant:leaves' cannot be imported: ModuleNotFoundError: No module"),
        ({"dataset": "broken:leaves"}, "cannot be imported: ModuleNotFoundError: No module named 'nothing_of_that"),
        ({"dataset": "plants:leafs"}, "unknown name in plants: 'leafs'; did you mean 'leaves'"),
        ({"dataset": "my-plants:leaves"}, "is no import path; write 'package.module:name' of a class or object"),
        ({"dataset": "plants:leaves"}, "has no method 'load'"),
        ({"dataset": "plants:Bare"}, "the attribute 'classes' is missing"),
        ({"dataset": "plants:Odd"}, "the attribute 'colours' is missing"),
        ({"scores": ["ranks:weeds"]}, "is a builtin_function_or_method; write .* of an alenv.acquisition.Score"),
        ({"scores": ["ranks:weed"]}, "did you mean 'weeds'"),
        (
            {"segmenter": "nets:build"},
            "is a int, no function; write .* of a function like alenv.segmenters.networks.Build",
        ),
        ({"features": "eyes:make"}, "is a int, no function; write .*MakeBackbone"),
        ({"features": "eyes:mako"}, "unknown name in eyes: 'mako'; did you mean 'make'"),
    ],
)
def test_what_is_wrong_is_said_when_the_environment_is_made(kwargs, message, folder):
    for name, text in WRONG.items():
        (folder / f"{name}.py").write_text(text)
    with pytest.raises(ValueError, match=message):
        gym.make("RegionSelect-v0", **kwargs)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"segmenter": "nets:none"}, "returned a NoneType, not an alenv.segmenters.networks.Network"),
        ({"segmenter": "nets:fails"}, "cannot be made for 3 classes: KeyError: 'width'"),
        ({"features": "eyes:pixels"}, r"makes torch.float32 \(1, 3, 32, 32\) of images .* for each cell of 2 pixels"),
        (
            {"segmenter": "nets:narrow"},
            r"makes \(1, 8, 30, 30\) of an image .* expected a tensor \(1, 5, rows, columns\)",
        ),
        ({"segmenter": "nets:deep"}, "the body of segmenter='nets:deep' fails: RuntimeError: .* 4 channels"),
        ({"features": "eyes:fails"}, r"eyes:fails' fails on images \(1, 3, 32, 32\): ZeroDivisionError"),
        ({"features": "eyes:nan"}, "eyes:nan' makes values that are infinite or NaN"),
        ({"scores": ["ranks:nan"]}, "the score ranks:<lambda> returns NaN"),
        ({"scores": ["ranks:fails"]}, "the score ranks:<lambda> fails: IndexError"),
        (
            {"scores": ["ranks:words"]},
            "the score ranks:<lambda> fails: ValueError: expected real numbers, got .* object",
        ),
        ({"scores": ["ranks:things"]}, "fails: ValueError: expected real numbers, got an array of object"),
        ({"scores": ["ranks:odd"]}, "the score ranks:<lambda> returns values of type object; expected numbers"),
        ({"scores": ["ranks:lists"]}, "returns a list; expected an array or tensor"),
        ({"scores": ["ranks:fewer"]}, r"returns values that reduce to \(5,\) of 6 regions"),
        ({"scores": ["ranks:whole"]}, r"returns \(3, 15, 16\) of whole images; expected \(3, 16, 16\)"),
        ({"scores": ["ranks:maps"]}, r"returns values that reduce to .*expected \(n, rows, columns\)"),
    ],
)
def test_what_is_wrong_with_what_it_makes_is_said_at_reset(kwargs, message, folder):
    for name in ("ranks", "nets", "eyes"):
        (folder / f"{name}.py").write_text(WRONG[name])
    env = made(**kwargs)
    with pytest.raises(ValueError, match=message):
        env.reset(seed=0)


DATA = """
from dataclasses import replace
from fields import Leaves


def wrong(**values):
    class Wrong(Leaves):
        def load(self, split):
            return replace(super().load(split), **values)

    return Wrong


name, names, splits, manifest, colours = (wrong(**{n: None}) for n in "name names splits manifest colours".split())


class Fails(Leaves):
    def load(self, split):
        raise KeyError("masks")
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("name", "data:name': name=None: expected a string"),
        ("names", "names=None: expected a list"),
        ("splits", "splits=None: expected a table of names and values"),
        ("manifest", "manifest=None: expected a string"),
        ("colours", r"colours: expected an array of uint8 \(3, 3\), not None"),
        ("Fails", "cannot be loaded, split 'even': KeyError: 'masks'"),
    ],
)
def test_what_is_wrong_with_data_is_said_when_they_are_loaded(name, message, folder):
    (folder / "wrong_data.py").write_text(DATA)
    sys.modules.pop("wrong_data", None)
    with pytest.raises(ValueError, match=message):
        made(dataset=f"wrong_data:{name}", root=str(folder)).reset(seed=0)


def test_a_pickle_of_a_module_that_is_gone_says_so(folder):
    frozen = pickle.dumps(made())
    sys.modules.pop("plants")
    (folder / "plants.py").unlink()
    importlib.invalidate_caches()
    with pytest.raises(ValueError, match="dataset 'plants:leaves' cannot be imported"):
        pickle.loads(frozen)


def test_what_is_typed_into_a_notebook_is_told_apart(monkeypatch):
    typed = types.ModuleType("typed")  # without a file, as __main__ is there
    monkeypatch.setitem(sys.modules, "typed", typed)
    exec(shown("plants") + shown("ranks"), typed.__dict__)
    env = made(dataset="typed:leaves")
    before = env.fingerprint()["outside"]
    exec(shown("plants").replace("default_rng(0)", "default_rng(1)"), typed.__dict__)
    assert made(dataset="typed:leaves").fingerprint()["outside"] != before
    with pytest.raises(ValueError, match="'typed:weeds' has no source, so results with it could not be told from"):
        made(scores=["typed:weeds"]).fingerprint()
    with pytest.raises(ValueError, match=r"expected the name of a dataset, or 'package.module:name' of yours"):
        made(dataset=typed.leaves)
