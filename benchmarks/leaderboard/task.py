"""What a kind of environment contributes to the leaderboard: parts, metrics, columns. All else is the same for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agents.episode import Episode
from agents.recorders import Recorder

Array = NDArray[np.float64]
Episodes = dict[str, list[Episode]]
"""Finished episodes by policy."""
Values = dict[str, dict[Any, float]]
"""By policy and unit: what is compared in pairs. NaN where a unit has no value."""
Summary = dict[str, Any]
Rows = list[list[str]]
"""A header and the rows of a table."""


@dataclass(frozen=True)
class Part:
    """Episodes of one policy that are one record.

    Attributes:
        name: For people.
        file: Begins the name of the record.
        kwargs: Arguments of the environment.
        options: Those of ``reset``.
        seeds: One episode for each.
        make_recorder: Makes what measures an episode.
    """

    name: str
    file: str
    kwargs: dict[str, Any]
    options: dict[str, Any]
    seeds: tuple[int, ...]
    make_recorder: Callable[[], Recorder]


@dataclass
class View:
    """A comparison of all policies.

    Attributes:
        measures: By name. The first is what policies are ranked by.
        figures: By policy, what else is told of it.
        full: The value of full supervision, if it was asked for; that of an oracle that is 1 by definition.
    """

    measures: dict[str, Values]
    figures: dict[str, Summary] = field(default_factory=dict)
    full: float | None = None


@dataclass(frozen=True)
class Line:
    """Curves of all policies.

    Attributes:
        metric: What it is a curve of, with its unit.
        cost: The unit of the grid.
        grid: Costs (points,).
        curves: By policy and unit of comparison, values (points,).
    """

    metric: str
    cost: str
    grid: list[float]
    curves: dict[str, dict[Any, Array]]


class Task(Protocol):
    """A kind of environment, bound to a suite.

    Attributes:
        unit: What differences are paired by: seeds, or classes.
        measure: Name of the measure by which policies are ranked.
        judges: Policies, besides the baseline, without which nothing is compared.
        rankings: The measures by which they are ranked, this one and others.
        headline: The measures by which trained agents are compared.
        notes: How to read the columns, in Markdown.
    """

    unit: str
    measure: str
    judges: tuple[str, ...]
    rankings: tuple[str, ...]
    headline: tuple[str, ...]
    notes: str

    def check(self) -> None:
        """Check what a suite of this kind must have, or must not.

        Raises:
            ValueError: If it is not so.
        """

    def parts(self) -> list[Part]:
        """Return what each policy has to play.

        Raises:
            ValueError: If there is nothing to play.
        """

    def standing(self) -> str:
        """Return what a policy with all episodes is: ``ranked``, ``provisional``, or why it has no rank."""

    def needs(self) -> tuple[str, ...]:
        """Return the metrics that an episode must have."""

    def prepare(self, policies: Sequence[str]) -> dict[str, float]:
        """Let every policy begin: it builds what workers share, and shows wrong values before anything runs.

        Returns:
            Seconds that a part takes, about, by policy.
        """

    def views(self, episodes: Episodes, full: Episode | None = None) -> dict[str, View]:
        """Return the comparisons, the most important first.

        Args:
            episodes: Of all policies.
            full: What full supervision reaches, see ``benchmarks.leaderboard.full``.
        """

    def lines(self, episodes: Episodes) -> dict[str, Line]:
        """Return the curves."""

    def by_class(self, episodes: Episodes) -> dict[str, Values]:
        """Return by title what every policy reaches for each class."""

    def columns(self, summary: Summary, view: str) -> tuple[list[str], dict[str, list[str]]]:
        """Return what a ranking says besides the measure: header, and cells by policy."""

    def tables(self, summary: Summary, view: str) -> dict[str, Rows]:
        """Return more tables of a view, by title."""
