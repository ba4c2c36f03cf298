"""Keys of what is kept on disk: whatever changes the content changes the key, part by part."""

import copy
import linecache
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from agents.play import Episode
from alenv import data as datasets
from alenv import state
from alenv.mining import embeddings
from alenv.regions import make_grid
from alenv.segmenters import features
from alenv.segmenters.networks import learner as network_learner
from benchmarks.ladder import runs
from benchmarks.leaderboard import episodes
from benchmarks.leaderboard.suite import Suite


class Asked(Exception):  # noqa: N818
    """Raised in the place of opening a store, with its name and source."""


@pytest.fixture
def asked(monkeypatch):
    """Return what a call would look for on disk: (name, source)."""

    def stop(name, source, build):
        raise Asked(name, source)

    for module in (features, embeddings, network_learner):
        monkeypatch.setattr(module, "open_store", stop)

    def ask(function, *args, **kwargs):
        with pytest.raises(Asked) as caught:
            function(*args, **kwargs)
        return caught.value.args

    return ask


@pytest.fixture(scope="module")
def scenes(_places):
    opened, data = datasets.open_dataset("scenes"), datasets.load("scenes")
    return data, make_grid(data.images.shape[1:3], opened.region, opened.cell)


def changes(facts):
    """Yield the path of every value in nested dicts, and a copy of them with another value there."""
    for name, value in facts.items():
        if isinstance(value, dict):
            for path, changed in changes(value):
                yield (name, *path), {**facts, name: changed}
        else:
            yield (name,), {**facts, name: f"other than {value}"}


def changed(array, index, value):
    copied = np.array(array)
    copied[index] = value
    return copied


def test_first_training_of_a_network(scenes, asked):
    """Every fact of the model and its training, the software, the regions, their order, labels and pixels."""
    data, grid = scenes
    image = data.splits["state"][0]
    ids = grid.of_images(data.splits["state"][:1])
    learner = network_learner.NetworkLearner(data, grid, 8, "tiny")
    facts, images, masks = copy.deepcopy(learner.facts), data.images, data.masks

    def key(regions=ids, **changes):
        learner.reset()
        learner.facts, learner._data = changes.get("facts", facts), replace(data, **changes.get("data", {}))
        return asked(learner.fit, regions)

    keys = {"as it is": key()}
    assert key() == keys["as it is"]
    for path, other in changes(facts):
        keys[path] = key(facts=other)
    assert {("precision",), ("weights",), ("recipe",), ("training", "long_steps")} <= set(keys)
    keys["order"], keys["regions"] = key(ids[::-1]), key(ids[:5])
    y, x = grid.corner(ids[0])[1:]
    keys["pixel"] = key(data={"images": changed(images, (image, y, x, 0), images[image, y, x, 0] ^ 1)})
    keys["label"] = key(data={"masks": changed(masks, (image, y, x), (masks[image, y, x] + 1) % len(data.classes))})
    other = network_learner.NetworkLearner(data, make_grid(grid.size, (48, 16), 8), 8, "tiny")
    keys["shape of regions"] = asked(other.fit, ids)
    assert len(set(keys.values())) == len(keys)
    unread = data.splits["train"][0]  # its images and labels are not read
    for part in ({"images": changed(images, unread, 0)}, {"masks": changed(masks, unread, 0)}):
        assert key(data=part) == keys["as it is"]


def test_fingerprint(monkeypatch):
    """Every fact, the code and the version of every package."""
    facts = {"env": "E", "arguments": {"budget": 3, "region": None}}
    keys = {"as it is": state.fingerprint(**facts)["sha256"]}
    assert state.fingerprint(**facts)["sha256"] == keys["as it is"]
    for path, other in changes(facts):
        keys[path] = state.fingerprint(**other)["sha256"]
    packages = ("gymnasium", "numpy", "scipy", "timm", "torch", "torchvision")
    for package in (*packages, "none", "code", "alenv", "python", "machine", "simd"):
        with monkeypatch.context() as patch:
            if package in (*packages, "none"):  # a package that is left out is as none
                patch.setattr(state, "_version", lambda name, other=package: "other" if name == other else "same")
            else:
                name = {
                    "code": "alenv.state.code_digest",
                    "alenv": "alenv.__version__",
                    "python": "platform.python_version",
                    "machine": "platform.machine",
                    "simd": "alenv.state._simd",
                }[package]
                patch.setattr(name, "other" if package == "alenv" else lambda: "other")
            keys[package] = state.fingerprint(**facts)["sha256"]
    assert len(set(keys.values())) == len(keys)


def test_code_digest_covers_names_and_contents_of_all_files(tmp_path, monkeypatch):
    monkeypatch.setattr(state, "__file__", str(tmp_path / "state.py"))
    digests = []
    for name, content in (("a.py", "1"), ("a.py", "2"), ("sub/b.py", ""), ("sub/b.py", "3"), ("c.py", "3")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
        digests.append(state.code_digest.__wrapped__())
    (tmp_path / "c.py").rename(tmp_path / "d.py")
    digests.append(state.code_digest.__wrapped__())
    assert len(set(digests)) == len(digests)
    assert state.code_digest.__wrapped__() == digests[-1]


def test_features(scenes, asked, monkeypatch):
    data, _ = scenes

    def key(data=data, cell=8, identity="made", **more):
        monkeypatch.setattr(features, "make_extractor", lambda name, weights, cell: (None, identity))
        return asked(features.cell_features, data, cell, "made", None, **more)

    keys = [key(), key(data=replace(data, manifest="other")), key(cell=4), key(identity="other")]
    keys += [key(dimensions=32), key(zoom=2)]
    assert key() == keys[0]
    monkeypatch.setattr(features, "VERSION", -1)
    keys.append(key())
    assert len(set(keys)) == len(keys)


def test_embeddings(scenes, asked, monkeypatch):
    data, _ = scenes

    def key(identity="made", backbone="made", root=None, **changes):
        with monkeypatch.context() as patch:
            patch.setattr(embeddings, "make_extractor", lambda name, weights, cell: (None, identity))
            loaded = replace(data, manifest=changes.pop("manifest", data.manifest))
            opened = SimpleNamespace(cell=4, split_tables=("day",), load=lambda split: loaded)
            patch.setattr(datasets, "open_dataset", lambda name, root: opened)
            for name, value in changes.items():
                patch.setattr(embeddings, name, value)
            return asked(embeddings.embed_dataset, "scenes", root, backbone)

    keys = [key(), key(identity="other"), key(root="elsewhere"), key(backbone="filterbank"), key(manifest="other")]
    keys += [key(**{name: -1}) for name in ("VERSION", "DIMENSIONS", "BANDS")]
    keys.append(key(CENTRED=("scenes",)))
    assert key() == keys[0]
    assert len(set(keys)) == len(keys)


SUITE = Suite(name="s", env="RegionSelect-v0", kwargs={"budget": 4}, policies=("random",), seeds=(0, 1), budgets=(5,))
POLICY = """
from pathlib import Path

class Policy:
    name, scores, oracle = "made", (), False
    digest = (Path(__file__).parent / "learned").read_text()

    def reset(self, seed): ...

    def act(self, obs, info): return {action}
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Where an episode of a policy of one's own would lie, by what its module says and by what it has learned."""
    monkeypatch.syspath_prepend(tmp_path)

    def path(where, action=0, learned="weights"):
        (tmp_path / "learned").write_text(learned)
        (tmp_path / "made_policy.py").write_text(POLICY.format(action=action))
        sys.modules.pop("made_policy", None)
        linecache.clearcache()
        episodes.source.cache_clear()
        monkeypatch.setattr(sys, "dont_write_bytecode", True)  # of files that change within a second
        try:
            return where("made_policy:Policy")
        finally:
            episodes.source.cache_clear()

    return path


OUT = Path("out")
MINING = replace(SUITE, env="SingleClassMine-v0", kwargs={"dataset": "mixture:1000"}, policies=("random",))


def path_of(suite, policy, item):
    [job] = [job for job in episodes.jobs(replace(suite, policies=(policy,)), OUT)[policy] if job.name.endswith(item)]
    return job.path


KINDS = {
    "regions": lambda suite=SUITE, policy="random", item="seed 0": path_of(suite, policy, item),
    "mining": lambda suite=MINING, policy="random", item="'class_01'": path_of(suite, policy, item),
}
kinds = pytest.mark.parametrize("where", KINDS.values(), ids=KINDS)


@kinds
def test_episode(where, monkeypatch):
    mines = where is KINDS["mining"]
    suite = MINING if mines else SUITE
    other = "SingleClassMine-Flat-v0" if mines else "RegionSelect-CamVid-v0"
    paths = [
        where(),
        where(replace(suite, env=other)),
        where(replace(suite, kwargs=suite.kwargs | {"candidates": 5})),
        where(replace(suite, kwargs=suite.kwargs | {"candidates": 5, "pool": "eval"})),
        where(policy="cosine" if mines else "entropy"),
        where(item="'class_05'" if mines else "seed 1"),
    ]
    if mines:  # a file holds all seeds
        paths += [where(replace(suite, seeds=(0, 2))), where(replace(suite, budgets=(5, 6)))]
    else:
        paths.append(where(replace(suite, splits=("test",))))
        assert where(replace(suite, seeds=(0, 1, 2))) == where()
    assert where() == paths[0]
    assert where(replace(suite, name="other", policies=("random", "entropy"))) == where()
    for name, value in (("code_digest", lambda: "changed"), ("FORMAT", -1)):
        with monkeypatch.context() as patch:
            patch.setattr(episodes, name, value)
            paths.append(where())
    assert len({path.name for path in paths if path.parent == paths[0].parent}) == len(paths) - 1
    assert len(set(paths)) == len(paths)


@kinds
def test_episode_of_a_policy_that_has_changed(where, place):
    """Its own text, and what it has learned."""

    def path(**changes):
        return place(lambda policy: where(policy=policy), **changes)

    paths = [path(), path(action=1), path(learned="other weights")]
    assert path() == paths[0]
    assert len(set(paths)) == 3


def test_replay(monkeypatch):
    made = dict.fromkeys(Episode.__dataclass_fields__)

    def path(suite=SUITE, **changes):
        return runs._replay_path(suite, "random", Episode(**made | {"seed": 0, "actions": [1, 2]} | changes), OUT)

    paths = [
        path(),
        path(replace(SUITE, env="other")),
        path(replace(SUITE, kwargs={})),
        path(replace(SUITE, splits=("test",))),
        path(actions=[1, 3]),
    ]
    assert path() == paths[0]
    monkeypatch.setattr(runs, "code_digest", lambda: "changed")
    paths.append(path())
    assert len({p.name for p in paths}) == len(paths)
    assert path(seed=1).name != path().name
    assert path(replace(SUITE, name="t")) != path()
