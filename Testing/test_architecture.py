"""The arrows of the design: who may import whom, read from the source."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

LIBRARY = Path(__file__).resolve().parent.parent / "FetalPoseLib"
MODULES = sorted(LIBRARY.rglob("*.py"))

TRAINING_SIDE = {"simulation", "training", "benchmark"}
ABOVE = {"cli", "worker", "worker_client", "scene", "estimator"}  # what the parts below the estimator must not know
BELOW = {
    "body",
    "volume",
    "network",
    "detection",
    "evaluation",
    *("errors", "files", "resources", "skeleton", "geometry", "fetal_frame", "heatmap", "network", "pose_library"),
    *("refinement", "locator", "loss", "measurements", "metrics", "plausibility", "weights"),
    *("axis_turns", "consensus", "memory", "picture", "pictorial", "precision", "recurrent"),
}


def part(path: Path) -> str:
    """The first name below FetalPoseLib: `scene` for FetalPoseLib/scene/pose.py."""
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Dotted names of all that a file imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def parts_imported(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imports(path) if name.startswith("FetalPoseLib.")}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_arrows_point_one_way(path):
    packages = {name.split(".")[0] for name in imports(path)}
    assert not packages & {"qt", "ctk", "PythonQt", "PySide6"}, "the library never opens a dialog"
    if part(path) != "scene":
        assert not packages & {"slicer", "vtk", "vtkmodules"}, "only the scene knows MRML"
    if part(path) not in TRAINING_SIDE | {"cli"}:
        assert not parts_imported(path) & TRAINING_SIDE, "inference needs nothing of training"
    if part(path) == "simulation":
        assert not parts_imported(path) & (ABOVE | {"training", "benchmark"})
    if part(path) in BELOW:
        assert not parts_imported(path) & ABOVE
    if part(path) == "estimator":
        assert not parts_imported(path) & {"cli", "worker", "scene"}
    if part(path) == "scene":
        assert not parts_imported(path) & {"cli", "worker", "estimator", "refinement", "network", "pose_library"}


@pytest.mark.parametrize("module", ["FetalPoseLib.scene", "FetalPoseLib.cli", "FetalPoseLib.body.plausibility"])
def test_starting_slicer_or_asking_for_help_does_not_import_torch(module):
    code = f"import sys, {module}; sys.exit(any(name in sys.modules for name in ('torch', 'safetensors')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=LIBRARY.parent).returncode == 0
