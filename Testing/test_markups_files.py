"""Markups files of others, good ones and damaged ones: a pose or one clear message, and never more than that."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.scene.pose import INTERVALS

NAMES = load_skeleton().landmarks
POINTS = np.arange(48.0).reshape(16, 3)  # RAS mm
LOAD = (
    "import sys\nfrom FetalPoseLib import scene\nfrom FetalPoseLib.errors import FetalPoseError\n"
    "scene.silence_log()\n"
    "try:\n    scene.load_pose(scene.new_scene(), sys.argv[1]); print('read')\n"
    "except FetalPoseError as error:\n    print('refused:', error)\n"
)


def markups(**changes) -> dict:
    points = [{"label": name, "position": list(map(float, p))} for name, p in zip(NAMES, POINTS, strict=True)]
    return {"type": "Fiducial", "coordinateSystem": "RAS", "controlPoints": points, **changes}


def write(path: Path, *lists: dict) -> Path:
    path.write_text(json.dumps({"markups": list(lists)}), encoding="utf-8")
    return path


def changed(change) -> dict:
    result = markups()
    change(result)
    return result


def provenance(text) -> dict:
    return markups(measurements=[{"name": "provenance", "enabled": False, "description": text}])


# --- files that are read


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1), ("cm", 10), ("m", 1000), (["cm", "cm", "cm"], 10)])
def test_coordinates_are_in_the_units_that_the_file_states(scene, tmp_path, unit, factor):
    path = write(tmp_path / "a.mrk.json", markups(coordinateUnits=unit))
    np.testing.assert_allclose(mrml.points_of(mrml.load_pose(scene, path)), factor * POINTS)


def test_lps_is_turned_into_ras(scene, tmp_path):
    path = write(tmp_path / "a.mrk.json", markups(coordinateSystem="LPS"))
    np.testing.assert_allclose(mrml.points_of(mrml.load_pose(scene, path)), POINTS * [-1, -1, 1])


@pytest.mark.parametrize("written", [str.upper, str.title, lambda n: n.replace("_", " "), lambda n: f" {n.title()}  "])
def test_names_may_be_written_with_capitals_and_spaces(scene, tmp_path, written):
    def rename(m):
        for point in m["controlPoints"]:
            point["label"] = written(point["label"])

    node = mrml.load_pose(scene, write(tmp_path / "a.mrk.json", changed(rename)))
    np.testing.assert_allclose(mrml.points_of(node), POINTS)
    assert node.GetNthControlPointLabel(1) == "right_shoulder"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_byte_order_marks_are_no_obstacle(scene, tmp_path, encoding):
    path = tmp_path / "a.mrk.json"
    path.write_text(json.dumps({"markups": [markups()]}), encoding=encoding)
    np.testing.assert_allclose(mrml.points_of(mrml.load_pose(scene, path)), POINTS)


def test_a_landmark_that_is_absent_or_only_a_preview_is_not_visible(scene, tmp_path):
    def change(m):
        m["controlPoints"][4]["positionStatus"] = "preview"
        del m["controlPoints"][9]

    points = mrml.points_of(mrml.load_pose(scene, write(tmp_path / "a.mrk.json", changed(change))))
    assert np.isnan(points).all(axis=1).nonzero()[0].tolist() == [4, 9]
    visible = np.isfinite(points)
    np.testing.assert_allclose(points[visible], POINTS[visible])


def test_a_locked_list_can_be_corrected(scene, tmp_path):
    locked = changed(lambda m: [point.update(locked=True) for point in m["controlPoints"]]) | {"locked": True}
    node = mrml.load_pose(scene, write(tmp_path / "a.mrk.json", locked))
    assert not node.GetLocked() and not node.GetNthControlPointLocked(3)


def test_other_lists_in_the_file_do_not_matter(scene, tmp_path):
    other = {"type": "Fiducial", "coordinateSystem": "RAS", "controlPoints": [{"label": "F-1", "position": [1, 2, 3]}]}
    curve = {"type": "Curve", "controlPoints": []}
    path = write(tmp_path / "a.mrk.json", other, curve, markups())
    np.testing.assert_allclose(mrml.points_of(mrml.load_pose(scene, path)), POINTS)


@pytest.mark.parametrize(("system", "sign"), [("LPS", [-1, -1, 1]), ("RAS", [1, 1, 1]), ("0", [1, 1, 1])])
def test_the_older_format_is_read(scene, tmp_path, system, sign):
    rows = [
        f"{i},{x},{y},{z},0,0,0,1,1,1,0,{name.replace('_', ' ')},,,2,0"
        for i, (name, (x, y, z)) in enumerate(zip(NAMES, POINTS, strict=True))
    ]
    rows[3] = rows[3].replace(",2,0", ",0,0")  # a point without a position
    columns = "id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID"
    head = ["# Markups fiducial file version = 5.8", f"# CoordinateSystem = {system}", f"# columns = {columns}"]
    path = tmp_path / "a.fcsv"
    path.write_text("\n".join([*head, *rows, ""]))
    node = mrml.load_pose(scene, path)
    expected = np.where(np.arange(16)[:, None] == 3, np.nan, POINTS * sign)
    np.testing.assert_allclose(mrml.points_of(node), expected)
    assert node.GetName() == "a"


@pytest.mark.parametrize(
    "original", ["x", "null", "[[1,2,3]]", json.dumps([["a"] * 3] * 16), json.dumps([[10**400, 1, 1]] * 16), "[" * 9999]
)
def test_a_damaged_provenance_costs_nothing_but_itself(scene, tmp_path, original):
    stored = json.dumps({"FetalPose.Skeleton": "FetusMap-16", "FetalPose.Original": original, INTERVALS: original})
    node = mrml.load_pose(scene, write(tmp_path / "a.mrk.json", provenance(stored)))
    np.testing.assert_allclose(mrml.points_of(node), POINTS)
    assert mrml.placed_landmarks(node) == ()
    assert np.isnan(mrml.length_intervals_of(node)).all()


def test_what_others_write_beside_a_point_is_no_confidence(scene, tmp_path):
    texts = ["confidence 1.2.3", "confidence 7, within 1.2.3 mm", "confidence ٣", "confidence 0.25, within 1.5 mm"]
    described = changed(lambda m: [p.update(description=t) for p, t in zip(m["controlPoints"], texts, strict=False)])
    node = mrml.load_pose(scene, write(tmp_path / "a.mrk.json", described))
    confidence, radius = mrml.confidence_of(node), mrml.radius_of(node)
    assert np.isnan(radius[:3]).all() and radius[3] == 1.5
    assert np.isnan(confidence[:3]).all() and confidence[3] == 0.25


@pytest.mark.parametrize("text", ["confidence 0.71, within 1.9 mm", "not visible", "not seen"])
def test_what_this_and_earlier_versions_write_beside_a_point_stays(scene, tmp_path, text):
    described = changed(lambda m: m["controlPoints"][0].update(description=text))
    node = mrml.load_pose(scene, write(tmp_path / "a.mrk.json", described))
    assert node.GetNthControlPointDescription(0) == text


def test_many_measurements_take_no_time_because_mrml_never_sees_them(scene, tmp_path):
    many = markups(measurements=[{"name": f"x{i}", "enabled": True, "value": 1.0} for i in range(100_000)])
    node = mrml.load_pose(scene, write(tmp_path / "a.mrk.json", many))
    assert node.GetNumberOfMeasurements() < 50 and node.GetMeasurement("x0") is None


# --- files that are refused


REFUSED = {
    "units of a foreign country": markups(coordinateUnits="inch"),
    "units that contradict each other": markups(coordinateUnits=["mm", "mm", "cm"]),
    "system": markups(coordinateSystem="IJK"),
    "status": changed(lambda m: m["controlPoints"][2].update(positionStatus=["defined"])),
    "position of two": changed(lambda m: m["controlPoints"][2].update(position=[1, 2])),
    "position of text": changed(lambda m: m["controlPoints"][2].update(position=["1", "2", "3"])),
    "position too far": changed(lambda m: m["controlPoints"][2].update(position=[10**400, 2, 3])),
    "position absent": changed(lambda m: m["controlPoints"][2].pop("position")),
    "no points": markups(controlPoints=[]),
    "points of numbers": markups(controlPoints=[1, None, "x"]),
    "a name twice": changed(lambda m: m["controlPoints"][2].update(label="Head ")),
    "most landmarks absent": changed(lambda m: m["controlPoints"].__delitem__(slice(5, None))),
    "a hundred thousand points more": changed(
        lambda m: m["controlPoints"].extend({"label": f"p{i}" * 9, "position": [1, 2, 3]} for i in range(100_000))
    ),
    "a name of a megabyte": changed(lambda m: m["controlPoints"][2].update(label="x" * 2**20)),
    "a name that steers a terminal": changed(lambda m: m["controlPoints"][2].update(label="\x1b[2J\x1b[31mDone")),
    "a name that does not encode": changed(lambda m: m["controlPoints"][2].update(label="\udcff")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_reason_is_one_short_message_and_the_scene_stays_as_it_was(scene, tmp_path, name):
    path = write(tmp_path / "bad.mrk.json", REFUSED[name])
    with pytest.raises(FetalPoseError, match=r"bad\.mrk\.json") as raised:
        mrml.load_pose(scene, path)
    message = str(raised.value)
    assert len(message) < 1000 and message.isprintable() and message.encode()
    assert scene.GetNumberOfNodes() == 0


def test_two_lists_with_the_landmarks_are_not_chosen_from(scene, tmp_path):
    with pytest.raises(FetalPoseError, match="2 lists"):
        mrml.load_pose(scene, write(tmp_path / "a.mrk.json", markups(), markups()))


def test_a_failure_within_mrml_leaves_nothing_in_the_scene(scene, tmp_path, monkeypatch):
    monkeypatch.setattr("FetalPoseLib.scene.storage.update_derived", lambda node: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        mrml.load_pose(scene, write(tmp_path / "a.mrk.json", markups()))
    assert scene.GetNumberOfNodes() == 0


CRASHING = {
    "a measurement that is null": json.dumps({"markups": [markups(measurements=[None, 1, [2]])]}),
    "a format string": json.dumps(
        {"markups": [markups(measurements=[{"name": "x", "value": 1.0, "printFormat": "%s%s%s%n%n"}])]}
    ),
    "nested": json.dumps({"markups": [markups()]})[:-1] + ',"x":' + "[" * 1_000_000 + "]" * 1_000_000 + "}",
    "provenance nested": json.dumps({"markups": [provenance("[" * 100_000)]}),
    "no text": b"\xff\xfe\xff" + b"\x00" * 100,
}


@pytest.mark.parametrize("name", CRASHING)
def test_no_file_ends_the_process(tmp_path, name):
    content = CRASHING[name]
    path = tmp_path / "bad.mrk.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = subprocess.run([sys.executable, "-c", LOAD, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(("read", "refused: "))


def test_a_file_name_that_is_no_utf_8_is_read(tmp_path):
    path = tmp_path / "name_\udcff.mrk.json"
    try:
        write(path, markups())
    except OSError:
        pytest.skip("the file system holds names in UTF-8 only")
    done = subprocess.run([sys.executable, "-c", LOAD, path], capture_output=True, check=False)
    assert done.returncode == 0 and done.stdout.strip() == b"read", done.stderr
