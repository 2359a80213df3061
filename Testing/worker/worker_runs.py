"""What the tests of the worker share: a small model in a file, and waiting for what the process says."""

import time
from pathlib import Path

import torch

from FetalPoseLib.network.unet import LandmarkNet
from FetalPoseLib.network.weights import save_model
from FetalPoseLib.refinement.options import EstimateOptions
from FetalPoseLib.worker.protocol import Cancelled, Devices, Done, Failed, ProgressEvent

ENDS = (Done, Devices, Failed, Cancelled)
CPU = EstimateOptions(device="cpu")


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
