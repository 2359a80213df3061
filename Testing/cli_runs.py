"""What the tests of the command line share: running it with a process that knows the answer."""

from functools import partial

import fake_worker
import numpy as np
from volume_files import volume

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.estimate import rows_of_points
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.cli import main
from FetalPoseLib.worker.client import WorkerClient
from FetalPoseLib.worker.protocol import EstimateRequest, decode_request

SKELETON = load_skeleton()
POINTS = np.random.default_rng(1).uniform(5, 20, (16, 3))


class Network:
    """The network's process that the command line starts: `fake_worker`, which knows the answer and logs requests."""

    def __init__(self, folder, monkeypatch):
        self._log, self._monkeypatch = folder / "requests.log", monkeypatch
        self.answers()

    def plan(self, points=POINTS, *, confidence=1.0, warnings=(), **plan) -> dict:
        rows = rows_of_points(points)
        plan |= {"points": rows, "confidence": [confidence] * 16, "warnings": list(warnings), "log": str(self._log)}
        return plan

    def answers(self, points=POINTS, **plan) -> None:
        self.is_client(command=fake_worker.command(self.plan(points, **plan)))

    def is_client(self, **options) -> None:
        self._monkeypatch.setattr("FetalPoseLib.cli.terminal.WorkerClient", partial(WorkerClient, **options))

    @property
    def requests(self) -> list:
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [decode_request(line)[1] for line in lines]

    @property
    def asked(self) -> EstimateRequest:
        """The one estimate that was asked for."""
        (request,) = [request for request in self.requests if isinstance(request, EstimateRequest)]
        return request


def fetalpose(*arguments) -> int:
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as end:  # argparse
        return end.code


def write_pose(path, points=POINTS):
    scene = mrml.new_scene()
    node = mrml.create_pose(scene)
    mrml.set_estimate(node, points)
    mrml.save_pose(node, path)
    return path


def text(folder):
    (folder / "text.nrrd").write_text("this is no volume")
    return folder / "text.nrrd"


def saved(folder, array, matrix=None):
    mrml.write_volume(mrml.add_volume(mrml.new_scene(), volume(array, matrix)), folder / "volume.nrrd")
    return folder / "volume.nrrd"
