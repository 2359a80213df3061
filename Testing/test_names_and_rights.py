"""Names and rights that stand in the way: one line each, no traceback, and nobody else's files touched."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from FetalPoseLib import scene as mrml
from FetalPoseLib.cli import main
from FetalPoseLib.errors import FetalPoseError, listed, printable
from FetalPoseLib.files import check_writable, replacing
from FetalPoseLib.resources import resource_path
from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.worker.process import slicer_python

SAMPLE = resource_path("sample", "sample.nrrd")
TRUTH = resource_path("sample", "sample.mrk.json")
COMMAND = [sys.executable, "-m", "FetalPoseLib.cli"]
LONG = "a" * 300
UNPRIVILEGED = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"]


def run(*arguments, before=(), **options):
    return subprocess.run(
        [*before, *COMMAND, *map(str, arguments)], capture_output=True, text=True, errors="surrogateescape",
        stdin=subprocess.DEVNULL, check=False, **options,
    )  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [
        ["estimate", f"{LONG}.nrrd", "--output", "o.mrk.json"],
        ["estimate", SAMPLE, "--output", f"{LONG}.mrk.json"],
        ["estimate", SAMPLE, "--output", f"{LONG}/o.mrk.json"],
        ["evaluate", f"{LONG}.mrk.json", TRUTH],
        ["train", "--model", "r4", "--data", LONG, "--output", "m.safetensors"],
        ["train", "--model", "r4", "--folder", LONG, "--output", "m.safetensors"],
        ["train", "--model", "r4", "--output", f"{LONG}.safetensors"],
    ],
)
def test_a_name_that_is_too_long_is_one_line(tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    assert main([str(argument) for argument in arguments]) == 1
    error = capsys.readouterr().err
    error = error[error.index("fetalpose: ") :]  # after the bar
    assert error.startswith("fetalpose: error: ") and error.strip().count("\n") == 0
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


@pytest.mark.skipif(
    os.name == "nt" or (os.geteuid() == 0 and not shutil.which("setpriv")), reason="needs rights to lack"
)
@pytest.mark.parametrize(
    "arguments",
    [
        ["estimate", "closed", "--output", "o.mrk.json"],
        ["estimate", "closed/x.nrrd", "--output", "o.mrk.json"],
        ["estimate", "sample.nrrd", "--output", "closed/o.mrk.json"],
        ["evaluate", "secret.mrk.json", "secret.mrk.json"],
        ["evaluate", "closed", "closed"],
        ["train", "--model", "r4", "--data", "closed", "--output", "m.safetensors"],
        ["train", "--model", "r4", "--folder", "closed/run", "--output", "m.safetensors"],
    ],
)
def test_what_may_not_be_read_or_written_is_one_line(tmp_path, arguments):
    closed, secret = tmp_path / "closed", tmp_path / "secret.mrk.json"
    closed.mkdir()
    shutil.copy(SAMPLE, tmp_path / "sample.nrrd")
    shutil.copy(TRUTH, secret)
    for path in (closed, secret):
        path.chmod(0)
    done = run(*arguments, before=UNPRIVILEGED if os.geteuid() == 0 else [], cwd=tmp_path,
               env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)})  # fmt: skip
    closed.chmod(0o700)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert any(words in done.stderr.splitlines()[-1] for words in ("Permission denied", "rights", "may not read"))


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["evaluate", TRUTH, TRUTH]])
def test_a_reader_that_has_seen_enough_is_no_traceback(arguments):
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stdout=writing, stderr=subprocess.PIPE, text=True, bufsize=0
    )
    os.close(writing)
    os.close(reading)  # before anything is written
    _, error = process.communicate()
    assert "Traceback" not in error and "Exception" not in error
    assert process.returncode in (0, 141)


def test_control_characters_of_a_file_do_not_reach_the_terminal(tmp_path):
    path = tmp_path / "e.mrk.json"
    path.write_text(TRUTH.read_text().replace('"left_shoulder"', '"\\u001b[2J\\u001b[31mDone\\u009b2J\\u202e"'))
    done = run("evaluate", path, path)
    assert done.returncode == 1
    assert all(character.isprintable() or character == "\n" for character in done.stderr)


def test_messages_can_always_be_printed():
    error = FetalPoseError("name \udcff \x1b[2J " + "x" * 10**6)
    assert str(error).encode() and "\x1b" not in str(error) and len(str(error)) <= 2000
    assert printable("Zürich, 東京\n\t1 mm") == "Zürich, 東京\n\t1 mm"
    assert listed([f"p{i}" for i in range(100)]) == "p0, p1, p2, p3, p4 and 95 more"
    assert len(listed(["x" * 1000])) < 70


def test_folders_beside_an_output_are_left_alone(tmp_path, scene):
    for name in ("TempWrite", "TempWrite.nrrd"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "precious.txt").write_text("mine")
    array = np.random.default_rng(0).integers(0, 255, (40, 40, 40), dtype=np.uint8)
    node = mrml.add_volume(scene, Volume(array, np.eye(4)))
    for suffix in (".nrrd", ".nii.gz", ".mha"):
        mrml.write_volume(node, tmp_path / f"volume{suffix}")
    pose = mrml.create_pose(scene)
    mrml.save_pose(pose, tmp_path / "pose.mrk.json")
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    volumes = ["volume.mha", "volume.nii.gz", "volume.nrrd"]
    assert found == sorted(["TempWrite/precious.txt", "TempWrite.nrrd/precious.txt", "pose.mrk.json", *volumes])


def test_a_new_output_has_the_usual_rights_and_a_former_one_keeps_its_own(tmp_path):
    new, old = tmp_path / "new.csv", tmp_path / "old.csv"
    old.write_text("before")
    old.chmod(0o640)
    for path in (new, old):
        with replacing(path) as temporary:
            temporary.write_text("after")
    mask = os.umask(0)
    os.umask(mask)
    if os.name != "nt":
        assert new.stat().st_mode & 0o777 == 0o666 & ~mask and old.stat().st_mode & 0o777 == 0o640
    assert sorted(tmp_path.iterdir()) == [new, old]
    check_writable(new, ".csv")
    assert sorted(tmp_path.iterdir()) == [new, old]


def test_slicers_python_is_taken_from_slicers_own_folder_only(tmp_path, monkeypatch):
    name = "PythonSlicer.exe" if os.name == "nt" else "PythonSlicer"
    for folder in (tmp_path / "home" / "bin", tmp_path / "downloads"):
        folder.mkdir(parents=True)
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    monkeypatch.chdir(tmp_path / "downloads")
    monkeypatch.setenv("PATH", os.pathsep.join([".", str(tmp_path / "downloads")]))
    assert Path(slicer_python(tmp_path / "home")) == (tmp_path / "home" / "bin" / name).resolve()
    assert slicer_python(tmp_path / "nowhere") == sys.executable
    assert slicer_python("") == sys.executable
