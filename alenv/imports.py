"""What users bring by import path, ``package.module:name``, as Gymnasium writes them; and the hash of its source.

Importing runs a module: a path, and a file that names one, is trusted as a program is.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from alenv.errors import shown, unknown

FEATURES = "write 'package.module:name' of a function like alenv.segmenters.outside.MakeBackbone"


def is_path(name: str) -> bool:
    """Return whether a name is an import path rather than one of ours."""
    _, colon, rest = name.partition(":")
    return bool(colon) and not rest.isdecimal()  # mixture:1000 is ours


def find(what: str, path: str, form: str) -> Any:
    """Return what an import path names.

    Args:
        what: What it should be, for errors: "dataset", "score", ...
        path: ``package.module:name``.
        form: The end of an error: how to write one, and of what.

    Raises:
        ValueError: If it is no import path, the module cannot be imported, or holds no such name.
    """
    name, loaded = path.partition(":")[2], _load(what, path, form)
    if not hasattr(loaded, name):
        known = [n for n, value in vars(loaded).items() if n[0] != "_" and not isinstance(value, ModuleType)]
        raise unknown(f"name in {loaded.__name__}:", name, known)
    return getattr(loaded, name)


def find_function(what: str, path: str, form: str) -> Any:
    """Return the function that an import path names.

    Raises:
        ValueError: See ``find``; and if it is no function.
    """
    if not callable(found := find(what, path, form)):
        raise ValueError(f"{what} {shown(path)} is a {type(found).__name__}, no function; {form}")
    return found


def _load(what: str, path: str, form: str) -> ModuleType:
    module, _, name = path.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), name)):
        raise ValueError(f"{what} {shown(path)} is no import path; {form}")
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:  # whatever somebody's module does
        raise ValueError(f"{what} {shown(path)} cannot be imported: {cause(error)}; {form}") from error


def cause(error: BaseException) -> str:
    """Return what an error of somebody's code says, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def source(path: str) -> str:
    """Return a hash of the source behind an import path: of its whole package, or of a module that is in none.

    Code that was typed into a notebook has no file: then it is a hash of the attribute ``digest`` of what the path
    names, if it has one, or of its function's source.

    Raises:
        ValueError: If it cannot be imported, or there is no source.
    """
    module = _load("import path", path, "write 'package.module:name'")
    if getattr(module, "__file__", None):
        return _source_of_module(module.__name__)
    return _hash(_typed(path, getattr(module, path.partition(":")[2])))


@cache
def _source_of_module(name: str) -> str:
    package = importlib.import_module(name.partition(".")[0])
    if hasattr(package, "__path__") and package.__file__:
        return digest_of_folder(Path(package.__file__).parent)
    return _hash(inspect.getsource(importlib.import_module(name)))


def _typed(path: str, found: Any) -> str:
    if isinstance(digest := getattr(found, "digest", None), str):
        return digest
    try:
        return inspect.getsource(getattr(found, "function", found))
    except (OSError, TypeError):
        raise ValueError(
            f"{path!r} has no source, so results with it could not be told from others; write it into a module"
        ) from None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digest_of_folder(folder: Path) -> str:
    """Return a hash of the names and contents of all Python files below a folder."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]
