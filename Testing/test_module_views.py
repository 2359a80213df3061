"""Standard planes, sizes and what is seen of a pose, in the panel."""

import numpy as np
import pytest
import slicer

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.planes import standard_planes
from FetalPoseLib.body.skeleton import load_skeleton

INDEX = load_skeleton().index


def red():
    return slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceNode")


def slice_to_ras():
    return slicer.util.arrayFromVTKMatrix(red().GetSliceToRAS())


def plane(bench, name):
    return next(plane for plane in standard_planes(mrml.points_of(bench.pose)) if plane.name == name)


def test_after_an_estimate_slices_and_camera_look_at_the_fetus(bench):
    bench.estimated()
    expected = plane(bench, "mid_sagittal")
    assert red().GetOrientation() == "Mid-sagittal"
    np.testing.assert_allclose(slice_to_ras(), expected.matrix, atol=1e-6)  # of the last pose, not of the first
    camera = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCameraNode")
    away = np.subtract(camera.GetPosition(), camera.GetFocalPoint())
    assert away @ expected.normal / np.linalg.norm(away) == pytest.approx(1, abs=1e-6)
    head, sacrum = (bench.truth[INDEX(name)] for name in ("head", "sacrum"))
    assert np.array(camera.GetViewUp()) @ (head - sacrum) > 0
    assert bench.panel.planesPanel.buttons["mid_sagittal"].checked


def test_a_click_shows_a_plane_steps_follow_and_back_restores(bench):
    bench.imported()
    buttons, box = bench.panel.planesPanel.buttons, bench.ui.planeStepSpinBox
    assert not box.enabled and not bench.ui.patientAxesButton.enabled
    buttons["abdomen_transverse"].click()
    expected = plane(bench, "abdomen_transverse")
    np.testing.assert_allclose(slice_to_ras(), expected.matrix, atol=1e-6)
    assert [name for name, button in buttons.items() if button.checked] == ["abdomen_transverse"]
    box.stepUp()
    box.stepUp()
    np.testing.assert_allclose(slice_to_ras(), expected.moved(2.0).matrix, atol=1e-6)
    red().SetSliceOffset(red().GetSliceOffset() - 5.0)  # in the view
    assert box.value == -3 and buttons["abdomen_transverse"].checked
    buttons["left_femur"].click()
    assert box.value == 0 and red().GetOrientation() == "Left-femur"
    bench.ui.patientAxesButton.click()
    assert red().GetOrientation() == "Axial" and not bench.ui.patientAxesButton.enabled
    assert not any(button.checked for button in buttons.values())


def test_a_plane_without_its_landmarks_says_why(bench):
    button = bench.panel.planesPanel.buttons["right_humerus"]
    assert not button.enabled
    bench.imported()
    assert button.enabled and "HL" in button.toolTip
    bench.select("right_elbow")
    bench.ui.visibleButton.click()
    assert not button.enabled and "right_elbow" in button.toolTip


def test_a_closed_scene_leaves_the_views_along_the_patients_axes(bench):
    bench.imported()
    bench.panel.planesPanel.buttons["mid_sagittal"].click()
    slicer.mrmlScene.Clear(0)
    assert red().GetOrientation() == "Axial" and not mrml.are_turned(slicer.mrmlScene)


def test_sizes_follow_the_pose_and_a_wrong_age_is_said(bench):
    rows = {bench.ui.sizesTable.item(i, 0).text(): i for i in range(bench.ui.sizesTable.rowCount)}
    value = lambda label: bench.ui.sizesTable.item(rows[label], 1).text()  # noqa: E731
    assert value("Crown-rump length") == ""
    bench.imported()
    crl = next(m for m in bench.session.measures(bench.pose) if m.name == "crown_rump_length")
    assert value("Crown-rump length") == f"{crl.value:.1f} mm"
    assert value("Cranial-dorsal-hip angle").endswith("°")
    bench.ui.ageEdit.text = "9w0d"
    assert "9w0d" in bench.ui.ageLabel.text
    bench.ui.ageEdit.text = "soon"
    assert "Write weeks and days" in bench.ui.ageLabel.text
    bench.ui.ageEdit.text = ""
    assert bench.ui.ageLabel.text == ""
    bench.pose.SetNthControlPointPositionMissing(INDEX("sacrum"))
    assert value("Crown-rump length") == "-"


def test_intervals_and_spheres_of_an_estimate_are_shown_on_the_switch(bench):
    bench.answer(radius_mm=[2.0] * 16, length_interval_mm=[[10.0, 12.0]] * 15)
    pose = bench.estimated()
    assert bench.ui.lengthsTable.item(0, 3).text() == "10.0 to 12.0"
    assert pose.GetNodeReference("FetalPose.UncertaintySpheres") is None
    bench.ui.showUncertaintyCheckBox.checked = True
    model = pose.GetNodeReference("FetalPose.UncertaintySpheres")
    assert model.GetDisplayNode().GetVisibility() and model.GetDisplayNode().GetOpacity() < 0.5
    bench.ui.showUncertaintyCheckBox.checked = False
    assert not model.GetDisplayNode().GetVisibility()


def test_the_volume_in_3d_is_asked_for_by_the_switch_alone(bench):
    asked = []
    bench.panel.rendering.show = lambda volume, visible: asked.append((volume, visible))
    volume = bench.volume()
    assert asked[-1] == (volume, False)
    bench.ui.showRenderingCheckBox.checked = True
    assert asked[-1] == (volume, True)


def test_volume_rendering_takes_the_preset_and_leaves_a_persons_choice(bench):
    from FetalPoseModuleLib.volumerendering import PRESET, VolumeRendering

    volume, logic = bench.volume(), slicer.vtkSlicerVolumeRenderingLogic()
    logic.SetMRMLScene(slicer.mrmlScene)
    preset = slicer.vtkMRMLVolumePropertyNode()
    preset.SetName(PRESET)
    preset.GetVolumeProperty().SetAmbient(0.123)
    logic.AddPreset(preset)
    rendering = VolumeRendering(logic)
    rendering.show(volume, False)
    assert logic.GetFirstVolumeRenderingDisplayNode(volume) is None
    rendering.show(volume, True)
    display = logic.GetFirstVolumeRenderingDisplayNode(volume)
    assert display.GetVisibility()
    assert display.GetVolumePropertyNode().GetVolumeProperty().GetAmbient() == pytest.approx(0.123)
    display.SetVisibility(False)  # in the module Volume Rendering
    rendering.show(volume, True)
    assert not display.GetVisibility()
    rendering.show(None, True)
    rendering.show(volume, True)
    assert display.GetVisibility()
    rendering.show(volume, False)
    assert not display.GetVisibility()
