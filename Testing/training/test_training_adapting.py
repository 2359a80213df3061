"""Adapting a model to few volumes: which validate, when it ends, what it keeps, and what a user gets wrong."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from training_cases import LANDMARKS, SIDE, cube, lps_markups, lps_nrrd, trainer

from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.cli import main
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.network.unet import LandmarkNet
from FetalPoseLib.network.weights import open_model, save_model
from FetalPoseLib.training import adapting
from FetalPoseLib.training.detector import Trainer
from FetalPoseLib.training.kept import read_rows
from FetalPoseLib.training.patients import check_apart, held_out, patients_of
from FetalPoseLib.training.pool import OWN, Pool, save_case
from FetalPoseLib.training.recipes import ADAPTED, SHIPPED
from FetalPoseLib.training.tasks import make_task


def train(*arguments) -> int:
    try:
        return main(["train", *map(str, arguments)])
    except SystemExit as end:
        return end.code


def pair(folder, stem, spacing=2.0):
    """A volume of its own for each spacing, and its landmarks."""
    folder.mkdir(exist_ok=True)
    size = round(SIDE / spacing)
    lps_nrrd(folder / f"{stem}.nrrd", cube(spacing), (size,) * 3)
    lps_markups(folder / f"{stem}.mrk.json", LANDMARKS)


@pytest.fixture
def volumes(tmp_path):
    for i in range(5):
        pair(tmp_path / "volumes", f"p{i}", 2.0 + 0.1 * i)
    return tmp_path / "volumes"


@pytest.fixture
def start(tmp_path):
    """A small model of the three networks to begin with."""
    torch.manual_seed(0)
    tensors, networks = {}, {}
    for name in ("locate", "orient", "detect"):
        task = make_task(name)
        net = LandmarkNet(out_channels=task.channels, width=2, levels=2, input_stride=2)
        tensors |= {f"{name}.{key}": value for key, value in net.state_dict().items()}
        networks[name] = {"network": net.config(), "task": {**task.metadata(), "normalisation": "volume"}}
    save_model(
        tmp_path / "start.safetensors", tensors, {"kind": "fetal-frame", "spacing_mm": 1.0, "networks": networks}
    )
    return tmp_path / "start.safetensors"


@pytest.fixture
def command(volumes, start, tmp_path):
    return ["--model", "fetal-frame", "--from", start, "--data", volumes, "--folder", tmp_path / "run", "--cases", 0,
            "--device", "cpu", "--steps", 1, "--output", tmp_path / "mine.safetensors"]  # fmt: skip


# --- the command


def test_one_command_adapts_all_networks_and_extends_the_library(command, tmp_path, capsys):
    assert train(*command, "--library", tmp_path / "poses.npz") == 0
    said = capsys.readouterr().out
    assert "4 volumes to learn from, 1 to check on" in said
    _, metadata = open_model(tmp_path / "mine.safetensors")
    assert metadata["trained"].keys() == {"locate", "orient", "detect"}
    for name, history in metadata["trained"].items():
        assert history["recipe"]["own"] == ADAPTED.own and history["cases"] == 4, name
        rows = read_rows(tmp_path / "run" / name / "log.jsonl")
        assert rows[0]["step"] == 0 and rows[0]["loss"] is None, "the weights to begin with are validated first"
    library = PoseLibrary.load(tmp_path / "poses.npz")
    assert len(library) == 405 and library.names[0] == "own-p0"
    chosen = json.loads((tmp_path / "run" / "data.json").read_text())
    assert len(chosen["data"]) == 4 and len(chosen["validation"]) == 1
    assert train(*command, "--export", "--curves", tmp_path / "curves.png") == 0
    assert (tmp_path / "curves.png").exists()


def test_a_training_on_other_volumes_is_not_taken_for_this_one(command, volumes, capsys):
    assert train(*command, "--pass", "locate") == 0
    pair(volumes, "p9", 2.7)
    capsys.readouterr()
    assert train(*command, "--pass", "locate") == 1
    assert "holds a training on other volumes" in capsys.readouterr().err


def test_a_user_s_mistakes_end_in_one_line(command, volumes, tmp_path, capsys):
    def refused(message, *more):
        assert train(*command, *more) == 1
        last = capsys.readouterr().err.splitlines()[-1]
        assert message in last and last.startswith("fetalpose: error: "), last
        assert not (tmp_path / "mine.safetensors").exists()

    refused("is both the data and the validation", "--validation", volumes)
    pair(tmp_path / "held", "p3", 2.9)
    refused("Patients that stand in the data and in the validation: p3", "--validation", tmp_path / "held")
    pair(tmp_path / "same", "other", 2.3)
    refused("p3 and other are the same", "--validation", tmp_path / "same")
    (volumes / "patients.csv").write_text("volume,patient\np0,a\np1,a\n")
    refused("patients.csv names no patient for p2, p3, p4")
    (volumes / "patients.csv").write_text("volume,patient\n" + "".join(f"p{i},a\n" for i in range(5)))
    refused("5 volumes are of one patient")
    (volumes / "patients.csv").unlink()
    for i in range(1, 5):
        (volumes / f"p{i}.nrrd").unlink(), (volumes / f"p{i}.mrk.json").unlink()
    refused("One volume is of one patient")


def test_mirrored_needs_data(tmp_path, capsys):
    assert train("--model", "r4", "--mirrored", "--output", tmp_path / "m.safetensors") == 1
    assert "--mirrored is for your own volumes" in capsys.readouterr().err


# --- who validates


def test_a_quarter_of_the_patients_is_held_out_whole_and_the_same_each_time():
    patients = {f"own-{i}": f"patient {i // 2}" for i in range(16)}
    out = held_out(patients)
    assert len(out) == 4 and len({patients[name] for name in out}) == 2
    assert held_out(dict(reversed(patients.items()))) == out[::-1]
    check_apart({n: p for n, p in patients.items() if n not in out}, {n: patients[n] for n in out})
    with pytest.raises(FetalPoseError, match="patient 0"):
        check_apart({"own-0": "patient 0"}, {"own-1": "patient 0"})


def test_patients_of_a_table(tmp_path):
    cases = [tmp_path / f"own-v{i}.npz" for i in range(3)]
    assert patients_of(tmp_path, cases) == {"own-v0": "v0", "own-v1": "v1", "own-v2": "v2"}
    (tmp_path / "patients.csv").write_text("\ufeffpatient,volume\nx,v0\nx,v1\ny,v2\n", encoding="utf-8")
    assert patients_of(tmp_path, cases) == {"own-v0": "x", "own-v1": "x", "own-v2": "y"}
    (tmp_path / "patients.csv").write_text("patient,volume\nx,v0\nx,v1\ny,v2\ny,v2\n")
    with pytest.raises(FetalPoseError, match="names a volume twice"):
        patients_of(tmp_path, cases)
    (tmp_path / "patients.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FetalPoseError, match="is no table"):
        patients_of(tmp_path, cases)


def test_few_cases_are_looked_at_from_several_frames(case):
    assert len(adapting.looks([case] * 3, in_frame=True)) == 18
    assert len(adapting.looks([case] * 24, in_frame=True)) == 24
    assert len(adapting.looks([case], in_frame=False)) == 1 and adapting.looks([], in_frame=True) == []


# --- what is drawn, and when it ends


def test_own_volumes_are_drawn_as_often_as_asked_for_however_few(pool, case):
    for i in range(20):
        save_case(pool.folder, replace(case, name=f"fresh2-{i:05d}"))
    pool.refresh()
    rng = np.random.default_rng(0)
    own = np.mean([pool.pick(rng, 0.5).name.startswith(OWN) for _ in range(2000)])
    assert 0.45 < own < 0.55
    assert np.mean([pool.pick(rng).name.startswith(OWN) for _ in range(2000)]) < 0.1
    alone = Pool(pool.folder, without=[f"fresh2-{i:05d}" for i in range(20)])
    alone.refresh()
    assert {alone.pick(rng, 0.5).name for _ in range(20)} == {case.name}, "nothing simulated is there yet"


class Scripted(Trainer):
    """A trainer whose errors on validation are known beforehand."""

    errors = (5.0, 4.95, 4.0, 4.5, 4.2, 4.1, 3.0, 2.0)

    def validate(self):
        return {"mean_mm": self.errors[self.step]}

    def _one_step(self):
        return 0.1


def scripted(pool, case, folder, errors, **changes):
    recipe = replace(SHIPPED, steps=7, bfloat16=False, patience=3, gain=0.03, **changes)
    learner = trainer(pool, folder, recipe, kind=Scripted, validation=[case], validate_every=1)
    learner.errors = errors
    return learner


def test_it_ends_when_the_error_has_long_not_fallen_and_keeps_the_best(pool, case, tmp_path):
    learner = scripted(pool, case, tmp_path / "run", Scripted.errors)
    learner.run(progress=False)
    rows = read_rows(tmp_path / "run" / "log.jsonl")
    assert [row["best"] for row in rows] == [True, False, True, False, False, False], "5.0 to 4.95 is within the gain"
    assert learner.step == 5 and learner.ended
    again = scripted(pool, case, tmp_path / "run", Scripted.errors)
    assert again.resume() and again.ended
    again.run(progress=False)
    assert again.step == 5, "what has ended does not go on"


def test_where_no_step_is_better_the_weights_to_begin_with_are_kept(pool, case, tmp_path):
    learner = scripted(pool, case, tmp_path / "run", (5.0, 4.9, 5.1, 4.86, 6.0))
    before = {key: value.clone() for key, value in learner.net.state_dict().items()}
    learner.run(progress=False)
    assert learner.step == 3
    best = torch.load(tmp_path / "run" / "best.pt", weights_only=True)
    assert all(torch.equal(best[key], value) for key, value in before.items())


def test_without_patience_it_trains_to_the_end(pool, case, tmp_path):
    learner = scripted(pool, case, tmp_path / "run", (5.0,) * 8)
    learner.recipe = replace(learner.recipe, patience=0)
    learner.run(progress=False)
    assert learner.step == 7 and read_rows(tmp_path / "run" / "log.jsonl")[0]["step"] == 1
