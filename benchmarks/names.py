"""Names of policies, classes and files as they must be written: on terminals, in Markdown, as names of folders.

Names come from the command line and from file systems: they hold what Markdown, terminals and shells take as theirs.
"""

from __future__ import annotations

import hashlib
import re

from rich.cells import cell_len

PLAIN = re.compile(
    r"[\w-]{1,100}(\.\d+)?|\w{1,60}:agents/pretrained/[\w.-]{1,100}(?<!best)\.pt|\w{1,60}:([A-Za-z\d-]{1,20}/){1,5}best\.pt",
    re.ASCII,
)
"""Names that are folders with ``.`` for ``:`` and ``_`` for ``/``; no two of them give the same one."""


class Name(str):
    """A cell of a table that holds a name: escaped in Markdown, shortened on a terminal."""


SHOWN = 6
"""Columns that a shortened name keeps for its beginning."""


def printable(text: str) -> str:
    """Return a text in one line, with escapes for what moves the cursor, has no width or is no character."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortened(name: str, width: int) -> str:
    """Return a name in so many columns of a terminal: the middle of a path is the least of it."""
    name = printable(name)
    if cell_len(name) <= width:
        return name
    end = f"/{name.rpartition('/')[2]}" if "/" in name else name
    end = _last(end, max(width - SHOWN, 0))
    start = name[: len(name) - len(end)]
    while cell_len(f"{start}…{end}") > max(width, 1):
        start, end = (start[:-1], end) if start else (start, end[1:])
    return f"{start}…{end}"


def _last(text: str, width: int) -> str:
    while cell_len(text) > width:
        text = text[1:]
    return text


def markdown(text: str) -> str:
    """Return a text in which Markdown sees no markup and a table no end of a cell."""
    return re.sub(r"([\\`*\[\]<>|$~&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))", r"\\\1", printable(text))


def code(text: str) -> str:
    """Return a text as code in Markdown, between more backticks than it holds."""
    text = printable(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"


def folder(name: str) -> str:
    """Return the name of the folder or file of a policy or class; different ones have different ones."""
    if PLAIN.fullmatch(name):
        return name.replace(":", ".").replace("/", "_")
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    readable = re.sub(r"[^\w.-]+", "_", name.replace(":", "."), flags=re.ASCII).lstrip(".")
    return f"{readable[:80]}~{digest}"
