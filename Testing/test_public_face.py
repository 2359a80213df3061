"""`import FetalPoseLib` and its names."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kretz_files import cartesian_items, kretz

import FetalPoseLib
from FetalPoseLib.body.skeleton import load_skeleton

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "Resources" / "sample" / "sample.nrrd"


def test_every_name_can_be_imported_and_is_listed():
    for name in FetalPoseLib.__all__:
        assert getattr(FetalPoseLib, name) is not None
        assert name in dir(FetalPoseLib)
    assert {"Estimator", "Estimate", "Volume", "PoseLibrary", "Skeleton", "read_volume"} <= set(FetalPoseLib.__all__)


def test_star_import_gives_the_same_names():
    names = {}
    exec("from FetalPoseLib import *", names)
    assert set(FetalPoseLib.__all__) <= set(names)


def test_what_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Estimater'"):
        _ = FetalPoseLib.Estimater


@pytest.mark.parametrize(
    ("use", "absent"),
    [
        ("pass", {"numpy", "torch", "slicer", "vtk", "scipy"}),
        (
            "FetalPoseLib.Estimate, FetalPoseLib.PoseLibrary, FetalPoseLib.Skeleton, FetalPoseLib.Volume",
            {"torch", "vtk"},
        ),
        ("FetalPoseLib.read_volume", {"torch"}),
        ("FetalPoseLib.Estimator", {"slicer", "vtk"}),
    ],
    ids=["nothing", "body", "files", "network"],
)
def test_a_name_imports_what_it_needs_only(use, absent):
    code = f"import sys, FetalPoseLib; {use}; print(*({absent} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_type_checkers_are_told_the_same_names():
    stub = ast.parse((ROOT / "FetalPoseLib" / "__init__.pyi").read_text(encoding="utf-8"))
    told = {alias.asname: node.module for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert told == FetalPoseLib._DEFINED_IN
    assert (ROOT / "FetalPoseLib" / "py.typed").is_file()


def test_a_file_becomes_a_volume_that_outlives_its_scene(scene):
    from FetalPoseLib import scene as mrml

    volume = FetalPoseLib.read_volume(str(SAMPLE))
    again = mrml.volume_from_node(mrml.read_volume(scene, SAMPLE))
    np.testing.assert_array_equal(volume.array, again.array)
    np.testing.assert_array_equal(volume.ijk_to_ras, again.ijk_to_ras)
    assert isinstance(volume, FetalPoseLib.Volume) and volume.array.base is None


def test_what_a_file_leaves_open_is_a_warning(tmp_path):
    voxels = np.random.default_rng(0).integers(0, 256, (60, 64, 70), dtype=np.uint8)
    path = tmp_path / "cartesian.vol"
    path.write_bytes(kretz(cartesian_items(voxels, 0.7)))
    with pytest.warns(UserWarning) as caught:
        volume = FetalPoseLib.read_volume(path)
    said = " ".join(str(warning.message) for warning in caught)
    assert "Left and right are not confirmed" in said and "voxels measure" in said
    assert volume.array.shape == voxels.shape


def test_a_missing_file_is_said_in_words(tmp_path):
    with pytest.raises(FetalPoseLib.FetalPoseError, match="does not exist"):
        FetalPoseLib.read_volume(tmp_path / "none.nrrd")


def test_the_classes_are_those_of_the_rooms():
    assert isinstance(load_skeleton(), FetalPoseLib.Skeleton)
