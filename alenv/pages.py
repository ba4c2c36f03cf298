"""Pages of the environments in Markdown, made of their docstrings: ``python -m alenv.pages docs``."""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from alenv.files import write_whole
from alenv.registration import BATCHES, ENVS, MINING


def pages() -> dict[str, str]:
    """Return the text of every page by the name of its file; ``README.md`` lists the others."""
    ids: dict[str, list[str]] = {}
    single = [(env_id, entry_point) for env_id, (entry_point, _) in (ENVS | MINING).items()]
    for env_id, entry_point in (*single, *BATCHES.items()):
        ids.setdefault(entry_point, []).append(f"`{env_id}`")
    listed = [f"- [{_name(entry_point)}]({_name(entry_point)}.md): {', '.join(of)}" for entry_point, of in ids.items()]
    made = {f"{_name(entry_point)}.md": _page(entry_point) for entry_point in ids}
    return {"README.md": "# Environments\n\n" + "\n".join(listed) + "\n", **made}


def write_pages(folder: Path) -> list[Path]:
    """Write all pages into a folder.

    Raises:
        OSError: If it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = pages()
    for name, text in made.items():
        write_whole(folder / name, text.encode())
    return [folder / name for name in made]


def _page(entry_point: str) -> str:
    """Return the docstring of a class as a page."""
    module, name = entry_point.split(":")
    text = inspect.getdoc(getattr(importlib.import_module(module), name)) or ""
    text, heading, arguments = text.partition("Args:\n")
    listed = re.sub(r"^ {4}(\S[^:]*):", r"- `\1`:", arguments, flags=re.MULTILINE)
    return f"# {name}\n\n{text}{heading and '## Arguments'}\n\n{listed}".rstrip() + "\n"


def _name(entry_point: str) -> str:
    return entry_point.partition(":")[2]


def main(argv: Sequence[str] | None = None) -> int:
    """Write the pages and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m alenv.pages", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the Markdown files go")
    try:
        written = write_pages(parser.parse_args(argv).folder)
    except OSError as error:
        print(f"error: {error}; give another folder", file=sys.stderr)
        return 2
    print("\n".join(map(str, written)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
