"""The benchmark: known tables from made-up records, records that survive a kill, and a run of everything at 4 mm."""

import copy
import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from FetalPoseLib.benchmark import accuracy, choices, methods, observed, paper, report, speed, tables
from FetalPoseLib.benchmark.cases import open_case
from FetalPoseLib.benchmark.observed import Observed, as_rows, trace
from FetalPoseLib.benchmark.records import Records, read_records
from FetalPoseLib.benchmark.report import origin
from FetalPoseLib.benchmark.run import BenchmarkOptions, run
from FetalPoseLib.body.estimate import points_of_rows
from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.cli import main
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.refinement.options import REFINEMENTS, ConsensusOptions, OnlineSslOptions
from FetalPoseLib.simulation.fingerprint import FROZEN
from FetalPoseLib.volume.grid import Volume

SPACING = 4.0
MM = np.array([1.0, 0.0, 0.0])
HEADER = {**origin("accuracy --split test"), "model": "made-up", "model_sha256": "0" * 64, "split": "test"}
HEADER |= {"spacing_mm": 0.5, "iterations": 2}


def body(seed=0):
    return np.random.default_rng(seed).uniform(0, 60, (16, 3))


def record(name, truth, *steps, unseen=(), failure=None):
    """A subject whose poses are off by `steps` mm along x; the first is unrefined."""
    seen = [int(i not in unseen) for i in range(16)]
    poses = [as_rows(truth + step * MM) for step in steps]
    return {"name": name, "body": as_rows(truth), "seen": seen, "unrefined": poses[0] if poses else [None] * 16,
            "steps": poses, "evidence": [0.5] * len(poses), "frames": [[70.0, 0.1, 0.02], [10.0, 0.2, 0.0]],
            "failure": failure}  # fmt: skip


class FakeEstimator:
    """Stands for `Observed`: 4 mm off along x, and halving it with every iteration."""

    parent = None
    device, library = "cpu", PoseLibrary(np.random.default_rng(9).uniform(0, 60, (12, 16, 3)))

    def __init__(self, truth=None, *, model="fake", device="cpu", refinement="paper", fail=(), off=4):
        self.truth, self.fail, self.calls, self.off, self.sizes = truth, set(fail), 0, off, []
        self.metadata, self.refinement = {"sha256": "ab" * 32}, REFINEMENTS.get(refinement)

    def with_options(self, *, refinement, library):
        other = copy.copy(self)
        other.refinement, other.library, other.parent = refinement, library, self
        return other

    def estimate(self, volume, *, iterations, progress):
        if self.parent is not None:
            self.parent.calls += 1
        self.calls += 1
        if self.calls in self.fail:
            raise FetalPoseError("No fetus found")
        self.sizes.append(len(self.library))
        off = [self.truth + getattr(self.refinement, "k", self.off) / 2**i * MM for i in range(iterations + 1)]
        progress(SimpleNamespace(stage="locate", iteration=0, points=None))
        progress(SimpleNamespace(stage="detect", iteration=0, points=off[0]))
        for i in range(iterations + 1):
            sure = np.full(16, 0.9 - 0.1 * abs(i - 1))  # most in the first iteration
            progress(SimpleNamespace(stage="refine", iteration=i, points=off[i], confidence=sure))
        return SimpleNamespace(points=off[-1], unrefined=off[0], confidence=np.ones(16), warnings=[])


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


# --- tables


@pytest.mark.parametrize("columns", [paper.ERROR_MM, paper.AUC], ids=["Table 1", "Table 2"])
def test_the_papers_means_are_the_means_of_its_landmarks(columns):
    assert list(columns) == list(paper.METHODS)
    for method, numbers in columns.items():
        assert len(numbers) == 17
        assert np.mean(numbers[:16]) == pytest.approx(numbers[16], abs=0.06 if numbers is paper.AUC[method] else 0.02)


def test_tables_of_records_whose_errors_are_known():
    run = tables.Run(HEADER, [record("a", body(1), 4, 2, 1.05), record("b", body(2), 2, 2, 3.05, unseen=[5])])
    np.testing.assert_allclose(run.errors("unrefined")[0], 4, atol=1e-6)
    assert np.isnan(run.errors("refined")[1, 5]) and np.isnan(run.errors("refined")).sum() == 1
    unrefined, refined = tables.summary_table([run])
    assert unrefined["mean_mm"] == pytest.approx((16 * 4 + 15 * 2) / 31)
    assert refined["mean_mm"] == pytest.approx((16 * 1.05 + 15 * 3.05) / 31)
    assert refined["auc"] == pytest.approx((16 * 89.5 + 15 * 69.5) / 31)  # exact for errors midway between thresholds
    assert refined["missed"] == 0 and refined["wrong_side_limbs_percent"] == 0
    assert refined["length_error_mm"] == pytest.approx(0, abs=0.02)  # a shift changes no length
    columns = {f"made-up {stage}": (run.poses(stage), run.truth) for stage in tables.STAGES}
    errors = tables.landmark_table(columns, "mean_mm")
    assert errors[5] == {
        "landmark": "L6 left_wrist",
        **{f"paper {method}": paper.ERROR_MM[method][5] for method in paper.METHODS},
        "made-up unrefined": pytest.approx(4),
        "made-up refined": pytest.approx(1.05),
    }
    assert [row["mean_mm"] for row in tables.iteration_table([run])] == pytest.approx([94 / 31, 2, 62.55 / 31])
    assert len(tables.length_table([run])) == 16


def test_a_failure_is_sixteen_misses_and_not_left_out():
    run = tables.Run(HEADER, [record("a", body(1), 2), record("b", body(2), failure="No fetus found")])
    _, refined = tables.summary_table([run])
    assert (refined["volumes"], refined["failed"], refined["missed"]) == (2, 1, 16)
    assert refined["mean_mm"] == pytest.approx(2) and refined["auc"] == pytest.approx(80.5 / 2)
    (difference,) = tables.difference_table([run])
    assert difference["subjects"] == 1 and difference["auc_change"] == 0


def test_errors_of_pass_1_tell_the_first_reading_from_the_best():
    first, best = tables.frame_table([tables.Run(HEADER, [record("a", body(1), 2)])])
    assert (first["degrees_median"], first["over_60_degrees"]) == (70, 1)
    assert (best["degrees_median"], best["shift_body_units_median"], best["over_60_degrees"]) == (10, 0.2, 0)


def test_the_difference_is_paired_by_subject():
    before, after = np.full((3, 16), 4.0), np.full((3, 16), 4.0)
    after[0] -= 3
    after[1] += 2
    before[2, 0] = np.inf  # found by refinement: no millimetres to compare, but AUC
    before[2, 1] = after[2, 1] = np.nan
    found = tables.paired(before, after)
    assert (found["subjects"], found["worse_by_1_mm"]) == (3, 1)
    assert found["error_mm_change"] == pytest.approx(-1 / 3) and found["worst_mm"] == pytest.approx(2)
    assert found["auc_change"] == pytest.approx((30 - 20 + 60.5 / 15) / 3)
    assert found["error_mm_low"] < found["error_mm_change"] < found["error_mm_high"]


def test_the_interval_is_that_of_the_mean():
    values = np.random.default_rng(0).normal(5, 2, 400)
    low, high = tables.bootstrap(values)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)
    assert tables.bootstrap(values) == (low, high)
    samples = np.random.default_rng(1).normal(size=(200, 52))
    covered = [low < 0 < high for low, high in (tables.bootstrap(sample, resamples=500) for sample in samples)]
    assert 0.90 <= np.mean(covered) <= 0.985


def test_small_numbers_are_not_rounded_away(tmp_path):
    rows = [{"lr": 2.5e-4, "error": 1.23456789, "found": None, "k": 10}]
    assert report.markdown(rows).splitlines()[-1] == "| 0.00025 | 1.23 | - | 10 |"
    report.Folder(tmp_path, [HEADER]).csv("table.csv", rows)
    head, *table = (tmp_path / "table.csv").read_text().splitlines()
    assert head.startswith("# Written by 'fetalpose benchmark accuracy --split test', FetalPose ")
    assert "model made-up" in head
    assert table == ["lr,error,found,k", "0.00025,1.23457,,10"]


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
    with pytest.raises(FetalPoseError, match="model_sha256 abab.*not cdcd.*--fresh"):
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
    def fakes(**options):
        return FakeEstimator(truth, fail=[2], **options)

    arguments = ["benchmark", "accuracy", "--subjects", "3", "--iterations", "2", "--output", str(tmp_path)]
    monkeypatch.setattr(observed, "Observed", fakes)
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

    def fakes(**options):
        made.append((options["model"], options["refinement"]))
        return FakeEstimator(truth, **options)

    monkeypatch.setattr(observed, "Observed", fakes)
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
