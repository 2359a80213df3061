"""The clinical measures as measurements of a pose node and in its file: kept true, kept with the pose, never stale."""

import json

import numpy as np
import pytest

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.clinical import clinical_measures
from FetalPoseLib.body.crown_rump import CrownRump, crown_rump_of_pose
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.simulation.biometry import draw_biometry
from FetalPoseLib.simulation.kinematics import pose_body

SKELETON = load_skeleton()
FOUND = CrownRump(61.25, (60.1, 62.4), "volume")


@pytest.fixture(scope="module")
def points():
    rng = np.random.default_rng(12)
    return pose_body(rng, draw_biometry(rng)).landmarks


@pytest.fixture
def node(scene, points):
    node = mrml.create_pose(scene)
    mrml.set_estimate(node, points, np.ones(16), provenance={"Model": "fetal-frame"})
    return node


def value(node, name):
    measurement = node.GetMeasurement(name)
    return measurement.GetValue() if measurement.GetValueDefined() else np.nan


def assert_true(node, crown_rump=None):
    """The node's measurements are the measures of its points."""
    for measure in clinical_measures(mrml.points_of(node), crown_rump=crown_rump):
        assert value(node, measure.name) == pytest.approx(measure.value, nan_ok=True, abs=1e-6), measure.name


def test_measurements_are_those_of_the_points(observer, node):
    assert_true(node)
    assert node.GetMeasurement("crown_rump_length").GetUnits() == "mm"
    assert node.GetMeasurement("left_knee_flexion").GetUnits() == "deg"
    assert "from head and trunk" in node.GetMeasurement("crown_rump_length").GetDescription()
    assert "90 % within" in node.GetMeasurement("cranial_dorsal_hip_angle").GetDescription()


def test_measurements_follow_a_point_that_moves_or_goes(observer, node):
    before = value(node, "left_knee_flexion")
    node.SetNthControlPointPosition(SKELETON.index("left_ankle"), 1, 2, 3)
    assert value(node, "left_knee_flexion") != pytest.approx(before, abs=0.1)
    assert_true(node)
    node.UnsetNthControlPointPosition(SKELETON.index("left_knee"))
    assert np.isnan(value(node, "left_knee_flexion")) and np.isnan(value(node, "left_thigh_z"))
    assert_true(node)
    node.UnsetNthControlPointPosition(SKELETON.index("sacrum"))
    assert np.isnan(value(node, "crown_rump_length")) and np.isnan(value(node, "gestational_age"))
    assert_true(node)


def test_a_length_from_the_volume_counts_until_head_or_sacrum_moves(observer, node, points):
    mrml.set_crown_rump(node, FOUND)
    mrml.update_derived(node)
    assert mrml.crown_rump_of(node) == FOUND
    assert_true(node, FOUND)
    node.SetNthControlPointPosition(SKELETON.index("left_wrist"), 4, 5, 6)
    assert value(node, "crown_rump_length") == FOUND.length_mm
    head = SKELETON.index("head")
    node.SetNthControlPointPosition(head, *(points[head] + [0, 0, 1.0]))
    assert mrml.crown_rump_of(node) is None
    assert value(node, "crown_rump_length") == pytest.approx(crown_rump_of_pose(mrml.points_of(node)).length_mm)
    node.SetNthControlPointPosition(head, *points[head])  # undone
    assert mrml.crown_rump_of(node) == FOUND and value(node, "crown_rump_length") == FOUND.length_mm
    mrml.set_crown_rump(node, None)
    assert mrml.crown_rump_of(node) is None


def test_the_heads_turn_is_kept_with_the_pose(scene, node, points, tmp_path):
    assert mrml.head_turn_of(node) is None
    mrml.set_head_turn(node, -24.0)
    mrml.save_pose(node, tmp_path / "pose.mrk.json")
    loaded = mrml.load_pose(scene, tmp_path / "pose.mrk.json")
    assert mrml.head_turn_of(node) == mrml.head_turn_of(loaded) == -24.0
    loaded.SetNthControlPointPosition(SKELETON.index("head"), *(points[0] + [0, 0, 1.0]))
    assert mrml.head_turn_of(loaded) is None
    for damaged in ("", "null", "{}", '{"turn_deg": 900, "head_sacrum_mm": 1}', '{"turn_deg": "left"}'):
        node.SetAttribute("FetalPose.HeadTurn", damaged)
        assert mrml.head_turn_of(node) is None


def test_measures_go_into_the_file_and_come_back(scene, node, tmp_path):
    mrml.set_crown_rump(node, FOUND)
    node.SetAttribute("FetalPose.AgeFormula", "robinson")
    mrml.save_pose(node, tmp_path / "pose.mrk.json")
    markups = json.loads((tmp_path / "pose.mrk.json").read_text())["markups"][0]
    stored = {m["name"]: m.get("value") for m in markups["measurements"]}
    assert stored["crown_rump_length"] == FOUND.length_mm and stored["left_thigh"] == value(node, "left_thigh")
    loaded = mrml.load_pose(scene, tmp_path / "pose.mrk.json")
    assert mrml.crown_rump_of(loaded) == FOUND
    assert [m.name for m in mrml.measures_of(loaded)] == [m.name for m in mrml.measures_of(node)]
    assert value(loaded, "crown_rump_length") == FOUND.length_mm
    if np.isfinite(value(node, "gestational_age")):
        assert "Robinson" in loaded.GetMeasurement("gestational_age").GetDescription()


def test_a_file_written_before_has_the_measures_of_its_points(scene, node, tmp_path):
    mrml.save_pose(node, tmp_path / "pose.mrk.json")
    document = json.loads((tmp_path / "pose.mrk.json").read_text())
    (markups,) = document["markups"]
    names = {segment.name for segment in SKELETON.segments} | {"provenance"}
    markups["measurements"] = [m for m in markups["measurements"] if m["name"] in names]
    (tmp_path / "old.mrk.json").write_text(json.dumps(document))
    assert_true(mrml.load_pose(scene, tmp_path / "old.mrk.json"))


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "null",
        "[]",
        "{}",
        "no JSON",
        '{"length_mm": "x"}',
        '{"length_mm": 1e999, "interval_mm": [1, 2]}',
        "[" * 5000,
    ],
)
def test_a_damaged_attribute_is_none(node, stored):
    node.SetAttribute("FetalPose.CrownRump", stored)
    assert mrml.crown_rump_of(node) is None
    node.SetAttribute("FetalPose.AgeFormula", "nobody's")
    mrml.update_derived(node)
    assert_true(node)


def test_the_smallest_and_largest_values_of_a_stored_length_are_checked(node):
    mrml.set_crown_rump(node, FOUND)
    stored = json.loads(node.GetAttribute("FetalPose.CrownRump"))
    for change in ({"length_mm": -3}, {"source": "a guess"}, {"interval_mm": [1]}, {"length_mm": float("nan")}):
        node.SetAttribute("FetalPose.CrownRump", json.dumps(stored | change))
        assert mrml.crown_rump_of(node) is None
