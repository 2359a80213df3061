"""Slice views turned to a fetus: what lies where on the screen, the name, steps, and the way back."""

import numpy as np
import pytest
import slicer

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.plane_views import three_cuts
from FetalPoseLib.body.planes import KINDS, standard_planes
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.resources import resource_path
from FetalPoseLib.session.views import MOST_MM, PlaneViews, plane_rows

INDEX = load_skeleton().index


@pytest.fixture
def points():
    return mrml.points_of(mrml.load_pose(mrml.new_scene(), resource_path("sample", "sample.mrk.json")))


@pytest.fixture
def scene():
    scene = slicer.vtkMRMLScene()
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)
    for name, orientation in (("Red", "Axial"), ("Green", "Coronal"), ("Yellow", "Sagittal")):
        node = scene.CreateNodeByClass("vtkMRMLSliceNode")
        node.UnRegister(None)
        node.SetName(name)
        node.SetLayoutName(name)
        node.SetSingletonTag(name)
        node = scene.AddNode(node)
        node.SetOrientation(orientation)
        node.SetDimensions(600, 400, 1)
    return scene


def view(scene, name):
    return scene.GetSingletonNode(name, "vtkMRMLSliceNode")


def pixel(node, point):
    """Where a RAS point lies in a view: pixels from the left and from below, and mm in front of the slice."""
    to_xy = np.linalg.inv(slicer.util.arrayFromVTKMatrix(node.GetXYToRAS()))
    return (to_xy @ [*point, 1.0])[:3]


def test_cuts_are_right_handed_at_right_angles_and_through_one_point(points):
    for plane in standard_planes(points):
        cuts = three_cuts(plane)
        normals = np.array([cut.matrix[:3, 2] for cut in cuts])
        np.testing.assert_allclose(normals @ normals.T, np.eye(3), atol=1e-9)
        for cut in cuts:
            axes = cut.matrix[:3, :3]
            np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-9)
            assert np.linalg.det(axes) == pytest.approx(1)
            np.testing.assert_allclose(cut.matrix[:3, 3], plane.origin)
        np.testing.assert_allclose(cuts[0].matrix[:3, :3], plane.axes)


def test_aligned_views_show_the_fetus_as_textbooks_do(points, scene):
    assert PlaneViews(scene).align(points)
    red, yellow, green = (view(scene, name) for name in ("Red", "Yellow", "Green"))
    assert [node.GetOrientation() for node in (red, yellow, green)] == [
        "Mid-sagittal",
        "Fetal-transverse",
        "Fetal-coronal",
    ]
    at = {name: points[INDEX(name)] for name in load_skeleton().landmarks}
    assert pixel(red, at["head"])[0] < pixel(red, at["sacrum"])[0]  # head at the left
    assert pixel(green, at["head"])[1] > pixel(green, at["sacrum"])[1]  # head up
    for node in (yellow, green):  # as if the fetus faced the viewer, or lay on its back: its right at the left
        assert pixel(node, at["right_shoulder"])[0] < pixel(node, at["left_shoulder"])[0]
    assert pixel(red, at["right_shoulder"])[2] > pixel(red, at["left_shoulder"])[2]  # seen from its right
    for node in (red, yellow, green):  # the whole fetus is in each picture
        for point in points:
            x, y, _ = pixel(node, point)
            assert 0 < x < 600 and 0 < y < 400


def test_pixels_stay_square_and_a_panned_view_is_centred(points, scene):
    red = view(scene, "Red")
    red.SetXYZOrigin(30, -20, 0)
    PlaneViews(scene).show(points, "head_transverse")
    width, height, _ = red.GetFieldOfView()
    assert width / 600 == pytest.approx(height / 400)
    np.testing.assert_allclose(pixel(red, points[INDEX("head")]), [300, 200, 0], atol=0.6)


def test_every_plane_that_is_given_can_be_shown_under_its_name(points, scene):
    views = PlaneViews(scene)
    for plane in standard_planes(points):
        assert views.show(points, plane.name)
        red = view(scene, "Red")
        assert red.GetOrientation() == plane.name.replace("_", "-").capitalize()
        np.testing.assert_allclose(slicer.util.arrayFromVTKMatrix(red.GetSliceToRAS()), plane.matrix, atol=1e-9)
    assert red.GetNumberOfSliceOrientationPresets() == 4  # not one for each plane that was ever shown


def test_steps_go_along_the_normal_and_no_further_than_the_limit(points, scene):
    views = PlaneViews(scene)
    views.show(points, "abdomen_transverse")
    plane = next(plane for plane in standard_planes(points) if plane.name == "abdomen_transverse")
    red = view(scene, "Red")
    for distance in (1.0, 2.0, -3.0):
        views.step_to(distance)
        matrix = slicer.util.arrayFromVTKMatrix(red.GetSliceToRAS())
        np.testing.assert_allclose(matrix[:3, 3], plane.moved(distance).origin, atol=1e-9)
    assert red.GetSliceSpacingMode() == red.PrescribedSliceSpacingMode  # the arrow keys' step, too
    assert tuple(red.GetPrescribedSliceSpacing()) == (1, 1, 1)
    views.step_to(1000.0)
    assert views.distance_mm == pytest.approx(MOST_MM)


def test_back_to_the_patients_axes_restores_orientations_also_after_saving(points, scene):
    yellow = view(scene, "Yellow")
    yellow.SetOrientation("Coronal")  # a person's own arrangement
    views = PlaneViews(scene)
    views.show(points, "mid_sagittal")
    views.show(points, "face_coronal")
    assert mrml.are_turned(scene)
    PlaneViews(scene).back()  # of another session, that knows nothing of the turn
    assert [view(scene, name).GetOrientation() for name in ("Red", "Yellow", "Green")] == ["Axial"] + 2 * ["Coronal"]
    assert not mrml.are_turned(scene) and yellow.GetSliceSpacingMode() == yellow.AutomaticSliceSpacingMode
    assert yellow.GetNumberOfSliceOrientationPresets() == 3


def test_a_scene_saved_with_turned_views_can_be_read_and_turned_back(points, scene, tmp_path):
    for plane in standard_planes(points):
        PlaneViews(scene).show(points, plane.name)
        scene.SetURL(str(tmp_path / "scene.mrml"))
        assert scene.Commit()
        loaded = slicer.vtkMRMLScene()
        loaded.SetURL(str(tmp_path / "scene.mrml"))
        assert loaded.Connect()
        assert view(loaded, "Red").GetOrientation() == view(scene, "Red").GetOrientation() != "Reformat"
        PlaneViews(loaded).back()
        assert view(loaded, "Red").GetOrientation() == "Axial"


def test_views_follow_a_pose_until_a_person_moves_them(points, scene):
    views, red = PlaneViews(scene), view(scene, "Red")
    views.align(points)
    views.follow(points + 5.0)
    moved = next(iter(standard_planes(points + 5.0)))
    np.testing.assert_allclose(slicer.util.arrayFromVTKMatrix(red.GetSliceToRAS()), moved.matrix, atol=1e-9)
    views.step_to(2.0)
    offset = red.GetSliceOffset()
    views.follow(points)
    assert red.GetSliceOffset() == offset
    red.SetOrientation("Axial")
    views.follow(points)
    assert red.GetOrientation() == "Axial" and views.distance_mm is None


def test_planes_that_a_pose_does_not_give_say_why(points, scene):
    assert {row.available for row in plane_rows(None)} == {False}
    assert all(row.available for row in plane_rows(points)) and len(plane_rows(points)) == len(KINDS)
    points[INDEX("left_knee")] = np.nan
    femur = next(row for row in plane_rows(points) if row.name == "left_femur")
    assert not femur.available and "left_knee" in femur.tip
    before = view(scene, "Red").GetOrientation()
    assert not PlaneViews(scene).show(points, "left_femur")
    assert view(scene, "Red").GetOrientation() == before
