"""Drags in Slicer's own views, off screen and without a browser: the mouse's events are those that a page sends."""

import numpy as np
import pytest
import vtk
from scene_poses import assert_lengths_true
from trame_rca.utils import RcaViewAdapter, VtkWindow
from web_desk import SIZE, SKELETON, Mouse, in_slice, in_threed

from FetalPoseLib import scene as mrml
from FetalPoseWeb.desk import AXIAL, CORONAL, SAGITTAL, THREED
from FetalPoseWeb.views import NO_KEYS, RemoteView

KNEE = SKELETON.index("left_knee")
ELBOW = SKELETON.index("right_elbow")


@pytest.mark.parametrize("name", [AXIAL, CORONAL, SAGITTAL])
def test_drag_in_a_slice_moves_one_landmark_within_the_slice_and_its_lengths(desk, name):
    view, before = desk.views[name], mrml.points_of(desk.pose)
    desk.jump_to(before[KNEE], centred=True)
    start = in_slice(view, before[KNEE])
    Mouse(view).drag(start, start + [30, 18])
    after = mrml.points_of(desk.pose)
    np.testing.assert_allclose(in_slice(view, after[KNEE]), start + [30, 18], atol=1.5)
    np.testing.assert_allclose(np.delete(after, KNEE, 0), np.delete(before, KNEE, 0), atol=1e-6)
    normal = np.array(view.get_view_node().GetSliceToRAS().GetElement(0, 2))
    axis = {AXIAL: 2, CORONAL: 1, SAGITTAL: 0}[name]
    assert np.isfinite(normal) and after[KNEE, axis] == pytest.approx(before[KNEE, axis], abs=0.05)
    assert mrml.placed_landmarks(desk.pose) == ("left_knee",)
    assert_lengths_true(desk.pose)


def test_drag_in_3d_moves_a_landmark_and_all_that_is_derived_from_it(desk):
    view, before = desk.views[THREED], mrml.points_of(desk.pose)
    Mouse(view)
    start = in_threed(view, before[ELBOW])
    Mouse(view).drag(start, start + [25, -20])
    after = mrml.points_of(desk.pose)
    np.testing.assert_allclose(in_threed(view, after[ELBOW]), start + [25, -20], atol=3)
    assert mrml.placed_landmarks(desk.pose) == ("right_elbow",)
    assert_lengths_true(desk.pose)
    skeleton = desk.pose.GetNodeReference("FetalPose.SkeletonModel").GetPolyData()
    finder = vtk.vtkPointLocator()
    finder.SetDataSet(skeleton)
    finder.BuildLocator()
    nearest = skeleton.GetPoint(finder.FindClosestPoint(after[ELBOW]))
    assert np.linalg.norm(np.subtract(nearest, after[ELBOW])) < 1.0


def test_a_drag_is_one_step_of_undo_and_redo(desk):
    view, before = desk.views[AXIAL], mrml.points_of(desk.pose)
    desk.jump_to(before[KNEE], centred=True)
    start = in_slice(view, before[KNEE])
    Mouse(view).drag(start, start + [30, 0], steps=7)
    moved = mrml.points_of(desk.pose)
    desk.session.undo(desk.pose)
    np.testing.assert_allclose(mrml.points_of(desk.pose), before, atol=1e-6)
    assert not desk.session.history(desk.pose).can_undo
    desk.session.redo(desk.pose)
    np.testing.assert_allclose(mrml.points_of(desk.pose), moved, atol=1e-6)


class NoFrames:
    """A scheduler that renders nothing."""

    def __init__(self, window):
        self.rca = window

    def set_push_callback(self, callback):
        pass

    def schedule_render(self):
        pass


@pytest.mark.parametrize("name", [AXIAL, THREED])
def test_landmark_does_not_stay_on_the_mouse_when_a_release_is_lost(desk, name):
    view, before = desk.views[name], mrml.points_of(desk.pose)
    window = VtkWindow(view.render_window())
    view.render_window().Render()
    remote = RemoteView(view, RcaViewAdapter(window, name, scheduler=NoFrames(window)), None)
    desk.jump_to(before[KNEE], centred=True)
    x, y = (in_threed if view is desk.threed else in_slice)(view, before[KNEE])

    def send(kind, to_x, to_y, down):
        event = {"type": kind, "action": "down" if down else "up", "x": int(to_x), "y": int(to_y), "w": SIZE, "h": SIZE}
        remote.adapter.on_interaction("page", event | NO_KEYS | {"buttonLeft": int(down)})

    send("MouseMove", x, y, False)
    send("LeftButtonPress", x, y, True)
    send("MouseMove", x + 15, y + 15, True)
    send("MouseMove", x + 25, y + 20, True)
    assert np.abs(mrml.points_of(desk.pose) - before).max() > 1
    desk.session.abandon()
    remote.release()
    np.testing.assert_allclose(mrml.points_of(desk.pose), before, atol=1e-6)
    for by in (0, 20, 60):
        send("MouseMove", x + by, y, False)
    np.testing.assert_allclose(mrml.points_of(desk.pose), before, atol=1e-6)
    assert not desk.session.history(desk.pose).can_undo


def test_file_is_the_one_that_the_module_writes_for_the_same_moves(desk, tmp_path):
    """The module sets positions and exports by the same session; here the mouse moved the point."""
    view, before = desk.views[AXIAL], mrml.points_of(desk.pose)
    desk.jump_to(before[KNEE], centred=True)
    start = in_slice(view, before[KNEE])
    Mouse(view).drag(start, start + [30, 18])
    moved = mrml.points_of(desk.pose)[KNEE]
    desk.session.export_pose(desk.pose, tmp_path / "web.mrk.json")
    desk.session.undo(desk.pose)
    desk.pose.InvokeEvent(desk.pose.PointStartInteractionEvent)
    desk.pose.SetNthControlPointPositionWorld(KNEE, *map(float, moved))
    desk.pose.InvokeEvent(desk.pose.PointEndInteractionEvent)
    desk.session.export_pose(desk.pose, tmp_path / "module.mrk.json")
    assert (tmp_path / "web.mrk.json").read_bytes() == (tmp_path / "module.mrk.json").read_bytes()


def test_new_volume_takes_the_one_before_and_its_pose_out_of_the_scene(desk):
    from FetalPoseLib.resources import resource_path

    volume = desk.add_volume(resource_path("sample", "sample.nrrd"))
    desk.show_volume(volume, "other.nrrd")
    assert desk.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 1
    assert desk.scene.GetNumberOfNodesByClass("vtkMRMLModelNode") == len(desk.slices)  # those that show slices in 3D
    assert desk.pose is None and desk.volume.GetName() == "other"
    assert [view.get_background_volume_id() for view in desk.slices] == [volume.GetID()] * 3


def test_view_does_not_hide_a_rendered_volume_beside_a_model(desk):
    assert not desk.threed.renderer().GetUseDepthPeelingForVolumes()
    assert all(view.render_window().GetMultiSamples() == 0 for view in desk.views.values())
