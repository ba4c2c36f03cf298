"""Mining suites: figures against hand-made records, and the whole way on generated embeddings."""

import json
import re

import numpy as np
import pytest
from hostile.benchmarks import MINED, RECORD
from scipy.stats import binomtest

from alenv.mining.pool import MiningPool
from benchmarks.leaderboard.__main__ import Args, main
from benchmarks.leaderboard.mining import positives
from benchmarks.leaderboard.mining_record import check_record
from benchmarks.leaderboard.mining_report import rows, to_markdown
from benchmarks.leaderboard.mining_summary import _by_positives, summarize
from benchmarks.leaderboard.suite import Suite

SUITE = """
env = "SingleClassMine-v0"
seeds = 2
budgets = [5, 10]
policies = ["random", "cosine", "oracle"]
[kwargs]
dataset = "mixture:1000"
pool = "eval"
classes = "all"
"""
NAMES = ("cat", "dog", "elk", "fox", "gnu")
GAINS = {"random": [1, 1, 1, 1, 2.0], "own": [2, 0, 1, 3, 2.0], "oracle": [5, 2, 1, 5, 4.0]}


def make_pool():
    """Five classes of one mode each; image i holds class i % 6, the sixth kind holds nothing."""
    kinds = np.arange(60) % 6
    return MiningPool(
        name="made",
        embeddings=np.zeros((60, 2), np.float32),
        modes=np.where(kinds < 5, kinds, -1)[:, None].astype(np.int16),
        pixels=(kinds < 5)[:, None].astype(np.int32),
        mode_class=np.arange(5, dtype=np.int16),
        classes=NAMES,
        heldout=("gnu",),
        splits={"train": np.arange(30), "eval": np.arange(30, 60)},
        manifest="made",
    )


def make_suite(**changes):
    parts = {"seeds": (0, 1), "budgets": (10,), "kwargs": {"pool": "eval"}, "policies": tuple(GAINS)}
    return Suite(name="made", env="SingleClassMine-v0", **parts | changes)


def make_records(trained=None):
    """Seeds scatter by one around the gains; IoU is the gain in hundredths, AP unknown for the elk."""
    records = {policy: {} for policy in GAINS}
    for policy, gains in GAINS.items():
        for name, gain in zip(NAMES, gains, strict=True):
            episodes = {}
            for seed, scatter in (("0", -1), ("1", 1)):
                episodes[seed] = {
                    "gain": {"10": gain + scatter},
                    "pixels": {"10": int(10 * gain)},
                    "positives": {"10": int(gain)},
                }
                if trained:
                    score = {"iou": gain / 100, "average_precision": np.nan if name == "elk" else gain / 100}
                    episodes[seed]["trained"] = {"10": score}
            records[policy][name] = {"episodes": episodes, "fingerprint": {"sha256": "0" * 64}, "oracle": False}
    return records


def summary_of(**changes):
    pool, suite = make_pool(), make_suite()
    return summarize(suite, pool, positives(suite, pool), make_records(**changes))


def test_positives_are_counted_in_the_pool_that_is_mined():
    suite = make_suite()
    assert positives(suite, make_pool()) == dict.fromkeys(NAMES, 5)
    assert positives(make_suite(kwargs={"pool": "eval", "positives": 4}), make_pool()) == dict.fromkeys(NAMES, 5)
    assert positives(make_suite(kwargs={"pool": "eval", "positives": 5}), make_pool()) == {}
    assert positives(make_suite(kwargs={"pool": "eval", "negatives": 25}), make_pool()) == dict.fromkeys(NAMES, 5)
    assert positives(make_suite(kwargs={"pool": "eval", "negatives": 26}), make_pool()) == {}


def test_scores_lie_between_random_and_oracle():
    """By hand: cat 1/4, dog -1, elk has no room, fox 1/2; the gnu is held out: 0."""
    table = summary_of()["groups"]["train"]["10"]
    assert table["own"]["score_by_class"] == pytest.approx(
        {"cat": 0.25, "dog": -1, "elk": np.nan, "fox": 0.5}, nan_ok=True
    )
    assert table["own"]["score"]["mean"] == pytest.approx((0.25 - 1 + 0.5) / 3)
    assert table["random"]["score"]["mean"] == 0
    assert table["oracle"]["score"]["mean"] == 1
    assert table["own"]["wins"] == {"up": 2, "ties": 1, "down": 1, "p_sign": binomtest(2, 3).pvalue}
    ratios = np.array([21 / 11, 1 / 11, 1, 31 / 11])
    assert table["own"]["pixel_ratio"] == pytest.approx(ratios.prod() ** 0.25)
    assert table["own"]["positives"] == 1.5
    heldout = summary_of()["groups"]["heldout"]["10"]["own"]
    assert heldout["score_by_class"] == {"gnu": 0}
    assert heldout["score_by_positives"] == {"1 to 10": {"classes": 1, "score": 0}}


def test_a_class_without_room_has_no_score():
    """Nor has one in which the oracle is below random, however far from both a policy is."""
    pool, suite, records = make_pool(), make_suite(), make_records()
    for name, gain in (("elk", 3), ("fox", 0.5)):
        for episode, scatter in zip(records["own"][name]["episodes"].values(), (-1, 1), strict=True):
            episode["gain"]["10"] = gain + scatter
    for episode, scatter in zip(records["oracle"]["fox"]["episodes"].values(), (-1, 1), strict=True):
        episode["gain"]["10"] = 0.25 + scatter
    table = summarize(suite, pool, positives(suite, pool), records)["groups"]["train"]["10"]
    for policy, scores in (("own", (0.25, -1)), ("random", (0, 0)), ("oracle", (1, 1))):
        assert list(table[policy]["score_by_class"].values()) == pytest.approx([*scores, np.nan, np.nan], nan_ok=True)
        assert table[policy]["score"]["mean"] == pytest.approx(np.mean(scores))
        assert table[policy]["score_by_positives"]["1 to 10"] == {"classes": 2, "score": np.mean(scores)}
    assert table["own"]["wins"] == {"up": 2, "ties": 0, "down": 2, "p_sign": 1.0}


def test_bins_hold_both_their_ends():
    counts = (1, 10, 11, 50, 51, 200, 201, 10_000, 30)
    score = np.array([1, 2, 4, 8, 16, 32, 64, 128, np.nan])
    assert _by_positives(score, counts) == {
        "1 to 10": {"classes": 2, "score": 1.5},
        "11 to 50": {"classes": 2, "score": 6},
        "51 to 200": {"classes": 2, "score": 24},
        "201 and more": {"classes": 2, "score": 96},
    }


def test_trained_heads_are_compared_class_by_class():
    table = summary_of(trained=True)["groups"]["train"]["10"]
    iou, precision = (table["own"]["trained"][m] for m in ("iou", "average_precision"))
    assert iou["mean"] == pytest.approx(1.5)
    assert iou["difference"]["mean"] == pytest.approx(0.5)
    assert (iou["wins"]["up"], iou["wins"]["ties"], iou["wins"]["down"]) == (2, 1, 1)
    assert precision["mean"] == pytest.approx((2 + 0 + 3) / 3)
    assert precision["wins"]["ties"] == 0
    header, *body = rows(table)
    assert header[7] == "IoU"
    assert all(len(row) == len(header) for row in body)
    assert [row[:2] for row in body] == [["1", "random"], ["2", "own"], ["", "oracle"]]


def test_records_of_two_versions_are_not_mixed_in_silence():
    pool, suite, records = make_pool(), make_suite(), make_records()
    assert "Not comparable" not in to_markdown(summarize(suite, pool, positives(suite, pool), records))
    records["own"]["fox"]["fingerprint"] = {"sha256": "1" * 64, "arguments": {}, "code": "other"}
    assert "Not comparable: the episodes come from 2 set-ups" in to_markdown(
        summarize(suite, pool, positives(suite, pool), records)
    )


def test_a_setup_written_in_another_order_is_the_same():
    pool, suite, records = make_pool(), make_suite(), make_records()
    setup = {"code": "c", "packages": {"numpy": "1", "torch": "2"}}
    for by_class in records.values():
        for record in by_class.values():
            record["fingerprint"] |= setup
    records["own"]["fox"]["fingerprint"] = {"packages": {"torch": "2", "numpy": "1"}, "sha256": "1", "code": "c"}
    assert summarize(suite, pool, positives(suite, pool), records)["setups"] == [setup]


def test_equal_scores_have_equal_ranks():
    pool, records = make_pool(), make_records()
    suite = make_suite(policies=("random", "own", "same", "worse", "part", "oracle"))
    records |= {"same": records["own"], "part": {"cat": records["own"]["cat"]}}
    records["worse"] = records["own"] | {"cat": records["random"]["cat"]}
    table = summarize(suite, pool, positives(suite, pool), records)["groups"]["train"]["10"]
    assert {policy: figures["rank"] for policy, figures in table.items()} == {
        "random": 1, "own": 2, "same": 2, "worse": 4, "part": None, "oracle": None,
    }  # fmt: skip
    page = to_markdown(summarize(suite, pool, positives(suite, pool), records))
    assert page.count("| 2 | own |") == page.count("| 2 | same |") == 1


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ({"policy": "cosine"}, "it is of 'cosine' and 'cat', not of 'random'"),
        ({"episodes": {"3": MINED}}, "its seeds are 3; expected 3, 4"),
        ({"episodes": {"3": MINED, "4": MINED | {"gain": {}}}}, "pixels has the budgets 5, 10"),
        ({"episodes": {"3": MINED, "4": MINED | {"images": [7, 8]}}}, "labelled twice"),
        ({"episodes": {"3": MINED, "4": MINED | {"positives": {"5": 6, "10": 6}}}}, "at most as many as the budget"),
        ({"episodes": {"3": MINED, "4": MINED | {"gain": {"5": "1", "10": 2}}}}, "expected a number"),
        ({"episodes": {"3": MINED, "4": MINED | {"trained": {}}}}, "trained has the budgets"),
        ({"fingerprint": {}}, "'sha256' is missing"),
        ({"oracle": None}, "oracle=None: expected True or False"),
        ({"extra": 1}, "unknown entry 'extra'"),
    ],
)
def test_records_that_do_not_fit_are_named(damage, said):
    suite = make_suite(seeds=(3, 4), budgets=(5, 10))
    check_record(json.dumps(RECORD), suite, "random", "cat")
    with pytest.raises(ValueError, match=re.escape(said)):
        check_record(json.dumps(RECORD | damage), suite, "random", "cat")


def test_missing_records_are_said():
    pool, suite, records = make_pool(), make_suite(), make_records()
    del records["own"]["fox"]
    summary = summarize(suite, pool, positives(suite, pool), records)
    assert summary["missing"] == {"own": 1}
    assert "own: 1 classes are missing" in to_markdown(summary)


@pytest.fixture
def start(tmp_path, in_this_process):
    def run(text=SUITE):
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        return main(Args(suite=path, out=tmp_path / "out", jobs=1))

    return run


def test_the_whole_way_and_again(start, tmp_path, capsys):
    """A second start runs nothing, and a damaged file runs again."""
    assert start() == 0
    out = tmp_path / "out"
    report = json.loads((out / "leaderboard.json").read_text())
    table = report["groups"]["train"]["10"]
    assert table["oracle"]["score"]["mean"] == pytest.approx(1)
    assert table["random"]["score"]["mean"] == 0
    assert table["oracle"]["wins"]["up"] >= 0.9 * table["oracle"]["classes"]
    files = sorted(out.rglob("episodes/cosine/*.json"))
    first = files[0].read_text()
    for episode in json.loads(first)["episodes"].values():
        assert len(episode["images"]) == len(set(episode["images"])) == 10
        assert not set(episode["images"]) & set(episode["given"])
    times = {path: path.stat().st_mtime_ns for path in files}
    files[0].write_text("{")
    capsys.readouterr()
    assert start() == 0
    assert "damaged, runs again" in capsys.readouterr().out.replace("\n", "")
    assert files[0].read_text() == first
    assert all(path.stat().st_mtime_ns == times[path] for path in files[1:])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('"cosine"', '"cosinus"'), "unknown policy 'cosinus'; did you mean 'cosine'"),
        (("mixture:1000", "mixtur"), "unknown dataset 'mixtur'; did you mean 'mixture'"),
    ],
)
def test_a_wrong_suite_is_refused_before_anything_runs(start, capsys, change, message):
    assert start(SUITE.replace(*change)) == 2
    assert message in capsys.readouterr().err
