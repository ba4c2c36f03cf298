"""The submissions of this repository fit their suites, a sample is replayed, and the README has their tables."""

import random

import pytest

from agents.environments import mines
from benchmarks.standings import README, pages, read_all
from benchmarks.submission import SUBMISSIONS
from benchmarks.verify.expected import check_group, expected
from benchmarks.verify.replays import Play, judge

FOLDERS = sorted(path for path in SUBMISSIONS.iterdir() if path.is_dir() and path.name[0] not in "._")


@pytest.fixture(scope="module")
def groups():
    return read_all(SUBMISSIONS)


@pytest.fixture(scope="module")
def accepted(groups):
    """By name, the suite and the episodes that can be replayed."""
    found = {}
    for group in groups:
        good, wrong = check_group(group, expected(group.suite))
        assert not wrong
        found[group.name] = group.suite, good
    return found


def replay_one(suite, good, rng):
    claim, part = rng.choice(good)
    return judge(claim, Play(suite.env, part.kwargs, part, claim.episode).again())


def test_all_fit_their_suites_and_a_sample_is_replayed(accepted):
    rng = random.Random(0)
    regions = [name for name, (suite, _) in accepted.items() if not mines(suite.env)]
    regions = rng.sample(regions, min(len(regions), 3))
    for name, (suite, good) in accepted.items():
        if mines(suite.env) or name in regions:
            verdict = replay_one(suite, good, rng)
            assert verdict.state in ("exact", "tolerance"), verdict


@pytest.mark.slow
@pytest.mark.parametrize("name", [folder.name for folder in FOLDERS])
def test_an_episode_of_each_is_replayed(accepted, name):
    verdict = replay_one(*accepted[name], random.Random(1))
    assert verdict.state in ("exact", "tolerance"), verdict


def test_the_tables_are_of_these_submissions(groups):
    for path, text in pages(README, SUBMISSIONS, groups).items():
        assert path.read_text(encoding="utf-8") == text, "run python -m benchmarks.standings"
