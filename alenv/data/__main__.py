"""Command line of datasets: check one, build its store, or show it.

Exit status 0: all is well; 1: ``check`` has found files that cannot be read; 2: what was asked for cannot be done;
130: interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from alenv.data import check_split, open_dataset, read
from alenv.data.checking import report
from alenv.data.faults import collecting
from alenv.data.sheet import sheet
from alenv.data.store import cache_folder
from alenv.data.survey import contents, survey

COMMANDS = {
    "check": "count, read every file, and say what is wrong, what splits share and what the store needs",
    "build": "decode the images into the cache, where environments read them; can be interrupted and goes on",
    "show": "draw a contact sheet of images and labels, a PNG file",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status."""
    asked = _parser().parse_args(arguments)
    try:
        return int({"check": _check, "build": _build, "show": _show}[asked.command](asked))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; what is finished is kept, and the same command goes on", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m alenv.data", description="Look after a dataset.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, meaning in COMMANDS.items():
        command = commands.add_parser(name, help=meaning, description=meaning)
        command.add_argument("name", help="of the dataset, such as camvid, or package.module:name")
        command.add_argument("root", nargs="?", help="where it lies (default: $ALENV_DATA/<name>, then the cache)")
        command.add_argument("--split", help="split table (default: the dataset's first)")
        if name == "show":
            command.add_argument("--out", type=Path, help="the file (default: <name>.png)")
    return parser


def _check(asked: argparse.Namespace) -> int:
    dataset = open_dataset(asked.name, asked.root)
    split = check_split(asked.name, dataset, asked.split)
    with collecting() as faults:
        files = contents(asked.name, dataset, split)
    print(f"{asked.name}: {len(dataset.classes)} classes, split table {split!r} of {', '.join(dataset.split_tables)}")
    found = survey(asked.name, files, len(dataset.classes))
    found = replace(found, faults=[*faults, *found.faults])
    for line in report(dataset.classes, files, found, cache_folder()):
        print(line)
    return 1 if found.faults else 0


def _build(asked: argparse.Namespace) -> int:
    data = read(asked.name, open_dataset(asked.name, asked.root), asked.split)
    count, height, width = data.masks.shape
    print(f"{asked.name}: {count} images of {width}x{height} are in {cache_folder()}, manifest {data.manifest}")
    return 0


def _show(asked: argparse.Namespace) -> int:
    dataset = open_dataset(asked.name, asked.root)
    files = contents(asked.name, dataset, check_split(asked.name, dataset, asked.split))
    height, width = files.size
    title = (
        f"{asked.name}: {len(files.items)} images of {width}x{height}, {len(dataset.classes)} classes; white: no label"
    )
    out = asked.out or Path(f"{asked.name.rpartition(':')[2]}.png")
    sheet(title, dataset.classes, dataset.colours, files).save(out)
    print(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
