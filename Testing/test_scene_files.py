"""Pose files, the skeleton's model and whole scenes: saved, read, adopted, alive again."""

import json
import os
import re
import sys

import numpy as np
import pytest
import slicer
import slicer.util
import vtk
from scene_poses import POINTS, SKELETON, assert_lengths_true

from FetalPoseLib import scene as mrml
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.volume.grid import Volume

# --- files


def test_file_saved_from_anywhere_holds_true_lengths(observer, pose, tmp_path):
    pose.SetNthControlPointPosition(4, 1, 2, 3)
    storage = slicer.vtkMRMLMarkupsJsonStorageNode()
    storage.SetFileName(str(tmp_path / "any.mrk.json"))
    assert storage.WriteData(pose)
    markups = json.loads((tmp_path / "any.mrk.json").read_text())["markups"][0]
    stored = {m["name"]: m.get("value") for m in markups["measurements"] if m["enabled"]}
    assert stored["left_upper_arm"] == pytest.approx(np.linalg.norm(POINTS[3] - [1, 2, 3]))
    assert {segment.name for segment in SKELETON.segments} < set(stored)


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
    assert mrml.placed_landmarks(node) == ()
    node.SetNthControlPointPosition(0, 9, 9, 9)
    assert mrml.placed_landmarks(node) == ("head",)


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


def test_points_and_lengths_of_a_file_agree_under_a_transform_that_scales(scene, observer, pose, tmp_path):
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.array([[2.0, 0, 0, 5], [0, 2, 0, -3], [0, 0, 2, 1], [0, 0, 0, 1]])
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    pose.SetNthControlPointPositionMissing(7)
    pose.SetAndObserveTransformNodeID(transform.GetID())
    mrml.save_pose(pose, tmp_path / "pose.mrk.json")
    loaded = mrml.load_pose(mrml.new_scene(), tmp_path / "pose.mrk.json")
    np.testing.assert_allclose(mrml.points_of(loaded), mrml.points_of(pose))
    np.testing.assert_allclose(mrml.points_of(loaded)[3], 2 * POINTS[3] + matrix[:3, 3])
    markups = json.loads((tmp_path / "pose.mrk.json").read_text())["markups"][0]
    [stored] = [m["value"] for m in markups["measurements"] if m["name"] == "left_upper_arm"]
    assert stored == pytest.approx(2 * np.linalg.norm(POINTS[3] - POINTS[4]))


@pytest.mark.skipif(sys.platform == "win32", reason="the size of files cannot be limited")
@pytest.mark.parametrize("name", ["volume.nrrd", "volume.nii.gz", "volume.mha"])
@pytest.mark.parametrize("room", [0, 300, 4096, 30_000])
def test_a_volume_that_the_disk_could_not_hold_leaves_the_former_file(scene, tmp_path, name, room):
    import resource

    array = np.random.default_rng(0).integers(0, 255, (60, 60, 60), dtype=np.uint8)
    path, node = tmp_path / name, mrml.add_volume(scene, Volume(array, np.diag([-0.5, -0.5, 0.7, 1])))
    path.write_bytes(b"precious")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(FetalPoseError, match=re.escape(name)):
            mrml.write_volume(node, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"precious" and list(tmp_path.iterdir()) == [path]
    mrml.write_volume(node, path)
    assert np.array_equal(mrml.volume_from_node(mrml.read_volume(scene, path)).array, array)


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
    assert mrml.placed_landmarks(loaded) == ("head",)
    assert loaded.GetAttribute("FetalPose.Model") == "fetal-frame"
    assert other.GetFirstNodeByClass("vtkMRMLModelNode").GetPolyData().GetBounds()[1] == pytest.approx(500, abs=1)
    other.Clear(0)
    assert other.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode") == 0
