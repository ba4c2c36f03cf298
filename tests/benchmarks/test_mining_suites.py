"""Mining suites: figures against hand-made records, and the whole way on generated embeddings."""

import json
import re

import numpy as np
import pytest
from hostile.benchmarks import MINED
from scipy.stats import binomtest

from agents.episode import Episode
from alenv.mining.embedded import EmbeddedImages
from benchmarks.leaderboard.__main__ import Args, main
from benchmarks.leaderboard.episodes import read_record
from benchmarks.leaderboard.mining import MiningTask, by_positives
from benchmarks.leaderboard.report import ranking_table, to_markdown
from benchmarks.leaderboard.suite import Suite
from benchmarks.leaderboard.summary import summarize
from benchmarks.leaderboard.tasks import make_task

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
    return EmbeddedImages(
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


@pytest.fixture(autouse=True)
def pool(request, monkeypatch):
    """All suites mine the made pool, but those that run."""
    if "start" not in request.fixturenames:
        monkeypatch.setattr(MiningTask, "embedded", make_pool())


def make_suite(**changes):
    parts = {"seeds": (0, 1), "budgets": (10,), "kwargs": {"pool": "eval"}, "policies": tuple(GAINS)}
    return Suite(name="made", env="SingleClassMine-v0", **parts | changes)


def make_episodes(trained=False):
    """Seeds scatter by one around the gains; IoU is the gain in points, AP unknown for the elk."""
    return {policy: [e for pair in zip(NAMES, gains, strict=True) for e in of_class(policy, *pair, trained)]
            for policy, gains in GAINS.items()}  # fmt: skip


def of_class(policy, name, gain, trained=False):
    """The episodes of both seeds."""
    return [make_episode(policy, name, gain, seed, gain + scatter, trained) for seed, scatter in ((0, -1), (1, 1))]


def make_episode(policy, name, found, seed, gain, trained):
    metrics = {"gain": [0, gain], "pixels": [0, int(10 * found)], "positives": [0, int(found)]}
    if trained:
        metrics |= {"iou": [None, found], "average_precision": [None, None if name == "elk" else found]}
    of_it = {
        "policy": policy,
        "oracle": policy == "oracle",
        "options": {"target_class": name},
        "seed": seed,
        "costs": {"images": [0, 10]},
        "metrics": metrics,
        "fingerprint": {"sha256": "0" * 64, "arguments": {"classes": [name]}},
    }
    return Episode(**MINED | of_it)


def without(episodes, policy, *classes):
    kept = [e for e in episodes[policy] if e.options["target_class"] not in classes]
    return episodes | {policy: kept}


TRAIN, HELDOUT = "train, 10 images", "heldout, 10 images"


def views_of(episodes=None, suite=None, **changes):
    return summarize(suite or make_suite(), episodes or make_episodes(**changes))["views"]


def test_positives_are_counted_in_the_pool_that_is_mined():
    for given, found in (({}, 5), ({"positives": 4}, 5), ({"positives": 5}, 0), ({"negatives": 25}, 5)):
        task = make_task(make_suite(kwargs={"pool": "eval"} | given))
        assert task.positives == (dict.fromkeys(NAMES, found) if found else {})
    with pytest.raises(ValueError, match="no class of the pool has more than positives=1"):
        make_task(make_suite(kwargs={"pool": "eval", "negatives": 26})).parts()


def test_scores_lie_between_random_and_oracle():
    """By hand: cat 1/4, dog -1, elk has no room, fox 1/2; the gnu is held out: 0."""
    views = views_of()
    measures = views[TRAIN]["measures"]
    score = {policy: figures["by_unit"] for policy, figures in measures["score"].items()}
    assert score["own"] == pytest.approx({"cat": 0.25, "dog": -1, "elk": np.nan, "fox": 0.5}, nan_ok=True)
    means = {policy: figures["mean"] for policy, figures in measures["score"].items()}
    assert means == pytest.approx({"random": 0, "own": (0.25 - 1 + 0.5) / 3, "oracle": 1})
    wins = {"up": 2, "ties": 1, "down": 1, "p_sign": binomtest(2, 3).pvalue}
    assert measures["gain"]["own"]["difference"]["wins"] == wins
    ratios = np.array([21 / 11, 1 / 11, 1, 31 / 11])
    assert views[TRAIN]["figures"]["own"]["pixel_ratio"] == pytest.approx(ratios.prod() ** 0.25)
    assert measures["positives"]["own"]["mean"] == 1.5
    assert views[HELDOUT]["measures"]["score"]["own"]["by_unit"] == {"gnu": 0}
    assert views[HELDOUT]["figures"]["own"]["score_by_positives"] == {"1 to 10": {"classes": 1, "score": 0}}


def test_a_class_without_room_has_no_score():
    """Nor has one in which the oracle is below random, however far from both a policy is."""
    episodes = without(without(make_episodes(), "own", "elk", "fox"), "oracle", "fox")
    episodes["own"] += of_class("own", "elk", 3) + of_class("own", "fox", 0.5)
    episodes["oracle"] += of_class("oracle", "fox", 0.25)
    view = views_of(episodes)[TRAIN]
    for policy, scores in (("own", (0.25, -1)), ("random", (0, 0)), ("oracle", (1, 1))):
        figures = view["measures"]["score"][policy]
        assert list(figures["by_unit"].values()) == pytest.approx([*scores, np.nan, np.nan], nan_ok=True)
        assert figures["mean"] == pytest.approx(np.mean(scores))
        assert view["figures"][policy]["score_by_positives"]["1 to 10"] == {"classes": 2, "score": np.mean(scores)}
    wins = {"up": 2, "ties": 0, "down": 2, "p_sign": 1.0}
    assert view["measures"]["gain"]["own"]["difference"]["wins"] == wins


def test_bins_hold_both_their_ends():
    counts = dict(enumerate((1, 10, 11, 50, 51, 200, 201, 10_000, 30)))
    scores = dict(enumerate((1, 2, 4, 8, 16, 32, 64, 128, np.nan)))
    assert by_positives(scores, counts) == {
        "1 to 10": {"classes": 2, "score": 1.5},
        "11 to 50": {"classes": 2, "score": 6},
        "51 to 200": {"classes": 2, "score": 24},
        "201 and more": {"classes": 2, "score": 96},
    }


def test_trained_heads_are_compared_class_by_class():
    suite, episodes = make_suite(), make_episodes(trained=True)
    summary = summarize(suite, episodes)
    iou, precision = (summary["views"][TRAIN]["measures"][name]["own"] for name in ("IoU", "AP"))
    assert iou["mean"] == pytest.approx(1.5)
    assert iou["difference"]["mean"] == pytest.approx(0.5)
    assert [iou["difference"]["wins"][key] for key in ("up", "ties", "down")] == [2, 1, 1]
    assert precision["mean"] == pytest.approx((2 + 0 + 3) / 3)
    assert precision["difference"]["wins"]["ties"] == 0
    header, *body = ranking_table(suite, summary, TRAIN)
    own = dict(zip(header, body[1], strict=True))
    assert (own["IoU"], own["IoU - random"].split()[0], own["beats random on"]) == ("1.5", "+0.50", "2 of 4, 1 ties")
    assert all(len(row) == len(header) for row in body)
    assert [row[:2] for row in body] == [["1", "random"], ["2", "own"], ["", "oracle"]]


def test_records_of_two_versions_are_not_mixed_in_silence():
    suite, episodes = make_suite(), make_episodes()
    assert "Not comparable" not in to_markdown(suite, summarize(suite, episodes))
    episodes["own"][0].fingerprint["code"] = "other"
    assert "Not comparable: the episodes come from 2 set-ups" in to_markdown(suite, summarize(suite, episodes))


def test_equal_scores_have_equal_ranks():
    episodes = make_episodes()
    suite = make_suite(policies=("random", "own", "same", "worse", "part", "oracle"))
    episodes |= {"same": episodes["own"], "part": episodes["own"][:2]}
    episodes |= {"worse": of_class("worse", "cat", 1) + episodes["own"][2:]}
    summary = summarize(suite, episodes)
    assert summary["views"][TRAIN]["ranks"] == {"random": 1, "own": 2, "same": 2, "worse": 4}
    assert {policy for policy, entry in summary["policies"].items() if entry["rank"] is None} == {"part", "oracle"}
    page = to_markdown(suite, summary)
    assert page.count("| 2 | own |") == page.count("| 2 | same |") == 1


def test_missing_episodes_are_said():
    suite, episodes = make_suite(), without(make_episodes(), "own", "fox")
    summary = summarize(suite, episodes)
    assert summary["policies"]["own"]["status"] == "incomplete: 8 of 10 episodes"
    assert "**own: incomplete: 8 of 10 episodes**" in to_markdown(suite, summary)


def test_curves_are_the_scores_at_all_budgets():
    suite = make_suite(budgets=(5, 10))
    summary = summarize(suite, make_episodes())
    line = summary["curves"]["train"]
    assert (line["cost"], line["grid"]) == ("images", [5, 10])
    for i, budget in enumerate(suite.budgets):
        score = summary["views"][f"train, {budget} images"]["measures"]["score"]["own"]
        assert line["policies"]["own"]["curve"][i] == {key: score[key] for key in ("mean", "low", "high")}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ({"policy": "cosine"}, "policy='cosine': expected 'random'"),
        ({"options": {"target_class": "dog"}}, "options={'target_class': 'dog'}: expected {'target_class': 'cat'}"),
        ({"seed": 3}, "its seeds are [3, 1]; expected [0, 1]"),
        ({"metrics": {"gain": [0, 1, 2], "pixels": [0, 1, 2]}}, "it has no curve of 'positives'"),
        ({"metrics": MINED["metrics"] | {"gain": [0, "1", 2]}}, "expected a number"),
        ({"costs": {"images": [0, 5]}}, "gain has 3 points, the costs have 2"),
        ({"fingerprint": {}}, "'sha256' is missing"),
        ({"oracle": None}, "oracle=None: expected True or False"),
        ({"extra": 1}, "unknown entry 'extra'"),
    ],
)
def test_records_that_do_not_fit_are_named(damage, said):
    suite = make_suite(seeds=(0, 1), budgets=(5, 10))
    part = make_task(suite).parts()[0]
    right = [MINED | {"kwargs": part.kwargs, "seed": seed} for seed in (0, 1)]

    def read(episodes):
        return read_record(suite, "random", part, "\n".join(map(json.dumps, episodes)))

    assert [episode.seed for episode in read(right)] == [0, 1]
    with pytest.raises(ValueError, match=re.escape(said)):
        read([right[0] | damage, right[1]])


@pytest.fixture
def start(tmp_path, in_this_process):
    def run(text=SUITE):
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        return main(Args(suite=(path,), out=tmp_path / "out", jobs=1))

    return run


def untimed(text):
    return [json.loads(line) | {"seconds": None} for line in text.splitlines()]


def test_the_whole_way_and_again(start, tmp_path, capsys):
    """A second start runs nothing, and a damaged file runs again."""
    assert start() == 0
    out = tmp_path / "out"
    report = json.loads((out / "leaderboard.json").read_text())
    measures = report["views"]["train, 10 images"]["measures"]
    assert measures["score"]["oracle"]["mean"] == pytest.approx(1)
    assert measures["score"]["random"]["mean"] == 0
    wins = measures["gain"]["oracle"]["difference"]["wins"]
    assert wins["up"] >= 0.9 * sum(wins[key] for key in ("up", "ties", "down"))
    files = sorted(out.rglob("episodes/cosine/*.json*"))
    first = files[0].read_text()
    for episode in map(json.loads, first.splitlines()):
        assert len(episode["picked"]) == len(set(map(tuple, episode["picked"]))) == 10
        assert episode["costs"]["images"] == [0, 5, 10]
    times = {path: path.stat().st_mtime_ns for path in files}
    files[0].write_text("{")
    capsys.readouterr()
    assert start() == 0
    assert "damaged, runs again" in capsys.readouterr().out.replace("\n", "")
    assert [untimed(line) for line in files[0].read_text().splitlines()] == [
        untimed(line) for line in first.splitlines()
    ]
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
