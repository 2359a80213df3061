"""The command `train`, its messages and its stop; simulation in the background."""

import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from training_cases import SKELETON, trainer

from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.cli import main
from FetalPoseLib.detection.search import SearchOptions
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.estimator import Estimator
from FetalPoseLib.network.weights import open_model
from FetalPoseLib.resources import resource_path
from FetalPoseLib.training.background import Simulation, training_subjects
from FetalPoseLib.training.detector import Trainer
from FetalPoseLib.training.methods import METHOD_NAMED
from FetalPoseLib.training.pool import load_case
from FetalPoseLib.training.recipes import COMPARED, Recipe
from FetalPoseLib.training.tasks import make_task
from FetalPoseLib.volume.grid import Volume

# --- the command


def train(*arguments) -> int:
    try:
        return main(["train", *map(str, arguments)])
    except SystemExit as end:
        return end.code


def test_training_on_a_folder_makes_a_model_that_estimates(data, held_out, tmp_path, capsys):
    output, own = tmp_path / "mine.safetensors", tmp_path / "own.npz"
    options = ["--model", "fetal-frame", "--data", data, "--validation", held_out, "--folder", tmp_path / "run",
               "--width", 2, "--device", "cpu", "--recipe", "paper", "--steps", 2, "--output", output]  # fmt: skip
    assert train(*options, "--pass", "locate") == 0
    assert "written once 'orient' is" in capsys.readouterr().out and not output.exists()
    assert train(*options, "--library", own) == 0
    said = capsys.readouterr()
    assert "going on from step 2 of 2" in said.out and "left_wrist 1" in said.err and "1 of 2 poses" in said.out
    _, metadata = open_model(output)
    assert metadata["kind"] == "fetal-frame" and metadata["spacing_mm"] == 1.0
    assert list(metadata["networks"]) == ["locate", "orient", "detect"]
    assert metadata["networks"]["detect"]["task"]["foreground"] == Recipe().foreground
    assert metadata["trained"]["detect"]["validation"]["mean_mm"] > 0
    estimator = Estimator(output, device="cpu", library=PoseLibrary.load(own))
    estimator.detector = replace(estimator.detector, search=SearchOptions(rounds=1))
    case = load_case(tmp_path / "run" / "pool" / "own-a.npz")
    try:
        assert estimator.estimate(Volume(case.volume, case.grid.affine), iterations=0).points.shape == (16, 3)
    except FetalPoseError as error:  # two steps do not teach what a fetus is
        assert "No fetus found" in str(error)
    half = output.stat().st_size
    assert train(*options, "--export", "--precision", "int8") == 0
    assert output.stat().st_size < 0.75 * half


def test_a_method_goes_on_from_the_model_and_is_a_model_itself(data, tmp_path, capsys):
    output = tmp_path / "rnn.safetensors"
    options = ["--model", "r4", "--data", data, "--folder", tmp_path / "run", "--width", 2, "--input-stride", 2,
               "--checkpointing", "off", "--device", "cpu", "--steps", 1]  # fmt: skip
    assert train(*options, "--method", "rnn", "--output", output) == 1
    assert "no trained detector to go on from" in capsys.readouterr().err and not output.exists()
    assert train(*options, "--output", tmp_path / "r4.safetensors") == 0
    before = (tmp_path / "run" / "whole" / "state.pt").read_bytes()
    assert train(*options, "--method", "rnn", "--output", output) == 0
    assert (tmp_path / "run" / "whole" / "state.pt").read_bytes() == before, "what it went on from stays"
    _, metadata = open_model(output)
    assert metadata["networks"]["whole"]["network"]["recurrence"] == METHOD_NAMED["rnn"].recurrence
    recipe = metadata["trained"]["whole"]["recipe"]
    assert (recipe["steps"], recipe["decay"], recipe["clip"]) == (1, 1.0, COMPARED.clip)
    assert metadata["trained"]["whole, before"]["recipe"]["foreground"] == Recipe().foreground
    case = load_case(tmp_path / "run" / "pool" / "own-a.npz")
    estimate = Estimator(output, device="cpu").estimate(Volume(case.volume, case.grid.affine), iterations=0)
    assert estimate.points.shape == (16, 3)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--model", "fetal-frame", "--method", "gan"], "The method gan is a variant of the paper's models"),
        (["--model", "r4", "--method", "crf"], "invalid choice: 'crf'"),
        (["--model", "r4", "--recipe", "best"], "invalid choice: 'best'"),
        (["--model", "r4", "--curves", "curves.pdf"], "must end in .png"),
        (["--model", "r4", "--method", "gan", "--export"], "'whole' cannot be exported"),
        (["--model", "r4", "--pass", "locate"], "The network locate is a part of fetal-frame"),
        (["--model", "r4", "--cases", 0], "0 simulated cases leave nothing to train on"),
        (["--model", "r4", "--library", "own.npz"], "A library is made of the poses of your own data"),
        (["--model", "r4", "--export"], "'whole' cannot be exported"),
        (["--model", "r5"], "invalid choice: 'r5'"),
        (["--model", "r4", "--steps", "0"], "'0' is not a count: give 1, 2, ..."),
    ],
)
def test_bad_options_end_in_one_line(tmp_path, capsys, options, message):
    assert train(*options, "--output", tmp_path / "m.safetensors", "--folder", tmp_path / "run") != 0
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_bad_outputs_are_refused_before_any_work(tmp_path, capsys, data, pool):
    assert train("--model", "r4", "--output", tmp_path / "nowhere" / "m.safetensors") == 1
    assert train("--model", "r4", "--output", tmp_path / "m.pt") == 1
    trainer(pool, tmp_path / "run" / "whole", Recipe(steps=1), task=make_task("whole")).run(progress=False)
    again = ["--output", tmp_path / "m.safetensors", "--folder", tmp_path / "run", "--resume", "never", "--data", data]
    assert train("--model", "r4", *again) == 1
    assert "holds a training already" in capsys.readouterr().err


def test_ctrl_c_stops_between_steps_and_writes_no_model(data, tmp_path, monkeypatch, capsys):
    step = Trainer._one_step

    def interrupted(self):
        if self.step == 1:
            signal.raise_signal(signal.SIGINT)
        return step(self)

    monkeypatch.setattr(Trainer, "_one_step", interrupted)
    options = ["--model", "fetal-frame", "--pass", "locate", "--data", data, "--folder", tmp_path / "run", "--width", 2,
               "--steps", 5, "--device", "cpu", "--recipe", "paper",
               "--output", tmp_path / "m.safetensors"]  # fmt: skip
    before = signal.getsignal(signal.SIGINT)
    assert train(*options) == 130
    assert signal.getsignal(signal.SIGINT) is before and not (tmp_path / "m.safetensors").exists()
    assert "stopped at step 2; the same command goes on" in capsys.readouterr().err
    assert torch.load(tmp_path / "run" / "locate" / "state.pt", weights_only=True)["step"] == 2


def test_help_teaches(capsys):
    assert train("--help") == 0
    text = capsys.readouterr().out
    options = ("--data", "paper", "shipped", "adapted", "compared", "patients.csv", "--mirrored", *METHOD_NAMED)
    for word in ("patient01.mrk.json", *SKELETON.landmarks, *options, "Ctrl-C"):
        assert word in text, word


# --- simulating in the background, and memory


def test_subjects_to_train_on_start_with_the_benchmarks():
    subjects = training_subjects(112)
    expected = [("train2", 0), ("train2", 1), ("train2", 99), ("fresh2", 0), ("fresh2", 1), ("fresh2", 2)]
    assert subjects[:2] + subjects[108:] == [*expected[:2], *expected[2:]]
    assert [k for k, (split, _) in enumerate(subjects) if split == "fresh-absent2"] == list(range(11, 112, 12))
    assert {split for split, _ in training_subjects(112, presentation="standard")} == {
        "train2-standard", "fresh2-standard",
    }  # fmt: skip


def test_simulation_fills_the_folder_and_ends_with_its_context(tmp_path):
    with Simulation(tmp_path, [("fresh", 0)], spacing=6.0, workers=2) as simulation:
        simulation.wait_for(1)
        (process,) = simulation._processes
    assert not process.is_alive()
    assert [path.name for path in tmp_path.iterdir()] == ["fresh-00000.npz"]
    np.testing.assert_allclose(load_case(tmp_path / "fresh-00000.npz").grid.spacing, 6.0)
    with Simulation(tmp_path, [("fresh", 0)], spacing=6.0, workers=2) as again:  # nothing left to do
        again.wait_for(16)
        assert not again._processes


def test_a_failing_simulation_says_so(tmp_path):
    with Simulation(tmp_path, [("train", 100)], spacing=6.0, workers=1) as simulation:  # there are 100, from 0
        with pytest.raises(FetalPoseError, match="Simulating into .* failed"):
            simulation.wait_for(1)


def test_freed_memory_is_kept():
    code = """
import platform, torch
from FetalPoseLib.network.memory import keep_freed_memory
def faults():
    import resource
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(30):
        torch.empty(2**23).fill_(1)  # 32 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
if platform.libc_ver()[0] == "glibc":
    given_back = faults()
    assert keep_freed_memory()
    faults()
    assert faults() < 0.3 * given_back
else:
    assert not keep_freed_memory()
"""
    root = resource_path("skeleton.json").parent.parent
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)
