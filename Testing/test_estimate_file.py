"""An estimate from file to file, as a program calls it: what comes back, what is told on the way, what ends it."""

import fake_worker
import numpy as np
import pytest
from cli_runs import POINTS
from volume_files import picture, write_nrrd

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.estimate import rows_of_points
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.refinement.options import EstimateOptions
from FetalPoseLib.session.estimate_file import FileOptions, NetworkFailedError, estimate_file
from FetalPoseLib.session.sample import estimate_sample
from FetalPoseLib.simulation.files import SimulationOptions, simulate_files
from FetalPoseLib.worker.client import WorkerClient

QUICK = EstimateOptions(iterations=2)


@pytest.fixture
def good(tmp_path):
    return write_nrrd(tmp_path / "good.nrrd", picture(), "dimension: 3", "sizes: 40 36 32", "spacings: 1 1 1")


@pytest.fixture
def client():
    """Starts a client whose process answers as the plan says."""
    clients = []

    def start(**plan):
        plan = {"points": rows_of_points(POINTS), "confidence": [1.0] * 16, **plan}
        clients.append(WorkerClient(command=fake_worker.command(plan)))
        return clients[-1]

    yield start
    for one in clients:
        one.close()


def test_one_process_serves_several_files_and_tells_of_each(client, good, tmp_path, scene):
    one, told, stages = client(warnings=["Look at it."]), [], []
    for name in ("first", "second"):
        options = FileOptions(output=tmp_path / f"{name}.mrk.json", table=tmp_path / f"{name}.csv")
        result = estimate_file(
            one, good, options, QUICK, progress=lambda step: stages.append(step.stage), warn=told.append
        )
        pid = one.pid
        np.testing.assert_allclose(result.points, POINTS)
        np.testing.assert_allclose(mrml.points_of(mrml.load_pose(scene, options.output)), POINTS)
        assert all("Look at it." in row["check"] for row in result.lengths)
        assert len(result.lengths) == 15 and options.table.read_text().count("\n") == 16
        assert "Look at it." in result.warnings and tuple(told) == result.warnings
        assert {"locate", "detect", "refine"} <= set(stages)
        told.clear()
        assert one.pid == pid and not one.running


def test_a_name_of_one_s_own_stands_for_that_of_the_file(client, good, tmp_path):
    good = good.rename(tmp_path / "DOE_JANE.nrrd")
    options = FileOptions(output=tmp_path / "P-1.mrk.json", name="P-1")
    result = estimate_file(client(), good, options, QUICK)
    assert b"DOE" not in options.output.read_bytes()
    np.testing.assert_array_equal(result.volume.array, picture())
    np.testing.assert_allclose(result.estimate.points, POINTS)
    assert result.estimate.provenance.keys() >= {"Model", "Iterations"}


def test_progress_that_raises_cancels_the_estimate_and_writes_nothing(client, good, tmp_path):
    one = client(mode="hang")

    def stop(_):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        estimate_file(one, good, FileOptions(output=tmp_path / "pose.mrk.json"), QUICK, progress=stop)
    one.poll()
    assert not one.running and not (tmp_path / "pose.mrk.json").exists()


def test_the_network_s_failure_carries_its_details(client, good, tmp_path):
    broken = WorkerClient(command=["no-such-python"])
    with pytest.raises(NetworkFailedError, match="cannot be started") as raised:
        estimate_file(broken, good, FileOptions(output=tmp_path / "pose.mrk.json"), QUICK)
    assert raised.value.details == ""


def test_messages_to_a_program_name_no_argument_of_the_command_line(client, good, tmp_path):
    unsure = client(confidence=[0.3] * 16)
    output, truth = tmp_path / "case.nrrd", tmp_path / "case.mrk.json"
    calls = [
        lambda: estimate_file(unsure, good, FileOptions(output=truth), QUICK),
        lambda: estimate_sample(unsure, good / "below", QUICK),
        lambda: simulate_files(SimulationOptions(output=output, landmarks=truth)),
        lambda: simulate_files(SimulationOptions(output=output, landmarks=truth, seed=1, spacing=9.0)),
    ]
    for call in calls:
        with pytest.raises(FetalPoseError) as raised:
            call()
        assert "--" not in str(raised.value)
    assert not output.exists() and not truth.exists()
