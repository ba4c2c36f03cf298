"""The benchmark of network rungs: operations by hand, disjoint parts, and nothing left behind."""

import pytest

from alenv.segmenters.networks.training import TRAININGS, Optimizer
from benchmarks.speed import networks


@pytest.fixture(scope="module")
def measured(_places):
    before = dict(TRAININGS), Optimizer.step
    env_id, kwargs = networks.CONFIGURATIONS["scenes, tiny"]
    result = networks.measure(env_id, {**kwargs, "precision": "float32"}, 1, "cpu")
    assert (dict(TRAININGS), Optimizer.step) == before
    return result


def test_operations_are_those_of_the_convolutions(measured):
    """Two for each weight and output: 96 x 128 pixels, three layers at strides 2, 4 and 4, a head of 12 classes."""
    image = 2 * (48 * 64 * 16 * 27 + 24 * 32 * 32 * (9 * 16 + 9 * 32) + 24 * 32 * 12 * 32) / 1e9
    crop = image * 64 * 64 / (96 * 128)
    assert measured["gflop"]["fit"] == pytest.approx(3 * 24 * crop)
    images = measured["gflop"]["candidates"] / image
    assert images == pytest.approx(round(images))
    assert measured["gflop"]["evaluate"] / image == pytest.approx(100)


def test_parts_are_disjoint_and_the_model_is_in_them(measured):
    assert all(value >= 0 for row in measured["rounds"] for value in row.values())
    assert 0 < measured["outside"] < 1
    assert measured["plain"] > 0
    assert "plain float32 PyTorch takes" in networks.table("one", measured).caption
