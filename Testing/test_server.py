"""Parts of the worker's server that need no network: errors in words, time left, the machine's devices."""

import pytest
import torch

from FetalPoseLib.body.estimate import Progress
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.worker import machine
from FetalPoseLib.worker.protocol import Devices, DevicesRequest, Failed, encode_request
from FetalPoseLib.worker.server import Clock, Server, describe_error


def missing_package() -> ImportError:
    try:
        import a_package_that_nobody_has  # noqa: F401
    except ImportError as error:
        return error


def full_memory() -> Exception:
    """What PyTorch really raises where main memory is not enough."""
    try:
        torch.empty(2**60, dtype=torch.uint8)
    except Exception as error:
        return error


@pytest.mark.parametrize(
    ("error", "message", "user"),
    [
        (FetalPoseError("Choose another."), "Choose another.", True),
        (missing_package(), "the package a_package_that_nobody_has", True),
        (MemoryError(), "Not enough memory", True),
        (full_memory(), "Not enough memory", True),
        (KeyError("left_wrist"), "KeyError: 'left_wrist'", False),
        (ImportError("without a name"), "ImportError: without a name", False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_is_told_in_words(error, message, user):
    said, mendable = describe_error(error)
    assert message in said and mendable is user


def test_seconds_left_are_those_of_the_iterations_done():
    seconds = iter([10.0, 12.0, 16.0, 19.0])
    clock = Clock(lambda: next(seconds))
    steps = [("detect", 0), ("refine", 0), ("refine", 1), ("refine", 2), ("refine", 3)]
    left = [clock.seconds_left(Progress(stage, iteration, 3, None, None, "")) for stage, iteration in steps]
    assert left == [None, None, pytest.approx(4), pytest.approx(3), 0]


def test_the_devices_are_the_machines():
    heard = []
    Server(heard.append).serve(encode_request(4, DevicesRequest()).encode())
    (event,) = heard
    assert isinstance(event, Devices) and event.request == 4
    assert [device.device for device in event.devices] == ["cuda"] * torch.cuda.is_available() + ["cpu"]
    assert str(event.devices[-1].name).startswith("CPU")


def test_an_error_that_nobody_can_mend_comes_with_its_traceback(monkeypatch):
    heard = []

    def broken():
        raise RuntimeError("the bus is on fire")

    monkeypatch.setattr(machine, "devices", broken)
    Server(heard.append).serve(encode_request(4, DevicesRequest()).encode())
    (failed,) = heard
    assert isinstance(failed, Failed) and failed.request == 4 and not failed.user
    assert "the bus is on fire" in failed.message and "in broken" in failed.details


def test_a_full_gpu_is_known_by_pytorchs_errors():
    assert machine.is_gpu_full(torch.cuda.OutOfMemoryError("CUDA out of memory"))
    assert machine.is_gpu_full(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"))
    assert not machine.is_gpu_full(RuntimeError("shapes do not match"))
    assert not machine.is_gpu_full(full_memory()), "main memory is not the GPU's"
