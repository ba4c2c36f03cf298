from pathlib import Path

import pytest

from benchmarks.leaderboard import Args, main
from benchmarks.suite import read_suite, with_policies

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


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seeds = 3", "seeds = 3\nsplit = 1", "unknown key 'split'; did you mean 'splits'"),
        ("RegionSelect-v0", "RegionSelct-v0", "did you mean 'RegionSelect-v0'"),
        ("RegionSelect-v0", "CartPole-v1", "unknown env 'CartPole-v1'"),
        ('"RegionSelect-v0"', "7", "env = 7 is not a string"),
        ("pool =", "pol =", "'pol'; did you mean 'pool'"),
        ("[kwargs]\n", "kwargs = 3 #", "kwargs = 3 is not a table"),
        ('"entropy"', '"entrpy"', "entropy"),
        ('"entropy"', '"no_package_xyz:Policy"', "no_package_xyz"),
        ('"entropy"', '"random"', "policies names 'random' twice"),
        ('["random", "entropy"]', '"random"', "policies = 'random' is not a list of strings"),
        ('["random", "entropy"]', "[]", "policies = [] is not a list of strings"),
        ('policies = ["random", "entropy"]', "", "the key 'policies' is missing"),
        ('"random", ', "", "unknown baseline"),
        ("seeds = 3", "seeds = 0", "seeds = 0"),
        ("seeds = 3", "seeds = true", "seeds = True"),
        ("seeds = 3", "seeds = [1, -1]", "seeds = [1, -1]"),
        ("seeds = 3", "seeds = [1, 1]", "seeds names 1 twice"),
        ("seeds = 3", 'seeds = 3\nsplits = ["tst"]', "unknown split 'tst'; did you mean 'test'"),
        ("seeds = 3", "seeds = ", "not valid TOML"),
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
    with pytest.raises(ValueError, match=r"cannot be read"):
        read_suite(path.parent)


def test_more_policies(suite_file):
    suite = with_policies(read_suite(suite_file(GOOD)), ["margin", "random"])
    assert suite.policies == ("random", "entropy", "margin")
    with pytest.raises(ValueError, match="margin"):
        with_policies(suite, ["margn"])


@pytest.mark.parametrize("mistake", ["pol = 1", "budget = 1"])  # unknown, and refused by the env
def test_command_line_prints_one_line_and_exits_2(suite_file, tmp_path, capsys, mistake):
    path = suite_file(GOOD + mistake)
    assert main(Args(suite=path, out=tmp_path / "out", jobs=1)) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "out").exists()
