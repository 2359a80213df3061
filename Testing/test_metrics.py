"""The paper's measures on cases with answers known by hand; sides, lengths and the table of them."""

import csv
import json

import numpy as np
import pytest

from FetalPoseLib.body.measurements import length_table, segment_lengths, write_csv
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.evaluation.metrics import auc, landmark_errors, pck, summary, wrong_side_limbs

SKELETON = load_skeleton()


def poses(count=3, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 16, 3)) * 30


def test_errors_are_distances_and_a_miss_is_not_an_unseen_landmark():
    truth = poses()
    predicted = truth + [3.0, 0.0, 4.0]
    truth[0, 2] = np.nan
    predicted[1, 5] = np.nan
    predicted[0, 2] = np.nan
    errors = landmark_errors(predicted, truth)
    assert np.isnan(errors[0, 2]) and np.isinf(errors[1, 5])
    assert errors[2] == pytest.approx(5.0)
    with pytest.raises(ValueError, match="compared"):
        landmark_errors(predicted[:2], truth)


def test_pck_counts_misses_and_ignores_the_unseen():
    errors = np.array([[1.0, 2.0], [np.nan, np.inf], [3.0, 9.0]])
    np.testing.assert_allclose(pck(errors, [0, 1, 2.5, 5, 100]), [0, 0.2, 0.4, 0.6, 0.8])
    np.testing.assert_allclose(pck(errors, [2, 100], axis=0), [[0.5, 1 / 3], [1, 2 / 3]])
    assert np.isnan(pck(np.full((2, 1), np.nan), [1.0], axis=0)).all()


def test_auc_of_known_errors():
    assert auc(np.zeros((2, 16))) == pytest.approx(100)
    assert auc(np.full((2, 16), 10.01)) == 0
    assert auc(np.full((2, 16), np.inf)) == 0
    assert auc(np.full((2, 16), 4.0)) == pytest.approx(60, abs=0.51)  # the step falls on one of 101 thresholds
    assert auc(np.random.default_rng(0).uniform(0, 10, 100_000)) == pytest.approx(50, abs=0.3)
    assert auc(np.full((1, 1), 4.0), max_mm=20, thresholds=2001) == pytest.approx(80, abs=0.03)
    np.testing.assert_allclose(auc(np.array([[0.0, 20.0], [20.0, 20.0]]), axis=0), [50, 0])


def test_sides_exchanged():
    truth = poses(4)
    predicted = truth + 0.5
    assert wrong_side_limbs(predicted, truth).tolist() == [0, 0, 0, 0]
    predicted[1] = predicted[1, SKELETON.mirror]
    arms = [*SKELETON.limbs["left_arm"], *SKELETON.limbs["right_arm"]]
    predicted[2, arms] = predicted[2, SKELETON.mirror[arms]]
    predicted[3, list(SKELETON.limbs["left_leg"])] = truth[3, list(SKELETON.limbs["right_leg"])]  # both legs on one
    assert wrong_side_limbs(predicted, truth).tolist() == [0, 4, 2, 1]
    predicted[1, 5], truth[2, 8] = np.nan, np.nan
    assert wrong_side_limbs(predicted, truth).tolist() == [0, 4, 2, 1]
    assert wrong_side_limbs(np.full_like(truth, np.nan), truth).tolist() == [0] * 4


def test_summary():
    truth = poses(5)
    predicted = truth * 1.02
    predicted[0, 0] = np.nan
    truth[:, 12] = np.nan
    result = json.loads(json.dumps(summary(predicted, truth), allow_nan=False))
    errors = landmark_errors(predicted, truth)
    assert result["volumes"] == 5 and result["missed"] == 1 and result["limbs"] == 20
    assert result["mean_mm"] == pytest.approx(errors[np.isfinite(errors)].mean())
    assert result["auc"] == pytest.approx(auc(errors))
    assert result["landmarks"]["right_ankle"] == {"mean_mm": None, "auc": None}
    assert result["landmarks"]["neck"]["mean_mm"] == pytest.approx(errors[:, 2].mean())
    lengths = segment_lengths(truth)
    assert result["lengths"]["bias_mm"] == pytest.approx(0.02 * np.nanmean(np.delete(lengths.ravel(), 0)))
    assert result["lengths"]["mean_absolute_mm"] == pytest.approx(result["lengths"]["bias_mm"])
    shorter = summary(0.98 * poses(5), poses(5))["lengths"]
    assert shorter["bias_mm"] == pytest.approx(-shorter["mean_absolute_mm"])
    assert result["segments"]["right_lower_leg"]["bias_mm"] is None


def test_segment_lengths():
    points = np.zeros((16, 3))
    points[:, 0] = np.arange(16) ** 2
    expected = [(s.end**2 - s.start**2) for s in SKELETON.segments]
    np.testing.assert_allclose(segment_lengths(points), np.abs(expected))
    points[SKELETON.index("left_wrist")] = np.nan
    unset = {s.name for s, length in zip(SKELETON.segments, segment_lengths(points), strict=True) if np.isnan(length)}
    assert unset == {"left_forearm"}
    assert segment_lengths(poses(7)).shape == (7, 15)


def test_the_table_of_lengths(tmp_path):
    points = poses(1)[0]
    points[5] = np.nan
    write_csv(tmp_path / "lengths.csv", length_table(points))
    with open(tmp_path / "lengths.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 15
    assert [rows[3][key] for key in ("segment", "from", "to")] == ["left_upper_arm", "left_shoulder", "left_elbow"]
    assert float(rows[3]["length_mm"]) == pytest.approx(np.linalg.norm(points[4] - points[3]), abs=0.005)
    assert rows[4]["length_mm"] == ""


def test_a_table_that_cannot_be_written_harms_nothing(tmp_path):
    with pytest.raises(FetalPoseError, match="nowhere"):
        write_csv(tmp_path / "nowhere" / "lengths.csv", [{"a": 1}])
    path = tmp_path / "kept.csv"
    path.write_text("kept", encoding="utf-8")
    for rows in ([], [{"a": 1}, {"b": 2}]):
        with pytest.raises(ValueError):
            write_csv(path, rows)
    assert path.read_text(encoding="utf-8") == "kept"
