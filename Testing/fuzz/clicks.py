"""A person who clicks anything, and a network's process that dies at any moment: the session keeps true to its pose."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path

import numpy as np

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.measurements import segment_lengths
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.resources import resource_path
from FetalPoseLib.session import PoseSession
from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.worker.client import WorkerClient
from Testing import fake_worker
from Testing.fuzz.files import library_arrays

CLICKS = 25
PATIENCE_S = 20.0  # until a run ends by itself
MODES = ("good", "good", "good", "crash", "killed", "nonsense")


class Person:
    """Clicks on a session with a scripted process."""

    def __init__(self, rng: np.random.Generator, folder: Path):
        self.rng, self.folder, self.scene = rng, folder, mrml.new_scene()
        truth = library_arrays()["poses"][0]
        rows = truth.round(3).tolist()
        plan = {"points": rows, "confidence": [0.9] * 16, "mode": str(rng.choice(MODES)), "pause": 0.005}
        self.client = WorkerClient(command=fake_worker.command(plan))
        self.session = PoseSession(self.scene, self.client)
        array = rng.integers(1, 255, (40, 40, 40), dtype=np.uint8)
        self.volume = mrml.add_volume(self.scene, Volume(array, np.diag([2.0, 2.0, 2.0, 1.0])))
        self.poses: list = []
        for signal_ in (self.session.pose_shown, self.session.finished):
            signal_.connect(lambda event: self.poses.append(event.pose))
        self.session.asks.connect(lambda question: None)

    @property
    def pose(self):
        there = [pose for pose in self.poses if pose is not None and pose.GetScene() is not None]
        return there[-1] if there else None

    def click(self) -> None:
        """One of all that can be clicked; FetalPoseError where it does not go now."""
        actions = ["estimate", "estimate", "poll", "poll", "poll", "wait", "cancel", "kill", "import", "answer", "nan"]
        if self.pose is not None:
            actions += ["refine", "drag", "drag", "unset", "undo", "undo", "redo", "swap", "reset", "export", "add",
                        "rename", "delete"]  # fmt: skip
        getattr(self, f"_{self.rng.choice(actions)}")()

    def _landmark(self) -> int:
        return int(self.rng.integers(len(load_skeleton())))

    def _estimate(self) -> None:
        self.session.estimate(self.volume, self.pose)

    def _refine(self) -> None:
        self.session.estimate(self.volume, self.pose, refine=True)

    def _poll(self) -> None:
        self.session.poll()

    def _wait(self) -> None:
        time.sleep(self.rng.uniform(0, 0.15))
        self.session.poll()

    def _cancel(self) -> None:
        self.session.cancel()

    def _kill(self) -> None:
        if self.client.pid is not None:
            os.kill(self.client.pid, signal.SIGKILL)

    def _import(self) -> None:
        self.poses.append(self.session.import_pose(resource_path("sample", "sample.mrk.json")))

    def _answer(self) -> None:
        self.session.answer(bool(self.rng.random() < 0.5))

    def _nan(self) -> None:
        matrix = np.diag([2.0, 2.0, 2.0, 1.0])
        matrix[0, 3] = np.nan if self.rng.random() < 0.3 else 0.0
        import slicer.util

        self.volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))

    def _drag(self) -> None:
        self.pose.SetNthControlPointPosition(self._landmark() % self._count(), *self.rng.uniform(-60, 60, 3))

    def _unset(self) -> None:
        self.pose.UnsetNthControlPointPosition(self._landmark() % self._count())

    def _count(self) -> int:
        return max(1, self.pose.GetNumberOfControlPoints())

    def _undo(self) -> None:
        self.session.undo(self.pose)

    def _redo(self) -> None:
        self.session.redo(self.pose)

    def _swap(self) -> None:
        self.session.swap_sides(self.pose, [None, *load_skeleton().limbs][self.rng.integers(5)])

    def _reset(self) -> None:
        self.session.reset_landmark(self.pose, load_skeleton().landmarks[self._landmark()])

    def _export(self) -> None:
        self.session.export_pose(self.pose, self.folder / "pose.mrk.json")
        self.session.export_table(self.pose, self.folder / "lengths.csv")

    def _add(self) -> None:
        self.session.add_to_library(self.pose)

    def _rename(self) -> None:
        if self.rng.random() < 0.3:
            self.pose.SetNthControlPointLabel(self._landmark() % self._count(), "tail")

    def _delete(self) -> None:
        if self.rng.random() < 0.3:
            self.scene.RemoveNode(self.pose)

    def wrong(self) -> str | None:
        """What does not hold of the pose and its lengths."""
        if self.pose is None:
            return None
        points = mrml.points_of(self.pose)
        mrml.update_derived(self.pose)
        expected = segment_lengths(points)
        names = [segment.name for segment in load_skeleton().segments]
        found = [self.session.lengths(self.pose).get(name, np.nan) for name in names]
        return None if np.allclose(found, expected, atol=1e-6, equal_nan=True) else "lengths that are not the points'"


def play(seed: int) -> str | None:
    """One sequence of clicks; None, or what is wrong."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        person = Person(rng, Path(folder))
        try:
            for _ in range(CLICKS):
                try:
                    person.click()
                except FetalPoseError:
                    pass
                if wrong := person.wrong():
                    return wrong
            until = time.monotonic() + PATIENCE_S
            while person.session.running and time.monotonic() < until:
                person.session.poll()
                person.session.answer(True)
                time.sleep(0.01)
            if person.session.running:
                return "a run that does not end"
        finally:
            person.session.close()
            person.client.close()
        left = list(Path(folder).glob("fetalpose-*"))
        return f"voxels that are left: {left}" if left else None


def kill(seed: int) -> str | None:
    """The network's own process is killed at a random moment of an estimate; None, or what is wrong."""
    from FetalPoseLib.refinement.options import EstimateOptions
    from FetalPoseLib.worker.protocol import Cancelled, Done, Failed

    rng = np.random.default_rng(seed)
    volume = Volume(rng.integers(1, 255, (40, 40, 40), dtype=np.uint8), np.eye(4))
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        with WorkerClient(environment={"OMP_NUM_THREADS": "1"}) as client:
            client.estimate(volume, EstimateOptions(device="cpu", iterations=1))
            moment, ended = time.monotonic() + rng.uniform(0, 4), []
            while not ended and time.monotonic() < moment + 40:
                ended = [event for event in client.poll() if isinstance(event, Done | Failed | Cancelled)]
                if moment is not None and time.monotonic() > moment and client.pid is not None and not ended:
                    os.kill(client.pid, [signal.SIGKILL, signal.SIGTERM][rng.integers(2)])
                time.sleep(0.005)
            if not ended or client.running:
                return "a request that stays pending"
        left = list(Path(folder).glob("fetalpose-*"))
        return f"voxels that are left: {left}" if left else None
