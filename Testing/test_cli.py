"""`fetalpose evaluate`, `simulate`, `demo` and the program itself."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from cli_runs import POINTS, SKELETON, Network, fetalpose, saved, text, write_pose
from volume_files import picture, volume, write_nrrd

from FetalPoseLib import __version__
from FetalPoseLib import scene as mrml
from FetalPoseLib.cli import COMMANDS
from FetalPoseLib.simulation import files
from FetalPoseLib.simulation.datasets import draw_subject


@pytest.fixture(autouse=True)
def network(tmp_path_factory, monkeypatch):
    return Network(tmp_path_factory.mktemp("network"), monkeypatch)


@pytest.fixture
def good(tmp_path):
    return write_nrrd(tmp_path / "good.nrrd", picture(), "dimension: 3", "sizes: 40 36 32", "spacings: 1 1 1")


# --- evaluate


def test_evaluate_two_files(tmp_path, capsys):
    predicted = POINTS.copy()
    predicted[0] += [3, 0, 0]
    truth = write_pose(tmp_path / "truth.mrk.json")
    assert fetalpose("evaluate", write_pose(tmp_path / "pose.mrk.json", predicted), truth) == 0
    printed = capsys.readouterr().out
    lines = {line.split("  ")[0]: line.split() for line in printed.splitlines()}
    assert lines["head"][1:] == ["3.00", "70.50"]
    assert lines["neck"][1:] == ["0.00", "100.00"]
    assert "limbs on the wrong side: 0 of 4" in printed


def test_evaluate_counts_exchanged_limbs(tmp_path, capsys):
    truth = write_pose(tmp_path / "truth.mrk.json")
    swapped = write_pose(tmp_path / "pose.mrk.json", POINTS[SKELETON.mirror])
    assert fetalpose("evaluate", swapped, truth) == 0
    assert "limbs on the wrong side: 4 of 4" in capsys.readouterr().out


def test_evaluate_folders_matches_by_name(tmp_path, capsys):
    for folder in ("poses", "truths"):
        (tmp_path / folder).mkdir()
        for name in ("a", "b"):
            write_pose(tmp_path / folder / f"{name}.mrk.json")
    write_pose(tmp_path / "poses" / "c.mrk.json")
    assert fetalpose("evaluate", tmp_path / "poses", tmp_path / "truths") == 0
    out, err = capsys.readouterr()
    assert "volumes: 2" in out and "1 poses" in err
    assert fetalpose("evaluate", tmp_path / "truths", tmp_path / "poses") == 1
    assert "c.mrk.json" in capsys.readouterr().err


def test_evaluate_refuses_what_does_not_belong_together(tmp_path, capsys):
    pose = write_pose(tmp_path / "pose.mrk.json")
    other = tmp_path / "other.mrk.json"
    other.write_text(pose.read_text().replace('"left_wrist"', '"left_hand"'))
    (tmp_path / "empty").mkdir()
    for arguments, message in [
        ((other, pose), "missing: left_wrist; not a landmark: left_hand"),
        ((pose, tmp_path / "gone.mrk.json"), "does not exist"),
        ((pose, tmp_path), "two files or two folders"),
        ((tmp_path, tmp_path / "empty"), "holds no .mrk.json"),
    ]:
        assert fetalpose("evaluate", *arguments) == 1
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


# --- simulate


def test_simulate_writes_a_volume_and_its_truth(tmp_path, scene, monkeypatch):
    asked = []

    def quick(seed, spacing):
        asked.append((seed, spacing))
        return SimpleNamespace(name="fresh-007", volume=volume(), landmarks=POINTS)

    monkeypatch.setattr(files, "simulate_subject", quick)
    output, landmarks = tmp_path / "case.nrrd", tmp_path / "case.mrk.json"
    assert fetalpose("simulate", "--seed", 7, "--spacing", 1, "--output", output, "--landmarks", landmarks) == 0
    assert asked == [(7, 1.0)]
    made = mrml.volume_from_node(mrml.read_volume(scene, output))
    np.testing.assert_array_equal(made.array, volume().array)
    truth = mrml.load_pose(scene, landmarks)
    np.testing.assert_allclose(mrml.points_of(truth), POINTS)
    assert "simulated" in truth.GetAttribute("FetalPose.Source")


@pytest.mark.slow
def test_simulated_landmarks_lie_in_their_volume(tmp_path, scene):
    output, landmarks = tmp_path / "case.nrrd", tmp_path / "case.mrk.json"
    files = ["--output", output, "--landmarks", landmarks]
    assert fetalpose("simulate", "--split", "test", "--subject", 0, "--spacing", 2.5, *files) == 0
    made = mrml.volume_from_node(mrml.read_volume(scene, output))
    np.testing.assert_allclose(made.grid.spacing, 2.5, atol=1e-6)
    voxels = made.grid.to_voxel(mrml.points_of(mrml.load_pose(scene, landmarks)))
    voxels = voxels[np.isfinite(voxels).all(axis=1)]
    assert ((voxels > -1) & (voxels < made.grid.shape)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "either a seed"),
        (["--seed", 1, "--split", "test", "--subject", 0], "either a seed"),
        (["--split", "test"], "either a seed"),
        (["--split", "test", "--subject", 52], "52"),
        (["--seed", 1, "--spacing", 0], "spacing of 0 mm"),
        (["--seed", -1], "'-1' is not a count"),
    ],
)
def test_simulate_refuses_what_there_is_not(tmp_path, capsys, options, message):
    files = ["--output", tmp_path / "case.nrrd", "--landmarks", tmp_path / "case.mrk.json"]
    assert fetalpose("simulate", *options, *files) in (1, 2)  # 2 is argparse's, for a value of the wrong kind
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# --- demo


def test_demo_compares_with_the_truth(network, tmp_path, capsys, monkeypatch):
    network.answers(POINTS + [0, 2, 0])
    sample = {"sample.nrrd": saved(tmp_path, picture()), "sample.mrk.json": write_pose(tmp_path / "truth.mrk.json")}
    monkeypatch.setattr("FetalPoseLib.session.sample.resource_path", lambda _folder, name: sample[name])
    folder = tmp_path / "build" / "demo"
    assert fetalpose("demo", "--output", folder) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["lengths.csv", "pose.mrk.json", "pose.png"]
    assert "mean 2.00 mm, largest 2.00 mm" in capsys.readouterr().out


# --- the program


def test_program_exits_as_it_ends(tmp_path):
    def program(*arguments):
        return subprocess.run([sys.executable, "-m", "FetalPoseLib.cli", *arguments], capture_output=True, text=True)

    version = program("--version")
    assert (version.returncode, version.stdout) == (0, f"fetalpose {__version__}\n")
    overview = program("--help")
    assert overview.returncode == 0 and all(command in overview.stdout for command in COMMANDS)
    text(tmp_path)
    failed = program("estimate", str(tmp_path / "text.nrrd"), "--output", str(tmp_path / "pose.mrk.json"))
    assert failed.returncode == 1 and failed.stdout == ""
    assert failed.stderr.startswith("fetalpose: error: ") and failed.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["estimate", "simulate", "evaluate", "demo"])
def test_help_teaches_with_examples(capsys, command):
    assert fetalpose(command, "--help") == 0
    assert f"\n  fetalpose {command}" in capsys.readouterr().out


def test_an_age_that_contradicts_the_size_is_a_warning_and_stands_in_the_file(network, good, tmp_path, capsys, scene):
    network.answers(draw_subject("fresh", 1).body.landmarks)
    path = tmp_path / "pose.mrk.json"
    assert fetalpose("estimate", good, "--output", path, "--gestational-age", "9w0d") == 0
    assert "fetalpose: warning: At 9w0d a crown-rump length of" in capsys.readouterr().err
    pose = mrml.load_pose(scene, path)
    assert pose.GetAttribute("FetalPose.GestationalAge") == "9w0d"
    assert "At 9w0d" in pose.GetAttribute("FetalPose.Warnings")


def test_what_is_no_age_is_one_clear_line(good, tmp_path, capsys):
    assert fetalpose("estimate", good, "--output", tmp_path / "pose.mrk.json", "--gestational-age", "12") == 2
    error = capsys.readouterr().err
    assert "'12' is not a gestational age. Write weeks and days like 12w3d." in error and error.count("\n") == 1
