"""Contracts of import-linter that see imports by name, too: the string "FetalPoseLib.cli.demo" counts as an import.

A table of dotted names for `importlib.import_module` hides its imports from whoever reads import statements only.
A name below a module, such as "FetalPoseLib.scene.read_volume", counts as an import of the module. Of other packages,
`import_module("vtk")` and `__import__("vtk")` count. `pyproject.toml` names these classes as contract types, and
`lint-imports` checks them.
"""

import ast
from pathlib import Path

from grimp import ImportGraph
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.layers import LayersContract
from importlinter.domain.contract import ContractCheck

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "FetalPoseLib"


class LayersAndNames(LayersContract):
    """`layers`, with dotted names in strings as imports."""

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        add_imports_by_name(graph)
        return super().check(graph, verbose)


class ForbiddenAndNames(ForbiddenContract):
    """`forbidden`, with dotted names in strings as imports."""

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        add_imports_by_name(graph)
        return super().check(graph, verbose)


def add_imports_by_name(graph: ImportGraph, root: Path = ROOT) -> None:
    """Add to `graph` an import for each string in the source that is the dotted name of a module of the library.

    The package's own `__init__.py` is left out: it is the public face, which names the rooms and which the rooms
    import for the version only. A name of the importing module itself or of its own parent package is no import.
    """
    modules = {module for module in graph.modules if module.startswith(f"{PACKAGE}.")}
    for module in sorted(modules):
        path = root.joinpath(*module.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        source = path.read_text(encoding="utf-8")
        found = [(line, _module_of(name, modules)) for line, name in dotted_names(source)]
        for line, name in [*found, *outside_names(source)]:
            if name and not f"{module}.".startswith(f"{name}."):
                if name not in graph.modules:
                    graph.add_module(name, is_squashed=True)
                contents = f'"{name}"'
                graph.add_import(importer=module, imported=name, line_number=line, line_contents=contents)


def _module_of(name: str, modules: set[str]) -> str:
    """The module that `name` is or is a part of, "" if there is none below the package."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name


def outside_names(source: str) -> list[tuple[int, str]]:
    """(line, top package) of each package outside the library that Python `source` imports by a string."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            name = node.args[0].value
            if called in ("import_module", "__import__") and isinstance(name, str) and not name.startswith(PACKAGE):
                found.append((node.lineno, name.partition(".")[0]))
    return found


def dotted_names(source: str) -> list[tuple[int, str]]:
    """(line, string) of each string in Python `source` that could be the dotted name of a module of the library."""
    return [
        (node.lineno, node.value)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(f"{PACKAGE}.")
    ]
