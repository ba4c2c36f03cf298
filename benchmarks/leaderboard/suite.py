"""A suite: policies, environment and seeds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from alenv.data import DATASETS, open_dataset
from alenv.data.user_files import UserFiles
from alenv.state import sources


@dataclass(frozen=True)
class Suite:
    """Policies x seeds on one environment, compared with a baseline."""

    name: str
    env: str
    kwargs: dict[str, Any]
    policies: tuple[str, ...]
    seeds: tuple[int, ...]
    splits: tuple[str, ...] = ("holdout", "test")
    baseline: str = "random"
    budgets: tuple[int, ...] = ()
    """Images at which mining is scored; regions are scored after every round."""
    full_supervision: bool = False
    """Whether the model is also trained on the whole pool, as a bound."""
    takes: str = ""
    """How long it takes, where that was measured."""

    @cached_property
    def sources(self) -> dict[str, str]:
        """Hashes of what episodes depend on besides arguments and this code: a user's modules, and a user's files."""
        name, root = self.kwargs.get("dataset"), self.kwargs.get("root")
        opened = open_dataset(name, root) if name in DATASETS else None
        files = {"files": opened.digest()} if isinstance(opened, UserFiles) else {}
        return sources(self.kwargs) | files
