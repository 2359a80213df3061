"""The measurement of adapting: which volumes, which models, and what the table says of the records."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from FetalPoseLib.benchmark import adapting
from FetalPoseLib.benchmark.adapting import AdaptingOptions, measure_adapting
from FetalPoseLib.body.estimate import rows_of_points
from FetalPoseLib.refinement.options import EstimateOptions
from FetalPoseLib.training.folders import find_pairs

BODY = np.random.default_rng(0).normal(0, 20, (16, 3))
OFF_MM = {"fetal-frame": 3.0, "adapted-2": 1.0}  # what each model errs by


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """The measurement with estimators whose errors are known, and trainings that were done before."""
    monkeypatch.setattr(adapting, "BUILD", tmp_path / "build")
    asked = []

    def measure(estimator, split, subjects, output, *, model, **_):
        name = model.rsplit("/", 1)[-1].removesuffix(".safetensors")
        asked.append((name, split, list(subjects)))
        rows = []
        for i in subjects:
            off = 40.0 if i == 1001 else OFF_MM[name]  # one fetus is turned wrongly by both
            found = rows_of_points(BODY + [off, 0, 0])
            rows.append({"name": f"{split}-{i:03d}", "body": rows_of_points(BODY), "seen": [1] * 16, "unrefined": found,
                         "steps": [found], "evidence": [0.6], "confidence": [0.6] * 16, "failure": None})  # fmt: skip
        rows.append({**rows[0], "name": f"{split}-9999"})  # a record of an earlier, larger measurement
        header = {"model": name, "model_sha256": "0" * 64, "split": split, "refinement_name": "consensus"}
        return SimpleNamespace(header=header, rows=rows)

    monkeypatch.setattr(adapting, "measure", measure)
    monkeypatch.setattr(adapting, "_adapted", lambda count, *_: (tmp_path / f"adapted-{count}.safetensors", 0.25))
    for task in ("locate", "orient", "detect"):
        folder = tmp_path / "build" / "run-2" / task
        folder.mkdir(parents=True)
        rows = [{"step": 0, "mean_mm": 4.0, "best": True}, {"step": 100, "mean_mm": 3.0, "best": True},
                {"step": 200, "mean_mm": 3.5, "best": False}]  # fmt: skip
        (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = AdaptingOptions(volumes=(2,), subjects=4)
    table = measure_adapting(lambda **_: object(), options, tmp_path, estimate=EstimateOptions())
    return asked, table, tmp_path


def test_each_model_is_measured_there_and_at_home_on_subjects_that_none_learnt_from(measured):
    asked, table, _ = measured
    there, home = list(range(1000, 1004)), list(range(4))
    assert asked == [("fetal-frame", "scanner2", there), ("fetal-frame", "validation2", home),
                     ("adapted-2", "scanner2", there), ("adapted-2", "validation2", home)]  # fmt: skip
    assert [row["volumes"] for row in table] == [0, 0, 2, 2] and table[0]["measured"] == 4
    np.testing.assert_allclose([row["mean_mm"] for row in table], [12.25, 3.0, 10.75, 1.0])
    np.testing.assert_allclose([row["mean_mm_of_the_others"] for row in table], [3.0, 3.0, 1.0, 1.0])
    assert [row["turned"] for row in table] == [1, 0, 1, 0]


def test_files_say_what_was_measured_and_what_each_network_gained(measured):
    folder = measured[2]
    page = (folder / "adapting.md").read_text()
    assert (
        "fetalpose benchmark adapting --volumes 2 --subjects 4" in page
        and "| detect | 200 | 100 | 4.00 | 3.00 |" in page
    )
    assert (folder / "adapting.csv").read_text().count("scanner2") == 2


def test_volumes_to_learn_from_are_files_that_the_training_takes(tmp_path, monkeypatch):
    monkeypatch.setattr(adapting, "BUILD", tmp_path)
    folder = adapting._write_volumes(1, 3.0)
    (pair,) = find_pairs(folder)
    assert adapting._usable(int(pair.stem.rsplit("-", 1)[1])) and np.isfinite(pair.read()[1]).any()
    before = (folder / f"{pair.stem}.nrrd").stat().st_mtime_ns
    adapting._write_volumes(1, 3.0)
    assert (folder / f"{pair.stem}.nrrd").stat().st_mtime_ns == before
