"""The panel within the application: other modules, saved scenes, Reload, settings, and what outlives its use."""

import gc
import hashlib
import sys
import types
import weakref
from pathlib import Path

import numpy as np
import pytest
import slicer
import slicer.util
from scene_poses import SKELETON

from FetalPoseLib.resources import resource_path

ROOT = Path(__file__).resolve().parent.parent


def row(landmark):
    return SKELETON.index(landmark)


# --- the pose in the views and in other modules


def test_a_landmark_that_is_grabbed_is_selected_in_the_table(bench):
    pose = bench.estimated()
    selected = []
    bench.panel.posePanel.landmarkSelected.connect(selected.append)
    display = pose.GetDisplayNode()
    display.SetActiveControlPoint(row("left_knee"))  # as the widget of a view does under the mouse
    pose.InvokeEvent(pose.PointStartInteractionEvent)  # without call data, as there
    assert bench.panel.selectedLandmark == "left_knee" and selected == ["left_knee"]
    display.SetActiveComponent(display.ComponentNone, -1)
    pose.InvokeEvent(pose.PointStartInteractionEvent)
    assert bench.panel.selectedLandmark == "left_knee"


def test_the_table_follows_a_scaling_transform(bench):
    pose = bench.estimated()
    before = [float(text) for text in bench.table]
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    pose.SetAndObserveTransformNodeID(transform.GetID())
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.diag([2.0, 2.0, 2.0, 1.0])))
    np.testing.assert_allclose([float(text) for text in bench.table], 2 * np.array(before), atol=0.11)
    bench.assert_lengths_true()


def test_points_and_locks_that_a_person_changed_elsewhere_are_told(bench):
    pose = bench.estimated()
    pose.SetLocked(True)
    bench.wait(lambda: "The pose is locked" in bench.ui.doubtsLabel.text)
    pose.SetLocked(False)
    pose.SetNthControlPointLocked(row("head"), True)
    bench.wait(lambda: "not to be dragged: head" in bench.ui.doubtsLabel.text)
    pose.SetNthControlPointLocked(row("head"), False)
    pose.SetFixedNumberOfControlPoints(False)
    pose.AddControlPoint([1.0, 2.0, 3.0], "tumour")
    bench.wait(lambda: "no landmarks are not measured: tumour" in bench.ui.doubtsLabel.text)
    bench.assert_lengths_true()
    pose.RemoveNthControlPoint(16)
    pose.RemoveNthControlPoint(row("left_ankle"))
    bench.wait(lambda: "No point is named left ankle" in bench.ui.doubtsLabel.text)
    assert "tumour" not in bench.ui.doubtsLabel.text and bench.table.count("-") == 1


# --- volumes


def test_a_volume_of_the_module_dicom_is_not_called_unconfirmed(bench, monkeypatch):
    node = bench.volume(spacing=(0.4, 0.5, 0.6), file=None)
    assert "Nothing confirms" in bench.ui.geometryLabel.text
    node.SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
    node.Modified()
    bench.panel._onParameters()
    assert bench.ui.geometryLabel.text == ""


def test_a_kretz_file_within_dicom_stays_unconfirmed(bench, monkeypatch):
    from kretz_files import kretz, toroidal

    path = bench.folder / "instance.vol"
    path.write_bytes(kretz(toroidal()))
    database = types.SimpleNamespace(isOpen=True, fileForInstance=lambda uid: str(path) if uid == "1.2.3" else "")
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    node = bench.volume(spacing=(0.4, 0.5, 0.6), file=None)
    node.SetAttribute("DICOM.instanceUIDs", "1.2.3")
    bench.panel._onParameters()
    assert "Nothing confirms" in bench.ui.geometryLabel.text


def test_saving_the_sample_does_not_write_into_the_extension(bench):
    from module_bench import sample_volume

    volume = sample_volume()
    bench.ui.inputSelector.setCurrentNode(volume)
    storage = volume.GetStorageNode()
    assert storage is None or not storage.GetFileName()
    assert bench.ui.geometryLabel.text == ""  # its own reader has read it: nothing to confirm


def test_the_sample_has_a_checksum_so_that_a_stale_copy_is_replaced(slicer_app, monkeypatch):
    from FetalPoseModuleLib.sampledata import registerSampleData

    offered = []
    register = types.SimpleNamespace(registerCustomSampleDataSource=lambda **source: offered.append(source))
    monkeypatch.setitem(sys.modules, "SampleData", types.SimpleNamespace(SampleDataLogic=register))
    registerSampleData()
    digest = hashlib.sha256(resource_path("sample", "sample.nrrd").read_bytes()).hexdigest()
    assert offered[0]["checksums"] == f"SHA256:{digest}"


# --- files and settings


def test_a_file_is_not_replaced_because_its_suffix_was_added_later(bench):
    bench.estimated()
    (bench.folder / "mine.csv").write_text("precious")
    bench.dialogs.path, bench.dialogs.answer = bench.folder / "mine", False
    bench.ui.exportTableButton.click()
    assert (bench.folder / "mine.csv").read_text() == "precious" and "Replace it?" in bench.dialogs.asked[-1]
    bench.dialogs.answer = True
    bench.ui.exportTableButton.click()
    assert (bench.folder / "mine.csv").read_text() != "precious"


@pytest.mark.parametrize("edit", ["weightsEdit", "libraryEdit"])
def test_a_path_that_was_cleared_stays_cleared(bench, edit):
    getattr(bench.ui, edit).currentPath = str(bench.folder / "mine.safetensors")
    getattr(bench.ui, edit).currentPath = ""
    bench.panel.cleanup()
    bench.panel = bench.make_panel()
    assert getattr(bench.ui, edit).currentPath == ""


def test_weights_that_no_filter_allows_are_not_what_was_chosen_before(bench):
    bench.ui.weightsEdit.currentPath = str(bench.folder / "mine.safetensors")
    bench.ui.weightsEdit.currentPath = str(bench.folder / "mine.pt")
    bench.ui.weightsEdit.currentPath = str(bench.folder / "other.pt")  # of which ctk's widget tells nothing
    bench.estimated()
    assert bench.requests()[-1].options.model == str(bench.folder / "other.pt")


# --- scenes


def test_a_scene_with_a_model_of_another_version_is_loaded_and_told(bench):
    node = bench.panel.logic.getParameterNode().parameterNode
    bench.ui.iterationsSpinBox.value = 4
    slicer.mrmlScene.StartState(slicer.vtkMRMLScene.ImportState)
    for name, value in (("model", "of-tomorrow"), ("neighbours", "5000"), ("iterations", "3")):
        node.SetParameter(name, value)
    slicer.mrmlScene.EndState(slicer.vtkMRMLScene.ImportState)
    assert "model 'of-tomorrow'" in bench.status and "neighbours '5000'" in bench.status
    assert bench.ui.modelComboBox.currentText == "fetal-frame" and bench.ui.iterationsSpinBox.value == 3
    bench.ui.iterationsSpinBox.value = 2  # every widget is bound
    bench.ui.showNamesCheckBox.checked = True
    parameters = bench.panel.logic.getParameterNode()
    assert parameters.iterations == 2 and parameters.showNames and parameters.neighbours <= 100


def test_a_panel_that_is_not_shown_is_not_bound_by_a_scene(bench):
    bench.panel.exit()
    bench.panel.parent.isEntered = False
    slicer.mrmlScene.Clear(0)
    assert bench.panel.parameters is None
    bench.panel.parent.isEntered = True
    bench.panel.enter()
    assert bench.panel.parameters is not None


# --- what outlives its use


def wrappers():
    from FetalPoseModuleLib.parameters import parameterNodeClass

    gc.collect()
    return sum(type(thing) is parameterNodeClass() for thing in gc.get_objects())


@pytest.mark.parametrize("version", [(5, 10), (5, 12)])
def test_no_wrapper_of_the_parameters_is_left_behind(bench, monkeypatch, version):
    if "host.application" not in sys.modules:
        pytest.skip("3D Slicer has its own wrapper")
    from host import parameter_node

    monkeypatch.setattr(parameter_node, "SLICER", version)
    before = wrappers()
    for _ in range(3):
        bench.panel.exit()
        bench.panel.enter()
    assert wrappers() == before == 1
    bench.panel.cleanup()
    assert wrappers() == 0
    bench.panel = bench.make_panel()


def test_a_deleted_pose_and_a_closed_panel_are_let_go(bench):
    pose = bench.estimated()
    held = weakref.ref(pose)
    timer = bench.panel.posePanel._doubtTimer
    slicer.mrmlScene.RemoveNode(pose)
    assert bench.session._histories == {}
    del pose
    gc.collect()
    assert held() is None
    bench.panel.cleanup()
    assert not timer.active and not bench.panel.logic._timer.active
    assert bench.ui.inputSelector.mrmlScene() is None
    bench.panel = bench.make_panel()


def test_reload_reads_the_modules_packages_again(bench, monkeypatch):
    called = []
    monkeypatch.setattr(slicer.util, "reloadScriptedModule", called.append)
    before = {name: module for name, module in sys.modules.items() if name.split(".")[0] in PACKAGES}
    try:
        bench.panel.onReload()
        left = [name for name in sys.modules if name.split(".")[0] in PACKAGES]
        assert called == ["FetalPose"] and left == []
    finally:
        sys.modules.update(before)


PACKAGES = ("FetalPoseLib", "FetalPoseModuleLib")


def test_every_control_has_a_tool_tip(bench):
    import qt

    controls = [widget for widget in vars(bench.ui).values() if isinstance(widget, qt.QWidget)]
    kinds = (qt.QPushButton, qt.QCheckBox, qt.QComboBox, qt.QSpinBox, qt.QTableWidget, qt.QProgressBar)
    named = [w for w in controls if isinstance(w, kinds) or "Selector" in w.name or w.name.endswith("Edit")]
    named = [w for w in named if w.name and not w.name.startswith("qt_")]
    assert len(named) > 20 and [w.name for w in named if not w.toolTip] == []
