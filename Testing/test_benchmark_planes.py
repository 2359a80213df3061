"""The benchmark of planes, lengths and posture: records of one subject, and what the tables say of records."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from FetalPoseLib.benchmark import planes
from FetalPoseLib.benchmark.plane_tables import crown_rump_table, plane_table, state_table, write_tables
from FetalPoseLib.benchmark.report import origin
from FetalPoseLib.body.estimate import rows_of_points
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.simulation.datasets import draw_subject
from FetalPoseLib.volume.grid import Volume


def accuracy_record(name, points, confidence=0.9):
    rows = rows_of_points(np.round(points, 2))
    return {
        "name": name, "body": rows, "seen": [1] * 16, "unrefined": rows, "steps": [rows], "evidence": [0.9],
        "confidence": [confidence] * 16, "seconds": {"locate": 1.0}, "warnings": [], "failure": None, "frames": [],
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Records of accuracy of two subjects, one not found, and volumes that show nothing."""
    header = origin("accuracy") | {"model": "fake", "model_sha256": "ab" * 32, "split": "validation", "spacing_mm": 0.5}
    rows = [accuracy_record(f"validation-{i:03d}", draw_subject("validation", i).body.landmarks, c)
            for i, c in ((0, 0.9), (1, 0.2))]  # fmt: skip
    lines = "".join(json.dumps(line) + "\n" for line in (header, *rows))
    (tmp_path / "accuracy_fake_consensus_validation.jsonl").write_text(lines)
    dark = Volume(np.zeros((4, 4, 4), np.uint8), np.eye(4))
    monkeypatch.setattr(planes, "open_case", lambda *args, **options: SimpleNamespace(volume=dark))
    return tmp_path


def measured(folder, subjects=range(2)):
    return planes.measure(folder, "validation", subjects, model="fake", refinement="consensus", spacing=0.5)


def test_exact_landmarks_have_the_errors_of_the_mapping_alone(folder):
    found, missed = measured(folder).rows
    assert found["name"] == "validation-000" and "estimated" not in missed
    for landmarks in ("true", "estimated"):
        errors = found[landmarks]["planes"]
        assert max(errors["left_femur"]) < 0.2 and errors["abdomen_transverse"][0] < 10
        assert abs(found[landmarks]["posture"]["left_knee"]) < 0.2
        assert found[landmarks]["volume"] == found[landmarks]["pose"]
        assert found[landmarks]["pose"][2] == "head and trunk"


def test_records_are_kept_and_tables_written(folder):
    measured(folder, range(1))
    before = (folder / "planes_fake_consensus_validation.jsonl").read_text()
    measured(folder)
    after = (folder / "planes_fake_consensus_validation.jsonl").read_text()
    assert after.startswith(before) and after.count("\n") == 3
    tables = write_tables(folder)
    assert {"planes", "planes_crown_rump", "planes_posture", "planes_states"} == set(tables)
    assert (folder / "planes.md").read_text().startswith("# Standard planes")
    (true,) = [r for r in tables["planes"] if r["plane"] == "head_transverse" and r["landmarks"] == "true"]
    assert true["planes"] == 2 and true["left_out"] == 0 and true["offset_mm_median"] < 0.01


def test_without_records_of_accuracy_it_says_what_to_do(folder):
    with pytest.raises(FetalPoseError, match="no record of validation-002. Measure accuracy"):
        measured(folder, range(3))
    with pytest.raises(FetalPoseError, match="Measure accuracy on test first"):
        planes.measure(folder, "test", range(1), model="fake", refinement="consensus", spacing=0.5)
    with pytest.raises(FetalPoseError, match="no records of planes"):
        write_tables(folder / "planes_none")


ERRORS = {
    "planes": {"head_transverse": [4.0, 1.0], "left_femur": [2.0, 0.5]},
    "pose": [2.0, 1, "head and trunk"], "volume": [-1.0, 0, "volume"], "age": [-3.0, 1], "state": "neutral",
    "posture": {"left_knee": -4.0, "head_trunk": 2.0},
}  # fmt: skip
RECORDS = {
    "test": [
        {"name": "a", "weeks": 12.5, "crown_rump_mm": 60, "cranial_dorsal_hip_deg": 130.0, "true": ERRORS},
        {"name": "b", "weeks": 10.0, "crown_rump_mm": 40, "cranial_dorsal_hip_deg": 100.0,
         "true": {**ERRORS, "planes": {"head_transverse": [8.0, 3.0]}, "volume": None, "age": None}},
    ]
}  # fmt: skip


def test_tables_count_what_is_left_out():
    rows = {row["plane"]: row for row in plane_table(RECORDS) if row["landmarks"] == "true"}
    head, bones = rows["head_transverse"], rows["long bones"]
    assert (head["planes"], head["left_out"], head["angle_deg_median"], head["offset_mm_median"]) == (2, 0, 6.0, 2.0)
    assert (bones["planes"], bones["left_out"]) == (1, 7)


def test_a_split_in_which_nothing_is_found_has_a_table(folder):
    measured(folder, range(1, 2))
    rows = [row for row in write_tables(folder)["planes"] if row["landmarks"] == "estimated"]
    assert {row["planes"] for row in rows} == {0} and {row["angle_deg_median"] for row in rows} == {None}


def test_lengths_are_grouped_by_gestational_age():
    rows = {row["weeks"]: row for row in crown_rump_table(RECORDS) if row["landmarks"] == "true"}
    late, every = rows["12w0d to 13w0d"], rows["9w0d to 14w0d"]
    assert (late["subjects"], late["in_volume"], late["in_volume_median_mm"]) == (1, 1, 1.0)
    assert late["measured_held_percent"] == 0
    assert (every["subjects"], every["pose_median_mm"], every["dated"], every["age_bias_days"]) == (2, 2.0, 1, -3.0)
    assert rows["13w0d to 14w0d"]["pose_median_mm"] is None


def test_states_are_counted_by_the_true_one():
    told = {row["true_state"]: row["neutral"] for row in state_table(RECORDS) if row["landmarks"] == "true"}
    assert told == {"flexed": 1, "neutral": 1, "extended": 0}
