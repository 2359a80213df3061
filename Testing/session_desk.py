"""What the tests of the session share: a session on a real scene with a scripted process, and what it told."""

import time

import fake_worker
import numpy as np

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.estimate import rows_of_points
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.resources import resource_path
from FetalPoseLib.session import PoseSession
from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.worker.client import WorkerClient
from FetalPoseLib.worker.protocol import EstimateRequest, decode_request

SKELETON = load_skeleton()
SIGNALS = ("pose_shown", "finished", "failed", "cancelled", "asks", "corrected", "devices_known")


def index(name):
    return SKELETON.index(name)


class Desk:
    """A session with a scripted process, and all that its signals told, in order."""

    def __init__(self, scene, folder):
        self.scene, self.log = scene, folder / "requests.txt"
        self.truth = mrml.points_of(mrml.load_pose(mrml.new_scene(), resource_path("sample", "sample.mrk.json")))
        self.plan = {"points": rows_of_points(self.truth), "confidence": [0.9] * 16, "log": str(self.log)}
        self.client = WorkerClient(command=fake_worker.command(self.plan))
        self.session = PoseSession(scene, self.client)
        self.told, self.statuses = [], []
        for name in SIGNALS:
            getattr(self.session, name).connect(lambda value, name=name: self.told.append((name, value)))
        self.session.status_changed.connect(self.statuses.append)
        self.volume = self.add_volume()

    def add_volume(self):
        array = np.random.default_rng(0).integers(1, 255, (40, 40, 40), dtype=np.uint8)
        return mrml.add_volume(self.scene, Volume(array, np.diag([2.0, 2.0, 2.0, 1.0])), "Volume")

    def answer(self, **plan):
        """Let the process answer otherwise from its next start on."""
        self.plan |= plan
        self.client.close()
        self.session.poll()
        self.client.command = fake_worker.command(self.plan)

    def wait(self, condition):
        end = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < end, f"waited in vain; the status is {self.session.status}"
            self.session.poll()
            time.sleep(0.002)

    def estimate(self, pose=None, **options):
        self.session.estimate(self.volume, pose, **options)
        self.wait(lambda: not self.session.running)
        results = self.of("finished")
        return results[-1].pose if results else None

    def of(self, name):
        return [value for told, value in self.told if told == name]

    def request(self) -> EstimateRequest:
        return decode_request(self.log.read_text().splitlines()[-1])[1]


def drag(pose, name, *path):
    """What the markups widget of a view does from press to release."""
    pose.InvokeEvent(pose.PointStartInteractionEvent)
    for point in path:
        pose.SetNthControlPointPositionWorld(index(name), *map(float, point))
    pose.InvokeEvent(pose.PointEndInteractionEvent)
