"""Gains are concave, start at nothing, add up over modes, and come from a file where they were measured."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alenv.mining import load
from alenv.mining.gains import FORMS, Gain, check_gain, make_gain, read_curves

SHAPES = {"log": 900.0, "power": 0.4, "saturating": 2500.0, "presence": 1.0}
CURVES = {
    "a": {"form": "log", "parameters": {"a": 3.0, "b": 2.0, "n0": 50.0}},
    "b": {"form": "power", "parameters": {"a": 0.9, "b": 0.5, "alpha": 0.3}},
    "c": {"form": "saturating", "parameters": {"a": 0.7, "h": 400.0}},
}


def one(form, slope=1.0):
    return Gain(np.array([list(FORMS).index(form)]), np.array([slope]), np.array([SHAPES[form]]))


@pytest.mark.parametrize("form", FORMS)
def test_concave_from_zero(form):
    n = np.arange(0, 20000, 100)[:, None]
    worth = one(form)(n, np.zeros(len(n), int))
    assert worth[0] == 0
    steps = np.diff(worth)
    assert (steps >= 0).all()
    assert (np.diff(steps) <= 1e-12).all()


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=4), st.sampled_from(list(FORMS)))
@settings(max_examples=30, deadline=None)
def test_modes_add_up_and_order_does_not_matter(quantities, form):
    gain, zero = one(form, 1.7), np.zeros(1, int)
    alone = sum(gain(np.array([[n]]), zero)[0] for n in quantities)
    for order in (quantities, quantities[::-1]):
        assert gain(np.array([order]), zero)[0] == pytest.approx(alone, abs=1e-12)


def test_a_new_mode_pays_more_than_more_of_the_same():
    gain = one("log")
    again, new = gain(np.array([[1800, 0], [900, 900]]), np.zeros(2, int))
    assert new == pytest.approx(2 * np.log(2))
    assert again == pytest.approx(np.log(3))


def test_scales_are_mean_quantities():
    pool = load("mixture:1000")
    gain = make_gain("log", pool)
    held = pool.pixels[(pool.modes >= 0) & (pool.mode_class[pool.modes] == 7)]
    assert gain.shapes[7] == held.mean()
    assert make_gain("saturating", pool).shapes[7] == 2.7 * held.mean()


def test_measured_curves(tmp_path):
    path = tmp_path / "curves.json"
    path.write_text(json.dumps(CURVES))
    gain = read_curves(path, ("a", "b", "c"))
    worth = gain(np.full((3, 1), 100), np.arange(3))
    np.testing.assert_allclose(worth, [2 * np.log(3), 0.5 * (1 - 101**-0.3), 0.7 / 5], rtol=1e-14)


def test_mixed_forms_equal_single_ones(tmp_path):
    path = tmp_path / "curves.json"
    path.write_text(json.dumps(CURVES))
    gain, n = read_curves(path, ("a", "b", "c")), np.array([[5, 80], [7, 0], [900, 3]])
    together = gain(n, np.arange(3))
    assert together.tolist() == [gain(n[i : i + 1], np.array([i]))[0] for i in range(3)]


@pytest.mark.parametrize(
    ("curves", "message"),
    [
        ({"a": CURVES["a"]}, "does not hold a curve for every class: 'b' is missing"),
        ({**CURVES, "b": {"form": "sine", "parameters": {}}}, "unknown form of b 'sine'"),
        ({**CURVES, "b": {"form": "log", "parameters": {"b": 1, "n0": -1}}}, "not concave"),
        ([], "does not hold"),
    ],
)
def test_bad_files(tmp_path, curves, message):
    path = tmp_path / "curves.json"
    path.write_text(json.dumps(curves))
    with pytest.raises(ValueError, match=message):
        read_curves(path, ("a", "b", "c"))


def test_a_missing_file_names_its_command(tmp_path, monkeypatch):
    monkeypatch.setenv("ALENV_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"python -m benchmarks\.curves --dataset mixture:1000"):
        make_gain("curve", load("mixture:1000"))
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        make_gain("curve:nowhere.json", load("mixture:1000"))


@pytest.mark.parametrize("name", ["logs", "log:3", "", "curves"])
def test_unknown_names(name):
    with pytest.raises(ValueError, match="unknown gain"):
        check_gain(name)
