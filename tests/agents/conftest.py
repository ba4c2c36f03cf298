"""What the tests of several agents share."""

import pytest


class KilledError(Exception):
    """Stands for the end of a process."""


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
