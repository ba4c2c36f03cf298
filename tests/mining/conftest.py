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
def tiny(coco_tiny_root):
    """COCO's 38 images: dataset, root and backbone."""
    return "coco", str(coco_tiny_root), "filterbank"
