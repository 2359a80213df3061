"""What the tests of the module share: the panel with a scripted process and scripted dialogs, and time passing."""

import time
from pathlib import Path

import fake_worker
import numpy as np
import qt
import slicer
import slicer.util

from FetalPose import FetalPoseLogic, FetalPoseWidget
from FetalPoseLib import scene as mrml
from FetalPoseLib.body.estimate import rows_of_points
from FetalPoseLib.body.measurements import segment_lengths
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.resources import resource_path
from FetalPoseLib.worker.client import WorkerClient
from FetalPoseLib.worker.protocol import Request, decode_request
from FetalPoseModuleLib.logic import pythonExecutable
from FetalPoseModuleLib.sampledata import loadSample

SKELETON = load_skeleton()


class Dialogs:
    """Answers at once, or after `watch`, which may let time pass as an open window does; keeps what was asked."""

    def __init__(self):
        self.answer, self.path, self.asked, self.watch = True, "", [], lambda: None

    def confirm(self, question):
        self.asked.append(question)
        self.watch()
        return self.answer

    def openFile(self, title, types):
        return str(self.path)

    def saveFile(self, title, name, types):
        return str(self.path)

    def folder(self, title):
        return str(self.path)

    def library(self, library, remove):
        self.asked.append(library())


class Installer:
    """Everything is there, unless a test says otherwise."""

    def __init__(self):
        self.lacking, self.installed, self.watch = [], [], lambda: None

    def missing(self):
        return self.lacking

    def question(self, missing):
        return f"Install {', '.join(missing)}?"

    def install(self, missing, say):
        for name in missing:
            say(f"Installing {name} ...")
            self.watch()
            self.installed.append(name)
        self.lacking = []


class Bench:
    """`panel` is the module's widget, `truth` (16, 3) what the scripted process will answer."""

    def __init__(self, folder: Path):
        self.folder = folder
        slicer.mrmlScene.Clear(0)
        qt.QSettings().remove("FetalPose")
        self.truth = sample_truth()
        self.log = folder / "requests.txt"
        self.plan = {"points": rows_of_points(self.truth), "confidence": [0.9] * 16, "log": str(self.log)}
        self.dialogs, self.installer = Dialogs(), Installer()
        self.client = WorkerClient(command=self.command())
        self.panel = self.make_panel()

    def command(self):
        return fake_worker.command(self.plan, pythonExecutable())

    def make_panel(self):
        self.frame = slicer.qMRMLWidget()
        self.frame.setLayout(qt.QVBoxLayout())
        self.frame.setMRMLScene(slicer.mrmlScene)
        logic = FetalPoseLogic(client=self.client)
        panel = FetalPoseWidget(self.frame, logic=logic, installer=self.installer, dialogs=self.dialogs)
        panel.setup()
        return panel

    def close(self):
        self.panel.cleanup()
        self.frame.deleteLater()
        slicer.mrmlScene.Clear(0)

    # doing

    @property
    def ui(self):
        return self.panel.ui

    @property
    def pose(self):
        return self.panel.pose

    @property
    def session(self):
        return self.panel.logic.session

    def answer(self, **plan):
        """Let the process answer otherwise from its next start on."""
        self.plan |= plan
        self.client.close()
        self.client.poll()
        self.client.command = self.command()

    def volume(self, array=None, spacing=(2.0, 2.0, 2.0), file="volume.nrrd"):
        """A volume in the scene, selected; as if read from ``file``, or by an importer that tells of none."""
        array = np.random.default_rng(0).integers(1, 255, (40, 40, 40), dtype=np.uint8) if array is None else array
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Volume")
        slicer.util.updateVolumeFromArray(node, array)
        node.SetSpacing(*spacing)
        if file:
            storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
            storage.SetFileName(file)
            node.SetAndObserveStorageNodeID(storage.GetID())
        self.ui.inputSelector.setCurrentNode(node)
        return node

    def estimate(self):
        """Click *Estimate Pose* and wait for the end."""
        self.ui.estimateButton.click()
        self.wait(lambda: not self.session.running)
        return self.pose

    def estimated(self):
        self.volume()
        return self.estimate()

    def imported(self):
        self.dialogs.path = resource_path("sample", "sample.mrk.json")
        self.ui.importButton.click()
        return self.pose

    def select(self, landmark: str):
        self.ui.landmarksTable.selectRow(SKELETON.index(landmark))

    def wait(self, condition, seconds=20.0):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"waited in vain; the panel says: {self.status}"
            slicer.app.processEvents()
            time.sleep(0.005)

    def pause(self, seconds):
        end = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() > end)

    # looking

    @property
    def status(self) -> str:
        return self.ui.statusLabel.text

    @property
    def table(self) -> list[str]:
        return [self.ui.lengthsTable.item(row, 1).text() for row in range(15)]

    def requests(self) -> list[Request]:
        """What the process was asked, in order."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [decode_request(line)[1] for line in lines]

    def assert_lengths_true(self):
        lengths = segment_lengths(mrml.points_of(self.pose))
        assert self.table == [f"{length:.1f}" if np.isfinite(length) else "-" for length in lengths]
        labels = self.pose.GetNodeReference("FetalPose.LengthLabels")
        for row, length in enumerate(lengths):
            shown = labels.GetNthControlPointPositionStatus(row) == labels.PositionDefined
            assert shown == np.isfinite(length)
            if shown:
                assert labels.GetNthControlPointLabel(row).strip() == f"{length:.1f}"
                assert self.pose.GetMeasurement(SKELETON.segments[row].name).GetValue() == length


def sample_truth() -> np.ndarray:
    scene = mrml.new_scene()
    return mrml.points_of(mrml.load_pose(scene, resource_path("sample", "sample.mrk.json")))


def sample_volume():
    return loadSample()[0]
