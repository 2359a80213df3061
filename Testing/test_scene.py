"""The scene on real MRML: volumes in, one markups node out, and what follows from its points kept true."""

import json
import os
import time

import numpy as np
import pytest
import slicer
import slicer.util
import vtk
from volume_files import (
    oblique_left_handed,
    picture,
    volume,
    write_dicom,
    write_nifti,
    write_nrrd,
)

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.measurements import segment_lengths
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError

SKELETON = load_skeleton()
POINTS = np.random.default_rng(3).normal(0, 20, (16, 3))


@pytest.fixture
def observer(scene):
    observer = mrml.PoseObserver(scene)
    observer.start()
    yield observer
    observer.stop()


@pytest.fixture
def pose(scene):
    node = mrml.create_pose(scene)
    mrml.set_estimate(node, POINTS, np.linspace(0.1, 1, 16), provenance={"Model": "fetal-frame", "Iterations": "6"})
    return node


def lengths_on(node) -> np.ndarray:
    measurements = [node.GetMeasurement(segment.name) for segment in SKELETON.segments]
    return np.array([m.GetValue() if m.GetValueDefined() else np.nan for m in measurements])


def assert_lengths_true(node):
    np.testing.assert_allclose(lengths_on(node), segment_lengths(mrml.points_of(node)), atol=1e-9)


# --- volumes


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".mha"])
def test_volume_keeps_its_voxels_and_place_through_a_file(scene, tmp_path, suffix):
    original = volume(matrix=oblique_left_handed())
    mrml.write_volume(mrml.add_volume(scene, original), tmp_path / f"case{suffix}")
    read = mrml.volume_from_node(mrml.read_volume(scene, tmp_path / f"case{suffix}"))
    voxels = np.random.default_rng(0).integers(0, original.array.shape[::-1], (200, 3))
    there = read.grid.to_voxel(original.grid.to_world(voxels))  # MRML reads a left-handed volume as a right-handed one
    np.testing.assert_allclose(there, np.round(there), atol=1e-3)
    x, y, z = np.round(there).astype(int).T
    np.testing.assert_array_equal(read.array[z, y, x], original.array[voxels[:, 2], voxels[:, 1], voxels[:, 0]])


def test_dicom_slices_are_stacked_by_position_not_by_name(scene, tmp_path):
    array = picture()
    names = [f"im{(7 * k) % len(array):03d}" for k in range(len(array))]
    folder = write_dicom(tmp_path / "series", array, names=names, spacing=(0.8, 0.9, 1.1))
    (folder / "notes.txt").write_text("no image")
    read = mrml.volume_from_node(mrml.read_volume(scene, folder))
    np.testing.assert_array_equal(read.array, array)
    np.testing.assert_allclose(read.ijk_to_ras, np.diag([-0.8, -0.9, 1.1, 1]), atol=1e-6)


def test_dicom_folder_with_a_gap_two_series_or_two_frames_is_refused(scene, tmp_path):
    array = picture()
    gap = write_dicom(tmp_path / "gap", array)
    (gap / "005.dcm").unlink()
    with pytest.raises(FetalPoseError, match="missing"):
        mrml.read_volume(scene, gap)
    two = write_dicom(tmp_path / "two", array)
    write_dicom(two, array[:3], names=["a", "b", "c"], series="1.2.3.5")
    with pytest.raises(FetalPoseError, match="2 DICOM series"):
        mrml.read_volume(scene, two)
    frames = write_dicom(tmp_path / "frames", array)
    write_dicom(frames, array, names=[f"second{k}" for k in range(len(array))])
    with pytest.raises(FetalPoseError, match="4D"):
        mrml.read_volume(scene, frames)


def test_linear_parent_transforms_move_the_volume(scene):
    node = mrml.add_volume(scene, volume(matrix=oblique_left_handed()))
    to_world = np.eye(4)
    for shift in (5.0, 7.0):
        matrix = np.array([[0, -1, 0, shift], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]], dtype=float)
        transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        child = node if shift == 5.0 else node.GetParentTransformNode()
        child.SetAndObserveTransformNodeID(transform.GetID())
        to_world = matrix @ to_world
    np.testing.assert_allclose(mrml.volume_from_node(node).ijk_to_ras, to_world @ oblique_left_handed(), atol=1e-9)


def test_non_linear_parent_transform_is_refused(scene):
    node = mrml.add_volume(scene, volume())
    points = vtk.vtkPoints()
    for corner in np.eye(4, 3):
        points.InsertNextPoint(corner)
    spline = vtk.vtkThinPlateSplineTransform()
    spline.SetSourceLandmarks(points)
    spline.SetTargetLandmarks(points)
    spline.SetBasisToR()
    transform = scene.AddNewNodeByClass("vtkMRMLTransformNode", "Warp")
    transform.SetAndObserveTransformToParent(spline)
    node.SetAndObserveTransformNodeID(transform.GetID())
    with pytest.raises(FetalPoseError, match="non-linear transform 'Warp'"):
        mrml.volume_from_node(node)


@pytest.mark.parametrize(
    ("array", "spacing", "message"),
    [
        (picture((1, 40, 40)), 1, "2D"),
        (np.full((32, 32, 32), 7, np.uint8), 1, "constant: every voxel is 7"),
        (np.full((32, 32, 32), np.nan, np.float32), 1, "no finite value"),
        (picture(), 0.001, "voxel spacing of 0.001"),
        (picture(), 50, "voxel spacing of 50"),
        (picture((12, 40, 40)), 1, "40 x 40 x 12 mm"),
        (picture((70, 70, 70)), 9, "630"),
    ],
)
def test_volume_without_a_measurable_picture_is_refused(scene, array, spacing, message):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    slicer.util.updateVolumeFromArray(node, array)
    node.SetSpacing(spacing, spacing, spacing)
    with pytest.raises(FetalPoseError, match=message):
        mrml.volume_from_node(node)


def test_node_that_is_no_greyscale_volume_is_refused(scene):
    label_map = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    slicer.util.updateVolumeFromArray(label_map, picture())
    colour = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode")
    slicer.util.updateVolumeFromArray(colour, np.stack([picture()] * 3, axis=-1))
    for node, message in [
        (None, "nothing"),
        (scene.AddNewNodeByClass("vtkMRMLSegmentationNode"), "Segmentation"),
        (scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode"), "is empty"),
        (label_map, "label map"),
        (colour, "3 values a voxel"),
    ]:
        with pytest.raises(FetalPoseError, match=message):
            mrml.volume_from_node(node)


def test_some_nan_voxels_are_no_obstacle(scene):
    array = picture().astype(np.float32)
    array[:3] = np.nan
    assert mrml.volume_from_node(mrml.add_volume(scene, volume(array))).array.shape == array.shape


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (["dimension: 3", "sizes: 40 36 32", "spacings: 0 1 1"], "impossible voxel spacing of 0 x 1 x 1"),
        (["dimension: 3", "sizes: 40 36 32", "spacings: nan nan nan"], "impossible"),
        (["dimension: 3", "sizes: 40 36 32", "spacings: -1 1 1"], "impossible"),
        (["dimension: 3", "sizes: 40 36 32"], "states no voxel spacing"),
        (
            ["dimension: 3", "space: left-posterior-superior", "sizes: 40 36 32"]
            + ["space directions: (0,0,0) (0,1,0) (0,0,1)", "space origin: (0,0,0)"],
            "impossible",
        ),
        (["dimension: 3", "sizes: 40 36 32", "spacings: 1 1 1", "Segment0_ID:=a"], "segmentation"),
        (["dimension: 3", "sizes: 40 36 99", "spacings: 1 1 1"], "damaged"),
    ],
)
def test_nrrd_whose_header_cannot_be_true_is_refused(scene, tmp_path, fields, message):
    path = write_nrrd(tmp_path / "bad.nrrd", picture(), *fields)
    with pytest.raises(FetalPoseError, match=message):
        mrml.read_volume(scene, path)
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0


def test_nifti_without_spacing_or_data_is_refused(scene, tmp_path):
    with pytest.raises(FetalPoseError, match="impossible"):
        mrml.read_volume(scene, write_nifti(tmp_path / "zero.nii", picture(), spacing=(1, 0, 1)))
    with pytest.raises(FetalPoseError, match="damaged"):
        mrml.read_volume(scene, write_nifti(tmp_path / "cut.nii", picture(), missing=1000))
    mrml.write_volume(mrml.add_volume(scene, volume()), tmp_path / "good.nii.gz")
    (tmp_path / "cut.nii.gz").write_bytes((tmp_path / "good.nii.gz").read_bytes()[:5000])
    with pytest.raises(FetalPoseError, match="damaged"):
        mrml.read_volume(scene, tmp_path / "cut.nii.gz")
    good = mrml.volume_from_node(mrml.read_volume(scene, write_nifti(tmp_path / "good.nii", picture())))
    np.testing.assert_array_equal(good.array, picture())


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


def test_unseen_landmark_is_unset_and_measures_nothing(scene, observer):
    points = POINTS.copy()
    points[5] = np.nan
    node = mrml.create_pose(scene)
    mrml.set_estimate(node, points, np.ones(16))
    assert node.GetNthControlPointPositionStatus(5) == node.PositionUndefined
    assert node.GetNthControlPointDescription(5) == "not seen"
    forearm = node.GetMeasurement("left_forearm")
    assert not forearm.GetValueDefined()
    assert node.GetMeasurement("left_upper_arm").GetValueDefined()


def test_lengths_are_fifteen_measurements_in_mm(pose, observer):
    enabled = [pose.GetNthMeasurement(i) for i in range(pose.GetNumberOfMeasurements())]
    enabled = [measurement for measurement in enabled if measurement.GetEnabled()]
    assert [measurement.GetName() for measurement in enabled] == [segment.name for segment in SKELETON.segments]
    assert {measurement.GetUnits() for measurement in enabled} == {"mm"}
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
    assert mrml.moved_landmarks(pose) == ()


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
    assert mrml.moved_landmarks(pose) == ()
    pose.SetNthControlPointPosition(2, 0, 0, 0)
    pose.UnsetNthControlPointPosition(0)
    assert mrml.moved_landmarks(pose) == ("head", "neck")
    mrml.set_estimate(pose, POINTS, held=[0, 2])
    assert mrml.moved_landmarks(pose) == ("head", "neck")
    np.testing.assert_array_equal(mrml.points_of(pose)[2], [0, 0, 0])
    np.testing.assert_allclose(mrml.points_of(pose)[3:], POINTS[3:])
    pose.SetNthControlPointPosition(2, *(POINTS[2] + 1))
    assert mrml.moved_landmarks(pose) == ("head",)


# --- files


def test_file_saved_from_anywhere_holds_true_lengths(observer, pose, tmp_path):
    pose.SetNthControlPointPosition(4, 1, 2, 3)
    storage = slicer.vtkMRMLMarkupsJsonStorageNode()
    storage.SetFileName(str(tmp_path / "any.mrk.json"))
    assert storage.WriteData(pose)
    markups = json.loads((tmp_path / "any.mrk.json").read_text())["markups"][0]
    stored = {m["name"]: m["value"] for m in markups["measurements"] if m["enabled"]}
    assert stored["left_upper_arm"] == pytest.approx(np.linalg.norm(POINTS[3] - [1, 2, 3]))
    assert len(stored) == 15


def test_file_is_lps_and_reads_back_with_the_same_hand(scene, pose, tmp_path):
    pose.SetNthControlPointPositionMissing(7)
    mrml.save_pose(pose, tmp_path / "pose.mrk.json")
    markups = json.loads((tmp_path / "pose.mrk.json").read_text())["markups"][0]
    assert markups["coordinateSystem"] == "LPS"
    np.testing.assert_allclose(markups["controlPoints"][3]["position"], POINTS[3] * [-1, -1, 1])
    loaded = mrml.load_pose(scene, tmp_path / "pose.mrk.json")
    np.testing.assert_allclose(mrml.points_of(loaded), mrml.points_of(pose))
    assert loaded.GetNthControlPointPositionStatus(7) == loaded.PositionMissing
    assert_lengths_true(loaded)


@pytest.mark.parametrize("observed", [False, True])
def test_provenance_and_corrections_survive_the_file(scene, pose, tmp_path, observed):
    pose.SetNthControlPointPosition(2, 0, 0, 0)
    mrml.save_pose(pose, tmp_path / "pose.mrk.json")
    if observed:
        mrml.PoseObserver(scene).start()
    loaded = mrml.load_pose(scene, tmp_path / "pose.mrk.json")
    assert mrml.provenance_of(loaded) == mrml.provenance_of(pose)
    assert loaded.GetAttribute("FetalPose.MovedLandmarks") == "neck"
    np.testing.assert_allclose(mrml.confidence_of(loaded), mrml.confidence_of(pose))


def test_our_file_read_by_another_loader_stays_live(scene, observer, pose, tmp_path):
    mrml.save_pose(pose, tmp_path / "pose.mrk.json")
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    storage = slicer.vtkMRMLMarkupsJsonStorageNode()
    storage.SetFileName(str(tmp_path / "pose.mrk.json"))
    assert storage.ReadData(node)
    node.SetNthControlPointPosition(4, 0, 0, 0)
    assert_lengths_true(node)
    assert node.GetAttribute("FetalPose.Model") == "fetal-frame"
    assert node.GetAttribute("FetalPose.MovedLandmarks") == "left_elbow"


def markups_file(path, labels):
    points = [{"label": label, "position": [i, 2 * i, 3 * i]} for i, label in enumerate(labels)]
    markups = {"type": "Fiducial", "coordinateSystem": "RAS", "controlPoints": points}
    path.write_text(json.dumps({"markups": [markups]}))
    return path


def test_file_of_anyone_is_adopted_in_the_skeletons_order(scene, observer, tmp_path):
    node = mrml.load_pose(scene, markups_file(tmp_path / "theirs.mrk.json", SKELETON.landmarks[::-1]))
    assert [node.GetNthControlPointLabel(i) for i in range(16)] == list(SKELETON.landmarks)
    np.testing.assert_allclose(mrml.points_of(node), [[i, 2 * i, 3 * i] for i in reversed(range(16))])
    assert_lengths_true(node)
    assert mrml.moved_landmarks(node) == ()
    node.SetNthControlPointPosition(0, 9, 9, 9)
    assert mrml.moved_landmarks(node) == ("head",)


def test_wrong_names_are_all_listed(scene, tmp_path):
    labels = ["head", "head", "tail", *SKELETON.landmarks[2:]]
    with pytest.raises(FetalPoseError, match="missing: right_shoulder; twice: head; not a landmark: tail"):
        mrml.load_pose(scene, markups_file(tmp_path / "theirs.mrk.json", labels))
    assert scene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode") == 0


@pytest.mark.parametrize("content", ["", "no JSON", "{}", '{"markups": [{"type": "Curve", "controlPoints": []}]}'])
def test_file_that_is_no_point_list_is_refused(scene, tmp_path, content):
    path = tmp_path / "bad.mrk.json"
    path.write_text(content)
    with pytest.raises(FetalPoseError, match="bad.mrk.json"):
        mrml.load_pose(scene, path)


def test_failed_save_leaves_the_former_file(pose, tmp_path, monkeypatch):
    path = tmp_path / "pose.mrk.json"
    path.write_text("precious")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(FetalPoseError, match="No space left"):
        mrml.save_pose(pose, path)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


# --- the skeleton model


def test_skeleton_is_one_model_in_the_segments_colours(observer, pose):
    model = mrml.show_skeleton(pose)
    assert mrml.show_skeleton(pose) is model
    poly = model.GetPolyData()
    colors = vtk.util.numpy_support.vtk_to_numpy(poly.GetPointData().GetArray("Color"))
    expected = {tuple(int(round(255 * c)) for c in segment.color) for segment in SKELETON.segments}
    assert set(map(tuple, colors.tolist())) == expected
    assert model.GetDisplayNode().GetScalarVisibility()


def test_skeleton_follows_the_points_and_goes_with_them(scene, observer, pose):
    model = mrml.show_skeleton(pose)
    pose.SetNthControlPointPosition(0, 500, 0, 0)
    assert model.GetPolyData().GetBounds()[1] == pytest.approx(500, abs=1)
    for i in range(16):
        pose.UnsetNthControlPointPosition(i)
    assert model.GetPolyData().GetNumberOfPoints() == 0
    scene.RemoveNode(pose)
    assert scene.GetNumberOfNodesByClass("vtkMRMLModelNode") == 0


def test_saved_scene_comes_back_live(scene, pose, tmp_path):
    model = mrml.show_skeleton(pose)
    for node, storage, name in (
        (pose, "vtkMRMLMarkupsJsonStorageNode", "pose.mrk.json"),
        (model, "vtkMRMLModelStorageNode", "model.vtk"),
    ):
        node.SetAndObserveStorageNodeID(scene.AddNewNodeByClass(storage).GetID())
        node.GetStorageNode().SetFileName(str(tmp_path / name))
        assert node.GetStorageNode().WriteData(node)
    scene.SetRootDirectory(str(tmp_path))
    scene.SetURL(str(tmp_path / "scene.mrml"))
    assert scene.Commit()

    other = mrml.new_scene()
    observer = mrml.PoseObserver(other)
    observer.start()
    other.SetURL(str(tmp_path / "scene.mrml"))
    assert other.Connect()
    loaded = other.GetFirstNodeByClass("vtkMRMLMarkupsFiducialNode")
    loaded.SetNthControlPointPosition(0, 500, 0, 0)
    assert_lengths_true(loaded)
    assert mrml.moved_landmarks(loaded) == ("head",)
    assert loaded.GetAttribute("FetalPose.Model") == "fetal-frame"
    assert other.GetFirstNodeByClass("vtkMRMLModelNode").GetPolyData().GetBounds()[1] == pytest.approx(500, abs=1)
    other.Clear(0)
    assert other.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode") == 0
