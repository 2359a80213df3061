"""What a session reads and writes, and what it leaves behind: files, the person's library, signals, its end."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from session_desk import SKELETON, drag, index

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.crown_rump import CrownRump
from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.session import Settings, Signal, estimating
from FetalPoseLib.session.user_library import Atlases, add_pose

ROOT = Path(__file__).resolve().parent.parent


def test_export_and_import_keep_lengths_origin_and_corrections(desk, tmp_path):
    pose = desk.estimate()
    drag(pose, "left_knee", (1, 2, 3))
    table = [row.text for row in desk.session.length_rows(pose)]
    desk.session.export_pose(pose, tmp_path / "pose.mrk.json")
    desk.session.export_table(pose, tmp_path / "pose.csv")
    with open(tmp_path / "pose.csv", newline="") as file:
        assert [f"{float(row['length_mm']):.1f}" for row in csv.DictReader(file)] == table
    desk.scene.Clear(0)
    again = desk.session.import_pose(tmp_path / "pose.mrk.json")
    assert [row.text for row in desk.session.length_rows(again)] == table
    assert again.GetAttribute("FetalPose.Model") == "fetal-frame"
    assert mrml.placed_landmarks(again) == ("left_knee",)


def test_measures_are_found_in_the_volume_and_exported(desk, tmp_path, monkeypatch):
    found = CrownRump(61.25, (60.1, 62.4), "volume")
    asked = []
    monkeypatch.setattr(estimating, "crown_rump_length", lambda volume, points: asked.append(points) or found)
    pose = desk.estimate()
    (points,) = asked
    np.testing.assert_allclose(points, mrml.points_of(pose))
    assert mrml.crown_rump_of(pose) == found and pose.GetMeasurement("crown_rump_length").GetValue() == 61.25
    desk.session.export_measures(pose, tmp_path / "measures.csv")
    with open(tmp_path / "measures.csv", newline="") as file:
        rows = {row["measure"]: row for row in csv.DictReader(file)}
    assert list(rows) == [measure.name for measure in desk.session.measures(pose)]
    assert (rows["crown_rump_length"]["value"], rows["crown_rump_length"]["note"]) == ("61.2", "from volume")


@pytest.mark.parametrize("name", ["no/such/folder.csv", "pose.txt"])
def test_a_table_that_cannot_be_written_is_a_message(desk, tmp_path, name):
    pose = desk.estimate()
    with pytest.raises(FetalPoseError, match="does not exist|must end in .csv"):
        desk.session.export_table(pose, tmp_path / name)


def test_markups_of_anyone_are_adopted_and_others_refused(desk, tmp_path):
    points = [{"label": name, "position": [i, 2 * i, 3 * i]} for i, name in enumerate(SKELETON.landmarks[::-1])]
    markups = {"type": "Fiducial", "coordinateSystem": "RAS", "controlPoints": points}
    (tmp_path / "theirs.mrk.json").write_text(json.dumps({"markups": [markups]}))
    pose = desk.session.import_pose(tmp_path / "theirs.mrk.json")
    np.testing.assert_allclose(mrml.points_of(pose)[0], [15, 30, 45])
    node = desk.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Targets")
    with pytest.raises(FetalPoseError, match="'Targets' are not a fetal pose"):
        desk.session.adopt(node)
    assert node.GetNumberOfMeasurements() == 0


def test_the_persons_library_takes_whole_poses_without_their_place(desk, tmp_path):
    pose = desk.estimate()
    with pytest.raises(FetalPoseError, match="Choose a folder"):
        desk.session.add_to_library(pose)
    (tmp_path / "file").write_text("")
    desk.session.settings = Settings(library_folder=str(tmp_path / "file"))
    with pytest.raises(FetalPoseError, match="cannot be made"):
        desk.session.add_to_library(pose)
    desk.session.settings = Settings(library_folder=str(tmp_path / "library"))
    assert [desk.session.add_to_library(pose) for _ in range(2)] == [1, 2]
    library = PoseLibrary.load(tmp_path / "library" / "my-poses.npz")
    assert library.names == ("own-1", "own-2")
    np.testing.assert_allclose(library.poses[0], desk.truth - desk.truth[index("neck")], atol=1e-6)
    desk.session.set_visible(pose, "left_knee", False)
    with pytest.raises(FetalPoseError, match="Place left_knee first"):
        desk.session.add_to_library(pose)


def test_atlases_are_read_again_only_where_the_persons_library_changed(desk, tmp_path):
    atlases, path = Atlases(), tmp_path / "my-poses.npz"
    bundled = atlases.with_own(path)
    assert atlases.with_own(path) is bundled
    add_pose(desk.estimate(), path)
    own = atlases.with_own(path)
    assert own.names == (*bundled.names, "own-1") and atlases.with_own(path) is own
    path.write_bytes(b"not a library")
    assert atlases.with_own(path).names == bundled.names  # logged: a pose can be shown without them


# the session and what is around it


def test_close_ends_the_process_and_lets_go_of_scene_and_poses(desk):
    pose = desk.estimate()
    pid_before = desk.client.pid
    desk.session.close()
    desk.told.clear()
    assert pid_before is not None and desk.client.pid is None
    for event in (pose.PointModifiedEvent, pose.PointStartInteractionEvent, pose.PointEndInteractionEvent):
        assert not pose.HasObserver(event)
    drag(pose, "head", (1, 2, 3))
    desk.scene.Clear(0)
    assert desk.told == []


def test_a_signal_tells_each_slot_once():
    told, signal = [], Signal()
    signal.connect(told.append)
    signal.connect(told.append)
    signal.emit(1)
    assert told == [1]


def test_a_session_needs_neither_torch_nor_an_application():
    code = (
        "import sys, slicer, FetalPoseLib.session as s; from FetalPoseLib.scene import new_scene\n"
        "from FetalPoseLib.worker.client import WorkerClient\n"
        "s.PoseSession(new_scene(), WorkerClient()).close()\n"
        "assert not hasattr(slicer, 'app')\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'safetensors', 'qt', 'ctk', 'PySide6')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
