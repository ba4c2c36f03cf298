"""Some of the hostile files and names that ``make fuzz`` draws by the thousand."""

import json

import pytest
from hostile import benchmarks as hostile
from hypothesis import given, settings


@pytest.mark.parametrize("name", hostile.CASES)
def test_refused_in_one_sentence_or_usable(name):
    strategy, check = hostile.CASES[name]
    settings(max_examples=40)(given(strategy)(check))()


def test_what_is_damaged_was_right():
    hostile.check_episode(json.dumps(hostile.EPISODE))
    hostile.check_record_text(json.dumps(hostile.RECORD))
    for table, parse in ((hostile.REGIONS, hostile.parse_suite), (hostile.MINING, hostile.parse_suite)):
        parse("some", "\n".join(f"{key} = {hostile.toml(value)}" for key, value in table.items()))
    hostile.parse_ladder("some", "\n".join(f"{key} = {hostile.toml(value)}" for key, value in hostile.LADDER.items()))
    assert hostile.Episode.from_json(json.dumps(hostile.EPISODE)).seed == 1
