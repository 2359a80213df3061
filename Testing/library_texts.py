"""The sentences of the library that a front end can translate, found in its source."""

import ast
from pathlib import Path

LIBRARY = Path(__file__).resolve().parent.parent / "FetalPoseLib"
ROOMS = ("session", "scene")  # whose sentences reach the panel


def texts() -> set[str]:
    """What is given to `translate`, and the templates of errors with values."""
    found = set()
    for room in ROOMS:
        for path in sorted((LIBRARY / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                    name = ast.unparse(node.func).split(".")[-1]
                    if name == "translate" or (name == "FetalPoseError" and node.keywords):
                        found.add(node.args[0].value)
    return found
