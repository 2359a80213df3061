"""`fetalpose estimate` as a user has it: results, one clear line for bad input, nothing destroyed."""

import csv
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cli_runs import POINTS, SKELETON, Network, fetalpose, saved, text, write_pose
from volume_files import picture, write_dicom, write_nifti, write_nrrd

from FetalPoseLib import scene as mrml
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.refinement.options import REFINEMENTS, EstimateOptions
from FetalPoseLib.volume.grid import Grid
from FetalPoseLib.worker.protocol import EstimateRequest

GOOD = ["dimension: 3", "sizes: 40 36 32", "spacings: 1 1 1"]


#: A network's process whose weights are not those of the manifest in the folder given.
OTHER_WEIGHTS = """
import sys
from pathlib import Path
from FetalPoseLib.network import weights
from FetalPoseLib.worker import server
weights.resource_path = lambda *parts: Path(sys.argv[1]).joinpath(*parts)
server.main()
"""
#: The command line with `fake_worker` as the network's process, its plan as the first argument.
WITH_FAKE_WORKER = """
import json, signal, sys
from functools import partial
import fake_worker
from FetalPoseLib.cli import terminal, main
from FetalPoseLib.worker.client import WorkerClient
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell begins with it ignored
plan = json.loads(sys.argv.pop(1))
terminal.WorkerClient = partial(WorkerClient, command=fake_worker.command(plan))
sys.exit(main())
"""


@pytest.fixture(autouse=True)
def network(tmp_path_factory, monkeypatch):
    return Network(tmp_path_factory.mktemp("network"), monkeypatch)


@pytest.fixture
def good(tmp_path):
    return write_nrrd(tmp_path / "good.nrrd", picture(), *GOOD)


# --- estimate


def test_estimate_writes_pose_table_and_picture(network, good, tmp_path, capsys, scene):
    outputs = [tmp_path / name for name in ("pose.mrk.json", "lengths.csv", "pose.png")]
    options = ["--iterations", 3, "--refinement", "holding", "--model", "r4", "--device", "cpu"]
    arguments = ["estimate", good, "--output", outputs[0], "--table", outputs[1], "--picture", outputs[2], *options]
    assert fetalpose(*arguments) == 0
    asked = network.asked.options
    assert (asked.model, asked.device, asked.iterations, asked.refinement) == ("r4", "cpu", 3, "holding")
    assert network.requests[0].options == asked, "the model is opened while the volume is read"
    pose = mrml.load_pose(scene, outputs[0])
    np.testing.assert_allclose(mrml.points_of(pose), POINTS)
    assert pose.GetAttribute("FetalPose.Model") == "r4"
    rows = list(csv.DictReader(outputs[1].open()))
    assert [row["segment"] for row in rows] == [segment.name for segment in SKELETON.segments]
    assert list(rows[0])[-1] == "check"
    assert outputs[2].read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert all(f"{row['length_mm']} mm" in printed for row in rows)


def test_estimate_tells_and_writes_size_age_and_posture(network, good, tmp_path, capsys, scene):
    outputs = [tmp_path / name for name in ("pose.mrk.json", "measures.csv")]
    arguments = ["estimate", good, "--output", outputs[0], "--measures", outputs[1], "--age-formula", "robinson"]
    assert fetalpose(*arguments) == 0
    rows = {row["measure"]: row for row in csv.DictReader(outputs[1].open())}
    pose = mrml.load_pose(scene, outputs[0])
    assert list(rows) == [measure.name for measure in mrml.measures_of(pose)]
    assert rows["crown_rump_length"]["note"] == "from head and trunk"  # the picture holds no fetus
    assert float(rows["crown_rump_length"]["value"]) > 0 and float(rows["left_elbow_flexion"]["value"]) >= 0
    assert pose.GetAttribute("FetalPose.AgeFormula") == "robinson"
    printed = capsys.readouterr().out
    assert f"{rows['crown_rump_length']['value']} mm" in printed and "gestational_age" in printed
    assert "left_elbow_flexion" not in printed


def test_estimate_writes_a_report(network, good, tmp_path):
    arguments = ["estimate", good, "--output", tmp_path / "pose.mrk.json", "--report", tmp_path / "report.html"]
    assert fetalpose(*arguments) == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "good.nrrd" in page and "Research use only" in page and "No landmark was placed by a person." in page
    assert fetalpose(*arguments[:-1], tmp_path / "report.docx") == 1


def test_a_table_of_measures_that_cannot_be_written_changes_nothing(network, good, tmp_path, capsys):
    arguments = ["estimate", good, "--output", tmp_path / "pose.mrk.json", "--measures", tmp_path / "measures.txt"]
    assert fetalpose(*arguments) == 1
    assert "must end in .csv" in capsys.readouterr().err and not (tmp_path / "pose.mrk.json").exists()


def test_estimate_reads_a_dicom_folder(network, tmp_path):
    folder = write_dicom(tmp_path / "series", picture())
    assert fetalpose("estimate", folder, "--output", tmp_path / "pose.mrk.json") == 0
    assert network.asked.options == EstimateOptions()


def test_warnings_are_shown_and_are_no_failure(network, good, tmp_path, capsys):
    network.answers(warnings=["No fetus was found with any certainty."])
    assert fetalpose("estimate", good, "--output", tmp_path / "pose.mrk.json") == 0
    assert "fetalpose: warning: No fetus was found with any certainty." in capsys.readouterr().err


def test_nothing_found_overwrites_nothing(network, good, tmp_path, capsys):
    network.answers(np.full((16, 3), np.nan))
    path = write_pose(tmp_path / "pose.mrk.json")
    before = path.read_bytes()
    assert fetalpose("estimate", good, "--output", path) == 1
    assert "No fetus was found" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_a_volume_without_a_fetus_is_written_only_when_forced(network, good, tmp_path, capsys, scene):
    network.answers(POINTS + 1, confidence=0.3)
    path = write_pose(tmp_path / "pose.mrk.json")
    before = path.read_bytes()
    assert fetalpose("estimate", good, "--output", path) == 1
    assert "with any certainty; nothing was written" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert fetalpose("estimate", good, "--output", path, "--force") == 0
    pose = mrml.load_pose(scene, path)
    np.testing.assert_allclose(mrml.points_of(pose), POINTS + 1)
    assert "unsure of the head" in pose.GetAttribute("FetalPose.Warnings"), "the file tells it, too"


def test_a_mirrored_file_is_mirrored_for_the_network_and_the_pose_lies_on_the_file(network, good, tmp_path, scene):
    path = tmp_path / "pose.mrk.json"
    assert fetalpose("estimate", good, "--output", path, "--mirrored") == 0
    file = mrml.volume_from_node(mrml.read_volume(scene, good))
    mirrored = Grid(file.grid.shape, network.asked.ijk_to_ras)
    assert np.linalg.det(mirrored.affine) == pytest.approx(-np.linalg.det(file.ijk_to_ras))
    np.testing.assert_allclose(mirrored.corners().min(axis=0), file.grid.corners().min(axis=0))
    pose = mrml.load_pose(scene, path)
    expected = file.grid.to_world(mirrored.to_voxel(POINTS))
    np.testing.assert_allclose(mrml.points_of(pose), expected, atol=1e-6)
    assert pose.GetAttribute("FetalPose.Mirrored") == "yes"


def test_a_frame_of_a_single_volume_is_refused(good, tmp_path, capsys):
    assert fetalpose("estimate", good, "--output", tmp_path / "pose.mrk.json", "--frame", 2) == 1
    assert "holds one volume" in capsys.readouterr().err


def test_a_link_to_the_output_stays_a_link(good, tmp_path):
    real = write_pose(tmp_path / "real.mrk.json", POINTS + 5)
    link = tmp_path / "pose.mrk.json"
    link.symlink_to(real)
    assert fetalpose("estimate", good, "--output", link) == 0
    assert link.is_symlink()
    np.testing.assert_allclose(mrml.points_of(mrml.load_pose(mrml.new_scene(), real)), POINTS)


def test_a_pose_cut_short_is_not_stored(tmp_path):
    """MRML's writer reports success on a full disk; what it stored is read back before it takes the former's place."""
    path = write_pose(tmp_path / "pose.mrk.json")
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(FetalPoseError, match="not stored in full; the former file is kept"):
            write_pose(path, POINTS + 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def missing(folder):
    return folder / "missing.nrrd"


def unknown_format(folder):
    (folder / "volume.xyz").write_text("this is no volume")
    return folder / "volume.xyz"


def empty_folder(folder):
    (folder / "empty").mkdir()
    return folder / "empty"


BAD_VOLUMES = {
    "missing": (missing, "does not exist"),
    "text": (text, "cannot be read as a volume"),
    "unknown format": (unknown_format, "cannot be read as a volume"),
    "truncated": (lambda f: write_nifti(f / "cut.nii", picture(), missing=99), "damaged"),
    "folder without images": (empty_folder, "holds no DICOM images"),
    "2D": (
        lambda f: write_nrrd(f / "a.nrrd", picture((36, 40)), "dimension: 2", "sizes: 40 36", "spacings: 1 1"),
        "2D",
    ),
    "one DICOM slice": (lambda f: write_dicom(f / "dicom", picture((1, 28, 32))) / "000.dcm", "2D"),
    "4D": (lambda f: write_nifti(f / "a.nii", picture((2, 24, 28, 32)), spacing=(1, 1, 1, 1)), "4D series"),
    "RGB": (
        lambda f: write_nrrd(
            f / "a.nrrd",
            picture((24, 28, 32, 3)),
            *["dimension: 4", "sizes: 3 32 28 24", "kinds: RGB-color domain domain domain"],
            *["space: left-posterior-superior", "space directions: none (1,0,0) (0,1,0) (0,0,1)"],
        ),
        "greyscale",
    ),
    "segmentation": (lambda f: write_nrrd(f / "a.seg.nrrd", picture(), *GOOD, "Segment0_ID:=Fetus"), "segmentation"),
    "constant": (lambda f: saved(f, np.full((32, 32, 32), 9, np.uint8)), "constant"),
    "all NaN": (lambda f: saved(f, np.full((32, 32, 32), np.nan, np.float32)), "no finite value"),
    "spacing 0": (lambda f: write_nifti(f / "a.nii", picture(), spacing=(0, 1, 1)), "impossible voxel spacing"),
    "absurd spacing": (lambda f: saved(f, picture(), np.diag([1000.0, 1000, 1000, 1])), "1000 x 1000 x 1000 mm"),
    "too small": (lambda f: saved(f, picture((8, 8, 8))), "8 x 8 x 8 mm"),
}


@pytest.mark.parametrize("case", BAD_VOLUMES)
def test_bad_volume_ends_in_one_line_and_leaves_the_former_result(tmp_path, capfd, case):
    make, message = BAD_VOLUMES[case]
    source, output = make(tmp_path), tmp_path / "pose.mrk.json"
    output.write_text("precious")
    capfd.readouterr()
    assert fetalpose("estimate", source, "--output", output) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("fetalpose: error: ") and err.count("\n") == 1
    assert message in err
    assert output.read_text() == "precious"


def test_bad_outputs_are_noticed_before_any_work(network, good, tmp_path, capsys):
    pose = tmp_path / "pose.mrk.json"
    for options, message in [
        (["--output", tmp_path / "nowhere" / "pose.mrk.json"], "does not exist"),
        (["--output", "/proc/pose.mrk.json"], "Cannot write"),
        (["--output", tmp_path / "pose.txt"], "must end in .mrk.json"),
        (["--output", pose, "--table", good], "must end in .csv"),
        (["--output", pose, "--picture", good], "must end in .png"),
    ]:
        assert fetalpose("estimate", good, *options) == 1
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    (tmp_path / "folder.mrk.json").mkdir()
    assert fetalpose("estimate", good, "--output", tmp_path / "folder.mrk.json") == 1
    assert "is a folder" in capsys.readouterr().err
    assert not network.requests


def test_weights_that_differ_from_the_manifest_are_refused(network, good, tmp_path, capsys):
    (tmp_path / "models").mkdir()
    manifest = {"fetal-frame": {"file": "a.safetensors", "sha256": "0" * 64, "kind": "fetal-frame"}}
    (tmp_path / "models" / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "models" / "a.safetensors").write_bytes(b"other weights")
    network.is_client(command=[sys.executable, "-c", OTHER_WEIGHTS, str(tmp_path)])
    assert fetalpose("estimate", good, "--output", tmp_path / "pose.mrk.json") == 1
    error = capsys.readouterr().err
    assert "SHA-256" in error and error.count("\n") == 1


def test_gpu_that_is_not_there_is_refused(network, good, tmp_path, capsys):
    network.is_client(environment={"CUDA_VISIBLE_DEVICES": ""})
    arguments = ["estimate", good, "--output", tmp_path / "pose.mrk.json", "--device", "cuda"]
    assert fetalpose(*arguments) == 1
    error = capsys.readouterr().err
    assert "no GPU" in error and error.count("\n") == 1


def test_wrong_usage_is_one_line(good, tmp_path, capsys):
    pose = tmp_path / "pose.mrk.json"
    for arguments, message in [
        (["estimate", good, "--output", pose, "--device", "abacus"], "abacus"),
        (["estimate", good, "--output", pose, "--iterations", "-1"], "'-1' is not a count: give 0, 1, ..."),
        (["estimate", good, "--output", pose, "--frame", "0"], "'0' is not a count: give 1, 2, ..."),
        (["benchmark", "speed", "--threads", "two"], "'two' is not a count: give 1, 2, ..."),
        (["train", "--model", "r4", "--output", "a.safetensors", "--steps", "1.5"], "'1.5' is not a count"),
        (["estimate", good, "--output", pose, "--refinement", "magic"], "magic"),
        (["estimate", good], "--output"),
        (["guess"], "guess"),
        ([], "COMMAND"),
    ]:
        assert fetalpose(*arguments) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


def test_interrupt_is_no_success(network, good, tmp_path):
    output = tmp_path / "pose.mrk.json"
    plan = json.dumps(network.plan(mode="hang"))
    command = [sys.executable, "-c", WITH_FAKE_WORKER, plan, "estimate", str(good), "--output", str(output)]
    testing = str(Path(__file__).parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([testing, str(Path(testing).parent)])}
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    while program.poll() is None and not any(isinstance(request, EstimateRequest) for request in network.requests):
        time.sleep(0.05)
    program.send_signal(signal.SIGINT)
    printed, error = program.communicate()
    assert (program.returncode, printed) == (130, ""), error
    assert error.splitlines()[-1].strip().startswith("fetalpose: error: Stopped.") and "Traceback" not in error
    assert not output.exists()


@pytest.mark.parametrize("name", REFINEMENTS)
def test_every_refinement_that_the_estimator_knows_can_be_asked_for(network, good, tmp_path, name):
    assert fetalpose("estimate", good, "--output", tmp_path / "pose.mrk.json", "--refinement", name) == 0
    assert network.asked.options.refinement == name
