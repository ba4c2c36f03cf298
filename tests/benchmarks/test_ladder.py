"""Ladders: the same policies and traces on several rungs."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks.ladder import __main__ as command
from benchmarks.ladder import runs
from benchmarks.ladder.__main__ import Args, main
from benchmarks.ladder.figures import agreement, compute, kendall, kendall_of_means, pearson
from benchmarks.ladder.report import matrix, score_table
from benchmarks.ladder.rungs import Ladder, on_device, read_ladder
from benchmarks.leaderboard.suite import Suite

SUITE = """\
env = "RegionSelect-v0"
seeds = 2
splits = ["holdout"]
policies = ["random", "entropy", "margin"]
[kwargs]
pool = "eval"
budget = 4
picks = 2
[[rungs]]
name = "low"
segmenter = "lda"
[[rungs]]
name = "high"
segmenter = "linear"
"""


@pytest.fixture
def start(tmp_path, in_this_process):
    def run(text=SUITE, **named):
        path = tmp_path / "tiny.toml"
        path.write_text(text, encoding="utf-8")
        return main(Args(suite=path, out=tmp_path / "out", jobs=1, **named))

    return run


@pytest.mark.parametrize(
    ("x", "y", "tau"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4], 1),
        ([1, 2, 3, 4], [4, 3, 2, 1], -1),
        ([1, 2, 3, 4], [1, 2, 4, 3], 4 / 6),  # one of six pairs swapped
        ([1, 2, 2], [1, 2, 3], 2 / np.sqrt(6)),  # a tie counts in one denominator
        ([1, 1, 1], [1, 2, 3], np.nan),
    ],
)
def test_kendall_by_hand(x, y, tau):
    np.testing.assert_allclose(kendall(x, y), tau)
    np.testing.assert_allclose(kendall(x, y), stats.kendalltau(x, y).statistic)


def test_pearson_by_hand():
    np.testing.assert_allclose(pearson([1, 2, 3], [2, 4, 6]), 1)
    np.testing.assert_allclose(pearson([1, 2, 3], [1, 3, 2]), 0.5)
    assert np.isnan(pearson([1, 1, 1], [1, 2, 3]))


def test_many_samples_at_once_equal_scipy():
    x, y = np.random.default_rng(0).normal(size=(2, 5, 7))
    np.testing.assert_allclose(kendall(x, y), [stats.kendalltau(*pair).statistic for pair in zip(x, y, strict=True)])
    np.testing.assert_allclose(pearson(x, y), [stats.pearsonr(*pair).statistic for pair in zip(x, y, strict=True)])


def test_a_resample_takes_the_same_seeds_of_both_rungs():
    scores = np.random.default_rng(0).normal(size=(5, 4))  # pure luck, but the same luck
    assert agreement(scores, scores + 10, kendall_of_means) == {"value": 1, "low": 1, "high": 1, "n": 20}


class Made:
    """An episode as far as the figures look."""

    fingerprint = {"sha256": "0"}  # noqa: RUF012

    def __init__(self, *values):
        self.costs, self.metrics = {"regions": [0, 2, 4]}, {"miou/holdout": list(values)}


def made_figures():
    """Two seeds; on the high rung every gain is twice that of the low one, but the luck is another."""

    def by_policy(factor, luck):
        gains = {"random": 0, "entropy": 1, "bald": 3}
        return {
            p: {s: Made(0, luck * s + factor * g, luck * s + factor * (g + s)) for s in (0, 1)}
            for p, g in gains.items()
        }

    suites = tuple(
        Suite(name, "E", {"segmenter": name}, ("random", "entropy", "bald"), (0, 1), ("holdout",)) for name in "ab"
    )
    runs = {"a": by_policy(1, 0), "b": by_policy(2, 5)}
    return compute(Ladder("made-up", suites), runs, runs)


def test_figures_by_hand():
    figures = made_figures()
    assert figures["scores"]["final"]["a"] == [[0, 1, 3], [1, 2, 4]]
    assert figures["scores"]["aubc"]["a"] == [[0, 0.75, 2.25], [0.25, 1, 2.5]]
    assert figures["differences"]["final"]["b"][2]["mean"] == 6
    assert figures["tau"]["final"] == [{"rungs": ["a", "b"], "value": 1, "low": 1, "high": 1, "n": 6}]
    assert figures["gains"]["trace"] == {"a": [[1, 3], [1, 3]], "b": [[2, 6], [2, 6]]}  # beyond random, luck gone
    assert figures["gains"]["round"]["a"] == [[1, 0, 3, 0], [1, 0, 3, 0]]  # policy by policy, round by round
    assert figures["pearson"]["trace"][0]["value"] == pytest.approx(1)
    assert figures["pearson"]["round"][0]["n"] == 8


def test_tables():
    figures = made_figures()
    assert score_table(figures, "final")[:2] == [
        ["policy", "a", "b"],
        ["bald", "3.50 (+3.00 ± 0.00)", "9.50 (+6.00 ± 0.00)"],
    ]
    assert [row[0] for row in score_table(figures, "final")] == ["policy", "bald", "entropy", "random"]
    assert matrix(figures, figures["tau"]["aubc"]) == [["", "b"], ["a", "1.00 [1.00, 1.00]"]]


def test_whole_ladder_and_what_is_finished_is_not_run_again(start, tmp_path, monkeypatch):
    asked = []
    run_all = command.run_all
    monkeypatch.setattr(command, "run_all", lambda calls, *rest: asked.append(len(calls)) or run_all(calls, *rest))
    assert start() == 0
    out = tmp_path / "out"
    assert (out / "ladder.png").stat().st_size > 10_000
    figures = json.loads((out / "ladder.json").read_text(encoding="utf-8"))
    assert figures["tau"]["aubc"][0]["rungs"] == ["low", "high"]
    assert np.shape(figures["gains"]["trace"]["high"]) == (2, 2)
    before = (out / "ladder.md").read_bytes()
    next((out / "high" / "replays" / "entropy").glob("1-*.json*")).unlink()  # as after a kill
    other = next((out / "high" / "replays" / "margin").glob("0-*.json*"))
    other.write_text(json.dumps(json.loads(other.read_text()) | {"actions": [0] * 4, "picked": [[0, 0, 0]] * 4}))
    next((out / "low" / "episodes" / "random").glob("0-*.json*")).write_text("{", encoding="utf-8")
    assert start() == 0
    assert asked == [12, 4, 1, 2]  # random picks the same on both rungs: nothing to replay
    assert (out / "ladder.md").read_bytes() == before


def test_a_killed_run_goes_on(start, tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(command, "replays", killed)
        assert start(SUITE.replace("seeds = 2", "seeds = 1")) == 130
    assert len(list((tmp_path / "out").glob("*/episodes/*/*.json*"))) == 6
    assert not (tmp_path / "out" / "ladder.md").exists()


def test_failed_replays_leave_no_report(start, tmp_path, monkeypatch, capsys):
    def fail(*_):
        raise ValueError("pick 5 was region")

    monkeypatch.setattr(runs, "replay", fail)
    assert start(SUITE.replace("seeds = 2", "seeds = 1")) == 1
    assert ", on high failed: ValueError: pick 5 was region" in capsys.readouterr().out
    assert not (tmp_path / "out" / "ladder.md").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('segmenter = "lda"', 'segmenter = "ldb"', "rung 'low': unknown segmenter 'ldb'; did you mean 'lda'?"),
        ('segmenter = "lda"', "", "the key 'rungs[0].segmenter' is missing"),
        ('segmenter = "lda"', 'segmenter = "lda"\nregion = [8, 8]', "unknown key rungs[0]: 'region'; "),
        ('name = "high"', 'name = "low"', "rungs names 'low' twice"),
        ('name = "high"', 'name = "../high"', "name='../high' names no folder"),
        ('"margin"', '"margn"', "unknown policy 'margn'; did you mean 'margin'?"),
        ('"margin"', '"look_ahead"', "rung 'tiny': single gains are not known for segmenter='tiny'"),
        ("seeds = 2", "seed = 2", "unknown key 'seed'; did you mean 'seeds'?"),
    ],
)
def test_errors_say_what_is_wrong(start, capsys, old, new, message):
    text = SUITE.replace(old, new)
    if "look_ahead" in new:
        text = text.replace("high", "tiny").replace('"linear"', '"tiny"')
    assert start(text) == 2
    assert message in capsys.readouterr().err


def test_wrong_rung_and_single_rung(start, capsys):
    assert start(rungs=("low", "hihg")) == 2
    assert "unknown rung 'hihg'; did you mean 'high'?" in capsys.readouterr().err
    assert start(rungs=("low",)) == 2
    assert "name two of low, high" in capsys.readouterr().err


def test_only_networks_go_to_the_device():
    ladder = on_device(read_ladder(Path(__file__).parents[2] / "configs" / "ladders" / "camvid.toml"), "cuda")
    devices = {rung.name: rung.kwargs.get("device") for rung in ladder.rungs}
    assert devices == {"linear": None, "mlp": None, "squeezenet_fpn": "cuda", "fpn_resnet50": "cuda"}


def test_shipped_ladders_are_judged_on_images_that_no_policy_learns_from():
    for path in (Path(__file__).parents[2] / "configs" / "ladders").glob("*.toml"):
        assert all(rung.kwargs["pool"] == "eval" for rung in read_ladder(path).rungs)
