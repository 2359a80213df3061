"""Correcting a pose in a session: drags, undo, exchanging sides, and what steers the next refinement."""

import numpy as np
import pytest
from session_desk import SKELETON, drag, index

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.estimate import rows_of_points
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.resources import resource_path


def test_a_drag_is_one_step_of_undo(desk):
    pose = desk.estimate()
    drag(pose, "left_knee", (1, 2, 3), (4, 5, 6), (7, 8, 9))
    assert desk.of("corrected") == [pose] and mrml.placed_landmarks(pose) == ("left_knee",)
    desk.session.undo(pose)
    np.testing.assert_allclose(mrml.points_of(pose), desk.truth, atol=1e-6)
    assert not desk.session.history(pose).can_undo
    desk.session.redo(pose)
    np.testing.assert_allclose(mrml.points_of(pose)[index("left_knee")], (7, 8, 9))
    assert not desk.session.history(pose).can_redo


def test_a_drag_that_never_ends_is_abandoned_and_the_next_is_one_step(desk):
    pose = desk.estimate()
    desk.session.history(pose)
    pose.InvokeEvent(pose.PointStartInteractionEvent)
    pose.SetNthControlPointPositionWorld(index("left_knee"), 1.0, 2.0, 3.0)
    desk.session.abandon()
    np.testing.assert_allclose(mrml.points_of(pose), desk.truth, atol=1e-6)
    assert not desk.session.history(pose).can_undo and mrml.placed_landmarks(pose) == ()
    desk.session.abandon()  # nothing to end
    drag(pose, "head", (1, 2, 3), (4, 5, 6))
    desk.session.undo(pose)
    np.testing.assert_allclose(mrml.points_of(pose), desk.truth, atol=1e-6)


def test_a_lost_release_does_not_block_the_undo_of_later_drags(desk):
    pose = desk.estimate()
    desk.session.history(pose)
    pose.InvokeEvent(pose.PointStartInteractionEvent)
    drag(pose, "head", (1, 2, 3))
    assert desk.session.history(pose).can_undo


def test_a_drag_abandoned_during_a_run_leaves_the_points_to_the_run(desk):
    pose = desk.estimate()
    desk.answer(mode="hang", points=rows_of_points(desk.truth + 1))
    desk.session.estimate(desk.volume, pose)
    pose.InvokeEvent(pose.PointStartInteractionEvent)
    desk.wait(lambda: len(desk.of("pose_shown")) == 2)
    desk.session.abandon()
    np.testing.assert_allclose(mrml.points_of(pose), desk.truth + 4, atol=1e-6)
    desk.session.cancel()
    desk.session.undo(pose)
    np.testing.assert_allclose(mrml.points_of(pose), desk.truth, atol=1e-6)


def test_a_pose_that_a_front_end_shows_first_while_drags_are_abandoned(desk):
    """Its history begins within `abandon`, because a panel answers to the point that goes back to its place."""
    pose, other = desk.estimate(), desk.estimate()
    pose.InvokeEvent(pose.PointStartInteractionEvent)
    pose.SetNthControlPointPositionWorld(index("left_knee"), 1.0, 2.0, 3.0)
    third = mrml.load_pose(desk.scene, resource_path("sample", "sample.mrk.json"))
    pose.AddObserver(pose.PointModifiedEvent, lambda *_: desk.session.buttons(third, desk.volume))
    desk.session.abandon()
    np.testing.assert_allclose(mrml.points_of(pose), desk.truth, atol=1e-6)
    np.testing.assert_allclose(mrml.points_of(other), desk.truth, atol=1e-6)


def test_the_history_of_a_pose_ends_when_it_is_removed_from_the_scene(desk):
    pose = desk.estimate()
    drag(pose, "left_knee", (1, 2, 3))
    desk.scene.RemoveNode(pose)
    assert not pose.HasObserver(pose.PointStartInteractionEvent)
    assert not desk.session.buttons(pose, desk.volume).undo  # a panel that has not heard of it yet
    assert not pose.HasObserver(pose.PointStartInteractionEvent)
    desk.told.clear()
    drag(pose, "left_knee", (4, 5, 6))
    assert desk.told == []
    desk.scene.AddNode(pose)
    assert not desk.session.history(pose).can_undo
    drag(pose, "head", (4, 5, 6))
    assert desk.session.history(pose).can_undo


@pytest.mark.parametrize("limb", ["left_arm", "left_leg", None])
def test_left_and_right_change_places_in_one_step(desk, limb):
    pose = desk.estimate()
    desk.session.swap_sides(pose, limb)
    expected = desk.truth[SKELETON.mirror]
    if limb is not None:
        moved = {*SKELETON.limbs[limb], *SKELETON.limbs[SKELETON.partner(limb)]}
        kept = [i for i in range(16) if i not in moved]
        expected[kept] = desk.truth[kept]
    np.testing.assert_allclose(mrml.points_of(pose), expected, atol=1e-6)
    desk.session.undo(pose)
    np.testing.assert_allclose(mrml.points_of(pose), desk.truth, atol=1e-6)


def test_reset_and_not_visible_concern_one_landmark(desk):
    pose = desk.estimate()
    drag(pose, "left_knee", (1, 2, 3))
    drag(pose, "right_knee", (4, 5, 6))
    desk.session.reset_landmark(pose, "left_knee")
    assert mrml.placed_landmarks(pose) == ("right_knee",)
    desk.session.set_visible(pose, "left_knee", False)
    row = desk.session.landmark_rows(pose)[index("left_knee")]
    assert row.text == "marked not visible" and row.position is None
    assert [row.text for row in desk.session.length_rows(pose)].count("-") == 2
    desk.session.set_visible(pose, "left_knee", True)
    np.testing.assert_allclose(
        mrml.points_of(pose)[index("left_knee")], desk.truth[index("left_knee")], atol=1e-4
    )  # stored to 1e-4 mm


def test_corrections_stay_and_steer_the_others(desk):
    pose = desk.estimate()
    with pytest.raises(FetalPoseError, match="No landmark was placed"):
        desk.session.estimate(desk.volume, pose, refine=True)
    with pytest.raises(FetalPoseError, match="all its landmarks"):
        desk.session.estimate(desk.volume, None, refine=True)
    drag(pose, "left_knee", (1, 2, 3))
    desk.session.set_visible(pose, "right_wrist", False)
    desk.answer(points=rows_of_points(desk.truth + 2))
    assert desk.estimate(pose, refine=True) is pose
    request = desk.request()
    assert list(request.placed) == [index("left_knee")]
    np.testing.assert_array_equal(request.placed[index("left_knee")], (1, 2, 3))
    assert np.isnan(request.start[index("right_wrist")]).all()
    expected = desk.truth + 2
    expected[index("left_knee")], expected[index("right_wrist")] = (1, 2, 3), np.nan
    np.testing.assert_allclose(mrml.points_of(pose), expected, atol=1e-6)
    assert not desk.of("pose_shown")[-1].recentre
    desk.session.undo(pose)
    np.testing.assert_allclose(mrml.points_of(pose)[0], desk.truth[0], atol=1e-6)


def test_points_deleted_or_renamed_by_hand_leave_a_session_that_works(desk):
    pose = desk.estimate()
    pose.SetNthControlPointLabel(index("head"), "renamed")
    pose.SetFixedNumberOfControlPoints(False)
    pose.RemoveNthControlPoint(index("left_ankle"))
    desk.session.swap_sides(pose)
    desk.session.undo(pose)
    desk.session.reset_landmark(pose, "left_ankle")
    desk.session.set_visible(pose, "left_ankle", False)
    assert [row.text for row in desk.session.length_rows(pose)].count("-") == 2
    assert desk.estimate(pose) is not pose
