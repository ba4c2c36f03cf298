"""The environments that clients are tried on, small."""

import pytest

import alenv  # noqa: F401  registers the ids, whichever file runs alone

SMALL = {
    "RegionSelect-v0": {"segmenter": "lda", "picks": 3, "candidates": 5, "budget": 6},
    "SingleClassMine-v0": {"dataset": "mixture:1000", "budget": 6, "candidates": 5, "skip": True},
}


@pytest.fixture(params=SMALL)
def plain(request):
    """An id with dict observations, and arguments that make it quick."""
    return request.param, SMALL[request.param]


@pytest.fixture
def flat(plain):
    """Its flat id, likewise."""
    env_id, kwargs = plain
    return env_id.replace("-v0", "-Flat-v0"), kwargs
