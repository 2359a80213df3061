"""What else is seen of a pose: spheres of uncertainty, and the skeleton beside a slice's plane."""

import numpy as np
import pytest
from scene_poses import POINTS, drag, index

from FetalPoseLib import scene as mrml
from FetalPoseLib.scene.uncertainty import SPHERES_ROLE

RADIUS = np.linspace(1.0, 2.5, 16)


@pytest.fixture
def sure_pose(scene, observer):
    node = mrml.create_pose(scene)
    mrml.set_estimate(node, POINTS, np.full(16, 0.9), radius_mm=RADIUS)
    return node


def spheres(model, points):
    """How many of the surface's points lie at its radius from each of these points."""
    surface = np.array([model.GetPolyData().GetPoint(i) for i in range(model.GetPolyData().GetNumberOfPoints())])
    away = np.linalg.norm(surface.reshape(-1, 1, 3) - points, axis=2)
    return (np.abs(away - np.round(RADIUS, 1)) < 0.06).sum(axis=0)


def test_spheres_have_the_radius_of_each_landmark_and_follow_a_drag(sure_pose):
    assert mrml.show_uncertainty(sure_pose, False) is None
    model = mrml.show_uncertainty(sure_pose)
    assert (spheres(model, POINTS) > 100).all()
    moved = POINTS + [100.0, 0, 0]
    for name in ("neck", "left_knee"):
        drag(sure_pose, name, moved[index(name)])
    there = spheres(model, POINTS) > 100
    assert not there[[index("neck"), index("left_knee")]].any() and there.sum() == 14  # a person is sure of both
    transformed = spheres(model, moved)
    assert transformed[index("neck")] == 0


def test_spheres_go_with_their_pose_and_are_not_taken_for_another_model(scene, sure_pose):
    model = mrml.show_uncertainty(sure_pose)
    assert mrml.show_uncertainty(sure_pose) is model
    other = mrml.create_pose(scene, "Other")
    other.SetNodeReferenceID(SPHERES_ROLE, model.GetID())  # as a copy of a pose has it
    mine = mrml.show_uncertainty(other)
    assert mine is not model and not mine.GetPolyData().GetNumberOfPoints()
    scene.RemoveNode(sure_pose)
    assert not scene.IsNodePresent(model)


def test_without_radii_there_are_no_spheres(scene):
    node = mrml.create_pose(scene)
    mrml.set_estimate(node, POINTS, np.full(16, 0.9))
    assert mrml.show_uncertainty(node).GetPolyData().GetNumberOfPoints() == 0


def test_the_skeleton_is_cut_by_a_slice_and_faint_beside_it(pose):
    model = mrml.show_skeleton(pose)
    assert mrml.show_skeleton(pose).GetNumberOfDisplayNodes() == 2
    cut, projected = model.GetNthDisplayNode(0), model.GetNthDisplayNode(1)
    assert cut.GetSliceDisplayMode() == cut.SliceDisplayIntersection and cut.GetVisibility3D()
    assert projected.GetSliceDisplayMode() == cut.SliceDisplayProjection and not projected.GetVisibility3D()
    assert projected.GetVisibility2D() and projected.GetSliceIntersectionOpacity() < 0.5
    assert cut.GetSliceIntersectionOpacity() == 1
    display = pose.GetDisplayNode()
    assert display.GetSliceProjection() and display.GetSliceProjectionOpacity() < 0.5


def test_a_scene_with_a_skeleton_comes_back_without_doubles(scene, pose, tmp_path):
    mrml.show_skeleton(pose)
    mrml.show_uncertainty(pose)
    scene.SetURL(str(tmp_path / "scene.mrml"))
    scene.SetRootDirectory(str(tmp_path))
    model = mrml.show_skeleton(pose)
    storage = scene.AddNewNodeByClass("vtkMRMLModelStorageNode")
    storage.SetFileName(str(tmp_path / "skeleton.vtk"))
    model.SetAndObserveStorageNodeID(storage.GetID())
    assert storage.WriteData(model) and scene.Commit()
    loaded = mrml.new_scene()
    loaded.SetURL(str(tmp_path / "scene.mrml"))
    assert loaded.Import()
    back = loaded.GetFirstNodeByClass("vtkMRMLMarkupsFiducialNode")
    skeleton = mrml.show_skeleton(back)
    assert loaded.GetNumberOfNodesByClass("vtkMRMLModelNode") == 1  # the spheres are not saved
    modes = [skeleton.GetNthDisplayNode(i).GetSliceDisplayMode() for i in range(skeleton.GetNumberOfDisplayNodes())]
    assert modes == [0, 1]
    assert loaded.GetNumberOfNodesByClass("vtkMRMLModelDisplayNode") == 2
