"""Poses under transforms: where they are, how long their segments are, what a file of them holds."""

import json

import numpy as np
import pytest
import slicer
import slicer.util
from scene_poses import POINTS
from session_desk import drag

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.crown_rump import CrownRump

SHIFTED = np.array([[0, -1, 0, 5.0], [1, 0, 0, -7], [0, 0, 1, 11], [0, 0, 0, 1]])
TWICE = np.diag([2.0, 2.0, 2.0, 1.0])


def under(node, matrix):
    transform = node.GetScene().AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    node.SetAndObserveTransformNodeID(transform.GetID())
    return transform


def moved_by(matrix, points):
    return points @ matrix[:3, :3].T + matrix[:3, 3]


@pytest.mark.parametrize("matrix", [SHIFTED, TWICE])
def test_a_file_holds_the_points_and_lengths_of_the_world(scene, observer, pose, tmp_path, matrix):
    under(pose, matrix)
    pose.SetNthControlPointPosition(2, 0, 0, 0)
    pose.SetNthControlPointPositionMissing(7)
    pose.UnsetNthControlPointPosition(9)
    mrml.save_pose(pose, tmp_path / "pose.mrk.json")
    loaded = mrml.load_pose(scene, tmp_path / "pose.mrk.json")
    expected = moved_by(matrix, POINTS)
    expected[2], expected[[7, 9]] = matrix[:3, 3], np.nan
    np.testing.assert_allclose(mrml.points_of(loaded), expected, atol=1e-6)
    np.testing.assert_allclose(mrml.points_of(pose), expected, atol=1e-6)  # which stays where it was
    assert mrml.placed_landmarks(loaded) == mrml.placed_landmarks(pose)
    markups = json.loads((tmp_path / "pose.mrk.json").read_text())["markups"][0]
    stored = {m["name"]: m["value"] for m in markups["measurements"] if m["enabled"] and "value" in m}
    assert stored["left_upper_arm"] == pytest.approx(np.linalg.norm(expected[3] - expected[4]))
    assert markups["display"]["visibility"]


def interval_of(pose):
    return mrml.length_intervals_of(pose)[0], mrml.radius_of(pose)[0]


def test_intervals_and_radii_hold_until_a_transform_changes_lengths(scene, observer, pose, tmp_path):
    mrml.set_estimate(pose, POINTS, np.ones(16), radius_mm=np.full(16, 1.5), length_interval_mm=np.full((15, 2), 9.0))
    assert np.isfinite(interval_of(pose)[0]).all() and interval_of(pose)[1] == 1.5
    transform = under(pose, SHIFTED)
    assert np.isfinite(interval_of(pose)[0]).all() and interval_of(pose)[1] == 1.5
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(TWICE))
    for _ in range(2):  # as it is, and out of a file
        assert np.isnan(interval_of(pose)[0]).all() and np.isnan(interval_of(pose)[1])
        mrml.save_pose(pose, tmp_path / "pose.mrk.json")
        pose = mrml.load_pose(scene, tmp_path / "pose.mrk.json")


def test_an_estimate_under_a_scaling_transform_keeps_its_intervals(scene, observer, pose, tmp_path):
    transform = under(pose, TWICE)
    mrml.set_estimate(pose, POINTS, np.ones(16), radius_mm=np.full(16, 1.5), length_interval_mm=np.full((15, 2), 9.0))
    mrml.save_pose(pose, tmp_path / "pose.mrk.json")
    loaded = mrml.load_pose(scene, tmp_path / "pose.mrk.json")
    for node in (pose, loaded):
        np.testing.assert_allclose(mrml.points_of(node), POINTS, atol=1e-6)
        assert np.isfinite(interval_of(node)[0]).all() and interval_of(node)[1] == 1.5
    pose.SetAndObserveTransformNodeID(None)
    scene.RemoveNode(transform)
    assert np.isnan(interval_of(pose)[0]).all()


@pytest.mark.parametrize(("matrix", "kept"), [(SHIFTED, True), (TWICE, False)])
def test_what_was_found_in_the_volume_holds_until_a_transform_changes_lengths(scene, pose, tmp_path, matrix, kept):
    found = CrownRump(61.25, (60.1, 62.4), "volume")
    mrml.set_crown_rump(pose, found)
    mrml.set_head_turn(pose, 12.0)
    under(pose, matrix)
    mrml.save_pose(pose, tmp_path / "pose.mrk.json")
    for node in (pose, mrml.load_pose(scene, tmp_path / "pose.mrk.json")):
        assert (mrml.crown_rump_of(node), mrml.head_turn_of(node)) == ((found, 12.0) if kept else (None, None))
        value = node.GetMeasurement("crown_rump_length").GetValue()
        assert (value == 61.25) == kept


def test_a_pose_that_was_found_in_a_transformed_volume_is_under_its_transform(desk):
    transform = under(desk.volume, SHIFTED)
    pose = desk.estimate()
    assert pose.GetParentTransformNode() is transform
    np.testing.assert_allclose(mrml.points_of(pose), desk.truth, atol=1e-6)
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.eye(4)))  # both go where it goes
    np.testing.assert_allclose(mrml.points_of(pose), moved_by(np.linalg.inv(SHIFTED), desk.truth), atol=1e-6)


def test_a_pose_under_another_transform_than_the_volume_is_not_written_into(desk):
    first = desk.estimate()
    under(desk.volume, SHIFTED)
    second = desk.estimate(first)
    assert second is not first and second.GetParentTransformNode() is desk.volume.GetParentTransformNode()
    np.testing.assert_allclose(mrml.points_of(first), desk.truth, atol=1e-6)
    assert desk.estimate(second) is second


def test_refining_under_a_scaling_transform_keeps_what_was_placed_and_says_world_positions(desk):
    under(desk.volume, TWICE)
    pose = desk.estimate()
    drag(pose, "left_knee", (1.0, 2.0, 3.0))
    desk.estimate(pose, refine=True)
    [placed] = desk.request().placed.values()
    np.testing.assert_allclose(placed, [1, 2, 3], atol=1e-9)
    np.testing.assert_allclose(desk.request().start, np.where(np.isnan(desk.truth), np.nan, desk.request().start))
    knee = pose.GetControlPointIndexByLabel("left_knee")
    np.testing.assert_allclose(mrml.points_of(pose)[knee], [1, 2, 3], atol=1e-9)
    assert mrml.placed_landmarks(pose) == ("left_knee",)
    lengths = desk.session.lengths(pose)
    assert lengths["left_thigh"] == pytest.approx(pose.GetMeasurement("left_thigh").GetValue())
