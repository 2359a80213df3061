"""The network's process and its client: estimates and their options."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from worker_runs import estimated, failure, finish, network, stage_of, wait_for, write_model

from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.estimator import Estimator
from FetalPoseLib.refinement.options import EstimateOptions, refinement_named
from FetalPoseLib.resources import resource_path
from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.worker.client import WorkerClient
from FetalPoseLib.worker.protocol import Done, ProgressEvent, Ready

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
    assert all(device.free_bytes > 0 for device in devices if device.free_bytes is not None)
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
