"""Hostile suites, ladders, episode files, mining records and names of policies, and what is right about each.

``CASES`` has a strategy and a check by name. A check takes what the strategy draws, and fails if it was neither
accepted and usable nor refused by the product itself in one sentence.
"""

from __future__ import annotations

import copy
import io
import json
import traceback
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from rich.cells import cell_len
from rich.console import Console

from agents.episode import Episode
from benchmarks.ladder.rungs import parse_ladder
from benchmarks.leaderboard.report import to_markdown
from benchmarks.leaderboard.suite import Suite
from benchmarks.leaderboard.suite_file import parse_suite, with_policies
from benchmarks.leaderboard.summary import summarize
from benchmarks.names import Name, folder, markdown, shortened
from benchmarks.terminal import print_table

LONGEST = 1200
"""Characters of one sentence: values are cut, lists of known names are not."""

REGIONS: dict[str, Any] = {
    "env": "RegionSelect-v0",
    "seeds": 2,
    "splits": ["holdout"],
    "baseline": "random",
    "policies": ["random", "entropy"],
    "kwargs": {"segmenter": "lda", "picks": 3, "candidates": 4, "budget": 6},
}
MINING: dict[str, Any] = {
    "env": "SingleClassMine-v0",
    "seeds": [3, 4],
    "budgets": [5, 10],
    "policies": ["random", "oracle"],
    "kwargs": {"dataset": "mixture:1000", "pool": "eval"},
}
LADDER: dict[str, Any] = {
    **REGIONS,
    "kwargs": {"picks": 3, "candidates": 4, "budget": 6},
    "rungs": [{"name": "low", "segmenter": "lda"}, {"name": "high", "segmenter": "linear", "features": "filterbank"}],
}
EPISODE: dict[str, Any] = {
    "policy": "entropy",
    "oracle": False,
    "env_id": "RegionSelect-v0",
    "kwargs": REGIONS["kwargs"],
    "options": {},
    "seed": 1,
    "actions": [0, 1, 2, 0, 3, 1],
    "rewards": [0.0, 0.0, 1.5, 0.0, 0.0, -0.5],
    "picked": [[1, 0, 32], [2, 24, 0], [-1, -1, -1], [3, 0, 0], [4, 0, 0], [5, 0, 0]],
    "costs": {unit: [0, 3, 6] for unit in ("regions", "pixels", "clicks", "images")},
    "metrics": {f"miou/{split}": [30.0, 31.5, 31.0] for split in ("reward", "holdout")},
    "class_metrics": {
        **{f"class_iou/{split}": [[20.0, None, 40.0]] * 3 for split in ("reward", "holdout")},
        "pixels": [[0, 0, 0], [1, 0, 2], [2, 1, 3]],
    },
    "given": {"pixels": 100},
    "seconds": {"policy": 0.1, "env": 0.2, "evaluator": 0.3},
    "fingerprint": {"sha256": "0", "arguments": {"scores": []}, "alenv": "0.1.0"},
}
MINED: dict[str, Any] = {
    "policy": "random",
    "oracle": False,
    "env_id": MINING["env"],
    "kwargs": MINING["kwargs"] | {"budget": 10, "classes": ["cat"]},
    "options": {"target_class": "cat"},
    "seed": 3,
    "actions": [0] * 10,
    "rewards": [0.5] * 10,
    "picked": [[i] for i in range(10)],
    "costs": {"images": [0, 5, 10]},
    "metrics": {name: [0, 1, 2] for name in ("gain", "pixels", "positives")} | {"iou": [None, 1.5, 2.0]},
    "class_metrics": {},
    "given": {"images": 2},
    "seconds": {"policy": 0.1, "env": 0.2, "evaluator": 0.3},
    "fingerprint": {"sha256": "0", "arguments": {}, "alenv": "0.1.0"},
}

numbers = st.integers(-3, 12) | st.integers() | st.sampled_from([10**9, 10**11, 2**63, 10**400]) | st.floats()
texts = st.sampled_from(["", "random", "oracle", "test", "RegionSelect-v0", "a\nb", "[x]", "$", "cpu"]) | st.text(
    max_size=9
)
scalars = st.none() | st.booleans() | numbers | texts
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


words = [
    "eval", "train", "heldout", "lda", "linear", "mlp", "tiny", "image", "pixel", "none", "random:2", "state:1", "log",
    "entropy", "ralis", "holdout", "presence", "cosine", "mixture:500", "scenes", "filterbank", "auto", "global",
]  # fmt: skip
values = [
    True,
    False,
    0,
    1,
    2,
    3,
    50,
    0.5,
    1.0,
    -1,
    [8, 8],
    ["entropy"],
    ["bald", "margin"],
    [0],
    [30.0] * 3,
    [1, 2, 3],
]
likely = st.sampled_from([*words, *values])


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all values that stand in a tree."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, branch in inner for place in _places(branch, (*path, key)))]


@st.composite
def damaged(draw: st.DrawFn, right: dict[str, Any], new_keys: tuple[str, ...] = ()) -> dict[str, Any]:
    """Draw a right tree with one to three values replaced, removed, added or repeated."""
    tree = copy.deepcopy(right)
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        *path, key = draw(st.sampled_from([place for place in _places(tree) if place]))
        owner = tree
        for step in path:
            owner = owner[step]
        how = draw(st.sampled_from(["replace", "replace", "remove", "add", "repeat"]))
        if how == "remove":
            del owner[key]
        elif how == "repeat" and isinstance(owner, list):
            owner.insert(key, copy.deepcopy(owner[key]))
        elif how == "add" and isinstance(owner, dict):
            owner[draw(st.sampled_from(["extra", *new_keys]) | st.text(max_size=6))] = copy.deepcopy(
                draw(likely | anything)
            )
        else:
            owner[key] = copy.deepcopy(draw(likely | anything))
        if not tree:
            break
    return tree


def toml(value: Any) -> str:
    """Write a value as TOML, tables inline."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(k))} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, float):
        return repr(value)  # nan and inf are those of TOML
    return "1979-05-27T07:32:00Z" if value is None else json.dumps(value, ensure_ascii=False)


def _toml_texts(table: dict[str, Any], kwargs: tuple[str, ...]) -> SearchStrategy[str]:
    tables = damaged(table, kwargs).map(lambda t: "\n".join(f"{json.dumps(str(k))} = {toml(v)}" for k, v in t.items()))
    cut = st.tuples(tables, st.integers(0, 200)).map(lambda pair: pair[0][: pair[1]])
    nested = st.integers(1, 20_000).map(lambda n: f"seeds = {'[' * n}")
    return st.one_of(tables, tables, tables, tables, cut, nested, st.text(max_size=40))


def _json_texts(right: dict[str, Any]) -> SearchStrategy[str]:
    texts = damaged(right).map(json.dumps)
    cut = st.tuples(texts, st.integers(0, 1500)).map(lambda pair: pair[0][: pair[1]])
    nested = st.integers(1, 20_000).map(lambda n: f'{{"kwargs": {"[" * n}')
    return st.one_of(texts, texts, texts, texts, cut, nested, anything.map(json.dumps), st.text(max_size=40))


def suites() -> SearchStrategy[str]:
    """Texts of suite files."""
    keys = ("dataset", "pool", "region", "initial", "budget", "scores", "render_mode", "segmenter", "observation", "id")
    return _toml_texts(REGIONS, keys) | _toml_texts(MINING, (*keys, "classes", "gain", "positives", "look_cost"))


def ladders() -> SearchStrategy[str]:
    """Texts of ladder files."""
    return _toml_texts(LADDER, ("segmenter", "features", "weights", "compile", "region", "name"))


def episodes() -> SearchStrategy[str]:
    """Texts of episode files."""
    return _json_texts(EPISODE)


def mined() -> SearchStrategy[str]:
    """Texts of episode files of mining."""
    return _json_texts(MINED)


def policies() -> SearchStrategy[str]:
    """Names of policies, as the command line takes them; no module in them is harmful to import."""
    parts = [
        "lookahead",
        "ralis",
        "misical",
        "sb3",
        "sys",
        "json",
        "agents.heuristics",
        "agents",
        "nosuch",
        "",
        "..",
        "a\0",
    ]
    ends = ["", "exit", "JSONDecoder", "Random", "__name__", "no.pt", "/", "a|b", "$x$", "[red]", "ü", "\udcff", "a\nb"]
    paths = st.lists(st.sampled_from(ends) | st.text(max_size=20), max_size=4).map("/".join)
    return st.tuples(st.sampled_from(parts), paths).map(":".join) | st.text(max_size=300) | st.sampled_from(ends)


def refused(call: Callable[[], Any]) -> Any:
    """Return what a call returns, or None if it is refused as it should be.

    Raises:
        AssertionError: If the refusal is not one sentence of the product's own.
    """
    try:
        return call()
    except ValueError as error:
        _check_sentence(error)
        return None


def _check_sentence(error: ValueError) -> None:
    text, frames = str(error), list(traceback.walk_tb(error.__traceback__))
    own = frames[-1][0].f_globals.get("__name__", "").split(".")[0]
    assert type(error) is ValueError, f"{type(error).__name__}: {text}"
    assert own in ("alenv", "agents", "benchmarks"), f"raised in {own}: {text}"
    assert text, "an error without a text"
    assert text.isprintable(), f"not one line: {text!r}"
    assert len(text) < LONGEST, f"{len(text)} characters: {text[:300]}"


def check_suite(text: str) -> None:
    """A suite is refused, or each of its parts can be used."""
    suite = refused(lambda: parse_suite("some", text))
    if suite is not None:
        _check_usable(suite)


def check_ladder(text: str) -> None:
    """A ladder is refused, or each of its rungs can be used."""
    ladder = refused(lambda: parse_ladder("some", text))
    if ladder is not None:
        assert len({rung.name for rung in ladder.rungs}) == len(ladder.rungs) >= 2
        for rung in ladder.rungs:
            assert rung.name.isascii()
            _check_usable(rung)


def _check_usable(suite: Suite) -> None:
    assert len(set(suite.seeds)) == len(suite.seeds) > 0
    assert all(type(seed) is int and 0 <= seed < 2**63 for seed in suite.seeds)
    assert len(set(suite.policies)) == len(suite.policies) > 0
    assert suite.baseline in suite.policies
    assert set(suite.splits) <= {"reward", "holdout", "test"}
    assert sorted(suite.budgets) == list(suite.budgets)
    json.dumps(suite.kwargs, allow_nan=False)  # they name the file of an episode


def check_episode(text: str) -> None:
    """An episode is refused, or a report can be made of it."""
    episode = refused(lambda: Episode.from_json(text))
    if episode is not None:
        assert Episode.from_json(episode.to_json()) == episode
        splits = tuple(name[5:] for name in episode.metrics if name.startswith("miou/"))
        if splits:
            suite = Suite(
                "some", episode.env_id, episode.kwargs, (episode.policy,), (episode.seed,), splits, episode.policy
            )
            to_markdown(suite, summarize(suite, {episode.policy: [episode]}))


def check_policy(name: str) -> None:
    """A name is refused, or names a policy; it can be written everywhere either way."""
    suite = Suite("some", "RegionSelect-v0", {}, ("random",), (0,))
    refused(lambda: with_policies(suite, [name]))
    assert 0 < len(folder(name)) < 200
    assert markdown(name).isprintable()
    assert cell_len(shortened(name, 20)) <= 20
    console = Console(width=80, record=True, file=io.StringIO())
    print_table(console, name, [["policy", "status"], [Name(name), "ranked"]], left=("policy", "status"))
    assert "ranked" in console.export_text()


CASES: dict[str, tuple[SearchStrategy[str], Callable[[str], None]]] = {
    "suites": (suites(), check_suite),
    "ladders": (ladders(), check_ladder),
    "episodes": (episodes(), check_episode),
    "episodes of mining": (mined(), check_episode),
    "policies": (policies(), check_policy),
}
