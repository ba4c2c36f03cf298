"""How modules import each other: never in a circle, and never what another keeps to itself."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("alenv", "agents", "benchmarks")


def _module(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


SOURCES = {_module(path): path for package in PACKAGES for path in (ROOT / package).rglob("*.py")}


def _imports(module):
    """Yield (module, name) of all that a module imports from ours, in functions too."""
    for node in ast.walk(ast.parse(SOURCES[module].read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield (inner, "") if inner in SOURCES else (node.module, alias.name)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


IMPORTS = {module: [(of, name) for of, name in _imports(module) if of in SOURCES] for module in SOURCES}


def test_no_imports_run_in_a_circle():
    graph = TopologicalSorter({module: {of for of, _ in found} for module, found in IMPORTS.items()})
    try:
        graph.prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_what_begins_with_an_underscore_stays_in_its_module():
    named = {f"{module} imports {of}.{name}": name for module, found in IMPORTS.items() for of, name in found}
    assert not [text for text, name in named.items() if name.startswith("_") and not name.endswith("__")]
