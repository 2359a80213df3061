"""Two poses of one fetus compared on the command line."""

import csv

import numpy as np
import pytest
from cli_runs import fetalpose, write_pose

from FetalPoseLib.simulation.biometry import draw_biometry
from FetalPoseLib.simulation.kinematics import pose_body


@pytest.fixture(scope="module")
def points():
    rng = np.random.default_rng(12)
    return pose_body(rng, draw_biometry(rng)).landmarks


def test_growth_and_angles_are_told_and_written(points, tmp_path, capsys):
    first, second = (
        write_pose(tmp_path / "first.mrk.json", points),
        write_pose(tmp_path / "second.mrk.json", 1.2 * points),
    )
    assert fetalpose("compare", first, second, "--output", tmp_path / "growth.csv") == 0
    rows = {row["measure"]: row for row in csv.DictReader((tmp_path / "growth.csv").open())}
    thigh = rows["left_thigh"]
    assert float(thigh["change_percent"]) == pytest.approx(20, abs=0.1)
    assert float(thigh["second"]) - float(thigh["first"]) == pytest.approx(float(thigh["change"]), abs=0.011)
    assert float(rows["crown_rump_length"]["change_percent"]) == pytest.approx(20, abs=1.5)
    assert float(rows["left_knee_flexion"]["change"]) == 0 and rows["left_knee_flexion"]["change_percent"] == ""
    assert "left_thigh" in capsys.readouterr().out
    assert fetalpose("compare", first, second, "--output", tmp_path / "growth.html") == 0
    assert "Research use only" in (tmp_path / "growth.html").read_text()


def test_what_is_not_visible_has_no_change(points, tmp_path):
    some = points.copy()
    some[15] = np.nan
    first, second = write_pose(tmp_path / "first.mrk.json", points), write_pose(tmp_path / "second.mrk.json", some)
    assert fetalpose("compare", first, second, "--output", tmp_path / "growth.csv") == 0
    rows = {row["measure"]: row for row in csv.DictReader((tmp_path / "growth.csv").open())}
    assert (
        rows["left_lower_leg"]["first"] and rows["left_lower_leg"]["second"] == rows["left_lower_leg"]["change"] == ""
    )


def test_bad_input_is_one_line(points, tmp_path, capsys):
    first = write_pose(tmp_path / "first.mrk.json", points)
    assert fetalpose("compare", first, tmp_path / "none.mrk.json") == 1
    assert "does not exist" in capsys.readouterr().err
    assert fetalpose("compare", first, first, "--output", tmp_path / "a.txt") == 1
    assert "must end in" in capsys.readouterr().err
