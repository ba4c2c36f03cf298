"""Everything that comes from outside, drawn to be hostile: refused in one sentence, with nothing changed, or usable.

The fast tests draw 300 inputs; ``make fuzz`` draws 10,000 others.
"""

import os
from functools import partial

import pytest
from hostile import agents, benchmarks, data, environments
from hypothesis import HealthCheck, given, settings

TOTAL = int(os.environ.get("ALENV_FUZZ", "300"))
"""Inputs in all, over all kinds."""

KINDS = {
    **{f"{name} of the leaderboard": (lambda s=s: s, check, False) for name, (s, check) in benchmarks.CASES.items()},
    **{check.__name__: (lambda s=s: s, check, True) for s, check in agents.CASES},
    **{name: (strategy, check, False) for name, (strategy, check) in environments.CASES.items()},
    **{name: (strategy, check, True) for name, (strategy, check) in data.CASES.items()},
}
"""By name: what makes a strategy, a check of what it draws, and whether the check is given an empty folder first."""


@pytest.mark.parametrize("name", KINDS)
def test_hostile(name, tmp_path):
    strategy, check, wants_folder = KINDS[name]
    check = partial(check, tmp_path) if wants_folder else check

    @settings(max_examples=-(-TOTAL // len(KINDS)), deadline=None, suppress_health_check=list(HealthCheck))
    @given(strategy())
    def right(drawn):
        check(drawn)

    right()
