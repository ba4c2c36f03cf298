"""What the command of all measurements is asked for."""

import pytest

from alenv.data import DATASETS
from benchmarks.speed import growth
from benchmarks.speed.catalogue import MEASUREMENTS, Args, selected


def test_only_means_a_name_or_all_that_contain_a_part():
    assert selected(Args()) == list(MEASUREMENTS)
    assert selected(Args(only=("mining",))) == ["mining"]
    assert selected(Args(only=("VecEnv", "scenes, l"))) == ["scenes, lda", "scenes, linear", "mining, kinds of VecEnv"]


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (Args(only=("minin",), rounds=0), "--rounds 0"),
        (Args(only=("scenes, linaer",)), "did you mean 'scenes, linear'?"),
    ],
)
def test_what_cannot_be_measured_is_refused(args, text):
    with pytest.raises(ValueError, match=text.replace("?", r"\?")):
        selected(args)


def test_growth_is_that_of_rounds_on_what_is_made_up(monkeypatch, tmp_path):
    monkeypatch.setenv("ALENV_CACHE", str(tmp_path))
    monkeypatch.setitem(DATASETS, "made", "")
    curve = (40, 60), lambda n: growth._setting(n, classes=3, initial="random:50", candidates=2)
    monkeypatch.setitem(growth.CURVES, "images, few", curve)
    growth.prepare(40, 3)
    points = [growth.measure("images, few", 40), growth.Point(1.0, 1.0)]
    assert 0 < points[0].seconds < 10
    assert points[0].mib > 0
    assert [axis.get_title() for axis in growth.draw({"images, few": points}).axes] == ["images", ""]


def test_an_exponent_is_that_of_the_size():
    assert growth.exponents((1, 2, 4), [1.0, 2.0, 8.0]) == pytest.approx((1.5, 2))
    assert "images, regions" in selected(Args(growth=True))
    assert selected(Args(growth=True, only=("classes",))) == ["classes, lda", "classes, linear"]
