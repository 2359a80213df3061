"""Runs of the panel: questions, a scene that changes meanwhile, settings that are kept."""

import os

import numpy as np
import pytest
import slicer

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.refinement.options import REFINEMENTS, EstimateOptions

SKELETON = load_skeleton()


def index(name):
    return SKELETON.index(name)


# --- asking


def test_fetus_outside_10_to_14_weeks_asks_before_it_answers(bench):
    bench.volume()
    bench.answer(points=(2 * bench.truth).tolist())
    bench.dialogs.answer = False
    bench.estimate()
    assert len(bench.dialogs.asked) == 1 and "10 to 14 weeks" in bench.dialogs.asked[0]
    assert bench.pose is None and bench.status == "Cancelled."
    bench.dialogs.answer = True
    bench.estimate()
    np.testing.assert_allclose(mrml.points_of(bench.pose), 2 * bench.truth, atol=1e-6)
    assert len(bench.dialogs.asked) == 2


def test_process_that_dies_while_the_question_is_on_screen_ends_the_run(bench):
    bench.volume()
    bench.answer(mode="crash", points=(2 * bench.truth).tolist())
    bench.dialogs.watch = lambda: bench.wait(lambda: not bench.session.running)  # the window's own event loop
    bench.estimate()
    assert "exit code 3" in bench.status and len(bench.dialogs.asked) == 1  # before anyone has answered
    bench.pause(0.1)
    assert "exit code 3" in bench.status and bench.pose is None and bench.ui.estimateButton.enabled


def test_first_click_asks_before_it_installs(bench):
    bench.volume()
    bench.installer.lacking = ["torch", "safetensors"]
    bench.dialogs.answer = False
    bench.ui.estimateButton.click()
    assert bench.installer.installed == [] and not bench.session.running and "Nothing was installed" in bench.status
    bench.dialogs.answer = True
    shown, bar = [], bench.ui.progressBar
    bench.installer.watch = lambda: shown.append((bench.status, bar.value, bar.maximum))
    bench.estimate()
    assert shown == [("Installing torch ...", 1, 3), ("Installing safetensors ...", 2, 3)]
    assert bench.installer.installed == ["torch", "safetensors"] and bench.pose is not None
    asked = len(bench.dialogs.asked)
    bench.estimate()
    assert len(bench.dialogs.asked) == asked  # once


# --- the scene changes while it runs


def start_slowly(bench):
    bench.volume()
    bench.answer(pause=0.2)
    bench.ui.estimateButton.click()
    bench.wait(lambda: bench.pose is not None)


def assert_works_again(bench):
    bench.answer(pause=0)
    bench.volume()
    bench.estimate()
    np.testing.assert_allclose(mrml.points_of(bench.pose), bench.truth, atol=1e-6)
    bench.assert_lengths_true()


def test_scene_closed_while_it_runs(bench):
    start_slowly(bench)
    slicer.mrmlScene.Clear(0)
    assert "scene was closed" in bench.status and not bench.session.running
    assert bench.pose is None and bench.table == [""] * 15
    assert_works_again(bench)


@pytest.mark.parametrize("what", ["volume", "pose"])
def test_volume_or_pose_deleted_while_it_runs(bench, what):
    start_slowly(bench)
    slicer.mrmlScene.RemoveNode(bench.pose if what == "pose" else bench.ui.inputSelector.currentNode())
    bench.wait(lambda: not bench.session.running)
    assert f"The {what} was deleted" in bench.status
    assert_works_again(bench)


def test_module_reloaded_or_application_quit_while_it_runs_ends_the_process(bench):
    start_slowly(bench)
    pid = bench.client.pid
    bench.panel.cleanup()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    bench.panel = bench.make_panel()
    assert_works_again(bench)


def test_two_runs_in_a_row_renew_the_pose_but_never_a_corrected_one(bench):
    first = bench.estimated()
    assert bench.estimate() is first
    first.SetNthControlPointPosition(5, 1.0, 2.0, 3.0)
    second = bench.estimate()
    assert second is not first
    np.testing.assert_allclose(mrml.points_of(first)[5], [1, 2, 3])
    np.testing.assert_allclose(mrml.points_of(second), bench.truth, atol=1e-6)


def test_two_poses_in_one_scene_are_shown_and_kept_apart(bench):
    first = bench.estimated()
    second = bench.imported()
    second.SetNthControlPointPosition(index("left_knee"), 0.0, 0.0, 0.0)
    bench.assert_lengths_true()
    bench.ui.poseSelector.setCurrentNode(first)
    assert bench.pose is first and not bench.ui.undoButton.enabled
    bench.assert_lengths_true()
    first.SetNthControlPointPosition(index("left_knee"), 9.0, 9.0, 9.0)
    bench.assert_lengths_true()
    bench.ui.poseSelector.setCurrentNode(second)
    assert bench.pose is second and bench.ui.undoButton.enabled


def test_pose_is_chosen_when_its_run_ends_while_another_module_is_open(bench):
    bench.volume()
    bench.answer(pause=0.05)
    bench.ui.estimateButton.click()
    bench.panel.exit()
    bench.wait(lambda: not bench.session.running)
    bench.panel.enter()
    assert bench.pose is not None and bench.ui.poseSelector.currentNode() is bench.pose
    bench.assert_lengths_true()


# --- settings


def test_settings_reach_the_network(bench):
    bench.volume()
    bench.ui.modelComboBox.currentText = "r4"
    bench.ui.spacingComboBox.currentText = "1.25"
    bench.ui.iterationsSpinBox.value = 3
    bench.ui.refinementComboBox.currentText = "holding"
    bench.ui.neighboursSpinBox.value = 5
    bench.estimate()
    expected = EstimateOptions(model="r4", spacing_mm=1.25, iterations=3, refinement="holding", k=5, device="auto")
    assert bench.requests()[-1].options == expected


def test_refinements_offered_are_the_estimators(bench):
    box = bench.ui.refinementComboBox
    assert [box.itemText(i) for i in range(box.count)] == list(REFINEMENTS)
    assert box.currentText == "consensus"


def test_panel_that_was_left_no_longer_writes_the_parameters(bench):
    parameters = bench.panel.logic.getParameterNode()
    bench.ui.iterationsSpinBox.value = 3
    assert parameters.iterations == 3
    bench.panel.exit()
    bench.ui.iterationsSpinBox.value = 5
    assert parameters.iterations == 3
    bench.panel.enter()
    assert bench.ui.iterationsSpinBox.value == 3


def test_device_and_weights_belong_to_the_machine(bench):
    bench.panel.enter()
    bench.wait(lambda: bench.ui.deviceComboBox.count > 1)
    assert bench.ui.deviceComboBox.itemText(1) == "Test GPU, 8.0 GB free"
    bench.ui.deviceComboBox.currentIndex = 1
    bench.ui.weightsEdit.currentPath = str(bench.folder / "mine.safetensors")
    slicer.mrmlScene.Clear(0)
    bench.panel.cleanup()
    bench.panel = bench.make_panel()
    assert bench.panel.machine.weights == str(bench.folder / "mine.safetensors")
    bench.panel.enter()
    bench.wait(lambda: bench.ui.deviceComboBox.count > 1)
    assert bench.panel.machine.device == "cuda"


def test_saved_scene_brings_back_volume_pose_settings_and_live_lengths(bench):
    bench.volume()
    bench.ui.iterationsSpinBox.value = 4
    bench.ui.mirroredCheckBox.checked = True
    bench.estimate()
    folder = bench.folder / "scene"
    folder.mkdir()
    for kind, storage, suffix in (
        ("vtkMRMLScalarVolumeNode", "vtkMRMLVolumeArchetypeStorageNode", ".nrrd"),
        ("vtkMRMLMarkupsFiducialNode", "vtkMRMLMarkupsJsonStorageNode", ".mrk.json"),
        ("vtkMRMLModelNode", "vtkMRMLModelStorageNode", ".vtk"),
    ):
        for i in range(slicer.mrmlScene.GetNumberOfNodesByClass(kind)):
            node = slicer.mrmlScene.GetNthNodeByClass(i, kind)
            if node.GetSaveWithScene() and not node.GetName().endswith("Volume Slice"):
                node.SetAndObserveStorageNodeID(slicer.mrmlScene.AddNewNodeByClass(storage).GetID())
                node.GetStorageNode().SetFileName(str(folder / f"{node.GetID()}{suffix}"))
                assert node.GetStorageNode().WriteData(node)
    slicer.mrmlScene.SetRootDirectory(str(folder))
    slicer.mrmlScene.SetURL(str(folder / "scene.mrml"))
    assert slicer.mrmlScene.Commit()
    slicer.mrmlScene.Clear(0)
    assert bench.pose is None and bench.ui.iterationsSpinBox.value == 6
    slicer.mrmlScene.SetURL(str(folder / "scene.mrml"))
    assert slicer.mrmlScene.Connect()
    assert bench.ui.inputSelector.currentNode() is not None and bench.pose is not None
    assert bench.ui.iterationsSpinBox.value == 4 and bench.ui.mirroredCheckBox.checked
    bench.assert_lengths_true()
    bench.pose.SetNthControlPointPosition(0, 500.0, 0.0, 0.0)
    bench.assert_lengths_true()
    skeleton = bench.pose.GetNodeReference("FetalPose.SkeletonModel")
    assert skeleton.GetPolyData().GetBounds()[1] == pytest.approx(500, abs=1)
