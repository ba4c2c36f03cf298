"""Submissions are written whole or not at all, and read back as they were."""

import json
from pathlib import Path

import pytest

from benchmarks import standings, submission, submit
from benchmarks.leaderboard.episodes import jobs
from benchmarks.leaderboard.suite_file import read_suite
from benchmarks.submission import Submission, digest, read_lines, read_submission, unpack

SUITE = """\
env = "SingleClassMine-v0"
seeds = 2
budgets = [5, 15]
policies = ["random", "ridge", "oracle"]
[kwargs]
dataset = "mixture:1000"
pool = "eval"
classes = "all"
positives = 20
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of a suite that is found by the name of its folder."""
    base = tmp_path_factory.mktemp("submit")
    (base / "small.toml").write_text(SUITE, encoding="utf-8")
    for of_policy in jobs(read_suite(base / "small.toml"), base / "small").values():
        assert [job.do() for job in of_policy] == [None] * len(of_policy)
    return base / "small"


@pytest.fixture(autouse=True)
def _suites(run, monkeypatch):
    monkeypatch.setattr(submission, "SUITES", run.parent)


def make(run, out, **options):
    return submit.main(submit.Args(run, ("Ada", "Emmy N."), out=out, **options))


def test_round_trip(run, tmp_path):
    code = 'a "quoted"\n\\ text \x7f é'
    assert make(run, tmp_path, policy=("ridge",), name="mine", code=code, deterministic=False) == 0
    said = read_submission(tmp_path / "mine")
    assert said == Submission(
        suite="small",
        policy="ridge",
        track="heuristic",
        authors=("Ada", "Emmy N."),
        code=code,
        deterministic=False,
    )
    played = [line for path in sorted((run / "episodes" / "ridge").iterdir()) for line in read_lines(path)]
    claims = [unpack("", 1, line) for line in read_lines(tmp_path / "mine" / "traces.jsonl.gz")]
    for line, claim in zip(played, claims, strict=True):
        table = json.loads(line)
        for name, value in claim.digests.items():
            assert value == digest(table.pop(name))
        assert {name: getattr(claim.episode, name) for name in table} == table


def test_equal_runs_give_equal_bytes(run, tmp_path):
    for name in ("a", "b"):
        assert make(run, tmp_path / name, policy=("ridge",)) == 0
    first, second = ((tmp_path / name / "small-ridge" / "traces.jsonl.gz").read_bytes() for name in ("a", "b"))
    assert first == second
    assert first[4:8] == bytes(4)  # no time of writing


def test_policies_of_the_suite_are_submitted_each_on_its_track(run, tmp_path):
    assert make(run, tmp_path) == 0
    tracks = {path.name: read_submission(path).track for path in tmp_path.iterdir()}
    assert tracks == {"small-random": "heuristic", "small-ridge": "heuristic", "small-oracle": "oracle"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": ("ridgy",)}, "unknown policy 'ridgy'; did you mean 'ridge'?"),
        (
            {"policy": ("cosine",)},
            "records of cosine are missing, damaged, or of other code; run",
        ),
        ({"name": "x"}, "--name 'x' with 3 policies; name one with --policy"),
        ({"policy": ("ridge",), "name": "../x"}, "--name='../x': expected letters, digits"),
        ({"policy": ("ridge",), "track": "oracle"}, "ridge is not given labels that were not bought; use heuristic"),
        ({"policy": ("oracle",), "track": "search"}, "oracle is given labels that were not bought; use oracle"),
        ({"policy": ("ridge",), "code": "x" * 2001}, "code='xxx"),
        ({"policy": ("ridge",), "name": "there"}, "there is there; add --replace, or another --name"),
        ({"suite": Path("missing.toml")}, "missing.toml: there is no such file"),
    ],
)
def test_what_is_refused_writes_nothing(run, tmp_path, capsys, options, message):
    (tmp_path / "there").mkdir()
    assert make(run, tmp_path, **options) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert not list((tmp_path / "there").iterdir())


def test_a_submission_is_replaced_whole_or_not_at_all(run, tmp_path, monkeypatch):
    assert make(run, tmp_path, policy=("ridge",)) == 0
    before = (tmp_path / "small-ridge" / "traces.jsonl.gz").read_bytes()

    def full(self, content):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        assert make(run, tmp_path, policy=("ridge",), replace=True) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["small-ridge"]
    assert (tmp_path / "small-ridge" / "traces.jsonl.gz").read_bytes() == before
    assert make(run, tmp_path, policy=("ridge",), replace=True, code="new") == 0
    assert read_submission(tmp_path / "small-ridge").code == "new"


def test_tables_stand_between_the_markers(run, tmp_path, capsys):
    assert make(run, tmp_path / "submissions") == 0
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- leaderboard -->\nold\n<!-- /leaderboard -->\nafter\n", encoding="utf-8")
    args = standings.Args(readme, tmp_path / "submissions")
    assert standings.main(args) == 0
    text = readme.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- leaderboard -->\n\n`small` (SingleClassMine-v0, 2 seeds):\n\n| policy | track")
    assert text.endswith(" |\n\n<!-- /leaderboard -->\nafter\n")
    assert [line.split("|")[1].strip() for line in text.splitlines()[7:10]] == ["ridge", "random", "oracle"]
    assert standings.main(args) == 0
    assert readme.read_text(encoding="utf-8") == text
    whole = (tmp_path / "submissions" / "README.md").read_text(encoding="utf-8")
    assert text.partition("-->\n")[2].partition("<!--")[0].strip() in whole
    for broken in ("", "<!-- leaderboard -->", "<!-- /leaderboard --><!-- leaderboard -->", text + text):
        readme.write_text(broken, encoding="utf-8")
        assert standings.main(args) == 2
        assert "must stand in the file once each, in this order" in capsys.readouterr().err
        assert readme.read_text(encoding="utf-8") == broken
