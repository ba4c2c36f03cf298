"""Parts of a suite run in the process of the test where processes are not what is tested: they start slowly."""

import pytest


@pytest.fixture
def in_this_process(monkeypatch):
    monkeypatch.setattr("benchmarks.jobs.in_processes", lambda calls, jobs: (call.do() for call in calls))
