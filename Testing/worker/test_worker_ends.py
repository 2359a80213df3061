"""What goes wrong between client and process, and how both end."""

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
from worker_runs import CPU, estimated, failure, finish, network, wait_for, write_model

from FetalPoseLib import scene as mrml
from FetalPoseLib.cli import main
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.estimator import Estimator
from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.worker.client import WorkerClient
from FetalPoseLib.worker.protocol import Cancelled, Devices, Failed, ProgressEvent, Ready, event_in

ROOT = Path(__file__).resolve().parents[2]
LONG = replace(CPU, refinement="paper", iterations=10**6)  # does not end by itself


@pytest.fixture(scope="module")
def slow_model(folder):
    """One whose every layer computes for long, on the large volume."""
    task = {"task": "whole", "spacing_mm": 0.5, "sigma": 1.5}
    return write_model(folder / "slow.safetensors", {"whole": network(16, width=12)}, {"whole": task})


def gone(pid: int) -> bool:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


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
            failed = event_in(process.stdout.readline())
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
