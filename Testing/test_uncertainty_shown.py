"""Where radii and intervals are shown: pose file, rows of the panel, marks, table, picture and printed lengths."""

import csv
from functools import partial

import fake_worker
import numpy as np
import pytest
from session_desk import drag
from volume_files import picture, write_nrrd

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.estimate import Estimate, rows_of_points
from FetalPoseLib.body.measurements import length_table, segment_lengths
from FetalPoseLib.body.plausibility import CHECK_RADIUS_TO_CRL, crown_rump_length, doubts, unsure
from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.cli import main
from FetalPoseLib.resources import resource_path
from FetalPoseLib.worker.client import WorkerClient

SKELETON = load_skeleton()
BODY = PoseLibrary.load(resource_path("pose_library.npz")).poses[0]
RADIUS = np.linspace(0.6, 2.1, 16)
LENGTHS = segment_lengths(BODY)
INTERVALS = np.stack([LENGTHS - 1.25, LENGTHS + 1.25], axis=1)
KNEE, WRIST = SKELETON.index("right_knee"), SKELETON.index("left_wrist")
FOREARM = [segment.name for segment in SKELETON.segments].index("left_forearm")


@pytest.fixture
def pose(scene):
    points, radius, intervals = BODY.copy(), RADIUS.copy(), INTERVALS.copy()
    points[KNEE], radius[KNEE] = np.nan, np.nan
    intervals[[KNEE in (segment.start, segment.end) for segment in SKELETON.segments]] = np.nan
    estimate = Estimate(points, np.full(16, 0.71), points, {"Model": "x"}, [], radius, intervals)
    return mrml.pose_node(scene, estimate)


# the pose and its file


def test_a_pose_tells_radii_and_intervals_through_its_file(scene, pose, tmp_path):
    assert pose.GetNthControlPointDescription(0) == "confidence 0.71, within 0.6 mm"
    assert pose.GetNthControlPointDescription(KNEE) == "not visible"
    mrml.save_pose(pose, tmp_path / "pose.mrk.json")
    for node in (pose, mrml.load_pose(scene, tmp_path / "pose.mrk.json")):
        seen = np.arange(16) != KNEE
        np.testing.assert_allclose(mrml.radius_of(node)[seen], RADIUS[seen], atol=0.051)
        assert np.isnan(mrml.radius_of(node)[KNEE])
        np.testing.assert_allclose(mrml.confidence_of(node)[seen], 0.71)
        known = np.isfinite(mrml.length_intervals_of(node)).all(axis=1)
        assert [SKELETON.segments[i].name for i in np.flatnonzero(~known)] == ["right_thigh", "right_lower_leg"]
        np.testing.assert_allclose(mrml.length_intervals_of(node)[known], INTERVALS[known], atol=0.006)


def test_what_a_person_moved_has_neither_radius_nor_interval_until_it_is_put_back(scene, pose, tmp_path):
    pose.SetNthControlPointPosition(WRIST, 1.0, 2.0, 3.0)
    mrml.save_pose(pose, tmp_path / "pose.mrk.json")
    for node in (pose, mrml.load_pose(scene, tmp_path / "pose.mrk.json")):
        assert np.isnan(mrml.radius_of(node)[[WRIST, KNEE]]).all() and np.isnan(mrml.radius_of(node)).sum() == 2
        assert np.isnan(mrml.length_intervals_of(node)[FOREARM]).all()
    mrml.reset_landmarks(pose, [WRIST])
    assert mrml.radius_of(pose)[WRIST] == pytest.approx(RADIUS[WRIST], abs=0.051)
    assert np.isfinite(mrml.length_intervals_of(pose)[FOREARM]).all()


def test_a_pose_of_before_and_an_estimate_without_a_calibration_have_none(pose):
    mrml.set_estimate(pose, BODY, np.full(16, 0.71))
    assert pose.GetNthControlPointDescription(0) == "confidence 0.71"
    np.testing.assert_allclose(mrml.confidence_of(pose), 0.71)
    assert np.isnan(mrml.radius_of(pose)).all() and np.isnan(mrml.length_intervals_of(pose)).all()


# marks


def test_a_landmark_is_marked_for_its_radius_and_without_one_for_its_confidence():
    limit = CHECK_RADIUS_TO_CRL * crown_rump_length(BODY)
    radius, confidence = np.full(16, 0.9 * limit), np.full(16, 0.9)
    radius[[3, 5]], radius[8], confidence[[5, 7, 8]] = 1.1 * limit, np.nan, 0.1
    assert np.flatnonzero(unsure(BODY, confidence, radius)).tolist() == [3, 5, 8]
    assert np.flatnonzero(unsure(BODY, confidence)).tolist() == [5, 7, 8]
    assert not unsure(BODY).any() and not unsure(np.full((16, 3), np.nan), confidence, radius).any()
    found = doubts(BODY, confidence, radius_mm=radius, placed=[5])
    assert [doubt.landmarks for doubt in found] == [(3,), (8,)]
    assert f"may be off by {1.1 * limit:.1f} mm" in found[0].reason and "confidence 0.10" in found[1].reason


def test_the_mark_grows_with_the_fetus():
    radius = np.full(16, 1.2 * CHECK_RADIUS_TO_CRL * crown_rump_length(BODY))
    assert unsure(BODY, None, radius).all() and not unsure(1.5 * BODY, None, radius).any()


# the panel


@pytest.fixture
def desk(desk):
    """A session whose process knows radii and intervals."""
    lengths = segment_lengths(desk.truth)
    desk.intervals = np.stack([lengths - 1, lengths + 2], axis=1)
    desk.answer(radius_mm=[1.94] * 16, length_interval_mm=desk.intervals.tolist())
    return desk


def test_rows_say_radius_and_interval_and_undo_brings_them_back(desk, tmp_path):
    pose = desk.estimate()
    assert {row.text for row in desk.session.landmark_rows(pose)} == {"0.90, 1.9 mm"}
    row = desk.session.length_rows(pose)[FOREARM]
    assert row.interval == "{:.1f} to {:.1f}".format(*desk.intervals[FOREARM])
    drag(pose, "left_wrist", (1, 2, 3))
    assert desk.session.landmark_rows(pose)[WRIST].text == "placed by you"
    assert desk.session.length_rows(pose)[FOREARM].interval == ""
    desk.session.export_table(pose, tmp_path / "lengths.csv")
    with (tmp_path / "lengths.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[FOREARM]["low_mm"] == "" and float(rows[0]["low_mm"]) == pytest.approx(desk.intervals[0, 0], abs=0.01)
    desk.answer(radius_mm=[3.0] * 16, length_interval_mm=(desk.intervals + 1).tolist())
    assert desk.estimate(pose, refine=True) is pose
    assert {row.text for row in desk.session.landmark_rows(pose)} == {"0.90, 3.0 mm", "placed by you"}
    assert desk.session.length_rows(pose)[0].interval == "{:.1f} to {:.1f}".format(*desk.intervals[0] + 1)
    while desk.session.history(pose).can_undo:
        desk.session.undo(pose)
    assert {row.text for row in desk.session.landmark_rows(pose)} == {"0.90, 1.9 mm"}
    assert desk.session.length_rows(pose)[FOREARM].interval == row.interval


def test_a_large_radius_marks_the_point(desk):
    desk.answer(radius_mm=[20.0 if i == WRIST else 1.0 for i in range(16)])
    pose = desk.estimate()
    found = desk.session.doubts(pose)
    assert "may be off by 20.0 mm" in desk.session.landmark_rows(pose, found)[WRIST].mark
    assert not pose.GetNthControlPointSelected(WRIST) and pose.GetNthControlPointSelected(0)
    assert desk.session.doubts_text(found) == "The model is unsure of: left wrist."


# the command line


@pytest.fixture
def estimate(tmp_path, monkeypatch):
    """Runs the command on a small volume with an answer of our own; the paths of pose, table and picture."""
    volume = write_nrrd(tmp_path / "good.nrrd", picture(), "dimension: 3", "sizes: 40 36 32", "spacings: 1 1 1")

    def run(name, **plan):
        points = np.random.default_rng(1).uniform(5, 20, (16, 3))
        command = fake_worker.command({"points": rows_of_points(points), "confidence": [0.9] * 16, **plan})
        monkeypatch.setattr("FetalPoseLib.cli.terminal.WorkerClient", partial(WorkerClient, command=command))
        paths = [tmp_path / f"{name}{suffix}" for suffix in (".mrk.json", ".csv", ".png")]
        options = ["--output", paths[0], "--table", paths[1], "--picture", paths[2]]
        assert main([str(argument) for argument in ("estimate", volume, *options)]) == 0
        return paths

    return run


def test_the_command_line_shows_intervals_and_radii_where_they_are_known(estimate, capsys, scene):
    intervals = np.stack([np.linspace(3, 10, 15), np.linspace(5, 15, 15)], axis=1)
    pose, table, drawn = estimate("known", radius_mm=[1.5] * 16, length_interval_mm=intervals.tolist())
    printed = capsys.readouterr().out.splitlines()
    rows = list(csv.DictReader(table.open()))
    assert [float(row["low_mm"]) for row in rows] == pytest.approx(intervals[:, 0], abs=0.006)
    assert [float(row["high_mm"]) for row in rows] == pytest.approx(intervals[:, 1], abs=0.006)
    for line, row in zip(printed[: len(rows)], rows, strict=True):  # size and posture follow
        assert line.split() == [row["segment"], row["length_mm"], "mm", row["low_mm"], "to", row["high_mm"], "mm"]
    np.testing.assert_allclose(mrml.radius_of(mrml.load_pose(scene, pose)), 1.5)
    _, bare, undrawn = estimate("unknown")
    lengths = capsys.readouterr().out.splitlines()[: len(rows)]
    assert all(line.endswith(" mm") and "to " not in line for line in lengths)
    assert bare.read_text().splitlines()[0] == "segment,from,to,length_mm,check"
    assert drawn.read_bytes() != undrawn.read_bytes()


def test_a_table_of_unknown_intervals_has_no_columns_for_them():
    assert "low_mm" not in length_table(BODY, interval_mm=np.full((15, 2), np.nan))[0]
