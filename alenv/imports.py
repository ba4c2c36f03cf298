"""What users bring by import path, ``package.module:name``, as Gymnasium writes them; and the hash of its source.

Importing runs a module: a path, and a file that names one, is trusted as a program is.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from alenv.errors import shown, unknown


def is_path(name: str) -> bool:
    """Return whether a name is an import path rather than one of ours."""
    return ":" in name


def find(what: str, path: str, form: str) -> Any:
    """Return what an import path names.

    Args:
        what: What it should be, for errors: "dataset", "score", ...
        path: ``package.module:name``.
        form: The end of an error: how to write one, and of what.

    Raises:
        ValueError: If it is no import path, the module cannot be imported, or holds no such name.
    """
    module, _, name = path.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), name)):
        raise ValueError(f"{what} {shown(path)} is no import path; {form}")
    try:
        loaded = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # whatever somebody's module does
        raise ValueError(f"{what} {shown(path)} cannot be imported: {cause(error)}; {form}") from error
    if not hasattr(loaded, name):
        raise unknown(f"name in {module}:", name, _public(loaded))
    return getattr(loaded, name)


def cause(error: BaseException) -> str:
    """Return what an error of somebody's code says, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def source(path: str) -> str:
    """Return a hash of the source behind an import path: of its whole package, or of a module that is in none.

    Raises:
        ValueError: If there is no source, as where code was typed at a prompt.
    """
    module = sys.modules[path.partition(":")[0]]
    package = sys.modules[module.__name__.partition(".")[0]]
    folder = Path(package.__file__ or "").parent if hasattr(package, "__path__") and package.__file__ else None
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")) if folder else ():
        digest.update(file.relative_to(folder or "").as_posix().encode() + b"\0" + file.read_bytes())
    if not folder:
        digest.update(_text(path, module).encode())
    return digest.hexdigest()[:16]


def _text(path: str, module: ModuleType) -> str:
    for found in (module, getattr(module, path.partition(":")[2])):  # a notebook has no file, but its cells have source
        try:
            return inspect.getsource(found)
        except (OSError, TypeError):
            continue
    raise ValueError(
        f"{path!r} has no source file, so results with it could not be told from others; write it into a module"
    )


def _public(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if name[0] != "_" and not isinstance(value, ModuleType)]
