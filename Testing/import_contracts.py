"""Contracts of import-linter that see imports by name, too: the string "FetalPoseLib.cli.demo" counts as an import.

A table of dotted names for `importlib.import_module` hides its imports from whoever reads import statements only.
`pyproject.toml` names these classes as contract types, and `lint-imports` checks them.
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
        for line, name in dotted_names(path.read_text(encoding="utf-8")):
            if name in modules and not f"{module}.".startswith(f"{name}."):
                contents = f'"{name}"'
                graph.add_import(importer=module, imported=name, line_number=line, line_contents=contents)


def dotted_names(source: str) -> list[tuple[int, str]]:
    """(line, string) of each string in Python `source` that could be the dotted name of a module of the library."""
    return [
        (node.lineno, node.value)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(f"{PACKAGE}.")
    ]
