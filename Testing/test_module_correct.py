"""Correcting a pose in the panel: dragging, undo, exchanging sides, doubts, refining from corrections."""

import time

import numpy as np
import pytest
import slicer
from scene_poses import SKELETON, drag, index

from FetalPoseLib import scene as mrml

# --- dragging


def test_lengths_follow_every_step_of_a_drag(bench):
    pose = bench.estimated()
    pose.InvokeEvent(pose.PointStartInteractionEvent)
    for step in range(3):
        pose.SetNthControlPointPositionWorld(index("left_knee"), step, 2.0, 3.0)
        bench.assert_lengths_true()
    pose.InvokeEvent(pose.PointEndInteractionEvent)
    bench.assert_lengths_true()


@pytest.mark.slow  # measures time
def test_lengths_follow_a_drag_in_less_than_50_ms(bench):
    pose = bench.estimated()
    pose.InvokeEvent(pose.PointStartInteractionEvent)
    start, steps = time.perf_counter(), 20
    for step in range(steps):
        pose.SetNthControlPointPositionWorld(index("left_knee"), step, 2.0, 3.0)
    elapsed = (time.perf_counter() - start) / steps
    pose.InvokeEvent(pose.PointEndInteractionEvent)
    bench.assert_lengths_true()
    assert elapsed < 0.05


def test_lengths_are_true_when_a_point_is_dragged_in_another_module(bench):
    pose = bench.estimated()
    bench.panel.exit()
    drag(pose, "left_knee", (1, 2, 3))
    bench.assert_lengths_true()
    bench.panel.enter()
    assert bench.ui.undoButton.enabled and bench.pose is pose


def test_selecting_a_row_moves_the_slices_there(bench):
    bench.estimated()
    bench.select("left_wrist")
    red = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
    normal = slicer.util.arrayFromVTKMatrix(red.GetSliceToRAS())[:3, 2]
    assert red.GetSliceOffset() == pytest.approx(bench.truth[index("left_wrist")] @ normal, abs=1e-3)
    bench.ui.lengthsTable.selectRow(0)
    middle = (bench.truth[index("head")] + bench.truth[index("neck")]) / 2
    assert red.GetSliceOffset() == pytest.approx(middle @ normal, abs=1e-3)


def test_a_drag_is_one_step_of_undo(bench):
    pose = bench.estimated()
    before = bench.table
    drag(pose, "left_knee", (1, 2, 3), (4, 5, 6), (7, 8, 9))
    after = bench.table
    assert after != before and bench.ui.landmarksTable.item(index("left_knee"), 1).text() == "placed by you"
    bench.ui.undoButton.click()
    assert bench.table == before and not bench.ui.undoButton.enabled
    assert mrml.placed_landmarks(pose) == ()
    bench.ui.redoButton.click()
    assert bench.table == after and not bench.ui.redoButton.enabled
    bench.ui.undoButton.click()
    drag(pose, "head", (1, 2, 3))
    assert not bench.ui.redoButton.enabled
    bench.assert_lengths_true()


def test_second_estimate_is_one_step_of_undo(bench):
    pose = bench.estimated()
    bench.answer(points=(bench.truth + 1).tolist())
    assert bench.estimate() is pose
    np.testing.assert_allclose(mrml.points_of(pose), bench.truth + 1, atol=1e-6)
    bench.ui.undoButton.click()
    np.testing.assert_allclose(mrml.points_of(pose), bench.truth, atol=1e-6)
    assert mrml.placed_landmarks(pose) == () and not bench.ui.undoButton.enabled


@pytest.mark.parametrize(
    ("button", "limbs"), [("swapArmsButton", ["left_arm"]), ("swapLegsButton", ["left_leg"]), ("swapBodyButton", None)]
)
def test_left_and_right_change_places(bench, button, limbs):
    pose = bench.estimated()
    getattr(bench.ui, button).click()
    expected = bench.truth[SKELETON.mirror]
    if limbs is not None:
        moved = {*SKELETON.limbs[limbs[0]], *SKELETON.limbs[SKELETON.partner(limbs[0])]}
        kept = [i for i in range(16) if i not in moved]
        expected[kept] = bench.truth[kept]
    np.testing.assert_allclose(mrml.points_of(pose), expected, atol=1e-6)
    bench.assert_lengths_true()
    bench.ui.undoButton.click()
    np.testing.assert_allclose(mrml.points_of(pose), bench.truth, atol=1e-6)


def test_landmark_goes_back_to_the_estimate(bench):
    pose = bench.estimated()
    drag(pose, "left_knee", (1, 2, 3))
    drag(pose, "right_knee", (4, 5, 6))
    bench.select("left_knee")
    bench.ui.resetButton.click()
    np.testing.assert_allclose(mrml.points_of(pose)[index("left_knee")], bench.truth[index("left_knee")], atol=1e-4)
    assert mrml.placed_landmarks(pose) == ("right_knee",)


def test_landmark_that_is_not_visible_measures_nothing_until_it_is_brought_back(bench):
    pose = bench.estimated()
    bench.select("left_knee")
    bench.ui.visibleButton.click()
    assert bench.table.count("-") == 2 and bench.ui.visibleButton.checked
    assert bench.ui.landmarksTable.item(index("left_knee"), 1).text() == "marked not visible"
    bench.assert_lengths_true()
    bench.ui.visibleButton.click()
    np.testing.assert_allclose(mrml.points_of(pose), bench.truth, atol=1e-6)
    assert not bench.ui.visibleButton.checked


def test_points_deleted_or_renamed_by_hand_leave_a_module_that_works(bench):
    pose = bench.estimated()
    pose.SetNthControlPointLabel(index("head"), "renamed")
    pose.SetFixedNumberOfControlPoints(False)
    pose.RemoveNthControlPoint(index("left_ankle"))
    bench.assert_lengths_true()
    assert bench.table.count("-") == 2
    for button in (bench.ui.swapBodyButton, bench.ui.swapLegsButton, bench.ui.undoButton):
        button.click()
    bench.select("left_ankle")
    bench.ui.resetButton.click()
    bench.ui.visibleButton.click()
    bench.assert_lengths_true()
    again = bench.estimate()
    assert again is not pose
    np.testing.assert_allclose(mrml.points_of(again), bench.truth, atol=1e-6)


# --- doubts


def test_doubtful_landmarks_and_lengths_are_marked_with_the_reason(bench):
    bench.plan["confidence"] = [0.1 if i == index("left_wrist") else 0.9 for i in range(16)]
    bench.answer()
    pose = bench.estimated()
    bench.wait(lambda: "left wrist" in bench.ui.doubtsLabel.text)
    assert not pose.GetNthControlPointSelected(index("left_wrist"))  # in another colour in the views
    assert "confidence 0.10" in bench.ui.landmarksTable.item(index("left_wrist"), 2).text()
    drag(pose, "right_ankle", bench.truth[index("right_ankle")] + 40)
    bench.wait(lambda: "right lower leg is long" in bench.ui.doubtsLabel.text)
    assert "long" in bench.ui.lengthsTable.item([s.name for s in SKELETON.segments].index("right_lower_leg"), 2).text()
    drag(pose, "left_wrist", bench.truth[index("left_wrist")] + 0.5)
    bench.wait(lambda: "left wrist" not in bench.ui.doubtsLabel.text)  # placed by a person: no doubt any more


def test_exchanged_sides_are_pointed_out(bench):
    bench.estimated()
    bench.ui.swapLegsButton.click()
    bench.wait(lambda: "Left and right of the legs may be exchanged" in bench.ui.doubtsLabel.text)
    bench.ui.swapLegsButton.click()
    bench.wait(lambda: bench.ui.doubtsLabel.text == "")


# --- refining from corrections


def test_moved_landmarks_stay_and_steer_the_others(bench):
    pose = bench.estimated()
    assert not bench.ui.refineButton.enabled
    drag(pose, "left_knee", (1, 2, 3))
    bench.select("right_wrist")
    bench.ui.visibleButton.click()
    bench.answer(points=(bench.truth + 2).tolist())
    bench.ui.refineButton.click()
    bench.wait(lambda: not bench.session.running)
    request = bench.requests()[-1]
    assert list(request.placed) == [index("left_knee")]
    np.testing.assert_array_equal(request.placed[index("left_knee")], [1, 2, 3])
    assert np.isnan(request.start[index("right_wrist")]).all()
    np.testing.assert_array_equal(request.start[index("left_knee")], [1, 2, 3])
    expected = bench.truth + 2
    expected[index("left_knee")], expected[index("right_wrist")] = (1, 2, 3), np.nan
    assert bench.pose is pose
    np.testing.assert_allclose(mrml.points_of(pose), expected, atol=1e-6)
    assert set(mrml.placed_landmarks(pose)) == {"left_knee", "right_wrist"}
    bench.ui.undoButton.click()
    np.testing.assert_allclose(mrml.points_of(pose)[0], bench.truth[0], atol=1e-6)
