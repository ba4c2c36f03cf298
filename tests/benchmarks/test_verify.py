"""Every way to tamper with a record is told by its own sentence; what was played is exact, wherever it is read from."""

import gzip
import json
import os
import random
import re
import shutil
from copy import deepcopy
from dataclasses import replace

import pytest

from alenv.state import seal
from benchmarks import submit
from benchmarks.leaderboard.episodes import jobs
from benchmarks.leaderboard.suite_file import read_suite
from benchmarks.submission import unpack
from benchmarks.verify.__main__ import Args, main
from benchmarks.verify.claims import Group, read_folder
from benchmarks.verify.expected import check_group, expected
from benchmarks.verify.replays import Play, judge

SUITES = {
    "mining": """\
env = "SingleClassMine-v0"
seeds = 2
budgets = [3, 6]
policies = ["random", "ridge", "oracle"]
[kwargs]
dataset = "mixture:1000"
pool = "eval"
classes = "all"
positives = 50
""",
    "regions": """\
env = "RegionSelect-v0"
seeds = 2
policies = ["random"]
[kwargs]
pool = "eval"
budget = 8
picks = 4
""",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Runs and submissions of two small suites."""
    base = tmp_path_factory.mktemp("verify")
    for name, text in SUITES.items():
        path = base / f"{name}.toml"
        path.write_text(text, encoding="utf-8")
        for of_policy in jobs(read_suite(path), base / "runs" / name).values():
            assert [job.do() for job in of_policy] == [None] * len(of_policy)
        assert submit.main(submit.Args(base / "runs" / name, ("alenv",), suite=path, out=base / "submissions")) == 0
    return base


@pytest.fixture
def verify(made, tmp_path, capsys, in_this_process):
    """Verify a folder; return the exit status and what was said."""

    def run(*folders, suite="mining", **options):
        capsys.readouterr()
        status = main(Args(folders, suite=made / f"{suite}.toml", jobs=1, out=tmp_path / "verified", **options))
        return status, " ".join("".join(capsys.readouterr()).split())

    return run


@pytest.fixture
def tampered(made, tmp_path):
    """Copy the submission of ridge (or another) with some of its lines edited."""

    def edit(change, name="mining-ridge"):
        source = made / "submissions" / name
        lines = gzip.decompress((source / "traces.jsonl.gz").read_bytes()).decode().splitlines()
        tables = [json.loads(line) for line in lines]
        text = "".join(f"{json.dumps(table)}\n" for table in change(tables))
        return write(tmp_path / name, source, text.encode())

    return edit


def write(folder, source, text, facts=None):
    folder.mkdir()
    facts = (source / "submission.toml").read_text(encoding="utf-8") if facts is None else facts
    (folder / "submission.toml").write_text(facts, encoding="utf-8")
    (folder / "traces.jsonl.gz").write_bytes(gzip.compress(text))
    return folder


def test_what_was_played_is_exact(made, verify):
    status, said = verify(made / "runs" / "mining")
    assert (status, said.count("failed:"), said.count(" 12 0 0 ")) == (0, 0, 3)
    submissions = [made / "submissions" / f"mining-{name}" for name in ("random", "ridge", "oracle")]
    assert verify(*submissions)[0] == 0


def test_records_of_other_code_lie_beside_those_of_this_one(made, tmp_path, verify):
    shutil.copytree(made / "runs" / "mining" / "episodes" / "ridge", tmp_path / "run" / "episodes" / "ridge")
    path = next((tmp_path / "run" / "episodes" / "ridge").glob("*.json*"))
    shutil.copy(path, path.with_name("class_00-0123456789ab.jsonl"))
    status, said = verify(tmp_path / "run")
    assert (status, " 14 0 0 " in said) == (0, True)


def test_regions_are_exact_and_another_model_learns_from_the_same_labels(made, verify, tmp_path):
    for folder in (made / "runs" / "regions", made / "submissions" / "regions-random"):
        assert verify(folder, suite="regions")[0] == 0
    assert verify(made / "runs" / "regions", suite="regions", segmenter="lda")[0] == 0
    curves = json.loads((tmp_path / "verified" / "curves.json").read_text(encoding="utf-8"))["random"]["miou/test"]
    assert curves["costs"] == [0, 4, 8]
    assert curves["said"] != curves["lda"]
    assert verify(made / "runs" / "regions", suite="regions", segmenter="ldb")[0] == 2
    status, said = verify(made / "runs" / "mining", segmenter="lda")
    assert status == 2
    assert "trains no model; leave it out" in said


def test_a_replay_is_not_made_again(made, verify, monkeypatch):
    assert verify(made / "submissions" / "mining-ridge")[0] == 0
    monkeypatch.setattr(Play, "again", lambda self: "played again")
    assert verify(made / "submissions" / "mining-ridge")[0] == 0
    status, said = verify(made / "submissions" / "mining-random")
    assert status == 1
    assert "played again" in said


@pytest.mark.slow
def test_replays_in_processes(made, tmp_path, capsys):
    folders = tuple(made / "submissions" / f"mining-{name}" for name in ("random", "ridge"))
    assert main(Args(folders, suite=made / "mining.toml", jobs=2, out=tmp_path / "verified")) == 0
    verdicts = (tmp_path / "verified" / "verdicts.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["state"] for line in verdicts] == ["exact"] * 24


def both(change):
    """Edit the first episode."""
    return lambda tables: (change(tables[0]), tables)[1]


def sealed(table):
    table["fingerprint"] = seal({k: v for k, v in table["fingerprint"].items() if k != "sha256"})


def other_arguments(table):
    table["fingerprint"]["arguments"]["budget"] = 7
    sealed(table)


def other_data(table):
    table["fingerprint"]["data"] = "0" * 16
    sealed(table)


def other_action(table):
    table["actions"][1] = (table["actions"][1] + 1) % 20


TAMPERED = {
    "action": (both(other_action), "picked .* in the replay .*: its actions, or what they bought, were changed"),
    "no action": (
        both(lambda t: t["actions"].__setitem__(0, 2000)),
        r"cannot be replayed \(action 2000 is not one of 0..19\); send",
    ),
    "rewards": (both(lambda t: t["digests"].update(rewards="0" * 16)), "digest of rewards is 0{16}, in the replay"),
    "picks": (both(lambda t: t["digests"].update(picked="0" * 16)), "digest of picked is 0{16}, .* were changed"),
    "curve": (both(lambda t: t["metrics"]["gain"].__setitem__(2, 99.5)), r"metrics, gain\[2\] is 99.5, in the replay"),
    "last digit": (both(lambda t: t["metrics"]["gain"].__setitem__(2, t["metrics"]["gain"][2] + 1e-9)), "gain.*bit"),
    "costs": (both(lambda t: t["costs"]["images"].__setitem__(2, 7)), r"costs, images\[2\] is 7, in the replay 6"),
    "fewer points": (
        both(lambda t: [t["costs"]["images"].pop(1), *(values.pop(1) for values in t["metrics"].values())]),
        r"costs, images is \[0, 6\], in the replay \[0, 3, 6\]",
    ),
    "given": (both(lambda t: t["given"].update(images=1)), "given, images is 1, in the replay"),
    "kwargs": (both(lambda t: t["kwargs"].update(pool="train")), "kwargs: pool is 'train', in the suite 'eval'"),
    "own kwargs": (both(lambda t: t["kwargs"].update(dataset="os:getcwd")), "kwargs: dataset is 'os:getcwd', in the"),
    "more kwargs": (both(lambda t: t["kwargs"].update(skip=True)), "kwargs: skip=True, which the suite leaves as it"),
    "fewer kwargs": (both(lambda t: t["kwargs"].pop("pool")), "kwargs: pool is missing, in the suite 'eval'"),
    "budget": (both(lambda t: t["kwargs"].update(budget=600)), "kwargs: budget is 600, in the suite 6; play it so"),
    "more picks": (both(lambda t: t["actions"].append(0)), "7 actions, but the suite's budget is spent after 6"),
    "fewer picks": (both(lambda t: t["actions"].pop()), "the trace of 'ridge' ends after 5 picks; replay it with its"),
    "options": (both(lambda t: t["options"].update(target_class="x")), "options=.*'x'.* are not the suite's"),
    "arguments": (both(other_arguments), "fingerprint: arguments, budget is 7, in the replay 6"),
    "data": (both(other_data), "fingerprint: data is '0{16}', in the replay '.*on the same data"),
    "fingerprint": (both(lambda t: t["fingerprint"].update(code="0")), "its sha256 is not that of its entries"),
    "other seed": (both(lambda t: t.update(seed=77)), "seed=77 is not among the suite's.*the episode is missing"),
    "seed twice": (lambda ts: ts[:-1] + ts[:1], "seed 0 stands twice, in mining-ridge/.* line 1 too.*is missing"),
    "seed missing": (lambda ts: ts[1:], "class 'class_.*, seed 0: failed: the episode is missing; play all seeds"),
    "too many": (lambda ts: ts + ts[:1], "after line 13: failed: the suite has 12 episodes here; leave out"),
    "stale": (both(lambda t: t.update(env_id="SingleClassMine-v-1")), "env_id='SingleClassMine-v-1', but the suite"),
    "other env": (both(lambda t: t.update(env_id="os:Mine-v0")), "env_id='os:Mine-v0', but the suite has"),
    "policy": (both(lambda t: t.update(policy="bald")), "policy='bald', in submission.toml 'ridge'"),
    "policies": (lambda ts: (ts[1].update(policy="bald"), ts)[1], "policy='bald' among episodes of 'ridge'"),
    "oracle": (both(lambda t: t.update(oracle=True)), "given labels that were not bought, but the track is 'heur"),
    "entry": (both(lambda t: t.pop("costs")), "line 1: failed: the entry 'costs' is missing; add it"),
    "type": (both(lambda t: t.update(actions="0")), "line 1: failed: actions='0': expected a list"),
    "rewards in full": (both(lambda t: t.update(rewards=[0.0] * 6)), "unknown entry 'rewards'"),
    "deep": (both(lambda t: t["kwargs"].update(pool=json.loads("[" * 400 + "]" * 400))), "kwargs: pool is"),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_tampering_is_told(tampered, verify, case):
    change, message = TAMPERED[case]
    status, said = verify(tampered(change))
    assert status == 1
    assert re.search(message, said), said


def test_an_older_version_is_stale(tampered, made, verify, monkeypatch):
    newer = replace(read_suite(made / "mining.toml"), env="SingleClassMine-v1")
    monkeypatch.setattr("benchmarks.verify.claims.read_suite", lambda path: newer)
    status, said = verify(made / "submissions" / "mining-ridge")
    assert status == 1
    assert "env_id='SingleClassMine-v0' is stale: the suite has 'SingleClassMine-v1' now; play it again" in said


FILES = {
    "bomb": (lambda text: b"[" * 2**25, "line is longer than"),
    "bomb of lines": (lambda text: b"[]\n" * 2**20, "after line 13: failed: the suite has 12 episodes here"),
    "empty": (lambda text: b"", "the episode is missing"),
    "not JSON": (lambda text: b"{\n" + text, "line 1: failed: not JSON"),
    "half a line": (lambda text: text[:-100], "line 12: failed: not JSON"),
    "half a character": (lambda text: text.replace(b"ridge", b"\xff"), "line 1: failed: not JSON"),
    "deep": (lambda text: b'{"a":' * 10**5, "line 1: failed: not JSON"),
    "pickle": (lambda text: b"\x80\x04cos\nsystem\n", "line 1: failed: not JSON"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_huge_or_malformed_file_is_told(made, tmp_path, verify, case):
    change, message = FILES[case]
    source = made / "submissions" / "mining-ridge"
    text = change(gzip.decompress((source / "traces.jsonl.gz").read_bytes()))
    status, said = verify(write(tmp_path / "mining-ridge", source, text))
    assert (status, message in said) == (1, True), said


def test_what_is_no_file_is_told(made, tmp_path, verify):
    source = made / "submissions" / "mining-ridge"
    folder = write(tmp_path / "mining-ridge", source, b"")
    packed = (source / "traces.jsonl.gz").read_bytes()
    for content in (packed[:-200], packed[:100] + b"\0" * 50 + packed[150:], b"no gzip"):
        (folder / "traces.jsonl.gz").write_bytes(content)
        assert "cannot be unpacked" in verify(folder)[1]
    (folder / "traces.jsonl.gz").unlink()
    assert "there is no such file" in verify(folder)[1]
    os.mkfifo(folder / "traces.jsonl.gz")  # opening it would wait for ever
    assert "there is no such file" in verify(folder)[1]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('track = "heuristic"', 'track = "best"', "unknown track 'best'"),
        ('track = "heuristic"', 'track = "oracle"', "no more labels than it bought, but the track is 'oracle'"),
        ('policy = "ridge"', 'policy = "mine"', "policy='ridge', in submission.toml 'mine'"),
        ('authors = ["alenv"]', "authors = []", "authors=[]: expected a list of at least 1 entries"),
        ('authors = ["alenv"]', "", "the key 'authors' is missing"),
        ("deterministic = true", 'deterministic = true\nrank = "1"', "unknown key 'rank'"),
        ("deterministic = true", "deterministic", "not valid TOML"),
    ],
)
def test_what_is_said_is_checked(made, tmp_path, verify, old, new, message):
    source = made / "submissions" / "mining-ridge"
    facts = (source / "submission.toml").read_text(encoding="utf-8")
    assert old in facts
    text = gzip.decompress((source / "traces.jsonl.gz").read_bytes())
    status, said = verify(write(tmp_path / "mining-ridge", source, text, facts.replace(old, new)))
    assert (status, message in said) == (1, True), said


def test_the_suite_is_found_by_name(made, tmp_path, capsys):
    source = made / "submissions" / "mining-ridge"
    for name, message in (("mining", "unknown suite 'mining'; known: "), ("../x", "expected the name of a file")):
        facts = (source / "submission.toml").read_text(encoding="utf-8").replace('"mining"', f'"{name}"')
        folder = write(tmp_path / f"of{len(name)}", source, b"", facts)
        assert main(Args((folder,), out=tmp_path / "verified", jobs=1)) == 1
        assert message in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folders": ()}, "no folder is named"),
        ({"sample": -1}, "--sample -1 is no number of episodes"),
        ({"jobs": 0}, "--jobs 0 runs nothing"),
        ({"near": float("nan")}, "--near nan is no difference of mIoU"),
        ({"suite": "missing.toml"}, "missing.toml: there is no such file"),
        ({"folders": ("missing",)}, "missing is no submission (submission.toml) and no run (episodes/)"),
        ({"suite": None}, "unknown suite 'mining'"),
    ],
)
def test_an_argument_is_refused(made, tmp_path, capsys, options, message):
    places = {name: made / value for name, value in options.items() if name == "suite" and value}
    places |= {"folders": tuple(tmp_path / name for name in options["folders"])} if "folders" in options else {}
    args = {"folders": (made / "runs" / "mining",), "suite": made / "mining.toml", "out": tmp_path / "v"}
    assert main(Args(**args | options | places)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "v").exists()


@pytest.mark.parametrize("raised", ["rewards", "gain"])
def test_what_is_raised_is_told_and_not_scored(made, tmp_path, verify, raised):
    """The table is of the replays: equal for a run whose rewards or curves were raised."""
    source = made / "runs" / "mining" / "episodes" / "ridge"
    folder = tmp_path / "run" / "episodes" / "ridge"
    folder.mkdir(parents=True)
    for path in source.glob("*.json*"):
        tables = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for table in tables:
            (table["rewards"] if raised == "rewards" else table["metrics"]["gain"])[1] += 1.0
        (folder / path.name).write_text("".join(f"{json.dumps(t)}\n" for t in tables), encoding="utf-8")
    status, said = verify(tmp_path / "run")
    assert status == 1
    assert said.count(f"{raised}[1] is") == 12
    good = verify(made / "submissions" / "mining-ridge")[1]
    assert said.split(" 0 0 12 ")[1] == good.split(" 12 0 0 ")[1]


def test_numbers_of_another_processor_are_within_tolerance(tampered, verify):
    """But not its picks, nor what is far from the replay's."""

    def elsewhere(table, gain):
        table["metrics"]["gain"][-1] += gain
        table["digests"]["rewards"] = "0" * 16
        table["fingerprint"]["simd"] = ["X86_V3"]
        sealed(table)

    status, said = verify(tampered(both(lambda table: elsewhere(table, 1e-9))))
    assert status == 0
    assert "tolerance: metrics, gain[2] is" in said


def test_what_is_farther_is_not(tampered, verify):
    def far(table):
        table["metrics"]["gain"][-1] += 1e-3
        table["fingerprint"]["simd"] = ["X86_V3"]
        sealed(table)

    status, said = verify(tampered(both(far)))
    assert status == 1
    assert "that is more than another fingerprint explains" in said


def test_a_sample_is_the_same_again(tampered, verify, monkeypatch):
    """And what need not be replayed is checked for all."""
    played = []
    again = Play.again
    monkeypatch.setattr(Play, "again", lambda self: (played.append(self.part.name), again(self))[1])
    folder = tampered(lambda tables: (tables[3]["kwargs"].update(budget=1), tables)[1])
    for _ in range(2):
        status, said = verify(folder, sample=4)
        assert (status, "budget is 1, in the suite 6" in said) == (1, True)
    assert len(played) == 4
    verify(folder, sample=4, seed=1)
    assert len(set(played)) > 2


def test_thousand_mutations(made):
    """Each is told, or has changed nothing but times."""
    [group] = read_folder(made / "submissions" / "mining-ridge", made / "mining.toml")
    claim = group.claims[0]
    key, part = next(iter(expected(group.suite).items()))
    line, rng = (
        gzip.decompress((made / "submissions/mining-ridge/traces.jsonl.gz").read_bytes()).splitlines()[0],
        random,
    )
    rng = random.Random(0)
    states = []
    for _ in range(1000):
        mutated = mutate(line, rng)
        try:
            said = unpack("here", 1, mutated)
        except ValueError:
            states.append("unread")
            continue
        accepted, wrong = check_group(Group(group.name, group.suite, group.said, [said], []), {key: part})
        verdicts = [*wrong, *(judge(c, Play(group.suite.env, p.kwargs, p, c.episode).again()) for c, p in accepted)]
        assert verdicts[0].state in ("exact", "failed")
        if verdicts[0].state == "exact":
            same = replace(said.episode, seconds=claim.episode.seconds)
            assert (same, said.digests) == (claim.episode, claim.digests), mutated
        states.append(verdicts[0].state)
    assert {name: states.count(name) > 20 for name in set(states)} == {"unread": True, "exact": True, "failed": True}


def mutate(line, rng):
    """Change some bytes, or a value somewhere in the table."""
    if rng.random() < 0.3:
        at = rng.randrange(len(line))
        return line[:at] + bytes(rng.choices(range(256), k=rng.randrange(4))) + line[at + rng.randrange(3) :]
    table = json.loads(line)
    place, key = rng.choice(list(places(table)))
    old = place[key]
    others = [None, True, -1, 0, 10**30, 1e308, "", "x", [], {}, [old], {"a": old}, deepcopy(table)]
    if isinstance(old, int | float):
        others += [old + 1, old - 1, old * 1.000001, float(old)] * 4
    if isinstance(old, list):
        others += [old[1:], old[:-1], old + old[-1:], old[::-1], sorted(old, key=str)] * 4
    if isinstance(place, dict) and rng.random() < 0.2:
        place[rng.choice(["x", *table])] = place.pop(key)
    else:
        place[key] = rng.choice(others)
    return json.dumps(table).encode()


def places(table):
    """Yield every place of a value."""
    for key, value in table.items() if isinstance(table, dict) else enumerate(table):
        yield table, key
        if isinstance(value, dict | list):
            yield from places(value)
