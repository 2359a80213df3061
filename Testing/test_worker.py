"""The network's process and its client: the real process on small, untrained networks."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.cli import main
from FetalPoseLib.estimator import REFINEMENTS, Estimator
from FetalPoseLib.network.unet import LandmarkNet
from FetalPoseLib.network.weights import save_model
from FetalPoseLib.resources import resource_path
from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.worker.client import WorkerClient, points_of_rows, rows_of_points

ROOT = Path(__file__).resolve().parent.parent
ENDS = ("done", "failed", "cancelled")
LONG = {"refinement": "paper", "iterations": 10**6}  # does not end by itself
#: A process whose GPU is full: three attempts fail; and libraries print where events should be.
FULL_GPU = """
import os, torch
from FetalPoseLib.worker import server as worker
from FetalPoseLib.estimator import Estimator
run, failures = Estimator.run, iter(range(3))
def full(*args, **options):
    print("a library's noise")
    os.system("echo noise of a child")
    if next(failures, None) is not None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")
    return run(*args, **options)
Estimator.run = full
worker.main()
"""


def network(outputs: int, bias: float = 0.5, width: int = 2) -> LandmarkNet:
    """An untrained network; a bias above 0 makes it see every landmark somewhere."""
    torch.manual_seed(1)
    net = LandmarkNet(1, outputs, width, 2, 2)
    with torch.no_grad():
        next(module for module in net.modules() if type(module).__name__ == "Head").bias.fill_(bias)
    return net


def write_model(path: Path, nets: dict[str, LandmarkNet], tasks: dict[str, dict], **metadata) -> Path:
    state = {f"{name}.{key}": value for name, net in nets.items() for key, value in net.state_dict().items()}
    networks = {name: {"network": net.config(), "task": tasks[name]} for name, net in nets.items()}
    save_model(path, state, {"networks": networks, **metadata})
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def model(folder):
    task = {"task": "whole", "spacing_mm": 2.0, "sigma": 1.5}
    return write_model(folder / "whole.safetensors", {"whole": network(16)}, {"whole": task}, spacings_mm=[2.0, 2.5])


@pytest.fixture(scope="module")
def slow_model(folder):
    """One whose every layer computes for long, on the large volume."""
    task = {"task": "whole", "spacing_mm": 0.5, "sigma": 1.5}
    return write_model(folder / "slow.safetensors", {"whole": network(16, width=12)}, {"whole": task})


@pytest.fixture(scope="module")
def volume():
    array = np.random.default_rng(0).integers(1, 255, (44, 48, 52), dtype=np.uint8)
    matrix = np.diag([-1.0, 1.1, 0.9, 1.0])
    matrix[:3, 3] = 10, -20, 30
    return Volume(array, matrix)


@pytest.fixture(scope="module")
def client():
    """One process for all tests that leave it alive."""
    with WorkerClient(environment={"OMP_NUM_THREADS": "1"}) as client:
        yield client
        assert not client.running


def wait_for(client, number, *kinds, stage=None, seconds=600):
    """All events up to the first of these kinds (and this stage) of this request; poll never keeps us waiting."""
    heard, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        for event in client.poll():
            heard.append(event)
            if event.request == number and event.kind in kinds and stage in (None, event.data.get("stage")):
                return heard
        time.sleep(0.005)
    raise AssertionError(f"no {kinds} of request {number} in {seconds} s, only {heard}")


def finish(client, number):
    return wait_for(client, number, *ENDS)


def gone(pid: int) -> bool:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


# --- estimates


def test_estimate_is_what_the_estimator_says(client, model, volume):
    number = client.estimate(volume, weights=model, device="cpu", iterations=2, refinement="holding", k=3)
    assert client.running
    voxels = client._pending[number]
    assert voxels.stat().st_mode & 0o077 == 0, "a patient's volume is for this user's eyes"
    events = finish(client, number)
    assert not client.running and client.warm and not voxels.exists()

    assert {event.request for event in events} == {number}
    assert [event.kind for event in events[:2]] == ["progress", "ready"]
    steps = [(e.data["stage"], e.data["iteration"]) for e in events if e.kind == "progress"]
    assert steps == [("open", 0), ("locate", 0), ("detect", 0), ("refine", 0), ("refine", 1), ("refine", 2)]
    left = [event.data["seconds_left"] for event in events if event.kind == "progress"]
    assert left[:4] == [None] * 4 and left[4] > 0 and left[5] == 0
    assert events[0].points is None and events[-2].points.shape == (16, 3)

    expected = Estimator(model, "cpu", refinement={**REFINEMENTS["holding"], "k": 3}).estimate(volume, iterations=2)
    result = events[-1].result
    assert np.isfinite(expected.points).any()
    np.testing.assert_allclose(result.points, expected.points, atol=1e-3)
    np.testing.assert_allclose(result.unrefined, expected.unrefined, atol=1e-3)
    np.testing.assert_allclose(result.confidence, expected.confidence, atol=1e-4)
    assert result.provenance == {**expected.provenance, "Model": model.name}, "without the user's folders"
    assert result.provenance["Refinement"] == "holding, K = 3"
    assert result.warnings == expected.warnings


@pytest.mark.parametrize(
    "asked, refinement, says",
    [
        ({}, "consensus", "consensus"),  # by default
        ({"k": 3}, "consensus", "consensus"),  # which has no K
        ({"refinement": "paper"}, {**REFINEMENTS["paper"], "k": 10}, "paper, K = 10"),
    ],
)
def test_refinement_that_was_asked_for_is_the_estimators(client, model, volume, asked, refinement, says):
    number = client.estimate(volume, weights=model, device="cpu", iterations=1, **asked)
    result = finish(client, number)[-1].result
    expected = Estimator(model, "cpu", refinement=refinement).estimate(volume, iterations=1)
    np.testing.assert_allclose(result.points, expected.points, atol=1e-3)
    assert result.provenance == {**expected.provenance, "Model": model.name}
    assert result.provenance["Refinement"] == says


def test_two_requests_in_a_row_are_answered_by_one_warm_process(client, model, volume):
    finish(client, client.estimate(volume, weights=model, device="cpu", iterations=0))
    pid = client.pid
    holed = np.where(volume.array > 250, np.nan, volume.array)[:, ::-1]
    floating = SimpleNamespace(array=holed, ijk_to_ras=volume.ijk_to_ras)
    numbers = [client.estimate(v, weights=model, device="cpu", iterations=1) for v in (floating, volume)]
    events = finish(client, numbers[1])
    assert [event.request for event in events if event.kind == "done"] == numbers
    assert "open" not in [event.data.get("stage") for event in events], "the model was open"
    assert client.pid == pid


def test_fixed_points_stay_from_the_first_pose_on(client, model, volume):
    fixed = {4: np.array([-15.0, 10.0, 50.0]), 8: (500.0, 0.0, 0.0)}
    number = client.estimate(volume, weights=model, device="cpu", iterations=1, fixed=fixed)
    events = finish(client, number)
    for event in [event for event in events if event.points is not None]:
        for landmark, point in fixed.items():
            np.testing.assert_allclose(event.points[landmark], point)
            assert event.data["confidence"][landmark] == 1


def test_a_start_says_where_the_fetus_lies(client, folder, volume):
    nets = {"locate": network(5, bias=-5), "orient": network(5), "detect": network(16)}  # pass 1 is blind
    box = {"lower": [-1.0, -1.0, -1.0], "upper": [1.0, 1.0, 1.5], "voxels_per_size": 12}
    task = {"spacing_mm": 2.0, "sigma": 1.5, **box}
    path = write_model(folder / "two.safetensors", nets, dict.fromkeys(nets, task))
    start = PoseLibrary.load(resource_path("pose_library.npz")).poses[0]
    start = start - start.mean(axis=0) + volume.grid.to_world(np.array(volume.grid.shape) / 2)
    options = {"weights": path, "device": "cpu", "iterations": 0}
    assert "No fetus found" in finish(client, client.estimate(volume, **options))[-1].data["message"]
    assert finish(client, client.estimate(volume, **options, start=start))[-1].kind == "done"
    start[7] = np.nan  # without its trunk, a start says nothing
    assert finish(client, client.estimate(volume, **options, start=start))[-1].kind == "failed"


def test_own_atlases_are_used_beside_the_bundled_ones(client, model, volume, folder):
    bundled = PoseLibrary.load(resource_path("pose_library.npz"))
    bundled.add(bundled.poses[0] * 1.1, "mine").save(folder / "mine.npz")
    (folder / "bad.npz").write_text("no library")
    options = {"weights": model, "device": "cpu", "iterations": 1}
    assert finish(client, client.estimate(volume, **options, libraries=[folder / "mine.npz"]))[-1].kind == "done"
    failed = finish(client, client.estimate(volume, **options, libraries=[folder / "bad.npz"]))[-1]
    assert failed.kind == "failed" and failed.data["user"] and "bad.npz" in failed.data["message"]


def test_spacing_is_one_that_the_model_allows(client, model, volume):
    options = {"weights": model, "device": "cpu", "iterations": 0}
    done = finish(client, client.estimate(volume, **options, spacing=2.5))[-1]
    assert done.result.provenance["SpacingMm"] == "2.5"
    failed = finish(client, client.estimate(volume, **options, spacing=3.0))[-1]
    assert failed.data["user"] and "at 2 or 2.5 mm, not at 3 mm" in failed.data["message"]


def test_devices_and_warm_up(client, model):
    devices = finish(client, client.devices())[-1].data["devices"]
    assert devices[-1]["device"] == "cpu" and devices[-1]["name"]
    assert all(0 < device["free_bytes"] <= device["total_bytes"] for device in devices if device["total_bytes"])
    number = client.warm_up(device="cpu", weights=model)
    assert not client.running, "only an estimate is work under way"
    ready = wait_for(client, number, "ready")[-1]
    assert ready.data["device"] == "cpu" and client.warm


def test_full_gpu_is_met_with_less_memory_then_with_the_cpu(model, volume):
    with WorkerClient(command=[sys.executable, "-c", FULL_GPU]) as client:
        events = finish(client, client.estimate(volume, weights=model, iterations=1))
    changes = ["gradient checkpointing", "coarser voxels, 2.5 mm", "on the CPU"]
    said = [event.data["message"] for event in events if event.data.get("stage") == "open"]
    result = events[-1].result
    for texts in (said, result.warnings):
        full = [text for text in texts if "memory was not enough" in text]
        assert len(full) == 3 and all(change in text for change, text in zip(changes, full, strict=True))
    assert [event.data["device"] for event in events if event.kind == "ready"][-1] == "cpu"
    assert result.provenance["SpacingMm"] == "2", "the CPU has memory for what was asked"


# --- what a user can mend


def test_bad_requests_are_messages_and_the_process_goes_on(client, model, folder, volume):
    finish(client, client.devices())
    pid = client.pid
    corrupted = folder / "corrupted.safetensors"
    corrupted.write_bytes(model.read_bytes()[:-100])
    tiny = SimpleNamespace(array=volume.array[:8, :8, :8], ijk_to_ras=np.eye(4))
    for asked, options, message in [
        (volume, {"weights": corrupted}, "not a safetensors file"),
        (volume, {"model": "crystal-ball"}, "no model 'crystal-ball'"),
        (volume, {"weights": model, "device": "abacus"}, "no device 'abacus'"),
        (volume, {"weights": model, "device": "cpu", "refinement": "magic"}, "no refinement 'magic'"),
        (tiny, {"weights": model, "device": "cpu"}, "a fetus needs"),
        (SimpleNamespace(array=volume.array[0], ijk_to_ras=np.eye(4)), {"weights": model}, "3D"),
    ]:
        failed = finish(client, client.estimate(asked, **options))[-1]
        assert failed.kind == "failed" and failed.data["user"], options
        assert message in failed.data["message"]
    assert finish(client, client.estimate(volume, weights=model, device="cpu", iterations=0))[-1].kind == "done"
    assert client.pid == pid


def test_a_fixed_point_must_be_finite(client, volume):
    with pytest.raises(ValueError, match="finite"):
        client.estimate(volume, fixed={3: (0, np.nan, 0)})
    assert not client.running


# --- ends


@pytest.mark.parametrize("moment", ["starting", "computing"])
def test_cancel_answers_at_once(slow_model, model, volume, moment):
    with WorkerClient(environment={"OMP_NUM_THREADS": "1"}) as client:
        number = client.estimate(volume, weights=slow_model, device="cpu", **LONG)
        pid, voxels = client.pid, client._pending[number]
        if moment == "computing":
            wait_for(client, number, "progress", stage="locate")
            time.sleep(0.3)
        client.cancel()
        events = client.poll()
        assert gone(pid)
        assert [(event.kind, event.request) for event in events] == [("cancelled", number)]
        assert not client.running and not client.warm and not voxels.exists()
        client.cancel()  # nothing under way
        assert client.poll() == []
        if moment == "computing":
            assert finish(client, client.estimate(volume, weights=model, device="cpu", iterations=0))[-1].kind == "done"
            assert client.pid != pid


def test_a_killed_process_is_a_message_and_the_next_request_starts_another(client, model, volume):
    number = client.estimate(volume, weights=model, device="cpu", **LONG)
    wait_for(client, number, "progress", stage="refine")
    behind = client.devices()
    os.kill(client.pid, signal.SIGKILL)
    events = finish(client, behind)
    failed = [event for event in events if event.kind == "failed"]
    assert [event.request for event in failed] == [number, behind]
    assert "was killed" in failed[0].data["message"] and not failed[0].data["user"]
    assert not client.running and not client.warm

    finish(client, client.devices())
    os.kill(client.pid, signal.SIGKILL)  # while nobody waits: nobody need know
    client._process.wait(10)
    assert finish(client, client.devices())[-1].kind == "done"


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("sys.exit('the reason')", "with exit code 1.\nthe reason"),
        ("print('hello, world', flush=True); time.sleep(60)", "unreadable answer: 'hello, world'"),
        ("print('[1]', flush=True); time.sleep(60)", "unreadable answer: '[1]'"),
        ('print(\'{"kind": "done", "request": 99}\', flush=True); time.sleep(60)', "unreadable answer"),
        ("os.close(1); time.sleep(60)", "was killed"),
    ],
)
def test_a_process_that_is_none_of_ours_is_a_message(volume, program, message):
    with WorkerClient(command=[sys.executable, "-c", f"import os, sys, time; {program}"]) as client:
        failed = finish(client, client.estimate(volume))
        assert [event.kind for event in failed] == ["failed"]
        assert message in failed[0].data["message"]
        assert not client.running and client.pid is None


def test_a_python_that_is_not_there_is_a_message(volume, tmp_path):
    client = WorkerClient(tmp_path / "python")
    number = client.estimate(volume)
    assert client.running
    (failed,) = client.poll()
    assert (failed.kind, failed.request) == ("failed", number) and str(tmp_path) in failed.data["message"]
    assert not client.running


def test_the_process_ends_with_its_owner_even_while_it_computes(slow_model, volume):
    client = WorkerClient(environment={"OMP_NUM_THREADS": "1"})
    wait_for(client, client.estimate(volume, weights=slow_model, device="cpu", **LONG), "ready")
    process = client._process
    process.stdin.close()  # as the system does when the owner dies
    assert process.wait(10) == 0
    client.close()
    assert [event.kind for event in client.poll()] == ["cancelled"]


def test_malformed_lines_are_answered_and_survived():
    lines = [b"nonsense", b"\xff", b"[]", b"7", b"{}", b'{"request": 1, "do": "dance"}', b'{"do": "estimate"}']
    command = [sys.executable, "-m", "FetalPoseLib.worker"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        assert b"hello" in process.stdout.readline()
        for line in lines:
            process.stdin.write(line + b"\n")
            process.stdin.flush()
            assert b'"failed"' in process.stdout.readline()
        process.stdin.close()
        assert process.wait(10) == 0


@pytest.mark.parametrize("module", ["worker", "worker_client"])
def test_neither_end_imports_torch_before_it_is_needed(module):
    heavy = "('torch', 'safetensors', 'scipy')"
    code = f"import sys, FetalPoseLib.{module}; sys.exit(any(name in sys.modules for name in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_rows_and_points():
    points = np.array([[1.0, 2, 3], [np.nan, 0, 0]])
    assert rows_of_points(points) == [[1, 2, 3], None]
    np.testing.assert_array_equal(points_of_rows(rows_of_points(points)), [[1, 2, 3], [np.nan] * 3])


# --- the command line, which goes the same way


def test_command_line_asks_the_process(model, volume, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))  # bfloat16 rounds otherwise with others
    source, output = tmp_path / "volume.nrrd", tmp_path / "pose.mrk.json"
    mrml.write_volume(mrml.add_volume(mrml.new_scene(), volume), source)
    arguments = ["estimate", str(source), "--output", str(output), "--device", "cpu", "--iterations", "1"]
    assert main([*arguments, "--refinement", "holding", "--model", str(model)]) == 0
    pose = mrml.load_pose(mrml.new_scene(), output)
    expected = Estimator(model, "cpu", refinement="holding").estimate(volume, iterations=1)
    np.testing.assert_allclose(mrml.points_of(pose), expected.points, atol=1e-3)
    assert pose.GetAttribute("FetalPose.Refinement").startswith("holding")
    capsys.readouterr()

    assert main([*arguments, "--model", "crystal-ball"]) == 1
    error = capsys.readouterr().err
    assert "no model 'crystal-ball'" in error and error.count("fetalpose: error") == 1


def test_control_c_ends_the_command_line_and_its_process(slow_model, volume, tmp_path):
    source, output = tmp_path / "volume.nrrd", tmp_path / "pose.mrk.json"
    mrml.write_volume(mrml.add_volume(mrml.new_scene(), volume), source)
    options = ["--model", str(slow_model), "--device", "cpu", "--refinement", "paper"]
    options += ["--iterations", str(LONG["iterations"])]
    command = [sys.executable, "-m", "FetalPoseLib.cli", "estimate", str(source), "--output", str(output), *options]
    listen = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # background jobs of a shell ignore it
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, preexec_fn=listen) as program:
        said = b""
        while b"locate" not in said:
            said += program.stderr.read1()
            assert program.poll() is None, said
        program.send_signal(signal.SIGINT)
        try:
            _, rest = program.communicate(timeout=20)
        finally:
            program.kill()
    assert program.returncode == 130 and b"Stopped" in rest
    assert not output.exists()
