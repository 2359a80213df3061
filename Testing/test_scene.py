"""The pose node on real MRML: names, estimate, lengths kept true by the observer."""

import time

import numpy as np
import pytest
import slicer
import slicer.util
import vtk
from scene_poses import POINTS, SKELETON, assert_lengths_true, lengths_on

from FetalPoseLib import scene as mrml

# --- the pose node


def test_pose_has_the_skeletons_names_in_order_and_a_fixed_number(scene):
    node = mrml.create_pose(scene)
    assert [node.GetNthControlPointLabel(i) for i in range(16)] == list(SKELETON.landmarks)
    assert node.GetFixedNumberOfControlPoints()
    assert np.isnan(mrml.points_of(node)).all()


def test_estimate_is_on_the_node_with_confidence_and_provenance(pose):
    np.testing.assert_allclose(mrml.points_of(pose), POINTS)
    assert pose.GetNthControlPointDescription(0) == "confidence 0.10"
    np.testing.assert_allclose(mrml.confidence_of(pose), np.linspace(0.1, 1, 16), atol=0.005)
    assert pose.GetAttribute("FetalPose.Model") == "fetal-frame"


def test_a_landmark_that_is_not_visible_has_no_position_and_measures_nothing(scene, observer):
    points = POINTS.copy()
    points[5] = np.nan
    node = mrml.create_pose(scene)
    mrml.set_estimate(node, points, np.ones(16))
    assert node.GetNthControlPointPositionStatus(5) == node.PositionUndefined
    assert node.GetNthControlPointDescription(5) == "not visible"
    forearm = node.GetMeasurement("left_forearm")
    assert not forearm.GetValueDefined()
    assert node.GetMeasurement("left_upper_arm").GetValueDefined()


def test_lengths_are_the_first_fifteen_measurements_in_mm(pose, observer):
    enabled = [pose.GetNthMeasurement(i) for i in range(pose.GetNumberOfMeasurements())]
    enabled = [measurement for measurement in enabled if measurement.GetEnabled()]
    lengths, others = enabled[:15], enabled[15:]
    assert [measurement.GetName() for measurement in lengths] == [segment.name for segment in SKELETON.segments]
    assert {measurement.GetUnits() for measurement in lengths} == {"mm"}
    assert [measurement.GetName() for measurement in others] == [measure.name for measure in mrml.measures_of(pose)]
    assert_lengths_true(pose)


# --- kept true


def test_lengths_follow_every_way_in_which_a_point_changes(scene, observer, pose):
    pose.SetNthControlPointPosition(4, 1, 2, 3)
    assert_lengths_true(pose)
    pose.SetNthControlPointPositionWorld(9, 4, 5, 6)
    assert_lengths_true(pose)
    pose.UnsetNthControlPointPosition(4)
    assert_lengths_true(pose)
    assert np.isnan(lengths_on(pose)).sum() == 2
    pose.SetNthControlPointPositionMissing(9)
    assert_lengths_true(pose)
    pose.RestoreNthControlPointPosition(9)
    assert_lengths_true(pose)
    pose.SetNthControlPointLabel(0, "renamed by hand")
    assert np.isnan(lengths_on(pose)[0])
    pose.SetFixedNumberOfControlPoints(False)
    pose.RemoveNthControlPoint(15)
    assert np.isnan(lengths_on(pose)[-1])
    assert_lengths_true(pose)


def test_lengths_are_those_in_the_world_under_a_transform(scene, observer, pose):
    before = lengths_on(pose)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    pose.SetAndObserveTransformNodeID(transform.GetID())
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.diag([2.0, 2, 2, 1])))
    np.testing.assert_allclose(lengths_on(pose), 2 * before)
    assert mrml.placed_landmarks(pose) == ()


def test_undo_takes_lengths_and_the_list_of_moved_landmarks_back(scene, observer, pose):
    scene.SetUndoOn()
    pose.SetUndoEnabled(True)
    before = lengths_on(pose)
    scene.SaveStateForUndo()
    pose.SetNthControlPointPosition(3, 0, 0, 0)
    assert pose.GetAttribute("FetalPose.MovedLandmarks") == "left_shoulder"
    scene.Undo()
    np.testing.assert_allclose(lengths_on(pose), before)
    assert pose.GetAttribute("FetalPose.MovedLandmarks") == ""


@pytest.mark.slow  # measures time
def test_update_while_dragging_takes_less_than_50_ms(observer, pose):
    mrml.show_skeleton(pose)
    start = time.perf_counter()
    for i in range(20):
        pose.SetNthControlPointPosition(3, 0, 0, i)
    assert (time.perf_counter() - start) / 20 < 0.05


def test_stopped_observer_lets_go(observer, pose):
    before = lengths_on(pose)
    observer.stop()
    pose.SetNthControlPointPosition(3, 0, 0, 0)
    np.testing.assert_array_equal(lengths_on(pose), before)


def test_other_markups_are_left_alone(scene, observer):
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    node.AddControlPoint(vtk.vtkVector3d(1, 2, 3), "head")
    assert node.GetNumberOfMeasurements() == 0


def test_only_what_a_person_moved_counts_as_moved(scene, observer, pose):
    mrml.set_estimate(pose, POINTS + 1)
    assert mrml.placed_landmarks(pose) == ()
    pose.SetNthControlPointPosition(2, 0, 0, 0)
    pose.UnsetNthControlPointPosition(0)
    assert mrml.placed_landmarks(pose) == ("head", "neck")
    mrml.set_estimate(pose, POINTS, corrected=[0, 2])
    assert mrml.placed_landmarks(pose) == ("head", "neck")
    np.testing.assert_array_equal(mrml.points_of(pose)[2], [0, 0, 0])
    np.testing.assert_allclose(mrml.points_of(pose)[3:], POINTS[3:])
    pose.SetNthControlPointPosition(2, *(POINTS[2] + 1))
    assert mrml.placed_landmarks(pose) == ("head",)
