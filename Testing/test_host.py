"""What only the host can show: the module's start in both layouts, without torch, and the four views as a picture."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_extension import installed

ROOT = Path(__file__).resolve().parent.parent

LOAD = """
import sys
sys.path.insert(0, {testing!r})
import host
host.start()
sys.path[:] = [path for path in sys.path if path.rstrip("/") not in ({root!r}, "")]  # of an editable installation
from host import application
module = application.load_module({module!r})
panel = module.widgetRepresentation()
heavy = [name for name in ("torch", "safetensors") if name in sys.modules]
assert not heavy, heavy
import FetalPoseLib, slicer
print("found", FetalPoseLib.__file__)
from FetalPoseLib.resources import resource_path
session = panel.self().logic.session
pose = session.import_pose(resource_path("sample", "sample.mrk.json"))
assert session.doubts(pose) == [], session.doubts(pose)
assert not [name for name in ("torch", "safetensors") if name in sys.modules]
module_test = sys.modules["FetalPose"].FetalPoseTest()
module_test.runTest()
panel.self().cleanup()
print("well")
"""


@pytest.mark.parametrize("layout", ["checkout", "installed"])
def test_both_layouts_start_without_torch(layout, tmp_path):
    if layout == "checkout":
        module, expected = ROOT / "FetalPose" / "FetalPose.py", ROOT / "FetalPoseLib"
    else:  # what CMake installs
        modules = tmp_path / "qt-scripted-modules"
        module, expected = installed(modules), modules / "FetalPoseLib"
    code = LOAD.format(testing=str(ROOT / "Testing"), root=str(ROOT), module=str(module))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert "well" in done.stdout, done.stderr[-2000:]
    assert f"found {expected}" in done.stdout


def test_views_show_volume_skeleton_points_and_lengths(bench):
    from host import views

    from FetalPoseModuleLib.sampledata import loadSample

    [volume] = loadSample()
    before = views.four_views(volume)
    bench.imported()
    after = views.four_views(volume)
    changed = (np.abs(before.astype(int) - after).max(axis=2) > 40).mean()
    assert before.std() > 5 and 0.002 < changed < 0.5
