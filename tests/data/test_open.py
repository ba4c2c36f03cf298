"""Datasets before anything is read."""

import pytest

from alenv import data

OF_USERS = ("folder", "coco_json")
"""Only their files say what the classes are."""


@pytest.mark.parametrize("name", [name for name in data.DATASETS if name not in OF_USERS])
def test_an_open_dataset_says_what_it_will_hold_and_reads_nothing(name, tmp_path, monkeypatch):
    for variable in ("ALENV_DATA", "ALENV_CACHE"):
        monkeypatch.setenv(variable, str(tmp_path))
    opened = data.open_dataset(name)
    assert opened.colours.shape == (len(opened.classes), 3)
    assert all(side % opened.cell == 0 for side in opened.region)
    assert opened.background is None or opened.background in opened.classes
    assert len(set(opened.split_tables)) == len(opened.split_tables) > 0
    assert hasattr(opened, "fresh_pool") == opened.generated
    assert not list(tmp_path.iterdir())
