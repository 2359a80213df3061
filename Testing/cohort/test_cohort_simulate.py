"""Simulated volumes by the engine of the cohorts, with the real simulator."""

import pytest
from cohort_runs import Told

from FetalPoseLib import scene as mrml
from FetalPoseLib.cohort.jobs import SimulateJob
from FetalPoseLib.cohort.options import ClusterOptions, SimulatedOptions
from FetalPoseLib.cohort.run import run_simulations
from FetalPoseLib.cohort.simulate_job import files_of, simulate_volume
from FetalPoseLib.errors import FetalPoseError


def test_a_volume_that_is_there_stays_and_what_cannot_be_simulated_is_an_outcome(tmp_path):
    job = SimulateJob(3, str(tmp_path), 3.0)
    for path in files_of(job):
        path.write_text("there")
    assert simulate_volume(job).skipped and files_of(job)[0].read_text() == "there"
    outcome = simulate_volume(SimulateJob(52, str(tmp_path), 3.0, "test"))
    assert outcome.kind == "refused" and "52" in outcome.reason


@pytest.mark.slow  # simulates a volume, and starts processes that import the simulator
def test_many_volumes_lie_beside_their_landmarks_and_are_made_once(cluster, tmp_path, scene):
    where = ClusterOptions(scheduler=cluster.scheduler_address)
    options = SimulatedOptions(output=tmp_path / "many", count=1, first=7, spacing=3.0, cluster=where)
    assert run_simulations(options).done == 1
    volume, landmarks = tmp_path / "many" / "fresh-00007.nrrd", tmp_path / "many" / "fresh-00007.mrk.json"
    mrml.volume_from_node(mrml.read_volume(scene, volume))
    mrml.load_pose(scene, landmarks)
    before, told = volume.stat().st_mtime_ns, Told()
    assert run_simulations(options, told).skipped == 1 and told.begun == (0, 1, "")
    assert volume.stat().st_mtime_ns == before
    with pytest.raises(FetalPoseError, match="spacing_mm 3.0, now 2.5"):
        run_simulations(SimulatedOptions(output=tmp_path / "many", count=1, first=7, spacing=2.5, cluster=where))
