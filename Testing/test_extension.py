"""The extension as a reviewer of the ExtensionsIndex gets it: its description, its package, its README, its texts."""

import ast
import json
import re
import shutil
from pathlib import Path

import library_texts
import pytest
from index_checks import cmake_faults, entry_faults, faults

from FetalPoseLib.errors import FetalPoseError

ROOT = Path(__file__).resolve().parent.parent
ENTRY = json.loads((ROOT / "FetalPose.json").read_text(encoding="utf-8"))
CMAKE = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")


def test_the_checks_of_the_index_find_nothing():
    assert faults() == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"category": None}, "'category' is missing"),
        ({"homepage": "x"}, "unknown to the schema"),
        ({"tier": 7}, "outside 1 to 5"),
        ({"tier": "1"}, "another type"),
        ({"scm_url": "ftp://x/SlicerFetalPose"}, "no URL"),
        ({"scm_url": "https://github.com/x/FetalPose.git"}, "called FetalPose"),
        ({"$schema": "v1.0.1"}, "the schema is"),
    ],
)
def test_the_checks_see_a_faulty_entry(change, fault):
    assert any(fault in found for found in entry_faults(ENTRY | change))


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("project(FetalPose)", "project(Other)", "not called"),
        ("EXTENSION_DEPENDS PyTorch", "EXTENSION_DEPENDS NA", "dependencies"),
        ("main/FetalPose.png", "main/Gone.png", "no PNG"),
        ("patents", "rights", "patents"),
    ],
)
def test_the_checks_see_a_faulty_cmake_file(old, new, fault):
    assert old in CMAKE
    assert any(fault in found for found in cmake_faults(CMAKE.replace(old, new), ENTRY, ROOT))


def left_out() -> set[str]:
    return set(re.search(r"FetalPoseLib/\(([\w|]+)\)\$", CMAKE)[1].split("|"))


def installed(folder: Path) -> Path:
    """What CMake installs, in ``folder``; the module's file."""
    ignore = shutil.ignore_patterns("__pycache__", "CMakeLists.txt")
    without = shutil.ignore_patterns("__pycache__", *left_out())
    shutil.copytree(ROOT / "FetalPose", folder, ignore=ignore)
    shutil.copytree(ROOT / "FetalPoseLib", folder / "FetalPoseLib", ignore=without)
    shutil.copytree(ROOT / "Resources", folder / "FetalPoseLib" / "Resources")
    return folder / "FetalPose.py"


def test_the_package_leaves_out_what_the_module_never_imports():
    assert left_out() == {"benchmark", "cli", "cohort", "simulation", "training"}
    assert all((ROOT / "FetalPoseLib" / name).is_dir() for name in left_out())
    assert re.search(r"install\(\s*FILES LICENSE", CMAKE)


def test_the_readme_has_what_an_extensions_page_needs():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for needed in ("## Modules", "https://doi.org/10.1007/978-3-030-32254-0_32", "patents", "Apache-2.0", ".png)"):
        assert needed in readme, needed


def test_nothing_is_read_when_the_module_is_imported():
    """File scope makes definitions and constants; the path of a checkout is the one exception."""
    for path in sorted((ROOT / "FetalPose").rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.Expr):
                called = {ast.unparse(part.func) for part in ast.walk(node) if isinstance(part, ast.Call)}
                assert called <= {"EstimateOptions", "range"}, (path, called)


def test_the_workflow_and_ctest_run_the_same_script():
    workflow = (ROOT / ".github/workflows/slicer.yml").read_text(encoding="utf-8")
    assert "Testing/run_in_slicer.py" in workflow and workflow.count("--testing") == 2
    assert "run_in_slicer.py" in (ROOT / "Testing/CMakeLists.txt").read_text(encoding="utf-8")
    assert "add_subdirectory(Testing)" in CMAKE


def test_every_sentence_of_the_library_can_be_translated():
    """Slicer's tools for translation find what stands in `_` in a module, and nothing below it."""
    listed = set()
    path = ROOT / "FetalPose/FetalPoseModuleLib/librarytexts.py"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "_":
            listed.add(node.args[0].value)
    assert listed == library_texts.texts() and len(listed) > 30


def test_an_error_is_told_in_another_language_with_its_values():
    error = FetalPoseError("The volume '{name}' is {size:.1f} mm.", name="a{b}\x1b", size=2)
    assert str(error) == "The volume 'a{b}\ufffd' is 2.0 mm."
    assert error.translated({error.template: "{size:.0f} mm misst '{name}'."}.get) == "2 mm misst 'a{b}\ufffd'."
    assert FetalPoseError("{no} values").translated(str) == str(FetalPoseError("{no} values")) == "{no} values"
