"""Quantity-accuracy curves: sets as promised, fits that recover known curves, a run that can be resumed."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alenv.mining import curves
from alenv.mining.embedded import EmbeddedImages
from alenv.mining.target import Accuracy, Target
from benchmarks import curves as command

N = np.array([0, 1, 10, 100, 500, 1000, 3000, 8000, 20000, 50000, 3.0, 40, 700, 1500, 12000])
SCALE = 2000.0
KNOWN = {
    "log": {"a": 0.02, "b": 0.1, "n0": 2000.0},
    "power": {"a": 0.5, "b": 0.4, "alpha": float(np.geomspace(0.02, 2, 41)[20])},
    "saturating": {"a": 0.4, "h": 2000.0},
}


def made_up(images=300, share=0.2):
    """A pool in which class ``b`` has two modes and lies in a fifth of the images."""
    rng = np.random.default_rng(0)
    modes = np.where(rng.random((images, 3)) < [1, share, share / 2], [0, 1, 2], -1).astype(np.int16)
    pixels = np.where(modes >= 0, rng.integers(1, 1000, modes.shape), 0).astype(np.int32)
    splits = {"train": np.arange(200), "eval": np.arange(200, images)}
    classes, mode_class = ("a", "b"), np.array([0, 1, 1], np.int16)
    return EmbeddedImages("x", np.zeros((images, 2), np.float32), modes, pixels, mode_class, classes, (), splits, "m")


def test_quantities_add_up_the_modes_of_a_class():
    pool = made_up()
    np.testing.assert_array_equal(curves.quantities(pool, "b"), pool.pixels[:, 1:].sum(1))
    with pytest.raises(ValueError, match="unknown class 'c'"):
        curves.quantities(pool, "c")


def test_sets_are_what_their_protocol_says():
    pool = made_up()
    holds = curves.quantities(pool, "b") > 0
    sets = list(curves.draw_sets(pool, "b"))
    for _, images in sets:
        assert len(np.unique(images)) == len(images)
        assert np.isin(images, pool.splits["train"]).all()
    sizes = [len(images) for protocol, images in sets if protocol == "sizes"]
    assert sorted(set(sizes)) == [10, 20, 40, 80, 160]
    assert all(len(images) == 60 for protocol, images in sets if protocol != "sizes")
    forced = [int(holds[images].sum()) for protocol, images in sets if protocol == "forced"]
    assert forced == np.repeat([0, 1, 2, 4, 8, 16, 32], 3).tolist()
    assert len({tuple(sorted(images)) for _, images in sets}) == len(sets)


def test_sets_repeat_and_are_shared_by_the_classes():
    pool = made_up()
    one, again, other = (list(curves.draw_sets(pool, name)) for name in ("b", "b", "a"))
    for (_, x), (_, y) in zip(one, again, strict=True):
        np.testing.assert_array_equal(x, y)
    for (protocol, x), (_, y) in zip(one, other, strict=False):
        assert protocol == "forced" or np.array_equal(x, y)


def test_measure_counts_what_a_set_holds():
    pool = made_up()
    evaluator = SimpleNamespace(evaluate=lambda images, name: Accuracy(len(images) / 1000, 0.5))
    points = curves.measure(pool, evaluator, "b")
    for point, (protocol, images) in zip(points, curves.draw_sets(pool, "b"), strict=True):
        held = curves.quantities(pool, "b")[images]
        assert point["protocol"] == protocol
        assert (point["images"], point["iou"]) == (len(images), len(images) / 1000)
        assert (point["positives"], point["pixels"]) == ((held > 0).sum(), held.sum())
    assert json.loads(json.dumps(points)) == points


@pytest.mark.parametrize("form", KNOWN)
def test_a_known_curve_is_recovered(form):
    accuracy = curves.evaluate(form, KNOWN[form], N)
    found = curves.fit(form, N, accuracy, SCALE)
    assert found == pytest.approx(KNOWN[form], rel=1e-6)
    assert curves.cross_validate(form, N, accuracy, SCALE) > 0.999


@given(st.sampled_from(list(KNOWN)), st.integers(0, 1000))
def test_fitted_curves_rise_ever_more_slowly_and_no_other_slope_is_better(form, seed):
    rng = np.random.default_rng(seed)
    accuracy = rng.random(len(N))
    found = curves.fit(form, N, accuracy, SCALE)
    x = np.linspace(0, 60000, 200)
    rise = np.diff(curves.evaluate(form, found, x))
    assert (rise >= 0).all()
    assert (np.diff(rise) <= 1e-9).all()

    def loss(parameters):
        return np.square(curves.evaluate(form, parameters, N) - accuracy).sum()

    slope = curves.FORMS[form].slope
    for factor in (0.9, 1.1):
        assert loss(found | {slope: factor * found[slope]}) >= loss(found) - 1e-12


@pytest.mark.parametrize("form", KNOWN)
def test_noise_has_no_predictive_value(form):
    """In the fit, few points always explain something; left out of it, they expose that."""
    draws = np.random.default_rng(1).random((20, len(N)))
    assert np.mean([curves.cross_validate(form, N, accuracy, SCALE) for accuracy in draws]) < -0.02


def points_of(accuracy, protocol="sizes"):
    rows = zip(N.tolist(), accuracy, strict=True)
    return [{"protocol": protocol, "pixels": n, "positives": 1, "iou": y, "average_precision": 1 - y} for n, y in rows]


def test_the_form_that_predicts_best_is_chosen():
    for form, parameters in KNOWN.items():
        chosen = curves.curve(points_of(curves.evaluate(form, parameters, N)), SCALE)
        assert (chosen["form"], chosen["fallback"]) == (form, None)
        assert chosen["parameters"] == pytest.approx(parameters, rel=1e-6)


def test_fallback():
    plain = {"a": 0.0, "b": 1.0, "n0": SCALE}
    falling = curves.curve(points_of(0.5 - N / 1e5), SCALE)
    assert (falling["form"], falling["parameters"]) == ("log", plain)
    few = curves.curve(points_of(np.full(len(N), 0.2))[:4], SCALE)
    assert (few["parameters"], few["fallback"]) == (plain, "4 different quantities, 5 are needed")
    assert curves.curve([], SCALE)["parameters"] == plain
    assert curves.curve(points_of(np.full(len(N), np.nan)), SCALE)["parameters"] == plain


def test_rank_correlation_is_within_a_protocol():
    points = points_of(np.argsort(np.argsort(N)) / 10.0) + points_of(-N, "forced")
    assert curves.rank_correlation(points, "sizes", "iou") == pytest.approx(1)
    assert curves.rank_correlation(points, "sizes", "average_precision") == pytest.approx(-1)
    assert curves.rank_correlation(points, "forced", "iou") == pytest.approx(-1)
    assert np.isnan(curves.rank_correlation(points, "sizes", "iou", "positives"))
    assert np.isnan(curves.rank_correlation(points, "random", "iou"))


def test_typical_quantity():
    pool = made_up()
    held = curves.quantities(pool, "b")[:200]
    assert curves.typical(pool, "b") == held[held > 0].mean()
    absent = made_up(share=0)
    assert curves.typical(absent, "b") == absent.pixels[:, 0].mean()


def test_command_goes_on_where_it_stopped(tiny, tmp_path, monkeypatch, capsys):
    args = command.Args(*tiny, out=tmp_path, classes=("person", "chair"))
    evaluate, calls = Target.evaluate, []

    def counted(self, images, name):
        calls.append(name)
        if len(calls) > 80:
            raise KeyboardInterrupt
        if len(calls) % 10 == 1:
            return evaluate(self, images, name)
        return Accuracy(len(images) / 200, len(images) / 300)  # as a training would, which takes longer

    monkeypatch.setattr(Target, "evaluate", counted)
    monkeypatch.setattr("benchmarks.jobs.in_processes", lambda calls, jobs: (call.do() for call in calls))
    assert command.main(args) == 130
    assert set(calls) == {"person", "chair"}
    assert not (tmp_path / "curves.json").exists()
    calls.clear()
    assert command.main(args) == 0
    assert set(calls) == {"chair"}
    fitted = json.loads((tmp_path / "curves.json").read_text())
    assert len(fitted) == 80
    for entry in fitted.values():
        values = curves.evaluate(entry["form"], entry["parameters"], N)
        assert np.isfinite(values).all()
    assert fitted["zebra"]["fallback"]
    assert (tmp_path / "curves.png").stat().st_size > 10000
    assert "saturating" in capsys.readouterr().out


def test_command_refuses_unknown_classes(tiny, tmp_path, capsys):
    assert command.main(command.Args(*tiny, out=tmp_path, classes=("persn",))) == 2
    assert "unknown class 'persn'; did you mean 'person'" in capsys.readouterr().err
