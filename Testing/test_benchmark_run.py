"""The measurements as a program calls them, without a command line."""

import csv

import pytest

from FetalPoseLib.benchmark.run import ENDLESS_SPLITS, SPLITS, WHAT, BenchmarkOptions, _subjects, run
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.refinement.options import EstimateOptions
from FetalPoseLib.simulation.fingerprint import FROZEN
from FetalPoseLib.simulation.splits import SPLITS as SIMULATED


def test_an_unknown_measurement_and_a_spacing_that_cannot_be_simulated_are_refused(tmp_path):
    with pytest.raises(FetalPoseError, match="spacing"):
        run("accuracy", BenchmarkOptions(output=tmp_path, spacing=0.01))
    with pytest.raises(FetalPoseError, match="beauty.*accuracy"):
        run("beauty", BenchmarkOptions(output=tmp_path))
    assert "speed" in WHAT and not any(tmp_path.iterdir())


def test_subjects_begin_where_they_are_asked_to_and_end_with_the_split():
    assert _subjects(BenchmarkOptions(), "test") == range(52)
    assert _subjects(BenchmarkOptions(first=20, subjects=10), "validation") == range(20, 24)
    assert _subjects(BenchmarkOptions(first=1000, subjects=10), "fresh") == range(1000, 1010)
    assert _subjects(BenchmarkOptions(first=5), "left-out2") == range(5, 65)
    with pytest.raises(FetalPoseError, match="validation has 24 subjects"):
        _subjects(BenchmarkOptions(first=24), "validation")
    assert set(SPLITS) <= set(FROZEN) and {SIMULATED[split].count for split in ENDLESS_SPLITS} == {None}


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
