"""Folders of the datasets that only these tests read; a test skips where its data are absent."""

import os
from pathlib import Path

import pytest


def _folder(name):
    place = Path(os.environ.get("ALENV_DATA", "data")).expanduser() / name
    if not place.is_dir():
        pytest.skip(f"needs {place}; set ALENV_DATA to the folder that contains {name}")
    return place


@pytest.fixture(scope="session")
def ccp_root(_places):
    """Clothing Co-Parsing, reduced."""
    return _folder("ccp256")


@pytest.fixture(scope="session")
def coco_tiny_root(_places):
    """38 images of COCO with their instances."""
    return _folder("coco_tiny")


@pytest.fixture(scope="session")
def tiny(coco_tiny_root, tmp_path_factory):
    """COCO's 38 images, to be embedded in a cache of their own: dataset, root and backbone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALENV_CACHE", str(tmp_path_factory.mktemp("mining") / "cache"))
        yield "coco", str(coco_tiny_root), "filterbank"
