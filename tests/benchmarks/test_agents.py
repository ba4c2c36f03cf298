"""Trainings of one agent are averaged, and paired with the others by evaluation seed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hostile.benchmarks import EPISODE

from agents.episode import Episode
from benchmarks import agents
from benchmarks.leaderboard import episodes
from benchmarks.leaderboard.suite_file import read_suite
from benchmarks.leaderboard.tasks import make_task

POLICIES = ["random", "class_balanced_entropy_1.0", "misc:a/dqn_0.pt", "misc:a/dqn_1.pt"]
AREAS = {"random": [10, 20, 30, 40, 50], "class_balanced_entropy_1.0": [11, 22, 32, 41, 52]}
AREAS |= {"misc:a/dqn_0.pt": [12, 22, 33, 42, 53], "misc:a/dqn_1.pt": [14, 24, 33, 46, 53]}


def episode(policy, seed, area):
    metrics = {f"miou/{split}": [area - 2, area, area + 2] for split in ("holdout", "test")}
    classes = {f"class_{name[1:]}": [[value] for value in values] for name, values in metrics.items()}
    of_it = {"policy": policy, "kwargs": {"pool": "eval"}, "seed": seed, "metrics": metrics, "class_metrics": classes}
    return Episode(**EPISODE | of_it)


@pytest.fixture
def suite(tmp_path, monkeypatch):
    made = replace(read_suite(Path("configs/suites/quick.toml")), policies=tuple(POLICIES), seeds=tuple(range(5)))
    monkeypatch.setattr(agents, "read_suite", lambda path: made)
    monkeypatch.setattr(episodes, "source", lambda policy, env: "")
    monkeypatch.setattr(episodes, "signed", lambda policy, env: {"policy": policy, "oracle": False})
    for policy, jobs in episodes.jobs(made, tmp_path).items():
        for seed, job in enumerate(jobs):
            job.path.parent.mkdir(parents=True, exist_ok=True)
            job.path.write_text(episode(policy, seed, AREAS[policy][seed]).to_json())
    return made


def scores_of(suite, out, split, measure):
    found, _ = episodes.finished(suite, out)
    return agents.grouped(make_task(suite).views(found)[split].measures[measure])


def test_names_of_trainings():
    assert agents.agent("lookahead:a/scenes_12.pt") == agents.agent("lookahead:a/scenes_3.pt")
    others = ("x:a/y_0.pt", "x:b/y_0.pt", "z:a/y_0.pt", "x:a/best.pt")
    assert len({agents.agent(name) for name in others}) == 4
    assert agents.agent("class_balanced_entropy_1.0") == "class_balanced_entropy_1.0"


def test_trainings_are_averaged_and_paired(suite, tmp_path):
    grouped = scores_of(suite, tmp_path, "holdout", "AUBC")
    assert list(grouped["misc:a/dqn"]) == POLICIES[2:]
    header, best, second, last = agents.table(grouped, ("random",))
    assert header == ["policy", "score", "- random", "single trainings"]
    gain = np.array([3, 3, 3, 4, 3.0])
    half = 2.776445 * gain.std(ddof=1) / 5**0.5
    over_trainings = 12.706205 * np.std([2.4, 4.0], ddof=1) / 2**0.5
    assert best == ["dqn", "33.20", f"+3.20 ± {half:.2f} ({over_trainings:.2f})", "32.40, 34.00"]
    gain = np.array([1, 2, 2, 1, 2.0])
    assert second[:3] == [
        "class_balanced_entropy_1.0",
        "31.60",
        f"**+1.60 ± {2.776445 * gain.std(ddof=1) / 5**0.5:.2f}**",
    ]
    assert last == ["random", "30.00", "", ""]


def test_an_agent_is_bold_if_its_trainings_agree(suite):
    seeds = np.arange(5.0)
    grouped = {"random": {"random": seeds}, "dqn": {f"dqn_{i}": seeds + 2 + np.sin(seeds + i) / 9 for i in range(3)}}
    grouped["loose"] = {"loose_0": seeds + 2, "loose_1": seeds + 1, "loose_2": seeds + 4 + np.sin(seeds) / 9}
    rows = {row[0]: row[2] for row in agents.table(grouped, ("random",))}
    assert rows["dqn"].startswith("**")
    assert rows["loose"].startswith("+2.3")


def test_those_compared_with_are_compared_with_each_other(suite, tmp_path):
    grouped = scores_of(suite, tmp_path, "holdout", "AUBC")
    _, _, second, last = agents.table(grouped, ("random", "class_balanced_entropy_1.0"))
    assert second[2].startswith("**+1.60")
    assert last[3].startswith("**-1.60")
    assert second[3] == last[2] == ""


def test_final_scores_are_the_last_points(suite, tmp_path):
    assert scores_of(suite, tmp_path, "test", "final mIoU")["random"]["random"].tolist() == [12, 22, 32, 42, 52]


def test_what_is_not_significant_is_not_bold(suite, tmp_path):
    grouped = {"a": {"a": np.arange(5.0)}, "b": {"b": np.array([0.1, 0.9, 2.1, 2.9, 4.1])}}
    assert all("**" not in cell for row in agents.table(grouped, ("a",)) for cell in row)


def test_a_missing_episode_is_named(suite, tmp_path, capsys):
    episodes.jobs(suite, tmp_path)["random"][3].path.unlink()
    assert agents.main(agents.Args(Path("x.toml"), tmp_path)) == 2
    assert "random on seed 3: no such episode" in capsys.readouterr().err


def test_units_without_a_score_are_left_out():
    """In mining, classes in which the oracle gains no more than random."""
    scores = {name: {"cat": 1.0 + i, "dog": np.nan, "elk": 2.0 + i} for i, name in enumerate(("a_0", "a_1", "b"))}
    groups = agents.grouped(scores)
    assert {name: list(trainings) for name, trainings in groups.items()} == {"a": ["a_0", "a_1"], "b": ["b"]}
    assert groups["a"]["a_1"].tolist() == [2, 3]


def test_the_tables_are_printed(suite, tmp_path, capsys):
    assert agents.main(agents.Args(Path("x.toml"), tmp_path)) == 0
    assert capsys.readouterr().out.count("| dqn |") == 4
