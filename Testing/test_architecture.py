"""What the layers in pyproject.toml cannot say: names in strings count as imports, and who starts without torch."""

import ast
import os
import re
import subprocess
import sys
import tomllib

import pytest

from Testing.import_contracts import ROOT, add_imports_by_name, dotted_names

LOW = """
from importlib import import_module

UP, ATTRIBUTE = "FetalPoseLib.cli.high", "FetalPoseLib.cli.main"
import_module("vtk.util")
"""
LIGHT = [
    "FetalPoseLib",
    "FetalPoseLib.body.plausibility",
    "FetalPoseLib.cli",
    "FetalPoseLib.measurement.crown_rump",
    "FetalPoseLib.refinement.options",
    "FetalPoseLib.scene",
    "FetalPoseLib.session",
    "FetalPoseLib.worker.client",
    "FetalPoseLib.worker.protocol",
]


@pytest.mark.parametrize("module", LIGHT)
def test_starting_slicer_or_asking_for_help_does_not_import_torch(module):
    code = f"import sys, {module}; sys.exit(any(name in sys.modules for name in ('torch', 'safetensors')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_every_room_says_what_it_may_import_and_stands_in_the_layers():
    """`exhaustive` makes lint-imports complain of a room without a layer; here of a room without a docstring."""
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ][0]
    assert contract["exhaustive"]
    for path in sorted((ROOT / "FetalPoseLib").glob("*/__init__.py")):
        text, room = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path.parent.name
        assert re.search(r"\bA\s+new\s+file\s+here\s+is", text), room
        said = re.search(r"May import(.*?)\.\s", text, re.S).group(1)
        files = "".join(file.read_text(encoding="utf-8") for file in path.parent.glob("*.py"))
        used = set(re.findall(r"^ *(?:from|import) FetalPoseLib(?:\.| import )([a-z]\w*)", files, re.M)) - {room}
        assert "every room below" in said or used <= set(re.findall(r"`(\w+)`(?!`)", said)), f"{room}: {used}"


def test_the_name_of_a_module_in_a_string_is_found():
    source = 'TABLE = {"demo": ("FetalPoseLib.cli.demo", "runs it")}\nimport FetalPoseLib.files\n'
    assert dotted_names(source) == [(1, "FetalPoseLib.cli.demo")]


def test_a_name_in_a_string_breaks_the_layers(tmp_path):
    """A package of its own with upward imports by name, and of another package: the graph must have them."""
    grimp = pytest.importorskip("grimp")
    for file, text in {"body/low.py": LOW, "cli/high.py": ""}.items():
        path = tmp_path / "FetalPoseLib" / file
        path.parent.mkdir(parents=True)
        (path.parent / "__init__.py").write_text("")
        path.write_text(text)
    (tmp_path / "FetalPoseLib" / "__init__.py").write_text("")
    graph = grimp.ImportGraph()
    for module in (
        "FetalPoseLib",
        "FetalPoseLib.body",
        "FetalPoseLib.body.low",
        "FetalPoseLib.cli",
        "FetalPoseLib.cli.high",
    ):
        graph.add_module(module)
    add_imports_by_name(graph, tmp_path)
    assert graph.direct_import_exists(importer="FetalPoseLib.body.low", imported="vtk")
    assert graph.direct_import_exists(importer="FetalPoseLib.body.low", imported="FetalPoseLib.cli")
    assert graph.direct_import_exists(importer="FetalPoseLib.body.low", imported="FetalPoseLib.cli.high")


def test_the_tests_run_on_one_thread():
    """So that a result does not depend on the machine's cores, nor on which test ran before."""
    import torch

    assert torch.get_num_threads() == 1
    assert os.environ["OMP_NUM_THREADS"] == "1", "the processes that tests start take it from there"
