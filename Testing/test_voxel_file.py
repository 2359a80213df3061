"""The copy of a volume for the network's process is left nowhere, however the owner ends; no request stays pending."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.refinement.options import EstimateOptions
from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.worker.client import WorkerClient
from FetalPoseLib.worker.protocol import Devices, EstimateRequest, Failed, encode_request
from FetalPoseLib.worker.voxel_file import VoxelFile, taken

VOXELS = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
OWNER = """
import sys, time
import numpy as np
from FetalPoseLib.refinement.options import EstimateOptions
from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.worker import voxel_file
from FetalPoseLib.worker.client import WorkerClient
if sys.argv[1] == "named":
    voxel_file.os.getpid = lambda: 2**30  # no such process: the file gets a name
if sys.argv[2] == "writing":
    def save(file, array, **_):
        file.write(b"half of it")
        file.flush()
        print("ready", flush=True)
        time.sleep(60)
    voxel_file.np.save = save
client = WorkerClient()
client.estimate(Volume(np.zeros((40, 40, 40), np.uint8), np.eye(4)), EstimateOptions(device="cpu"))
print("ready", flush=True)
time.sleep(60)
"""
LINUX = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system shows no open files as paths")


@pytest.fixture(params=[pytest.param("unnamed", marks=LINUX), "named"])
def kind(request, monkeypatch):
    if request.param == "named":
        monkeypatch.setattr("FetalPoseLib.worker.voxel_file.os.getpid", lambda: 2**30)
    return request.param


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def request_line(path) -> bytes:
    return encode_request(1, EstimateRequest(EstimateOptions(), str(path), np.eye(4))).encode()


def test_another_process_reads_the_voxels_and_nothing_is_left(temporary, kind):
    voxels = VoxelFile(VOXELS)
    assert voxels.path.stat().st_mode & 0o077 == 0
    code = "import sys, numpy; print(numpy.load(sys.argv[1]).sum())"
    done = subprocess.run([sys.executable, "-c", code, voxels.path], capture_output=True, text=True, check=True)
    assert int(done.stdout) == VOXELS.sum()
    assert len(list(temporary.iterdir())) == (kind == "named")
    voxels.close()
    voxels.close()
    assert not list(temporary.iterdir())


def test_who_answers_holds_the_file_and_its_name_is_gone(temporary, kind):
    voxels = VoxelFile(VOXELS)
    held = taken(request_line(voxels.path))
    assert not list(temporary.iterdir())
    voxels.close()
    with held:
        np.testing.assert_array_equal(np.load(held), VOXELS)


@pytest.mark.parametrize("line", [b"", b"x", b"[1]", b'{"kind": "estimate"}', b'{"kind": "estimate", "volume": 3}'])
def test_other_lines_have_no_voxels(line):
    assert taken(line) is None
    assert taken(request_line("/nowhere/x.npy")) is None


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_cannot_be_written_is_left_nowhere(temporary, kind, monkeypatch, error):
    def save(*_, **__):
        raise error

    monkeypatch.setattr(np, "save", save)
    with pytest.raises(type(error)):
        VoxelFile(VOXELS)
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("ended_by", ["SIGKILL", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize(
    ("kind", "moment"),
    [
        pytest.param("unnamed", "writing", marks=LINUX),
        pytest.param("unnamed", "asked", marks=LINUX),
        ("named", "asked"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_an_owner_that_is_ended_leaves_nothing(tmp_path, kind, moment, ended_by):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", OWNER, kind, moment]
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # a program that nohup started hands on that it is ignored
    try:
        owner = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert owner.stdout.readline() == "ready\n"
    owner.send_signal(getattr(signal, ended_by))
    owner.communicate()
    for _ in range(1000):  # the network's process may still be starting
        if not list(tmp_path.glob("fetalpose-*")):
            break
        time.sleep(0.02)
    assert not list(tmp_path.glob("fetalpose-*"))


@pytest.mark.parametrize("broken", ["origin", "start", "options"])
def test_a_request_that_cannot_be_written_is_an_error_and_nothing_is_pending(temporary, broken):
    volume, options, start = Volume(np.zeros((4, 4, 4), np.uint8), np.eye(4)), EstimateOptions(device="cpu"), None
    if broken == "origin":
        matrix = np.eye(4)
        matrix[0, 3] = np.nan
        object.__setattr__(volume, "ijk_to_ras", matrix)  # as a front end may that makes its volumes otherwise
    elif broken == "start":
        start = np.array([[object()] * 3] * 16)
    else:
        object.__setattr__(options, "spacing_mm", float("nan"))
    with WorkerClient() as client:
        with pytest.raises((FetalPoseError, TypeError, ValueError)):
            client.estimate(volume, options, start=start)
        assert not client.running and not list(temporary.glob("fetalpose-*"))
        number, events = client.devices(), []  # and the next request is answered
        while not any(isinstance(event, Devices | Failed) for event in events):
            events += client.poll()
        assert events[-1].request == number and isinstance(events[-1], Devices)
