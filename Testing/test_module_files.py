"""Files of a corrected pose in the panel: export, import, poses of others, the user's own library."""

import csv
import json

import numpy as np
import pytest
import slicer
from scene_poses import SKELETON, drag, index

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.body.skeleton import load_skeleton

# --- files


def test_export_and_import_keep_lengths_origin_and_corrections(bench):
    pose = bench.estimated()
    drag(pose, "left_knee", (1, 2, 3))
    bench.dialogs.path = bench.folder / "corrected"
    bench.ui.exportPoseButton.click()
    markups = json.loads((bench.folder / "corrected.mrk.json").read_text())["markups"][0]
    stored = {m["name"]: m["value"] for m in markups["measurements"] if m["enabled"]}
    lengths = [stored[segment.name] for segment in load_skeleton().segments]  # size and posture are stored, too
    assert [f"{value:.1f}" for value in lengths] == bench.table
    bench.dialogs.path = bench.folder / "corrected.csv"
    bench.ui.exportTableButton.click()
    with open(bench.dialogs.path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [f"{float(row['length_mm']):.1f}" for row in rows] == bench.table
    table = bench.table
    slicer.mrmlScene.Clear(0)
    bench.dialogs.path = bench.folder / "corrected.mrk.json"
    bench.ui.importButton.click()
    assert bench.table == table and bench.pose.GetAttribute("FetalPose.Model") == "fetal-frame"
    assert bench.ui.landmarksTable.item(index("left_knee"), 1).text() == "placed by you"
    drag(bench.pose, "head", (9, 9, 9))
    bench.assert_lengths_true()


def test_failed_export_is_a_message(bench):
    bench.estimated()
    bench.dialogs.path = bench.folder / "no" / "such" / "folder.csv"
    bench.ui.exportTableButton.click()
    assert "does not exist" in bench.status


def foreign_file(path, labels):
    points = [{"label": label, "position": [i, 2 * i, 3 * i]} for i, label in enumerate(labels)]
    markups = {"type": "Fiducial", "coordinateSystem": "RAS", "controlPoints": points}
    path.write_text(json.dumps({"markups": [markups]}))
    return path


def test_everything_works_on_a_pose_of_anyone(bench):
    bench.dialogs.path = foreign_file(bench.folder / "theirs.mrk.json", SKELETON.landmarks[::-1])
    bench.ui.importButton.click()
    np.testing.assert_allclose(mrml.points_of(bench.pose)[0], [15, 30, 45])
    bench.assert_lengths_true()
    drag(bench.pose, "head", (9, 9, 9))
    bench.ui.undoButton.click()
    np.testing.assert_allclose(mrml.points_of(bench.pose)[0], [15, 30, 45])
    bench.volume()
    drag(bench.pose, "head", (9, 9, 9))
    bench.ui.refineButton.click()
    bench.wait(lambda: not bench.session.running)
    np.testing.assert_allclose(mrml.points_of(bench.pose)[1:], bench.truth[1:], atol=1e-6)


@pytest.mark.parametrize("labels", [SKELETON.landmarks[:7], ("head", *SKELETON.landmarks[:15])])
def test_import_with_missing_or_duplicate_labels_says_which(bench, labels):
    bench.dialogs.path = foreign_file(bench.folder / "bad.mrk.json", labels)
    bench.ui.importButton.click()
    assert "missing: " in bench.status and bench.pose is None
    assert ("twice: head" in bench.status) == (len(labels) == 16)


def test_import_without_one_landmark_says_which_is_not_visible(bench):
    bench.dialogs.path = foreign_file(bench.folder / "theirs.mrk.json", SKELETON.landmarks[:15])
    bench.ui.importButton.click()
    assert "not visible: left_ankle" in bench.status
    assert np.isnan(mrml.points_of(bench.pose)).any(axis=1).tolist() == [False] * 15 + [True]


def test_other_markups_chosen_as_pose_are_left_alone(bench):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Targets")
    bench.ui.poseSelector.setCurrentNode(node)
    assert "'Targets' is not a fetal pose" in bench.status and bench.pose is None
    assert node.GetNumberOfMeasurements() == 0


# --- the user's own library


def test_corrected_pose_goes_into_the_users_library_without_its_place(bench):
    bench.estimated()
    bench.dialogs.path = bench.folder / "library"
    bench.ui.addToLibraryButton.click()
    bench.ui.addToLibraryButton.click()
    assert "2 poses" in bench.status
    library = PoseLibrary.load(bench.folder / "library" / "my-poses.npz")
    assert library.names == ("own-1", "own-2")
    np.testing.assert_allclose(library.poses[0] - library.poses[0][0], bench.truth - bench.truth[0], atol=1e-6)
    np.testing.assert_allclose(library.poses[0][index("neck")], 0, atol=1e-9)
    bench.estimate()
    assert bench.requests()[-1].options.libraries == (str(bench.folder / "library" / "my-poses.npz"),)


def test_incomplete_pose_is_not_added(bench):
    bench.estimated()
    bench.dialogs.path = bench.folder
    bench.select("left_knee")
    bench.ui.visibleButton.click()
    bench.ui.addToLibraryButton.click()
    assert "left_knee" in bench.status and not (bench.folder / "my-poses.npz").exists()
