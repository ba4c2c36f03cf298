"""What the tests of several agents share."""

import numpy as np
import pytest
import torch

FILES = ("checkpoint.pt", "best.pt")


class KilledError(Exception):
    """Stands for the end of a process."""


def generators():
    """The global ones, which a training must leave as they are."""
    return torch.get_rng_state().tolist(), str(np.random.get_state())  # noqa: NPY002


@pytest.fixture
def kill(monkeypatch):
    """A function that starts a training and kills it when it comes to an iteration."""

    def call(kind, moment, start):
        advance = kind.advance

        def dies(run):
            if run.iteration == moment:
                raise KilledError
            return advance(run)

        with monkeypatch.context() as patch:
            patch.setattr(kind, "advance", dies)
            with pytest.raises(KilledError):
                start()

    return call


@pytest.fixture
def ends_alike(tmp_path, kill):
    """A function that trains in one go, and killed at some iterations, and compares what is kept, bit for bit.

    It takes the class of the runs, what trains in a folder and returns the run, and the iterations.
    """

    def check(kind, train_in, moments):
        before = generators()
        run = train_in(tmp_path / "whole")
        assert generators() == before
        for moment in moments:
            kill(kind, moment, lambda: train_in(tmp_path / "killed"))
            torch.rand(7), np.random.rand(3)  # noqa: NPY002 - another process has another global state
        train_in(tmp_path / "killed")
        for name in FILES:
            assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
            saved = torch.load(tmp_path / "whole" / name, weights_only=True)  # nothing in it is run
            assert saved["args"]["seed"] == run.args.seed
        assert saved["validation"] == run.best

    return check
