"""A model, its detection, a volume and a client with a real process."""

from dataclasses import replace

import numpy as np
import pytest
from worker_runs import CPU, network, write_model

from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.worker.client import WorkerClient


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
