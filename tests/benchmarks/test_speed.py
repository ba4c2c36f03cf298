"""What the command of all measurements is asked for."""

import pytest

from benchmarks.speed.catalogue import MEASUREMENTS, Args, chosen


def test_only_means_a_name_or_all_that_contain_a_part():
    assert chosen(Args()) == list(MEASUREMENTS)
    assert chosen(Args(only=("mining",))) == ["mining"]
    assert chosen(Args(only=("VecEnv", "scenes, l"))) == ["scenes, lda", "scenes, linear", "mining, kinds of VecEnv"]


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (Args(only=("minin",), rounds=0), "--rounds 0"),
        (Args(only=("scenes, linaer",)), "did you mean 'scenes, linear'?"),
    ],
)
def test_what_cannot_be_measured_is_refused(args, text):
    with pytest.raises(ValueError, match=text.replace("?", r"\?")):
        chosen(args)
