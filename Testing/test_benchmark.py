"""The benchmark: records that survive a kill, cases, runs, options compared, and the methods of the paper."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from benchmark_records import HEADER, FakeEstimator, body, record

from FetalPoseLib.benchmark import accuracy, choices, methods, observed, speed, tables
from FetalPoseLib.benchmark.cases import open_case
from FetalPoseLib.benchmark.observed import Observed, as_rows, trace
from FetalPoseLib.benchmark.records import Records, read_records
from FetalPoseLib.benchmark.run import BenchmarkOptions, run
from FetalPoseLib.body.estimate import points_of_rows
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.cli import main
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.refinement.options import REFINEMENTS, ConsensusOptions, OnlineSslOptions
from FetalPoseLib.simulation.fingerprint import FROZEN
from FetalPoseLib.volume.grid import Volume

SPACING = 4.0


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """A folder with the first fresh subject at 4 mm."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("cases")
    open_case("fresh", 0, spacing=SPACING, folder=folder)
    return folder


@pytest.fixture
def truth(monkeypatch):
    """One body for every subject, without simulation."""
    case = SimpleNamespace(name="", volume=None, body=body(), seen=np.ones(16, bool))

    def opened(split, index, **_):
        return SimpleNamespace(**{**vars(case), "name": f"{split}-{index:03d}"})

    monkeypatch.setattr(accuracy, "open_case", opened)
    monkeypatch.setattr(choices, "open_case", opened)
    return case.body


# --- records


def test_a_killed_run_goes_on(truth, tmp_path):
    path = tmp_path / "accuracy_fake_consensus_validation.jsonl"
    first = FakeEstimator(truth)
    accuracy.measure(first, "validation", range(2), tmp_path, model="fake", iterations=2)
    with path.open("a") as file:
        file.write('{"name": "validation-002", "bo')  # killed while writing
    second = FakeEstimator(truth)
    done = accuracy.measure(second, "validation", range(4), tmp_path, model="fake", iterations=2)
    assert (first.calls, second.calls) == (2, 2)
    names = [f"validation-{i:03d}" for i in range(4)]
    assert [row["name"] for row in done.rows] == names
    assert [row["name"] for row in read_records(path)[1]] == names


def test_records_of_another_model_are_not_mixed(truth, tmp_path):
    accuracy.measure(FakeEstimator(truth), "validation", range(1), tmp_path, model="fake")
    other = FakeEstimator(truth)
    other.metadata = {"sha256": "cd" * 32}
    with pytest.raises(FetalPoseError, match="model_sha256 abab.*not cdcd.*afresh"):
        accuracy.measure(other, "validation", range(1), tmp_path, model="fake")
    accuracy.measure(other, "validation", range(1), tmp_path, model="fake", fresh=True)
    assert other.calls == 1


def test_a_file_that_holds_no_records_is_named(tmp_path):
    path = tmp_path / "accuracy_fake_test.jsonl"
    path.write_text("hello\n")
    with pytest.raises(FetalPoseError, match="accuracy_fake_test.jsonl holds no records"):
        Records(path, HEADER)
    with pytest.raises(FetalPoseError, match="holds no records of accuracy"):
        tables.load_runs(tmp_path / "elsewhere")


def test_points_survive_json():
    points = body().round(2)
    points[3] = np.nan
    np.testing.assert_allclose(points_of_rows(json.loads(json.dumps(as_rows(points)))), points)


# --- cases


def test_a_case_is_simulated_once_and_kept_with_the_whole_truth(cases, monkeypatch):
    monkeypatch.setattr("FetalPoseLib.benchmark.cases.simulate", None)  # would fail if it were called
    case = open_case("fresh", 0, spacing=SPACING, folder=cases)
    assert case.volume.array.dtype == np.uint8
    np.testing.assert_allclose(case.volume.grid.spacing, SPACING)
    assert np.isfinite(case.body).all() and case.seen.dtype == bool


# --- runs


def test_accuracy_from_the_command_line(truth, tmp_path, capsys, monkeypatch):
    def fakes(options):
        return FakeEstimator(truth, fail=[2], model=options.model, refinement=options.refinement)

    arguments = ["benchmark", "accuracy", "--subjects", "3", "--iterations", "2", "--output", str(tmp_path)]
    monkeypatch.setattr(observed.Observed, "from_options", fakes)
    assert main([*arguments, "--model", "some/where/mine.safetensors"]) == 0
    assert "| mine | validation | refined | 3 | 1 | 1.00 |" in capsys.readouterr().out
    names = {path.name for path in tmp_path.iterdir()}
    assert {"accuracy.md", "accuracy_pck.png", "accuracy_error.csv", "accuracy_auc.csv", "accuracy_summary.csv",
            "accuracy_lengths.csv", "accuracy_iterations.csv", "accuracy_difference.csv"} < names  # fmt: skip
    for path in tmp_path.iterdir():
        assert b"abababababab" in path.read_bytes() and b"some/where" not in path.read_bytes()
    text = (tmp_path / "accuracy.md").read_text()
    assert "not directly comparable" in text and "fetalpose benchmark accuracy --model mine --split validation" in text
    assert "--refinement consensus --iterations 2" in text
    with (tmp_path / "accuracy_error.csv").open() as file:
        assert file.readline().startswith("# Written by")
        assert list(csv.DictReader(file))[16]["paper SSL-GCP"] == "4.92"


def test_choices_compare_every_option_and_iteration_on_validation(truth, tmp_path):
    estimator = FakeEstimator(truth)
    options = [choices.Choice(OnlineSslOptions(k=k)) for k in (2, 4)]
    options += [choices.Choice(OnlineSslOptions(k=4), library_size=5)]
    folders = {"output": tmp_path, "records": tmp_path / "records", "model": "fake", "iterations": 2}
    rows = choices.choose(estimator, options, range(3), **folders)
    small = [row for row in rows if row["k"] == 2]
    assert [row["iteration"] for row in small] == [2, 1, "best evidence", 0] and rows[:2] == small[:2]
    assert small[0]["mean_mm"] == pytest.approx(0.5) and small[0]["change_mm"] == pytest.approx(-1.5)
    assert small[2]["mean_mm"] == small[1]["mean_mm"] == pytest.approx(1)
    assert estimator.calls == 9 and estimator.sizes == [12, 12, 5] * 3
    assert {row["library_size"] for row in rows} == {None, 5}
    choices.choose(estimator, [*options, choices.Choice(OnlineSslOptions(k=6))], range(3), **folders)
    assert estimator.calls == 12
    assert (tmp_path / "refinement_fake.csv").exists()


def test_the_part_of_the_library_and_the_subset_reach_the_estimator():
    estimator, library = FakeEstimator(), FakeEstimator.library
    options = OnlineSslOptions(k=3)
    other = choices.arranged(estimator, choices.Choice(options, library_size=4, subset="all"))
    np.testing.assert_array_equal(other.library.poses, library.poses[:4])
    assert other.library.skeleton.registration_subset == tuple(range(16))
    assert other.refinement == options
    other = choices.arranged(estimator, choices.Choice(options))
    assert len(other.library) == 12 and len(other.library.skeleton.registration_subset) == 10
    with pytest.raises(FetalPoseError, match="no subset 'head'. Choose paper, all or trunk"):
        choices.arranged(estimator, choices.Choice(options, subset="head"))


def test_what_can_be_varied():
    presets = [choices.Choice(preset) for preset in REFINEMENTS.values()]
    axes = choices.parse_axes(["lr=1e-4,5e-4", "similarity=true", "jointly=false"])
    assert choices.combinations(axes) == [
        *presets,
        choices.Choice(ConsensusOptions(jointly=False)),
        choices.Choice(OnlineSslOptions(learning_rate=1e-4)),  # 5e-4 is the paper's, which is there
        choices.Choice(OnlineSslOptions(similarity=True)),
    ]
    full = choices.combinations(choices.parse_axes(["lr=1e-4,5e-4", "similarity=false,true"]), full=True)
    assert (
        len(full) == len(presets) + 3 and choices.Choice(OnlineSslOptions(learning_rate=1e-4, similarity=True)) in full
    )
    assert choices.parse_axes(["weighting=mean,residual"]) == {"weighting": ("mean", "residual")}
    assert choices.parse_axes(["similarity=False", "trust=None,0.2"]) == {"similarity": (False,), "trust": (None, 0.2)}
    for word in ("k=abc", "sides=2", "lr=fast"):
        with pytest.raises(FetalPoseError, match="is no value of"):
            choices.parse_axes([word])
    for word in ("net=1", "k", "iterations=4"):
        with pytest.raises(FetalPoseError, match=f"'{word}' varies nothing"):
            choices.parse_axes([word])


def test_stages_of_an_estimate_and_their_warm_median():
    runs = [{"import": 3.0, "read": 1.0}, {"read": 0.2}, {"read": 0.4}, {"read": 0.3}]
    assert speed.rows(runs) == [
        {"stage": "import", "cold_s": 3.0, "warm_s": None},
        {"stage": "read", "cold_s": 1.0, "warm_s": 0.3},
    ]
    seconds = {"locate": None, "detect": None, "first_pose": 2.0, "refine": [0.5, 0.6], "total": 3.1}
    assert speed.stages(seconds) == {"first_pose": 2.0, "refinement 0": 0.5, "refinement 1": 0.6}


def test_the_real_estimator_under_observation(cases, tmp_path):
    estimator = Observed("fetal-frame", "cpu")
    case = open_case("fresh", 0, spacing=SPACING, folder=cases)
    found = trace(estimator, case.volume, iterations=1)
    assert found["failure"] is None and len(found["steps"]) == 2
    seconds = found["seconds"]
    assert seconds["locate"] + seconds["detect"] == pytest.approx(seconds["first_pose"], abs=0.003)
    assert 1 <= len(accuracy.frame_errors(estimator, case.body)) <= 3
    again = trace(estimator, case.volume, iterations=1)  # the look at the same volume is kept
    assert again["steps"] == found["steps"] and again["seconds"]["locate"] is None

    small = Volume(case.volume.array[:4], case.volume.ijk_to_ras)
    failed = trace(estimator, small, iterations=1)
    assert "a fetus needs" in failed["failure"] and failed["unrefined"] == [None] * 16


# --- the paper's methods


def method_records(output, truth, offs, *, model="r4", refinement="paper", split="test"):
    """Complete records of a method whose subjects are off by `offs` mm, halved by refinement."""
    method = next(m for m in methods.METHODS if (m.model, m.refinement) == (model, refinement))
    path = method.records(output, split)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [record(f"{split}-{i:03d}", truth, off, off / 2) for i, off in enumerate(offs)]
    header = {**HEADER, "model": model, "split": split, "refinement_name": refinement}
    path.write_text("".join(json.dumps(row) + "\n" for row in (header, *rows)))


def test_methods_are_compared_by_subject_with_holms_correction(tmp_path):
    truth, rng = body(3), np.random.default_rng(5)
    offs = rng.uniform(2, 6, FROZEN["test"])
    method_records(tmp_path, truth, offs)
    method_records(tmp_path, truth, offs, refinement="consensus")
    method_records(tmp_path, truth, offs / 2 + rng.normal(0, 0.2, len(offs)), model="r4-gan", refinement="none")
    method_records(tmp_path, truth, offs[:10], model="gcp")  # a run that was stopped
    found = {column.method.name: column for column in methods.columns(tmp_path, "test")}
    assert list(found) == ["Land-R4", "GAN-R4", "SSL-R4", "Consensus-R4"]
    rows = {(r["method"], r["against"]): r for r in methods.difference_rows(list(found.values()))}
    land, gan = rows["SSL-R4", "Land-R4"], rows["SSL-R4", "GAN-R4"]
    assert land["error_mm_change"] == pytest.approx(-offs.mean() / 2, abs=0.01) and land["p_holm"] < 1e-6
    assert gan["p_holm"] > 0.05 and gan["error_mm_low"] < 0 < gan["error_mm_high"]
    assert rows["Consensus-R4", "SSL-R4"]["p"] == 1.0  # the same poses
    tables_written = methods.write_methods(tmp_path)
    assert [row["method"] for row in tables_written] == list(found)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"methods.md", "methods_error.csv", "methods_auc.csv", "methods_lengths.csv", "methods_pck.png"} < names
    assert "methods_poses.png" not in names, "not without both spacings"
    assert "not directly comparable" in (tmp_path / "methods.md").read_text()


def test_holms_correction_is_the_step_down_one():
    assert methods.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert methods.holm([0.5, 0.9]) == [1.0, 1.0] and methods.holm([]) == []


def test_limits_of_agreement_hold_95_percent():
    deviations = np.random.default_rng(0).normal(0.5, 2.0, 20000)
    deviations[3] = np.nan
    low, high = methods.agreement(deviations)
    assert (low, high) == pytest.approx((0.5 - 3.92, 0.5 + 3.92), abs=0.1)
    assert np.mean((deviations > low) & (deviations < high)) == pytest.approx(0.95, abs=0.01)


def test_swapped_limbs_that_are_mended_are_shown(tmp_path):
    truth, mirror = body(3), load_skeleton().mirror
    for model, refinement in (("r4", "paper"), ("gcp", "paper"), ("gcp", "consensus")):
        method_records(tmp_path, truth, np.full(FROZEN["test"], 2.0), model=model, refinement=refinement)
        method = next(m for m in methods.METHODS if (m.model, m.refinement) == (model, refinement))
        path = method.records(tmp_path, "test")
        header, *rows = [json.loads(line) for line in path.read_text().splitlines()]
        rows[7]["unrefined"] = as_rows(truth[mirror])  # mended by refinement
        path.write_text("".join(json.dumps(row) + "\n" for row in (header, *rows)))
    wrong = {row["method"]: row["wrong_side_limbs_percent"] for row in methods.write_methods(tmp_path)}
    assert wrong["Land-GCP"] == pytest.approx(100 / 52) and wrong["SSL-GCP"] == wrong["Consensus-GCP"] == 0
    assert b"methods_poses.png" in (tmp_path / "methods.md").read_bytes()
    assert (tmp_path / "methods_poses.png").stat().st_size > 10_000


def test_a_rival_without_weights_is_left_out_and_the_others_are_measured(truth, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(FROZEN, "test", 2)
    monkeypatch.setitem(FROZEN, "shifted", 1)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "gcp-rnn.safetensors").touch()
    made = []

    def fakes(options):
        made.append((options.model, options.refinement))
        return FakeEstimator(truth, model=options.model, refinement=options.refinement)

    monkeypatch.setattr(observed.Observed, "from_options", fakes)
    options = BenchmarkOptions(output=tmp_path, weights=tmp_path / "weights")
    run("methods", options)
    assert (str(tmp_path / "weights" / "gcp-rnn.safetensors"), "consensus") in made
    assert ("fetal-frame", "consensus") in made
    said = capsys.readouterr()
    assert "GAN-R4 is left out" in said.err and "r4-gan.safetensors" in said.err
    assert "| test | RNN-GCP | 2 | 0 | 4.00 |" in said.out and "| shifted | fetal-frame refined | 1 |" in said.out
    made.clear()
    run("methods", options)
    assert not made, "all there is has been measured"
