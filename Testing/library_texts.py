"""The sentences of the library that a front end can translate, found in its source."""

import ast
from pathlib import Path

LIBRARY = Path(__file__).resolve().parent.parent / "FetalPoseLib"
ROOMS = ("session", "scene")  # whose sentences reach the panel


def texts() -> set[str]:
    """What is given to `translate`, itself or by a name, and the templates of errors with values."""
    found = set()
    for room in ROOMS:
        for path in sorted((LIBRARY / room).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            named = _named(tree)
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and node.args:
                    text, name = _text(node.args[0], named), ast.unparse(node.func).split(".")[-1]
                    if text and (name == "translate" or (name == "FetalPoseError" and node.keywords)):
                        found.add(text)
    return found


def _named(tree: ast.Module) -> dict[str, str]:
    """The texts that have a name in a file."""
    named = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            text = _text(node.value, {})
            if text:
                named[node.targets[0].id] = text
    return named


def _text(node: ast.expr, named: dict[str, str]) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return named.get(node.id, "") if isinstance(node, ast.Name) else ""
