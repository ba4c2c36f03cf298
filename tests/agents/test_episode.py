"""Episode files are read strictly: what does not fit is refused by its name."""

import copy
import json
import re
from dataclasses import fields

import pytest
from hostile.benchmarks import EPISODE

from agents.episode import Episode


def changed(*path, value=None):
    tree = copy.deepcopy(EPISODE)
    *owners, last = path
    owner = tree
    for step in owners:
        owner = owner[step]
    owner[last] = value
    return json.dumps(tree)


def test_a_file_of_today_is_read_and_written_with_the_same_keys():
    episode = Episode.from_json(json.dumps(EPISODE))
    assert json.loads(episode.to_json()) == EPISODE
    assert list(EPISODE) == [field.name for field in fields(Episode)]


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("seconds",), None, "seconds=None: expected a table"),
        (("seconds", "env"), -1.0, "env=-1.0: expected a"),
        (("seconds", "total"), 1.0, "unknown entry of seconds: 'total'"),
        (("fingerprint",), {}, "'sha256' is missing"),
        (("fingerprint", "arguments"), [], "arguments=[]: expected a table"),
        (("costs",), {}, "costs is empty"),
        (("costs", "images"), [0, 3], "images=[0, 3]: expected 3 points"),
        (("costs", "pixels"), [0, 9, 3], "pixels=[0, 9, 3]: expected 3 points that never fall"),
        (("costs", "regions"), [], "regions is empty"),
        (("metrics", "miou/holdout"), [30.0, 31.0, 100.5], "miou/holdout=100.5: expected points"),
        (("metrics", "miou/holdout"), [30.0, 31.0], "miou/holdout has 2 points, the costs have 3"),
        (("metrics", "miou/test"), ["30"] * 3, "miou/test"),
        (("class_metrics", "class_iou/reward"), [[20.0]], "class_iou/reward has 1 points, the costs have 3"),
        (("class_metrics", "class_iou/reward", 1), [20.0, 40.0], "the same classes everywhere"),
        (("class_metrics", "class_iou/reward", 1, 0), -1.0, "class_iou/reward=-1.0: expected points"),
        (("class_metrics", "class_iou/reward"), [[None] * 3] * 3, "one present"),
        (("given", "pixels"), -1, "given={'pixels': -1}: expected an integer"),
        (("options",), None, "options=None: expected a table"),
        (("rewards",), [0.0], "6 actions, 1 rewards, 6 picked"),
        (("rewards", 2), "1.5", "rewards[2]='1.5': expected a number"),
        (("actions", 0), True, "actions[0]=True: expected an integer"),
        (("actions", 0), -1, "actions[0]=-1: expected an integer of at least 0"),
        (("picked", 0), [1, 2], "picked: expected as many numbers for every pick"),
        (("picked", 0, 0), -2, "picked[0][0]=-2: expected an integer of at least -1"),
        (("seed",), 1.0, "seed=1.0: expected an integer"),
        (("oracle",), 0, "oracle=0: expected True or False"),
        (("extra",), 0, "unknown entry 'extra'"),
    ],
)
def test_what_does_not_fit_is_named(path, value, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        Episode.from_json(changed(*path, value=value))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_are_finite(number):
    with pytest.raises(ValueError, match=r"not JSON|expected a finite number"):
        Episode.from_json(json.dumps(EPISODE).replace("1.5", number))
