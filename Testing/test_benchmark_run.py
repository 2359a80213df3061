"""The measurements as a program calls them, without a command line."""

import csv

import pytest

from FetalPoseLib.benchmark.run import WHAT, BenchmarkOptions, run
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.refinement.options import EstimateOptions


def test_an_unknown_measurement_and_a_spacing_that_cannot_be_simulated_are_refused(tmp_path):
    with pytest.raises(FetalPoseError, match="spacing"):
        run("accuracy", BenchmarkOptions(output=tmp_path, spacing=0.01))
    with pytest.raises(FetalPoseError, match="beauty.*accuracy"):
        run("beauty", BenchmarkOptions(output=tmp_path))
    assert "speed" in WHAT and not any(tmp_path.iterdir())


@pytest.mark.slow
def test_speed_times_a_process_of_its_own(tmp_path):
    estimate = EstimateOptions(device="cpu", iterations=1)
    run("speed", BenchmarkOptions(output=tmp_path, estimate=estimate, spacing=1.0, threads=1))
    with (tmp_path / "speed.csv").open() as file:
        rows = {row["stage"]: row for row in csv.DictReader(line for line in file if not line.startswith("#"))}
    assert {"import", "open model", "read", "locate", "detect", "refinement 1", "total"} <= set(rows)
    cold, warm = float(rows["total"]["cold_s"]), float(rows["total"]["warm_s"])
    parts = sum(float(row["cold_s"]) for stage, row in rows.items() if stage not in ("first_pose", "total"))
    assert 0 < warm and parts == pytest.approx(cold, rel=0.2)
    assert "refinement 2" not in rows
    assert ", 1 threads" in (tmp_path / "speed.csv").read_text().splitlines()[0]
