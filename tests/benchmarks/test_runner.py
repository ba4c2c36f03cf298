import io
import json
import os
import shutil
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
from hostile.benchmarks import EPISODE
from matplotlib.figure import Figure
from rich.console import Console

from agents.episode import Episode
from benchmarks import jobs
from benchmarks.leaderboard import episodes, regions
from benchmarks.leaderboard.__main__ import Args, main
from benchmarks.leaderboard.suite import Suite
from benchmarks.leaderboard.suite_file import read_suite
from benchmarks.leaderboard.tasks import make_task
from benchmarks.names import markdown

SUITE = """\
env = "RegionSelect-v0"
seeds = 2
policies = ["random", "entropy"]
[kwargs]
budget = 4
picks = 2
"""


def make_episode(policy, env_id, kwargs, seed):
    points = {name: [20.0, 30.0, 40.0 + seed] for name in ("reward", "holdout", "test")}
    of_it = {
        "policy": policy.name,
        "oracle": policy.oracle,
        "env_id": env_id,
        "kwargs": kwargs,
        "seed": seed,
        "metrics": {f"miou/{split}": values for split, values in points.items()},
        "class_metrics": {f"class_iou/{split}": [[v, None, v] for v in values] for split, values in points.items()},
    }
    return Episode(**EPISODE | of_it)


@pytest.fixture
def ran(monkeypatch, in_this_process):
    """Replaces the episode loop by made-up results and records what was asked for."""
    asked = []

    def play(policy, env_id, kwargs, seeds, curves, options):
        for seed in seeds:
            asked.append((policy.name, seed))
            if policy.name == "margin" and seed == 1:
                raise RuntimeError("the labels ran out")
            yield make_episode(policy, env_id, kwargs, seed)

    monkeypatch.setattr(episodes, "play", play)
    monkeypatch.setattr(regions.RegionTask, "prepare", lambda task, policies: dict.fromkeys(policies, 60.0))
    monkeypatch.setattr("benchmarks.leaderboard.report.draw_curves", lambda summary: Figure((1, 1)))  # is slow
    return asked


@pytest.fixture
def start(tmp_path):
    def run(text=SUITE, *policies, **named):
        path = tmp_path / "tiny.toml"
        path.write_text(text, encoding="utf-8")
        return main(Args(suite=(path,), out=tmp_path / "out", jobs=1, policy=policies, **named))

    return run


def episode_files(tmp_path, policy):
    return sorted((tmp_path / "out" / "episodes" / policy).glob("*.json*"))


def test_second_start_runs_nothing(ran, start):
    assert start() == 0
    assert sorted(ran) == [("entropy", 0), ("entropy", 1), ("random", 0), ("random", 1)]
    ran.clear()
    assert start() == 0
    assert ran == []


def test_only_what_is_missing_runs(ran, start, tmp_path):
    start()
    episode_files(tmp_path, "entropy")[1].unlink()
    ran.clear()
    start()
    assert ran == [("entropy", 1)]


DAMAGES = {"seconds": None, "fingerprint": {}, "costs": {}, "seed": 1, "policy": "entropy", "oracle": True}
DAMAGES |= {"env_id": "RegionSelect-CamVid-v0", "kwargs": {"budget": 4}, "rewards": []}


@pytest.mark.parametrize("damage", ["", "{", "{}", "[]", "\0", *DAMAGES])
def test_damaged_file_is_reported_and_runs_again(ran, start, tmp_path, capsys, damage):
    """Also one that is whole, but of another seed, policy or environment."""
    start()
    path = episode_files(tmp_path, "random")[0]
    if damage in DAMAGES:
        damage = json.dumps(json.loads(path.read_text(encoding="utf-8")) | {damage: DAMAGES[damage]})
    path.write_text(damage, encoding="utf-8")
    ran.clear()
    capsys.readouterr()
    assert start() == 0
    assert ran == [("random", 0)]
    assert f"damaged, runs again: {path}" in capsys.readouterr().out


def test_an_episode_without_a_split_of_the_suite_runs_again(ran, start, tmp_path, capsys):
    start()
    path = episode_files(tmp_path, "random")[0]
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["metrics"]["miou/test"]
    path.write_text(json.dumps(content), encoding="utf-8")
    ran.clear()
    start()
    assert ran == [("random", 0)]
    assert "it has no curve of 'miou/test'" in capsys.readouterr().out


def test_how_long_it_will_take_is_said_first(ran, start, capsys):
    start()
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("4 runs are missing: about 4 min with 1 at a time")


def test_an_episode_is_as_long_as_its_beginning_and_its_rounds(monkeypatch):
    """Its clock says 1 s until the first pick and 1.5 s for the first round; the very first one finds no caches."""
    ticks = iter([0.0, 50.0, 99.0, *[100.0, 101.0, 102.5] * 2])
    monkeypatch.setattr(regions, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    kwargs = {"segmenter": "lda", "picks": 4, "candidates": 3, "budget": 10}
    task = make_task(Suite("s", "RegionSelect-v0", kwargs, ("random", "entropy"), (0,), ("test",)))
    assert task.prepare(["random", "entropy"]) == dict.fromkeys(("random", "entropy"), 1 + 3 * 1.5)


def test_a_dry_run_says_what_is_missing_and_runs_nothing(ran, start, tmp_path, capsys):
    start(only=("random",))
    ran.clear()
    capsys.readouterr()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    assert start(dry_run=True, seeds=(0, 1, 2)) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-2:] == ["tiny: 1 of random", "tiny: 3 of entropy"]
    assert ran == []
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def test_some_policies_and_seeds(ran, start, capsys):
    """What policies are compared with is always there."""
    assert start(SUITE.replace('"entropy"', '"entropy", "bald"'), only=("bald",), seeds=(5,)) == 0
    assert sorted(ran) == [("bald", 5), ("random", 5)]
    for wrong, said in (({"only": ("entropi",)}, "did you mean 'entropy'"), ({"seeds": (1, 1)}, "names 1 twice")):
        assert start(**wrong) == 2
        assert said in capsys.readouterr().err
    assert start(seeds=(-1,)) == 2
    assert "--seeds -1: seeds are at least 0" in capsys.readouterr().err
    assert start(address="auto") == 2
    assert "add --backend ray" in capsys.readouterr().err


def test_two_suites_are_one_report(ran, tmp_path, capsys):
    paths = tmp_path / "one.toml", tmp_path / "two.toml"
    for path in paths:
        path.write_text(SUITE, encoding="utf-8")
    arguments = {"suite": paths, "out": tmp_path / "out", "jobs": 1}
    assert main(Args(**arguments, policy=("two=bald", "margin"), seeds=(0,))) == 0
    assert len(ran) == 3 + 4
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert page.count('<section id="suite-') == 2
    for name, policies in (("one", 3), ("two", 4)):
        report = json.loads((tmp_path / "out" / name / "leaderboard.json").read_text(encoding="utf-8"))
        assert len(report["policies"]) == policies
    assert main(Args(**arguments, policy=("tow=bald",))) == 2
    assert "unknown suite before = in --policy 'tow'; did you mean 'two'" in capsys.readouterr().err
    assert main(Args(**{**arguments, "suite": paths[:1] * 2})) == 2
    assert "give each once" in capsys.readouterr().err


def test_a_failed_download_is_one_sentence(ran, start, capsys, monkeypatch):
    def fail(task, policies):
        raise URLError("no route to host")

    monkeypatch.setattr(regions.RegionTask, "prepare", fail)
    assert start() == 2
    assert capsys.readouterr().err.startswith("error: a download failed (no route to host); the same command tries")
    assert ran == []


def full(*_, **__):
    raise OSError(28, "No space left on device")


def test_a_full_disk_leaves_what_was_there(ran, start, tmp_path, capsys, monkeypatch):
    """First in a report, then in episodes; later the same command goes on."""
    start()
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    for place, status in (("benchmarks.leaderboard.report.write_whole", 2), ("benchmarks.jobs.write_whole", 1)):
        with monkeypatch.context() as patch:
            patch.setattr(place, full)
            assert start(SUITE if status == 2 else SUITE.replace("seeds = 2", "seeds = 3")) == status
        said = capsys.readouterr()
        assert "No space left on device" in said.out + said.err
        assert "Traceback" not in said.out + said.err
        if status == 2:
            assert f"error: {tmp_path / 'out'}: the report cannot be written" in said.err
            assert all(path.read_bytes() == content for path, content in before.items())
    assert start() == 0
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("what", ["a file", "in a file", "full"])
def test_a_place_that_takes_no_files_is_refused_before_anything_runs(ran, tmp_path, capsys, monkeypatch, what):
    suite, out = tmp_path / "tiny.toml", tmp_path / "out"
    suite.write_text(SUITE)
    if what == "full":
        monkeypatch.setattr("benchmarks.command.tempfile.TemporaryFile", full)
    else:
        out.write_text("precious")
    assert main(Args(suite=(suite,), out=out / "sub" if what == "in a file" else out, jobs=1)) == 2
    assert f"error: {out}" in (said := capsys.readouterr().err)
    assert "takes no files" in said
    assert ran == []
    assert what == "full" or out.read_text() == "precious"


@pytest.mark.parametrize("name", ["[red]", "a$b^{c$d", "x|y", "`", "ü雪", "a" * 150])
def test_odd_names_of_policies_are_reported(ran, start, tmp_path, capsys, name):
    """Whatever the file of a trained agent is called."""
    path = tmp_path / name
    path.mkdir()
    shutil.copy("agents/pretrained/lookahead_lda_0.pt", path / "best.pt")
    policy = f"lookahead:{path}/best.pt"
    assert start(SUITE, policy) == 0
    assert "/best.pt" in capsys.readouterr().out
    assert markdown(policy) in (tmp_path / "out" / "leaderboard.md").read_text(encoding="utf-8")
    assert policy in json.loads((tmp_path / "out" / "leaderboard.json").read_text())["policies"]


@pytest.mark.parametrize(("old", "new", "rerun"), [("budget = 4", "budget = 6", 4), ("seeds = 2", "seeds = 3", 2)])
def test_a_changed_suite_runs_what_changed(ran, start, old, new, rerun):
    start()
    ran.clear()
    start(SUITE.replace(old, new))
    assert len(ran) == rerun


def test_changed_code_runs_again(ran, start, monkeypatch):
    start()
    ran.clear()
    monkeypatch.setattr("benchmarks.leaderboard.episodes.code_digest", lambda: "changed")
    start()
    assert len(ran) == 4


def test_failed_episode_is_shown_and_the_others_go_on(ran, start, tmp_path, capsys):
    assert start(SUITE, "margin", "least_confidence") == 1
    assert len(ran) == 8
    out = capsys.readouterr().out
    assert "margin on seed 1 failed: RuntimeError: the labels ran out" in out
    [log] = (tmp_path / "out" / "episodes" / "margin").glob("*.error")
    assert "Traceback" in log.read_text(encoding="utf-8")
    summary = json.loads((tmp_path / "out" / "leaderboard.json").read_text(encoding="utf-8"))
    assert summary["policies"]["margin"]["status"] == "incomplete: 1 of 2 episodes"


def test_oracles_are_scheduled_first(ran, start):
    start(SUITE, "look_ahead")
    assert {policy for policy, _ in ran[:2]} == {"look_ahead"}


def test_a_kill_while_writing_leaves_no_episode(ran, start, tmp_path, monkeypatch):
    def killed(source, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        assert start() == 130
    assert not list((tmp_path / "out").rglob("*.json*"))
    ran.clear()
    assert start() == 0
    assert len(ran) == 4


def test_progress_lines_without_a_terminal(monkeypatch):
    console = Console(file=io.StringIO(), width=100)
    monkeypatch.setattr(jobs, "SECONDS_BETWEEN_LINES", -1.0)
    assert list(jobs._show_progress(iter([None, "bad"]), 2, console)) == [None, "bad"]
    lines = console.file.getvalue().splitlines()
    assert [line.split(",")[0] for line in lines] == ["1 of 2 runs", "2 of 2 runs"]


@pytest.mark.parametrize(("jobs", "said"), [(0, "--jobs 0 runs nothing"), (10**9, "--jobs=1000000000 would need")])
def test_jobs_that_cannot_be_are_refused(tmp_path, capsys, jobs, said):
    assert main(Args(suite=(tmp_path / "x.toml",), jobs=jobs)) == 2
    assert said in capsys.readouterr().err


def test_real_episodes_in_two_processes_equal_those_of_this_one(tmp_path, monkeypatch):
    """The whole way, with nothing replaced: an episode does not depend on how it was scheduled."""
    path = tmp_path / "tiny.toml"
    one_policy = SUITE.replace('policies = ["random", "entropy"]', 'policies = ["entropy"]\nbaseline = "entropy"')
    path.write_text(one_policy.replace("seeds = 2", "seeds = [7, 8]"), encoding="utf-8")
    suites = [tmp_path / name for name in ("one", "two")]
    for number, out in enumerate(suites, start=1):
        with monkeypatch.context() as patch:
            if number == 1:
                patch.setattr(jobs, "in_processes", lambda calls, jobs: (call.do() for call in calls))
            assert main(Args(suite=(path,), out=out, jobs=number)) == 0
        assert (out / "curves.png").stat().st_size > 10_000
    suite: Suite = read_suite(path)
    one, two = (episodes.finished(suite, out)[0] for out in suites)
    for policy in suite.policies:
        for first, second in zip(one[policy], two[policy], strict=True):
            assert first.actions == second.actions
            for split in suite.splits:
                assert first.metrics[f"miou/{split}"] == second.metrics[f"miou/{split}"]
                assert np.all(np.isfinite(first.metrics[f"miou/{split}"]))
