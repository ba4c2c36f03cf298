"""Write the tables of all submissions: whole beside them, and the first rows into the README, between its markers.

Values are read off the curves of the submissions, which ``benchmarks.verify`` replays; rewards are not looked at. The
trainings of an agent are one row.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from agents.episode import Episode
from alenv.files import write_whole
from benchmarks.agents import agent, grouped, table
from benchmarks.command import command, refusing, writing
from benchmarks.leaderboard.suite import Suite
from benchmarks.leaderboard.tables import markdown_table, number
from benchmarks.leaderboard.task import Line, Rows, Values
from benchmarks.leaderboard.tasks import make_task
from benchmarks.names import Name
from benchmarks.stats import area_under_curve
from benchmarks.submission import SUBMISSIONS, Submission
from benchmarks.verify.claims import Group, read_folder

README = Path(__file__).parents[1] / "README.md"
START, END = "<!-- leaderboard -->", "<!-- /leaderboard -->"
ROWS = 3
"""Of a table in the README, besides the baseline."""
PAGE = """\
# Submissions

Values are read off the curves in `traces.jsonl.gz`, which `python -m benchmarks.verify benchmarks/submissions/*`
replays. Mean (difference to the baseline ± half the 95 % interval over what is paired, in brackets over trainings);
bold: p < .05 after Holm's correction, and neither interval holds 0. The trainings of an agent are one row; oracles,
which are given labels that were not bought, come last. Written by `python -m benchmarks.standings`.
"""


@dataclass(frozen=True)
class Args:
    """Write the tables of submissions."""

    readme: Path = README
    """file with the markers"""
    submissions: Path = SUBMISSIONS
    """folder of submissions"""


@command
def main(args: Args) -> int:
    """Write the tables and return the exit status.

    0: they are written; 2: a submission or the file is refused, or takes no text.
    """
    with refusing():
        files = pages(args.readme, args.submissions, read_all(args.submissions))
    with writing(args.readme):
        for path, text in files.items():
            write_whole(path, text)
    return 0


def pages(readme: Path, submissions: Path, groups: list[Group]) -> dict[Path, str]:
    """Return the text of every file that has tables.

    Raises:
        ValueError: If two submissions would have one name, or the file with the markers is not as it should be.
    """
    text, whole = readme.read_text(encoding="utf-8"), submissions / "README.md"
    return {readme: insert(text, standings(groups, ROWS)), whole: PAGE + standings(groups).rstrip() + "\n"}


def insert(text: str, tables: str) -> str:
    """Return a text with tables between its markers.

    Raises:
        ValueError: If it does not have each of them once, in order.
    """
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end) or START in rest or END in before + after:
        raise ValueError(f"the markers {START} and {END} must stand in the file once each, in this order; add them")
    return f"{before}{START}\n{tables}{END}{after}"


def read_all(folder: Path) -> list[Group]:
    """Read all submissions.

    Raises:
        ValueError: If a line of one cannot be read; the values are checked by ``benchmarks.verify``.
    """
    groups = []
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name[0] not in "._":
            [group] = read_folder(path, None)
            if group.faults:
                raise ValueError(f"{group.faults[0].where}: {group.faults[0].reason}")
            groups.append(group)
    return groups


def standings(groups: list[Group], most: int | None = None) -> str:
    """Return the tables of submissions, a suite after the other.

    Args:
        groups: The submissions.
        most: Rows of a table besides the baseline.

    Raises:
        ValueError: If two would have one name.
    """
    suites = sorted({group.suite.name for group in groups}, reverse=True)
    by_suite = {name: [group for group in groups if group.suite.name == name] for name in suites}
    return "".join(_of_suite(of_suite[0].suite, of_suite, most) for of_suite in by_suite.values())


def _of_suite(suite: Suite, groups: list[Group], most: int | None) -> str:
    names = [group.name.removeprefix(f"{suite.name}-") for group in groups]
    if len(set(names)) < len(names):
        raise ValueError(f"two submissions would be called {sorted(names)} without the name of their suite; rename one")
    episodes = {name: [claim.episode for claim in group.claims] for name, group in zip(names, groups, strict=True)}
    said = {agent(name): group.said for name, group in zip(names, groups, strict=True) if group.said}
    head = f"\n`{suite.name}` ({suite.env}, {len(suite.seeds)} seeds):\n\n"
    header, *rows = _rows(suite, episodes, said)
    shown = [row for place, row in enumerate(rows) if most is None or place < most or row[0] == suite.baseline]
    return head + markdown_table([header, *shown]) + "\n\n"


def _rows(suite: Suite, episodes: dict[str, list[Episode]], said: dict[str, Submission]) -> Rows:
    """Lay out values and differences to the baseline: the best by the first measure first, oracles last."""
    lines, measure = make_task(suite).lines(episodes), make_task(suite).measure
    unit = next(iter(lines.values())).cost
    lines = {name: line for name, line in lines.items() if line.cost == unit}  # others are in the reports
    tables = [table(grouped(_values(line)), (suite.baseline,))[1:] for line in lines.values()]
    rows: Rows = [
        ["policy", "track", *(f"{measure}, {name} (- {suite.baseline})" for name in lines), "ms per pick"],
    ]
    for policy in sorted((row[0] for row in tables[0]), key=lambda policy: said[policy].track == "oracle"):
        found = [row[1:3] for rows in tables for row in rows if row[0] == policy]
        cells = [f"{mean} ({gain})" if gain else mean for mean, gain in found]
        rows.append([Name(policy), said[policy].track, *cells, _time(episodes, policy)])
    return rows


def _values(line: Line) -> Values:
    """Return the area under a curve of mIoU, and the end of a curve of a mining suite."""
    area = line.cost == "regions"
    return {
        policy: {
            unit: float(area_under_curve(line.grid, values) if area else values[-1]) for unit, values in by_unit.items()
        }
        for policy, by_unit in line.curves.items()
    }


def _time(episodes: dict[str, list[Episode]], name: str) -> str:
    own = [episode for policy, found in episodes.items() if agent(policy) == name for episode in found]
    return number(1000 * sum(e.seconds["policy"] for e in own) / sum(len(e.actions) for e in own), 2)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args, description=__doc__)))
