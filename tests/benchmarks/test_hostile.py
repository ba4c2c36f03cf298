"""What the hostile files are made from is right itself."""

import json

from hostile import benchmarks as hostile


def test_what_is_damaged_was_right():
    hostile.check_episode(json.dumps(hostile.EPISODE))
    hostile.check_episode(json.dumps(hostile.MINED))
    for table, parse in ((hostile.REGIONS, hostile.parse_suite), (hostile.MINING, hostile.parse_suite)):
        parse("some", "\n".join(f"{key} = {hostile.toml(value)}" for key, value in table.items()))
    hostile.parse_ladder("some", "\n".join(f"{key} = {hostile.toml(value)}" for key, value in hostile.LADDER.items()))
    assert hostile.Episode.from_json(json.dumps(hostile.EPISODE)).seed == 1
