"""The network's process and its client: the real process on small, untrained networks."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.cli import main
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.estimator import Estimator
from FetalPoseLib.network.unet import LandmarkNet
from FetalPoseLib.network.weights import save_model
from FetalPoseLib.refinement.options import EstimateOptions, refinement_named
from FetalPoseLib.resources import resource_path
from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.worker.client import WorkerClient
from FetalPoseLib.worker.protocol import Cancelled, Devices, Done, Failed, ProgressEvent, Ready, decode_event

ROOT = Path(__file__).resolve().parent.parent
ENDS = (Done, Devices, Failed, Cancelled)
CPU = EstimateOptions(device="cpu")
LONG = replace(CPU, refinement="paper", iterations=10**6)  # does not end by itself
#: A process whose GPU is full: three attempts fail; and libraries print where events should be.
FULL_GPU = """
import os, torch
from FetalPoseLib.worker import server
from FetalPoseLib.estimator import Estimator
run, failures = Estimator.run, iter(range(3))
def full(*args, **options):
    print("a library's noise")
    os.system("echo noise of a child")
    if next(failures, None) is not None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")
    return run(*args, **options)
Estimator.run = full
server.main()
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


@pytest.fixture(autouse=True)
def one_thread():
    """The expected estimates are computed here with as many threads as in the process: bfloat16 rounds otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def model(folder):
    task = {"task": "whole", "spacing_mm": 2.0, "sigma": 1.5}
    return write_model(folder / "whole.safetensors", {"whole": network(16)}, {"whole": task}, spacings_mm=[2.0, 2.5])


@pytest.fixture(scope="module")
def detect(model):
    """The options of a bare detection with the model on the CPU."""
    return replace(CPU, model=str(model), iterations=0)


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
    """All events up to the first of these types (and this stage) of this request; poll never keeps us waiting."""
    heard, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        for event in client.poll():
            heard.append(event)
            if event.request == number and isinstance(event, kinds) and stage in (None, stage_of(event)):
                return heard
        time.sleep(0.005)
    raise AssertionError(f"no {kinds} of request {number} in {seconds} s, only {heard}")


def finish(client, number):
    return wait_for(client, number, *ENDS)


def estimated(client, *arguments, **options):
    """The estimate that a request ends with."""
    end = finish(client, client.estimate(*arguments, **options))[-1]
    assert isinstance(end, Done), end
    return end.estimate


def failure(client, *arguments, **options) -> Failed:
    """What a request fails with."""
    end = finish(client, client.estimate(*arguments, **options))[-1]
    assert isinstance(end, Failed), end
    return end


def stage_of(event) -> str | None:
    return event.progress.stage if isinstance(event, ProgressEvent) else None


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


def test_estimate_is_what_the_estimator_says(client, model, detect, volume):
    number = client.estimate(volume, replace(detect, iterations=2, refinement="holding", k=3))
    assert client.running
    voxels = client._pending[number]
    assert voxels.stat().st_mode & 0o077 == 0, "a patient's volume is for this user's eyes"
    events = finish(client, number)
    assert not client.running and client.warm and not voxels.exists()

    assert {event.request for event in events} == {number}
    assert isinstance(next(event for event in events if stage_of(event) != "open"), Ready)
    steps = [event for event in events if isinstance(event, ProgressEvent) and event.progress.stage != "open"]
    detection = next(i for i, event in enumerate(steps) if event.progress.stage == "detect")
    stages = [(event.progress.stage, event.progress.iteration) for event in steps[detection:]]
    assert stages == [("detect", 0), ("refine", 0), ("refine", 1), ("refine", 2)]
    assert [stage_of(event) for event in steps[:detection]][:1] == ["locate"]
    left = [event.seconds_left for event in steps]
    assert left[: detection + 2] == [None] * (detection + 2) and left[-2] > 0 and left[-1] == 0
    assert steps[0].progress.points is None and steps[-1].progress.points.shape == (16, 3)

    expected = Estimator(model, "cpu", refinement=refinement_named("holding", k=3)).estimate(volume, iterations=2)
    result = events[-1].estimate
    assert np.isfinite(expected.points).any()
    np.testing.assert_allclose(result.points, expected.points, atol=1e-3)
    np.testing.assert_allclose(result.unrefined, expected.unrefined, atol=1e-3)
    np.testing.assert_allclose(result.confidence, expected.confidence, atol=1e-4)
    assert result.provenance == {**expected.provenance, "Model": model.name}, "without the user's folders"
    assert result.provenance["Refinement"] == "holding, K = 3"
    assert result.warnings == expected.warnings


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({}, "consensus"),  # by default
        ({"k": 3}, "consensus"),  # which has no K
        ({"refinement": "paper"}, "paper, K = 10"),
    ],
)
def test_refinement_that_was_asked_for_is_the_estimators(client, model, detect, volume, asked, says):
    options = replace(detect, iterations=1, **asked)
    result = estimated(client, volume, options)
    expected = Estimator(model, "cpu", refinement=options.refinement).estimate(volume, iterations=1)
    np.testing.assert_allclose(result.points, expected.points, atol=1e-3)
    assert result.provenance == {**expected.provenance, "Model": model.name}
    assert result.provenance["Refinement"] == says


def test_two_requests_in_a_row_are_answered_by_one_warm_process(client, detect, volume):
    estimated(client, volume, detect)
    pid = client.pid
    holed = np.where(volume.array > 250, np.nan, volume.array)[:, ::-1]
    numbers = [client.estimate(v, replace(detect, iterations=1)) for v in (Volume(holed, volume.ijk_to_ras), volume)]
    events = finish(client, numbers[1])
    assert [event.request for event in events if isinstance(event, Done)] == numbers
    assert "open" not in [stage_of(event) for event in events], "the model was open"
    assert client.pid == pid


def test_placed_points_stay_from_the_first_pose_on(client, detect, volume):
    placed = {4: np.array([-15.0, 10.0, 50.0]), 8: (500.0, 0.0, 0.0)}
    events = finish(client, client.estimate(volume, replace(detect, iterations=1), placed=placed))
    poses = [event.progress for event in events if isinstance(event, ProgressEvent)] + [events[-1].estimate]
    assert len([pose for pose in poses if pose.points is not None]) >= 3
    for pose in [pose for pose in poses if pose.points is not None]:
        for landmark, point in placed.items():
            np.testing.assert_allclose(pose.points[landmark], point)
            assert pose.confidence[landmark] == 1


def test_a_start_says_where_the_fetus_lies(client, folder, detect, volume):
    nets = {"locate": network(5, bias=-5), "orient": network(5, bias=-5), "detect": network(16)}  # pass 1 is blind
    box = {"lower": [-1.0, -1.0, -1.0], "upper": [1.0, 1.0, 1.5], "voxels_per_size": 12}
    task = {"spacing_mm": 2.0, "sigma": 1.5, **box}
    path = write_model(folder / "two.safetensors", nets, {name: {"task": name, **task} for name in nets})
    start = PoseLibrary.load(resource_path("pose_library.npz")).poses[0]
    start = start - start.mean(axis=0) + volume.grid.to_world(np.array(volume.grid.shape) / 2)
    options = replace(detect, model=str(path))
    assert "No fetus found" in failure(client, volume, options).message
    estimated(client, volume, options, start=start)
    start[7] = np.nan  # without its trunk, a start says nothing
    failure(client, volume, options, start=start)


def test_own_atlases_are_used_beside_the_bundled_ones(client, detect, volume, folder):
    bundled = PoseLibrary.load(resource_path("pose_library.npz"))
    bundled.add(bundled.poses[0] * 1.1, "mine").save(folder / "mine.npz")
    (folder / "bad.npz").write_text("no library")
    estimated(client, volume, replace(detect, iterations=1, libraries=(str(folder / "mine.npz"),)))
    failed = failure(client, volume, replace(detect, iterations=1, libraries=(str(folder / "bad.npz"),)))
    assert failed.user and "bad.npz" in failed.message


def test_spacing_is_one_that_the_model_allows(client, detect, volume):
    assert estimated(client, volume, replace(detect, spacing_mm=2.5)).provenance["SpacingMm"] == "2.5"
    failed = failure(client, volume, replace(detect, spacing_mm=3.0))
    assert failed.user and "at 2 or 2.5 mm, not at 3 mm" in failed.message
    assert estimated(client, volume, detect).provenance["SpacingMm"] == "2", "the next request has the model's own"


def test_devices_and_warm_up(client, detect):
    devices = finish(client, client.devices())[-1].devices
    assert devices[-1].device == "cpu" and devices[-1].name
    assert all(0 < device.free_bytes <= device.total_bytes for device in devices if device.total_bytes)
    number = client.warm_up(detect)
    assert not client.running, "only an estimate is work under way"
    ready = wait_for(client, number, Ready)[-1]
    assert ready.device == "cpu" and client.warm


def test_full_gpu_is_met_with_less_memory_then_with_the_cpu(model, volume):
    with WorkerClient(command=[sys.executable, "-c", FULL_GPU], environment={"OMP_NUM_THREADS": "1"}) as client:
        events = finish(client, client.estimate(volume, EstimateOptions(model=str(model), iterations=1)))
    changes = ["gradient checkpointing", "coarser voxels, 2.5 mm", "on the CPU"]
    said = [event.progress.message for event in events if stage_of(event) == "open"]
    result = events[-1].estimate
    for texts in (said, result.warnings):
        full = [text for text in texts if "memory was not enough" in text]
        assert len(full) == 3 and all(change in text for change, text in zip(changes, full, strict=True))
    assert [event.device for event in events if isinstance(event, Ready)][-1] == "cpu"
    assert result.provenance["SpacingMm"] == "2", "the CPU has memory for what was asked"


# --- what a user can mend


def test_bad_requests_are_messages_and_the_process_goes_on(client, model, detect, folder, volume):
    finish(client, client.devices())
    pid = client.pid
    corrupted = folder / "corrupted.safetensors"
    corrupted.write_bytes(model.read_bytes()[:-100])
    tiny = Volume(volume.array[:8, :8, :8], np.eye(4))
    for asked, change, message in [
        (volume, {"model": str(corrupted)}, "not a safetensors file"),
        (volume, {"model": "crystal-ball"}, "no model 'crystal-ball'"),
        (volume, {"device": "abacus"}, "no device 'abacus'"),
        (volume, {"refinement": "magic"}, "no refinement 'magic'"),
        (tiny, {}, "a fetus needs"),
    ]:
        failed = failure(client, asked, replace(detect, **change))
        assert failed.user, change
        assert message in failed.message
    estimated(client, volume, detect)
    assert client.pid == pid


@pytest.mark.parametrize("point", [(0, np.nan, 0), (0, 0)])
def test_a_placed_point_must_be_finite(client, volume, point):
    with pytest.raises(FetalPoseError, match="finite"):
        client.estimate(volume, CPU, placed={3: point})
    assert not client.running


# --- ends


@pytest.mark.parametrize("moment", ["starting", "computing"])
def test_cancel_ends_the_process_and_the_next_request_starts_another(slow_model, detect, volume, moment):
    with WorkerClient(environment={"OMP_NUM_THREADS": "1"}) as client:
        number = client.estimate(volume, replace(LONG, model=str(slow_model)))
        pid, voxels = client.pid, client._pending[number]
        if moment == "computing":
            wait_for(client, number, ProgressEvent, stage="locate")
        client.cancel()
        assert client.poll() == [Cancelled(number)], "at once, though the network computes"
        assert gone(pid)
        assert not client.running and not client.warm and not voxels.exists()
        client.cancel()  # nothing under way
        assert client.poll() == []
        if moment == "computing":
            estimated(client, volume, detect)
            assert client.pid != pid


def test_a_killed_process_is_a_message_and_the_next_request_starts_another(client, model, volume):
    number = client.estimate(volume, replace(LONG, model=str(model)))
    wait_for(client, number, ProgressEvent, stage="refine")
    behind = client.devices()
    os.kill(client.pid, signal.SIGKILL)
    failed = [event for event in finish(client, behind) if isinstance(event, Failed)]
    assert [event.request for event in failed] == [number, behind]
    assert "was killed" in failed[0].message and not failed[0].user
    assert not client.running and not client.warm

    finish(client, client.devices())
    os.kill(client.pid, signal.SIGKILL)  # while nobody waits: nobody need know
    client._process.popen.wait(10)
    assert isinstance(finish(client, client.devices())[-1], Devices)


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
        (failed,) = finish(client, client.estimate(volume, CPU))
        assert isinstance(failed, Failed) and not failed.user
        assert message in failed.message
        assert not client.running and client.pid is None


def test_a_python_that_is_not_there_is_a_message(volume, tmp_path):
    client = WorkerClient(tmp_path / "python")
    number = client.estimate(volume, CPU)
    assert client.running
    (failed,) = client.poll()
    assert isinstance(failed, Failed) and failed.request == number and str(tmp_path) in failed.message
    assert not client.running


def test_the_process_ends_with_its_owner_even_while_it_computes(slow_model, volume):
    client = WorkerClient(environment={"OMP_NUM_THREADS": "1"})
    number = client.estimate(volume, replace(LONG, model=str(slow_model)))
    wait_for(client, number, Ready)
    process = client._process.popen
    process.stdin.close()  # as the system does when the owner dies
    assert process.wait(10) == 0
    client.close()
    assert client.poll()[-1] == Cancelled(number)


def test_malformed_lines_are_answered_and_survived():
    lines = {
        b"nonsense": None,
        b"\xff": None,
        b"[]": None,
        b"7": None,
        b"{}": None,
        b'{"request": 1, "kind": "dance"}': 1,
        b'{"kind": "devices"}': None,
        b'{"request": 2, "kind": "estimate"}': 2,
        b'{"request": 3, "kind": "warm_up", "options": {"k": "many"}}': 3,
    }
    command = [sys.executable, "-m", "FetalPoseLib.worker"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        assert b"hello" in process.stdout.readline()
        for line, number in lines.items():
            process.stdin.write(line + b"\n")
            process.stdin.flush()
            failed = decode_event(process.stdout.readline())
            assert isinstance(failed, Failed) and failed.request == number and failed.user
        process.stdin.close()
        assert process.wait(10) == 0


@pytest.mark.parametrize("module", ["server", "client"])
def test_neither_end_imports_torch_before_it_is_needed(module):
    heavy = "('torch', 'safetensors')"
    code = f"import sys, FetalPoseLib.worker.{module}; sys.exit(any(name in sys.modules for name in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


# --- the command line, which goes the same way


def test_command_line_asks_the_process(model, volume, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
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
    options += ["--iterations", str(LONG.iterations)]
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
