"""The command with the bundled model on the sample volume, and what its benchmark counts."""

import csv
import json

import numpy as np
import pytest
from cli_runs import fetalpose

import FetalPoseLib
from FetalPoseLib.benchmark.cohort import Run, _copies, _growth, _rates, _verdict
from FetalPoseLib.body.estimate import points_of_rows
from FetalPoseLib.cohort.content import content_of
from FetalPoseLib.resources import resource_path

SAMPLE = resource_path("sample", "sample.nrrd")


@pytest.mark.slow  # runs the bundled model twice, in a cluster of its own
def test_the_command_finds_what_the_estimator_finds(tmp_path, capfd):
    study = tmp_path / "study"
    given = ["--workers", 1, "--threads", 1, "--device", "cpu", "--report"]
    assert fetalpose("cohort", SAMPLE, "--output", study, *given) == 0
    out, err = capfd.readouterr()
    assert "1 done, 0 done before, 0 failed" in out and "Dashboard: http://127.0.0.1:" in err and "volume/s" in err
    with open(study / "volumes.csv") as file:
        (row,) = csv.DictReader(file)
    record = json.loads((study / "records" / f"{row['name']}.json").read_text())
    expected = FetalPoseLib.Estimator(device="cpu").estimate(FetalPoseLib.read_volume(SAMPLE))
    np.testing.assert_allclose(points_of_rows(record["points"]), expected.points, atol=0.05)
    assert float(row["head_x_mm"]) == pytest.approx(expected.points[0, 0], abs=0.05)
    assert float(row["mean_confidence"]) == pytest.approx(expected.confidence.mean(), abs=0.01)
    assert (study / "poses" / f"{row['name']}.mrk.json").exists() and (study / "overview.html").exists()


def test_the_benchmark_s_volumes_are_all_different(tmp_path):
    paths = _copies(SAMPLE, tmp_path / "in", 3)
    assert len({content_of(path) for path in paths}) == 3
    np.testing.assert_array_equal(FetalPoseLib.read_volume(paths[2]).array, FetalPoseLib.read_volume(SAMPLE).array)


def test_the_benchmark_says_efficiency_and_overhead():
    runs = {"loop": Run(10, 10, 9), "two loops": Run(20, 10, 18), "one": Run(10, 10.5, 9.9), "two": Run(10, 5.5, 9.9)}
    assert [row["volumes_an_hour"] for row in _rates(runs)] == [3600, 7200, 3429, 6545]
    verdict = _verdict(runs)
    assert "workers: 0.95 of" in verdict and "reach 1.00 of" in verdict and "+5.0 % of the time and +10.0 %" in verdict
    assert _growth([float(i) for i in range(1, 101)])[-1] == {"volumes": 100, "memory_mb": 100.0}
