"""What FetalPose's nodes do to a person's own: the list for the next point, copies, saved scenes."""

import numpy as np
import pytest
import slicer
from scene_poses import POINTS

from FetalPoseLib import scene as mrml


@pytest.fixture
def application(slicer_app):
    """The application's scene, with the logic of markups that makes every new list the active one."""
    slicer.mrmlScene.Clear(0)
    yield slicer.mrmlScene
    slicer.mrmlScene.Clear(0)


def selection():
    return slicer.mrmlScene.GetNodeByID("vtkMRMLSelectionNodeSingleton")


@pytest.mark.parametrize("has_list", [True, False])
def test_the_next_point_goes_into_the_same_list_as_before(application, tmp_path, has_list):
    mine = application.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Mine") if has_list else None
    selection().SetReferenceActivePlaceNodeID(mine.GetID() if mine is not None else None)
    before = selection().GetActivePlaceNodeID(), selection().GetActivePlaceNodeClassName()
    pose = mrml.create_pose(application)
    mrml.set_estimate(pose, POINTS)
    mrml.show_lengths(pose)
    mrml.save_pose(pose, tmp_path / "pose.mrk.json")
    mrml.load_pose(application, tmp_path / "pose.mrk.json")
    assert (selection().GetActivePlaceNodeID(), selection().GetActivePlaceNodeClassName()) == before


def test_nobody_can_place_a_point_in_the_labels(application):
    pose = mrml.create_pose(application)
    labels = mrml.show_lengths(pose)
    assert labels.GetFixedNumberOfControlPoints() and labels.GetNumberOfControlPoints() == 15


def test_nothing_of_the_labels_is_saved_with_a_scene(application):
    pose = mrml.create_pose(application)
    labels = mrml.show_lengths(pose)
    parts = [labels, *(labels.GetNthDisplayNode(i) for i in range(labels.GetNumberOfDisplayNodes()))]
    assert len(parts) == 2 and not any(part.GetSaveWithScene() for part in parts)


def test_a_copy_of_a_pose_leaves_skeleton_and_labels_of_the_original_alone(scene, observer, pose):
    model, labels = mrml.show_skeleton(pose), mrml.show_lengths(pose)
    before = np.array(model.GetPolyData().GetBounds()), labels.GetNthControlPointPosition(0)
    copy = scene.CreateNodeByClass("vtkMRMLMarkupsFiducialNode")
    copy.UnRegister(None)
    copy.Copy(pose)
    scene.AddNode(copy)
    copy.SetNthControlPointPosition(0, 900.0, 0.0, 0.0)
    np.testing.assert_array_equal(model.GetPolyData().GetBounds(), before[0])
    assert labels.GetNthControlPointPosition(0) == before[1]
    assert mrml.show_skeleton(copy) is not model and mrml.show_lengths(copy) is not labels
    scene.RemoveNode(copy)
    assert scene.IsNodePresent(model) and scene.IsNodePresent(labels)
    scene.RemoveNode(pose)
    assert not scene.IsNodePresent(model) and not scene.IsNodePresent(labels)


def test_a_point_that_only_follows_the_mouse_is_no_step_of_undo(desk):
    desk.truth[5] = np.nan
    desk.answer(points=[None if np.isnan(row).any() else row.tolist() for row in desk.truth])
    pose = desk.estimate()
    history = desk.session.history(pose)
    for x in range(3):  # what the mouse does over a view while a point is being placed
        pose.SetNthControlPointPosition(5, x, 0.0, 0.0, pose.PositionPreview)
        assert not history.can_undo and mrml.placed_landmarks(pose) == ()
        assert np.isnan(mrml.points_of(pose)[5]).all()
    pose.SetNthControlPointPosition(5, 3.0, 0.0, 0.0)
    assert history.can_undo and mrml.placed_landmarks(pose) == ("left_wrist",)
    desk.session.undo(pose)
    assert np.isnan(mrml.points_of(pose)[5]).all() and not history.can_undo
