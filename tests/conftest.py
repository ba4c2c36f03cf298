"""Where tests find data and weights, and where they keep decoded ones: one folder for all workers of a run."""

import os
from pathlib import Path

# Before torch is imported: two workers with all cores each would fight for them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("alenv", deadline=None, max_examples=40)
settings.load_profile("alenv")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def _places(tmp_path_factory):
    """Set the library's folders, unless they were set by hand."""
    base = tmp_path_factory.getbasetemp()
    run = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    places = {"ALENV_CACHE": run / "alenv_cache", "ALENV_DATA": SHARED / "data", "ALENV_WEIGHTS": SHARED / "weights"}
    with pytest.MonkeyPatch.context() as patch:
        for name, place in places.items():
            if name not in os.environ and (name == "ALENV_CACHE" or place.is_dir()):
                patch.setenv(name, str(place))
        yield


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of the test's own, which is not there yet."""
    monkeypatch.setenv("ALENV_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _place(variable, name):
    place = Path(os.environ.get(variable, SHARED)).expanduser() / name
    if not place.exists():
        pytest.skip(f"needs {place}; set {variable} to the folder that contains {name}")
    return place


@pytest.fixture(scope="session")
def camvid_root(_places):
    """The folder of CamVid in the SegNet layout."""
    return _place("ALENV_DATA", "camvid")


@pytest.fixture(scope="session")
def ccp_root(_places):
    """Clothing Co-Parsing, reduced."""
    return _place("ALENV_DATA", "ccp256")


@pytest.fixture(scope="session")
def coco_tiny_root(_places):
    """38 images of COCO with their instances."""
    return _place("ALENV_DATA", "coco_tiny")


@pytest.fixture(scope="session")
def panoptic_root(_places):
    """Two images of COCO in all forms of panoptic annotation."""
    return _place("ALENV_DATA", "coco_panoptic_sample")


@pytest.fixture(scope="session")
def squeezenet_weights(_places):
    """The ImageNet weights of torchvision's squeezenet1_0."""
    return _place("ALENV_WEIGHTS", "squeezenet1_0_imagenet.pth")


@pytest.fixture(scope="session")
def one_after_the_other():
    """Brute force for windows of 3 x 3 pixels that are ranked."""
    return _one_after_the_other


def _one_after_the_other(maps, pool, picks, quota=None):
    """The largest value of all open windows that overlap no pick, again and again."""
    rows, columns = next(iter(maps.values())).shape
    free = {i: np.where(is_open.reshape(rows, columns), maps[i], -np.inf) for i, is_open in pool.open_maps()}
    had, ids = dict.fromkeys(free, 0), []
    while len(ids) < picks:
        allowed = [i for i in free if np.isfinite(free[i]).any() and (quota is None or had[i] < quota)]
        if not allowed:
            break
        image = max(allowed, key=lambda i: free[i].max())
        y, x = np.unravel_index(free[image].argmax(), (rows, columns))
        free[image][max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3] = -np.inf
        had[image] += 1
        ids.append(image * rows * columns + y * columns + x)
    return ids
