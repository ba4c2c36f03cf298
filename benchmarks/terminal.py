"""What is said on the terminal: lines as they are, and tables that fit it."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.names import Name, printable, shortened

STATUS = 22
"""Columns that a text at the end of a row may take before it is broken into lines."""
SHORTEST, NAMED = 12, 24
"""Columns of a name at least, and of a name in a header at most."""


def say(console: Console, text: str, style: str | None = None) -> None:
    """Print a line: brackets in a name are no markup, and a path that is copied has no line end in it."""
    console.print(Text(printable(text)), style=style, soft_wrap=True)


def duration(seconds: float) -> str:
    """Return a time in the unit that people would use."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def print_table(console: Console, title: str, rows: Sequence[Sequence[str]], left: Collection[str]) -> None:
    """Print a header and rows within the width of the terminal.

    Names are shortened, texts broken into lines; nothing else is cut.

    Args:
        console: The terminal.
        title: Stands above.
        rows: The header first; cells that are names are ``Name``.
        left: The headers of columns of text, aligned left; all others are numbers.
    """
    header, *body = rows
    header = [shortened(text, NAMED) if isinstance(text, Name) else text for text in header]
    widths = [_width(column, column[0] in left) for column in zip(header, *body, strict=True)]
    names = [any(isinstance(row[i], Name) for row in body) for i in range(len(header))]
    others = sum(width for width, name in zip(widths, names, strict=True) if not name) + len(header) - 1
    room = max((console.width - others) // max(sum(names), 1), SHORTEST)
    table = Table(title=Text(printable(title)), box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    for i, text in enumerate(header):
        width = min(room, widths[i]) if names[i] else widths[i]
        lines = textwrap.wrap(text, width) or [""]
        whole = names[i] or text not in left
        table.add_column(Text("\n".join(lines)), justify="left" if text in left else "right", no_wrap=whole)
    for row in body:
        table.add_row(*(Text(shortened(cell, room) if isinstance(cell, Name) else printable(cell)) for cell in row))
    console.print(table)


def _width(column: Sequence[str], is_text: bool) -> int:
    """Return the columns that numbers take, or a text that is broken into lines at its spaces."""
    header, *cells = column
    word = max(cell_len(word) for word in header.split() or [""])
    widest = max((cell_len(cell) for cell in cells), default=0)
    if is_text:
        longest_word = max((cell_len(word) for cell in cells for word in cell.split()), default=0)
        widest = max(min(widest, STATUS), longest_word)
    return max(word, widest)
