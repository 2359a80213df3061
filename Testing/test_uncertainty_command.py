"""Radii and intervals of the estimator, and the command `benchmark uncertainty` that calibrates them."""

import csv
import json

import numpy as np
import pytest
from uncertainty_cases import BENCHMARKS, SKELETON, covered, recorded

from FetalPoseLib.body.measurements import segment_lengths
from FetalPoseLib.body.uncertainty import Uncertainty
from FetalPoseLib.cli import main
from FetalPoseLib.estimator import Estimator
from FetalPoseLib.network.weights import load_manifest
from FetalPoseLib.simulation.datasets import simulate

# the estimator


@pytest.fixture(scope="module")
def estimator():
    known = recorded("validation").fit(refinement="consensus").to_dict()
    entries = {name: dict(entry) for name, entry in load_manifest().items()}
    entries["fetal-frame"]["uncertainty"] = known
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("FetalPoseLib.network.weights.load_manifest", lambda: entries)
        yield Estimator("fetal-frame", device="cpu")


def test_an_estimate_has_the_radii_of_its_calibration_alone(estimator):
    case, wrist = simulate("validation", 3, spacing=1.0), SKELETON.index("left_wrist")
    bare = estimator.estimate(case.volume, iterations=0)
    assert bare.radius_mm is None and bare.length_interval_mm is None  # the calibration is of consensus
    placed = {wrist: case.body[wrist] + [0.0, 0.0, 9.0]}
    found = estimator.estimate(case.volume, placed=placed, start=bare.points)
    assert found.radius_mm[wrist] == 0 and (np.delete(found.radius_mm, wrist) > 0.2).all()
    shown = found.points.copy()
    shown[wrist] = placed[wrist]
    np.testing.assert_allclose(found.length_interval_mm.mean(axis=1), segment_lengths(shown), atol=1e-6)


def test_another_spacing_than_the_calibrations_has_no_radii(estimator):
    assert estimator.uncertainty is not None
    assert estimator.with_options(refinement="holding").uncertainty is estimator.uncertainty
    assert estimator.with_options(spacing_mm=1.0).uncertainty is estimator.uncertainty
    assert estimator.with_options(spacing_mm=1.25).uncertainty is None


# the command


@pytest.fixture
def folder(tmp_path):
    for split in ("validation", "test", "shifted"):
        name = f"accuracy_fetal-frame_consensus_{split}.jsonl"
        (tmp_path / name).write_bytes((BENCHMARKS / name).read_bytes())
    return tmp_path


def calibrate(*arguments) -> int:
    return main(["benchmark", "uncertainty", *map(str, arguments)])


def test_the_command_writes_a_calibration_and_what_it_covers(folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("output")
    assert calibrate("--output", output, "--records", folder) == 0
    values = json.loads((output / "uncertainty_fetal-frame.json").read_text())
    assert values["calibrated_on"] == {"validation": 24} and values["refinement"] == "consensus"
    assert Uncertainty.from_dict(values) == recorded("validation").fit(refinement="consensus")
    with (output / "uncertainty.csv").open() as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    assert {row["split"] for row in rows} == {"validation (cross-validated)", "test", "shifted"}
    [row] = [row for row in rows if (row["split"], row["what"], row["group"]) == ("test", "landmarks", "all")]
    poses = recorded("test")
    landmarks, _ = covered(Uncertainty.from_dict(values), poses)
    assert float(row["coverage_percent"]) == pytest.approx(
        100 * landmarks[np.isfinite(poses.errors_mm)].mean(), abs=0.01
    )
    assert float(row["low_percent"]) < float(row["coverage_percent"]) < float(row["high_percent"])
    text = (output / "uncertainty.md").read_text()
    assert "Marks" in text and "wrists and ankles" in text
    assert (output / "uncertainty.png").read_bytes().startswith(b"\x89PNG")


def test_a_split_without_records_says_how_to_measure_it(folder, capsys):
    assert calibrate("--output", folder, "--split", "left-out2") != 0
    assert "benchmark accuracy --model fetal-frame --refinement consensus --split left-out2" in capsys.readouterr().err


def test_records_of_other_weights_are_neither_mixed_nor_tested(folder, capsys):
    path = folder / "accuracy_fetal-frame_consensus_test.jsonl"
    header, *rows = path.read_text().splitlines(keepends=True)
    path.write_text(json.dumps(json.loads(header) | {"model_sha256": "0" * 64}) + "\n" + "".join(rows))
    assert calibrate("--output", folder, "--split", "validation", "test") != 0
    assert "differ in model_sha256" in capsys.readouterr().err
    assert calibrate("--output", folder) == 0
    assert "| test |" not in (folder / "uncertainty.md").read_text()


def test_few_records_are_refused(folder, capsys):
    path = folder / "accuracy_fetal-frame_consensus_validation.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:20]))
    assert calibrate("--output", folder) != 0
    assert "19 subjects are too few" in capsys.readouterr().err
