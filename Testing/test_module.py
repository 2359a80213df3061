"""Estimate Pose in the panel: what is clicked, what is shown, and which volumes are refused."""

import numpy as np
import pytest
import slicer
import vtk
from volume_files import picture

from FetalPoseLib import scene as mrml


def test_estimate_shows_the_first_pose_then_refines_it_and_measures(bench):
    volume = bench.volume()
    seen = []
    bench.answer(pause=0.15)
    assert bench.ui.estimateButton.enabled and not bench.ui.cancelButton.enabled
    bench.ui.estimateButton.click()
    assert bench.ui.cancelButton.enabled and not bench.ui.estimateButton.enabled
    while bench.session.running:
        bench.pause(0.02)
        if bench.pose is not None:
            seen.append((mrml.points_of(bench.pose)[0, 0] - bench.truth[0, 0], bench.ui.progressBar.value))
    offsets = [round(offset, 3) for offset, _ in seen]
    assert offsets[0] == 3.0 and sorted(set(offsets), reverse=True) == sorted(set(offsets), key=offsets.index)
    assert len(set(offsets)) > 2 and [value for _, value in seen] == sorted(value for _, value in seen)
    np.testing.assert_allclose(mrml.points_of(bench.pose), bench.truth, atol=1e-6)
    bench.assert_lengths_true()
    assert bench.pose.GetAttribute("FetalPose.Model") == "fetal-frame"
    assert bench.pose.GetNodeReference("FetalPose.Volume") is volume
    assert bench.ui.poseSelector.currentNode() is bench.pose
    assert "Done" in bench.status and bench.ui.estimateButton.enabled


def test_views_centre_on_the_fetus_and_show_volume_and_skeleton(bench):
    volume = bench.volume()
    bench.ui.alignViewsCheckBox.checked = False
    bench.estimate()
    middle = (bench.truth.min(axis=0) + bench.truth.max(axis=0)) / 2 + 3.0  # of the first pose
    red = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
    assert red.GetSliceOffset() == pytest.approx(middle[2], abs=0.5)
    camera = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCameraNode")
    np.testing.assert_allclose(camera.GetFocalPoint(), middle, atol=1e-6)
    composite = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSliceCompositeNode")
    assert composite.GetBackgroundVolumeID() == volume.GetID()
    skeleton = bench.pose.GetNodeReference("FetalPose.SkeletonModel")
    assert skeleton.GetDisplayNode().GetVisibility() and skeleton.GetDisplayNode().GetVisibility2D()


def test_cancel_answers_at_once_and_leaves_the_last_pose(bench):
    bench.volume()
    bench.answer(mode="hang")
    bench.ui.estimateButton.click()
    bench.wait(lambda: bench.pose is not None)
    bench.ui.cancelButton.click()  # nothing is waited for from here on
    assert bench.status == "Cancelled." and not bench.session.running
    np.testing.assert_allclose(mrml.points_of(bench.pose), bench.truth + 3, atol=1e-6)
    bench.assert_lengths_true()


@pytest.mark.parametrize(
    ("mode", "message"),
    [("crash", "exit code 3"), ("killed", "memory"), ("nonsense", "unreadable"), ("failed", "looks like a fetus")],
)
def test_a_process_that_dies_is_a_message_and_the_next_run_works(bench, mode, message):
    bench.volume()
    bench.answer(mode=mode)
    bench.estimate()
    assert message in bench.status
    bench.answer(mode="good")
    bench.estimate()
    np.testing.assert_allclose(mrml.points_of(bench.pose), bench.truth, atol=1e-6)


def test_process_that_cannot_start_is_a_message(bench):
    bench.volume()
    bench.client.command = [str(bench.folder / "no-such-python")]
    bench.estimate()
    assert "cannot be started" in bench.status and bench.ui.estimateButton.enabled


# --- volumes


def test_no_volume_keeps_the_button_grey_and_says_why(bench):
    assert not bench.ui.estimateButton.enabled
    assert "Choose a volume" in bench.ui.estimateButton.toolTip


@pytest.mark.parametrize(
    ("array", "spacing", "message"),
    [
        (picture((1, 40, 40)), 1.0, "2D"),
        (picture((12, 40, 40)), 1.0, "12 mm"),
        (picture(), 50.0, "voxel spacing of 50"),
        (np.full((40, 40, 40), 7, np.uint8), 1.0, "constant"),
    ],
)
def test_volume_that_cannot_hold_a_fetus_is_refused(bench, array, spacing, message):
    bench.volume(array, (spacing, spacing, spacing))
    bench.ui.estimateButton.click()
    assert message in bench.status and not bench.session.running


def test_volume_under_a_non_linear_transform_is_refused(bench):
    node = bench.volume()
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "Warp")
    points = vtk.vtkPoints()
    for corner in np.eye(4, 3):
        points.InsertNextPoint(corner)
    spline = vtk.vtkThinPlateSplineTransform()
    spline.SetSourceLandmarks(points)
    spline.SetTargetLandmarks(points)
    transform.SetAndObserveTransformToParent(spline)
    node.SetAndObserveTransformNodeID(transform.GetID())
    bench.ui.estimateButton.click()
    assert "non-linear transform 'Warp'" in bench.status


def test_colour_label_maps_and_segmentations_are_not_offered(bench):
    for kind in ("vtkMRMLVectorVolumeNode", "vtkMRMLLabelMapVolumeNode", "vtkMRMLSegmentationNode"):
        slicer.mrmlScene.AddNewNodeByClass(kind)
    assert bench.ui.inputSelector.nodeCount() == 0


def test_geometry_that_the_importer_did_not_confirm_is_pointed_out(bench):
    bench.volume(spacing=(0.5, 0.5, 0.5))
    assert bench.ui.geometryLabel.text == ""
    bench.volume(spacing=(1.0, 1.0, 1.0))
    assert "exactly 1 mm" in bench.ui.geometryLabel.text
    for importer in ("case.vol", None):
        bench.volume(spacing=(0.5, 0.5, 0.5))
        assert bench.ui.geometryLabel.text == ""
        bench.volume(spacing=(0.4, 0.5, 0.6), file=importer)
        assert "0.4, 0.5, 0.6 mm" in bench.ui.geometryLabel.text


def test_what_the_reader_of_a_file_left_open_stands_below_the_volume(bench):
    node = bench.volume(spacing=(0.5, 0.5, 0.5))
    node.SetAttribute("FetalPose.Doubts", '[["sides", "as SlicerHeart reads it"]]')
    bench.volume(spacing=(0.5, 0.5, 0.5))
    assert bench.ui.geometryLabel.text == ""
    bench.ui.inputSelector.setCurrentNode(node)
    assert "was read as SlicerHeart reads it. Compare it with the picture" in bench.ui.geometryLabel.text


def test_mirrored_volume_is_mirrored_for_the_network_and_its_pose_mirrored_back(bench):
    bench.volume()
    bench.ui.mirroredCheckBox.checked = True
    bench.estimate()
    matrix = bench.requests()[-1].ijk_to_ras
    assert np.linalg.det(matrix[:3, :3]) < 0
    np.testing.assert_allclose(matrix @ [19.5, 19.5, 19.5, 1], [39, 39, 39, 1])  # its middle stays in place
    np.testing.assert_allclose(mrml.points_of(bench.pose), bench.truth * [-1, 1, 1] + [78, 0, 0], atol=1e-6)


# --- texts that come from files


def test_what_a_file_says_is_shown_as_plain_text(bench):
    for label in (bench.ui.geometryLabel, bench.ui.statusLabel, bench.ui.doubtsLabel):
        label.text = text = "<img src='file:///x.png'><h1>Done. All landmarks are right.</h1>"
        assert label.textFormat.name == "PlainText" and label.text == text


def test_a_question_shows_names_of_files_as_they_are(slicer_app, monkeypatch):
    from FetalPoseModuleLib.dialogs import Dialogs

    asked = []
    monkeypatch.setattr(slicer.util, "confirmYesNoDisplay", lambda text, **_: asked.append(text), raising=False)
    Dialogs().confirm("Remove <img src=x> & more?\nIt cannot be undone.")
    assert asked == ["<qt>Remove &lt;img src=x&gt; &amp; more?<br>It cannot be undone.</qt>"]
