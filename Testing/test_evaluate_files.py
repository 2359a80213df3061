"""Files of poses and truths: which belong together, and what is measured of them, called from Python."""

from pathlib import Path

import numpy as np
import pytest
from cli_runs import POINTS, write_pose

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.evaluation.pairs import find_pairs
from FetalPoseLib.evaluation.report import summary_text
from FetalPoseLib.session.evaluate_files import EvaluationOptions, evaluate_files


@pytest.fixture
def folders(tmp_path) -> EvaluationOptions:
    """Two poses, each 3 mm off its truth, and one without a truth."""
    for folder, shift in (("poses", 3.0), ("truths", 0.0)):
        (tmp_path / folder).mkdir()
        for name in "ab":
            write_pose(tmp_path / folder / f"{name}.mrk.json", POINTS + [shift, 0, 0])
    write_pose(tmp_path / "poses" / "c.mrk.json")
    return EvaluationOptions(predicted=tmp_path / "poses", truth=tmp_path / "truths")


def test_folders_are_measured_together_and_what_is_left_out_is_told(folders):
    told, counted = [], []
    result = evaluate_files(folders, progress=lambda *counts: counted.append(counts), warn=told.append)
    assert result["volumes"] == 2 and result["mean_mm"] == pytest.approx(3, abs=1e-3)
    assert counted == [(1, 2), (2, 2)]
    assert told == [f"1 poses in {folders.predicted} have no truth and are left out"]


def test_pairs_are_by_name_whatever_else_lies_in_the_folders(folders):
    (folders.truth / "notes.txt").write_text("no pose")
    pairs = find_pairs(folders.predicted, folders.truth)
    assert [(pose.name, truth.name) for pose, truth in pairs.files] == [("a.mrk.json",) * 2, ("b.mrk.json",) * 2]
    assert pairs.without_truth == ("c.mrk.json",)
    with pytest.raises(FetalPoseError, match="1 of 3 truths have no pose .* the first is c.mrk.json"):
        find_pairs(folders.truth, folders.predicted)


def test_a_missing_file_is_named_before_anything_is_read(tmp_path):
    with pytest.raises(FetalPoseError, match="gone.mrk.json does not exist"):
        evaluate_files(EvaluationOptions(predicted=tmp_path / "gone.mrk.json", truth=Path("truth.mrk.json")))


def test_the_text_says_where_there_is_nothing_to_measure(tmp_path):
    points = POINTS.copy()
    points[0] = np.nan
    pose, truth = write_pose(tmp_path / "pose.mrk.json", points), write_pose(tmp_path / "truth.mrk.json")
    lines = summary_text(evaluate_files(EvaluationOptions(predicted=pose, truth=truth))).splitlines()
    assert lines[1].split() == ["head", "-", "0.00"]
    assert "landmarks not found: 1" in lines
