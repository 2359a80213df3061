"""From a volume node to a pose node, by the network's process; and what a person may do to a pose.

The logic takes nodes and gives nodes. It touches MRML on the main thread only: a timer fetches what the process said.
"""

import json
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Annotated

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic
from slicer.util import VTKObservationMixin

from FetalPoseLib import scene
from FetalPoseLib.body import plausibility
from FetalPoseLib.body.measurements import length_table, segment_lengths, write_csv
from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import check_writable, replacing
from FetalPoseLib.refinement.options import REFINEMENTS, EstimateOptions
from FetalPoseLib.resources import resource_path
from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.worker.client import WorkerClient
from FetalPoseLib.worker.process import slicer_python
from FetalPoseLib.worker.protocol import Cancelled, Devices, Done, Failed, ProgressEvent
from FetalPoseModuleLib.history import History, put, snapshot

POLL_MS = 40
OWN_SPACING = "the model's own"
VOLUME_ROLE = "FetalPose.Volume"  # node reference from the pose to the volume it was found in
MODELS = list(json.loads(resource_path("models", "manifest.json").read_text(encoding="utf-8")))
DEFAULTS = EstimateOptions()
USER_LIBRARY = "my-poses.npz"


@parameterNodeWrapper
class FetalPoseParameterNode:
    """What is saved with the scene. What belongs to the machine is in the application's settings."""

    inputVolume: slicer.vtkMRMLScalarVolumeNode
    pose: slicer.vtkMRMLMarkupsFiducialNode
    model: Annotated[str, Choice(MODELS)] = DEFAULTS.model
    spacing: Annotated[str, Choice([OWN_SPACING, "1.0", "1.25", "1.5", "2.0"])] = OWN_SPACING
    iterations: Annotated[int, WithinRange(0, 50)] = DEFAULTS.iterations
    refinement: Annotated[str, Choice(list(REFINEMENTS))] = DEFAULTS.refinement
    neighbours: Annotated[int, WithinRange(1, 100)] = DEFAULTS.k
    mirrored: bool = False
    showLengths: bool = True
    showNames: bool = False


@dataclass(frozen=True)
class Machine:
    """Settings of this computer: `device` is auto, cpu or cuda; `weights` a file to use instead of a bundled model."""

    device: str = DEFAULTS.device
    weights: str = ""
    libraryFolder: str = ""

    @property
    def library(self) -> Path | None:
        return Path(self.libraryFolder) / USER_LIBRARY if self.libraryFolder else None


@dataclass
class Run:
    """One request under way."""

    request: int
    volume: object
    name: str
    to_world: np.ndarray  # (4, 4) from where the network thinks the volume is to where it is: a mirror, or nothing
    pose: object = None
    held: tuple[int, ...] = ()
    isNew: bool = True  # the pose is made by this run
    shown: bool = False
    asked: bool = False
    stage: str = ""


@dataclass
class Listener:
    """What the logic tells whoever started a run; all are called on the main thread."""

    progress: Callable = lambda stage, iteration, iterations, secondsLeft, message: None
    pose: Callable = lambda node: None
    finished: Callable = lambda node, warnings: None
    failed: Callable = lambda message: None
    cancelled: Callable = lambda: None
    devices: Callable = lambda devices: None
    confirm: Callable = lambda question: True
    corrected: Callable = field(default=lambda: None)


class _OneStep:
    """What happens within is one step of undo."""

    def __init__(self, pose, history: History):
        self._pose, self._history = pose, history

    def __enter__(self):
        self._history.hold()
        self._modifying = self._pose.StartModify()

    def __exit__(self, *_):
        self._pose.EndModify(self._modifying)
        self._history.release()


class FetalPoseLogic(ScriptedLoadableModuleLogic, VTKObservationMixin):
    """
    >>> logic = FetalPoseLogic()
    >>> logic.estimate(volumeNode)          # returns at once; `logic.pose` is there when `logic.running` ends
    >>> logic.lengths(logic.pose)["left_thigh"]
    """

    def __init__(self, client=None):
        ScriptedLoadableModuleLogic.__init__(self)
        VTKObservationMixin.__init__(self)
        self.listener = Listener()
        self.client = client or WorkerClient(python=pythonExecutable(), environment=workerEnvironment())
        self.pose = None
        self._run = None
        self._polling = False
        self._devicesRequest = None
        self._histories = {}
        self._library = None
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self.poll)
        self.observer = scene.PoseObserver(slicer.mrmlScene)
        self.observer.start()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self._onSceneClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self._onSceneImported)

    def close(self) -> None:
        """Let go of everything: the process, the timer, the scene."""
        self._timer.stop()
        self._run = None
        self.client.close()
        self.observer.stop()
        self.removeObservers()
        for history in self._histories.values():
            history.close()
        self._histories.clear()

    def getParameterNode(self):
        return FetalPoseParameterNode(super().getParameterNode())

    @staticmethod
    def samplePath(suffix: str = ".nrrd") -> Path:
        return resource_path("sample", f"sample{suffix}")

    # --- estimating

    @property
    def running(self) -> bool:
        return self._run is not None

    def estimate(self, volume, pose=None, *, settings=None, machine=None, refine: bool = False) -> None:
        """Ask for the pose in a volume node; the result goes to `listener`, and step by step into the pose node.

        Parameters
        ----------
        pose : the pose node to write into. Another one is made if it is None, has corrections or lacks landmarks.
        settings : FetalPoseParameterNode, or None for the defaults.
        refine : keep the landmarks that a person moved in `pose` where they are, and let them steer the others.

        Raises
        ------
        FetalPoseError
            The volume is not one to estimate a pose in; or a run is under way.
        """
        if self.running:
            raise FetalPoseError(_("A pose is being estimated. Wait for it, or cancel it first."))
        machine = machine or Machine()
        voxels = scene.volume_from_node(volume)
        mirror = _mirror(voxels) if settings is not None and settings.mirrored else np.eye(4)
        run = Run(0, volume, volume.GetName(), mirror)
        known = {"placed": None, "start": None}
        if refine:
            run.pose, run.held, known = pose, *self._corrections(pose, mirror)
            run.asked = True
        elif pose is not None and scene.is_pose(pose) and scene.is_whole(pose) and not scene.moved_landmarks(pose):
            run.pose = pose
        if run.pose is not None:
            run.isNew = False
            self.history(run.pose).hold()
        mirrored = Volume(voxels.array, mirror @ voxels.ijk_to_ras)
        run.request = self.client.estimate(mirrored, estimateOptions(settings, machine), **known)
        self._run = run
        self._timer.start()

    def cancel(self) -> None:
        """Stop the run; the last pose stays."""
        if self.running:
            self.client.cancel()
            self.poll()

    def warmUp(self, settings=None, machine: Machine | None = None) -> None:
        self.client.warm_up(estimateOptions(settings, machine or Machine()))
        self._timer.start()

    def askForDevices(self) -> None:
        self._devicesRequest = self.client.devices()
        self._timer.start()

    def poll(self) -> None:
        """Handle what the process has said since the last call."""
        if self._polling:  # a question to the user is open, and its event loop runs this timer
            return
        self._polling = True
        try:
            if self._run is not None and not self._stillThere():
                return
            for event in self.client.poll():
                self._handle(event)
        except Exception as error:
            logging.exception("FetalPose")
            self._end(self.listener.failed, str(error))
            self.client.cancel()
        finally:
            self._polling = False
            if not self.running and not self.client.running and self._devicesRequest is None:
                self._timer.setInterval(10 * POLL_MS)  # a process that warms up still has something to say
            else:
                self._timer.setInterval(POLL_MS)

    def _handle(self, event) -> None:
        if event.request == self._devicesRequest:
            self._devicesRequest = None
            self.listener.devices(event.devices if isinstance(event, Devices) else ())
            return
        run = self._run
        if run is None or event.request != run.request:
            return
        if isinstance(event, ProgressEvent):
            self._onProgress(run, event)
        elif isinstance(event, Done):
            result = event.estimate
            if self._accepted(run, result.points):
                self._show(run, result.points, result.confidence, result.provenance)
                self._end(self.listener.finished, run.pose, result.warnings)
        elif isinstance(event, Failed):
            if event.details:
                logging.error(event.details)
            self._end(self.listener.failed, event.message)
        elif isinstance(event, Cancelled):
            self._end(self.listener.cancelled)

    def _onProgress(self, run: Run, event: ProgressEvent) -> None:
        step = event.progress
        run.stage = step.stage
        if step.points is not None:
            if not self._accepted(run, step.points):
                return
            self._show(run, step.points, step.confidence)
        self.listener.progress(step.stage, step.iteration, step.iterations, event.seconds_left, step.message)

    def _accepted(self, run: Run, points: np.ndarray) -> bool:
        """Whether the fetus is of the age that the model knows, or the user wants to see the pose all the same."""
        low, high = plausibility.CRL_RANGE
        crl = plausibility.crown_rump_length(points)
        if run.asked or not np.isfinite(crl) or plausibility.crown_rump_length_is_known(crl):
            return True
        run.asked = True
        question = _(
            "The crown-rump length seems to be {crl:.0f} mm. The model knows fetuses of {low:.0f} to {high:.0f} mm, "
            "which is 10 to 14 weeks; for others its answer cannot be trusted. Check the volume's spacing, too. "
            "Show the pose all the same?"
        ).format(crl=crl, low=low, high=high)
        if self.listener.confirm(question):
            return self._run is run
        if self._run is run:
            self.client.cancel()
            self._end(self.listener.cancelled)
        return False

    def _show(self, run: Run, points: np.ndarray, confidence: np.ndarray, provenance=None) -> None:
        """Put a step of the run into the pose node; the first one makes it, and moves the views to it."""
        first = not run.shown
        if run.pose is None:
            run.pose = scene.create_pose(slicer.mrmlScene, slicer.mrmlScene.GenerateUniqueName(f"{run.name} pose"))
            run.pose.SetNodeReferenceID(VOLUME_ROLE, run.volume.GetID())
        points = points @ run.to_world[:3, :3].T + run.to_world[:3, 3]
        scene.set_estimate(run.pose, points, confidence, provenance=provenance, held=run.held)
        if first:
            run.shown = True
            self.showPose(run.pose)
            if not run.held:
                centreViews(points)
            self.pose = run.pose
            self.listener.pose(run.pose)

    def _end(self, tell: Callable, *arguments) -> None:
        run, self._run = self._run, None
        if run is not None and run.pose is not None and slicer.mrmlScene.IsNodePresent(run.pose):
            if run.isNew:
                self.history(run.pose).forget()
            else:
                self.history(run.pose).release()
        tell(*arguments)

    def _stillThere(self) -> bool:
        """Stop the run if its volume or its pose was taken out of the scene."""
        for node, text in ((self._run.volume, _("volume")), (self._run.pose, _("pose"))):
            if node is not None and not slicer.mrmlScene.IsNodePresent(node):
                self.client.cancel()
                self.client.poll()
                self._end(self.listener.failed, _("The {node} was deleted, so the run was stopped.").format(node=text))
                return False
        return True

    def _corrections(self, pose, mirror: np.ndarray) -> tuple[tuple[int, ...], dict]:
        if pose is None or not scene.is_pose(pose) or not scene.is_whole(pose):
            raise FetalPoseError(_("Choose a pose with all its landmarks first."))
        names = scene.moved_landmarks(pose)
        if not names:
            raise FetalPoseError(_("No landmark was moved yet. Drag the wrong ones to their places first."))
        held = tuple(load_skeleton().index(name) for name in names)
        points = scene.points_of(pose) @ mirror[:3, :3].T + mirror[:3, 3]  # a mirror is its own inverse
        placed = {i: points[i] for i in held if np.isfinite(points[i]).all()}
        return held, {"placed": placed, "start": points}

    # --- showing

    def showPose(self, pose, *, lengths: bool = True, names: bool = False) -> None:
        """Show a pose with its skeleton; `lengths` beside the segments, and `names` beside the landmarks."""
        scene.show_skeleton(pose)
        scene.show_lengths(pose).GetDisplayNode().SetVisibility(bool(lengths))
        pose.GetDisplayNode().SetPointLabelsVisibility(bool(names))

    @staticmethod
    def lengths(pose) -> dict[str, float]:
        """Length of each segment in mm, NaN where an end is unset."""
        skeleton = load_skeleton()
        values = segment_lengths(scene.points_of(pose), skeleton)
        return {segment.name: float(value) for segment, value in zip(skeleton.segments, values, strict=True)}

    def doubts(self, pose, machine: Machine | None = None) -> list:
        """What should be checked in a pose, with reasons (`plausibility.doubts`). Marks those points in the views."""
        placed = [load_skeleton().index(name) for name in scene.moved_landmarks(pose)]
        found = plausibility.doubts(
            scene.points_of(pose), scene.confidence_of(pose), self._atlases(machine), placed=placed
        )
        doubtful = {load_skeleton().landmarks[i] for doubt in found for i in doubt.landmarks}
        for i in range(pose.GetNumberOfControlPoints()):
            certain = pose.GetNthControlPointLabel(i) not in doubtful
            if pose.GetNthControlPointSelected(i) != certain:
                pose.SetNthControlPointSelected(i, certain)
        return found

    def _atlases(self, machine: Machine | None):
        """The bundled atlases with the user's own, read once; None if they cannot be read."""
        own = machine.library if machine is not None else None
        stamp = own.stat().st_mtime_ns if own is not None and own.is_file() else None
        if self._library is None or self._library[0] != (own, stamp):
            try:
                atlases = PoseLibrary.load(resource_path("pose_library.npz"))
                if stamp is not None:
                    mine = PoseLibrary.load(own)
                    atlases = PoseLibrary(np.concatenate([atlases.poses, mine.poses]), (*atlases.names, *mine.names))
            except FetalPoseError as error:
                logging.warning(str(error))
                atlases = None
            self._library = (own, stamp), atlases
        return self._library[1]

    # --- correcting

    def history(self, pose) -> History:
        """The undo and redo of a pose, from the first time it is asked for."""
        if pose not in self._histories:
            self._histories[pose] = History(pose, lambda: self.listener.corrected())
        return self._histories[pose]

    def undo(self, pose) -> None:
        self.history(pose).undo()

    def redo(self, pose) -> None:
        self.history(pose).redo()

    def swapSides(self, pose, limb: str | None = None) -> None:
        """Exchange left and right of a limb ("left_arm": both arms) or, with None, of the whole body."""
        order = plausibility.exchange_sides(None if limb is None else [limb])
        landmarks = load_skeleton().landmarks
        index = {name: pose.GetControlPointIndexByLabel(name) for name in landmarks}
        state = snapshot(pose)
        points = {name: state[pose.GetNthControlPointID(i)] for name, i in index.items() if i >= 0}
        with self._oneStep(pose):
            for row, source in enumerate(order):
                here, there = landmarks[row], landmarks[source]
                if here != there and here in points and there in points:
                    put(pose, index[here], points[there])

    def resetLandmark(self, pose, name: str) -> None:
        with self._oneStep(pose):
            scene.reset_landmarks(pose, [load_skeleton().index(name)])

    def setVisible(self, pose, name: str, visible: bool) -> None:
        """Mark a landmark as not visible in the volume: it keeps its place, but is not shown and measures nothing."""
        index = pose.GetControlPointIndexByLabel(name)
        with self._oneStep(pose):
            if not visible:
                pose.SetNthControlPointPositionMissing(index)
            elif pose.GetNthControlPointPositionStatus(index) == pose.PositionMissing:
                pose.RestoreNthControlPointPosition(index)

    def _oneStep(self, pose) -> _OneStep:
        return _OneStep(pose, self.history(pose))

    # --- files

    def importPose(self, path):
        """Read a `.mrk.json` with the 16 landmarks; the pose node, shown."""
        pose = scene.load_pose(slicer.mrmlScene, path)
        self._adopted(pose)
        return pose

    def adopt(self, pose) -> None:
        """Make a pose of any markups node with the 16 names, such as one dragged onto Slicer's window."""
        if pose.GetAttribute("FetalPose.Skeleton") is None:
            scene.adopt_pose(pose)
        self._adopted(pose)

    def _adopted(self, pose) -> None:
        self.showPose(pose)
        self.history(pose)
        self.pose = pose

    def exportPose(self, pose, path) -> None:
        check_writable(path, ".mrk.json")
        scene.save_pose(pose, path)

    def exportTable(self, pose, path) -> None:
        check_writable(path, ".csv")
        rows = length_table(scene.points_of(pose))
        with replacing(path) as temporary:
            write_csv(temporary, rows)

    def addToLibrary(self, pose, machine: Machine) -> int:
        """Put a pose into the user's own library, which the refinement then uses; how many poses that holds now.

        Only the body's shape goes in: no name, no place in the room, nothing of the volume.
        """
        if machine.library is None:
            raise FetalPoseError(_("Choose a folder for your library in the settings first."))
        points = scene.points_of(pose)
        unset = np.isnan(points).any(axis=1)
        if unset.any():
            names = ", ".join(name for name, gone in zip(load_skeleton().landmarks, unset, strict=True) if gone)
            raise FetalPoseError(_("A pose in the library must be complete. Place {names} first.").format(names=names))
        points = points - points[load_skeleton().index("neck")]
        machine.library.parent.mkdir(parents=True, exist_ok=True)
        if machine.library.is_file():
            library = PoseLibrary.load(machine.library)
            library = library.add(points, f"own-{len(library) + 1}")
        else:
            library = PoseLibrary(points[None], ["own-1"], {"made": date.today().isoformat()})
        with replacing(machine.library) as temporary:
            library.save(temporary)
        return len(library)

    # --- the scene

    def _onSceneClose(self, _caller, _event) -> None:
        if self.running:
            self.client.cancel()
            self.client.poll()
            self._run = None
            self.listener.failed(_("The scene was closed, so the run was stopped."))
        for history in self._histories.values():
            history.close()
        self._histories.clear()
        self.pose = None

    def _onSceneImported(self, _caller, _event) -> None:
        """The labels of the lengths are not saved with a scene: make them again where the skeleton came back."""
        for i in range(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode")):
            node = slicer.mrmlScene.GetNthNodeByClass(i, "vtkMRMLMarkupsFiducialNode")
            if node.GetAttribute("FetalPose.Skeleton") is not None:
                self.showPose(node)


def geometryWarning(volume) -> str:
    """Why a volume's geometry may not be what it says, or ""."""
    if volume is None:
        return ""
    storage = volume.GetStorageNode()
    file = (storage.GetFileName() or "").lower() if storage is not None else ""
    spacing = ", ".join(f"{value:.3g}" for value in volume.GetSpacing())
    if not file or file.endswith(".vol"):  # SlicerHeart's importer of GE .vol files leaves no storage node
        return _(
            "Nothing confirms this volume's geometry: it was computed, or read by an importer such as that of GE .vol "
            "files. Compare the spacing ({spacing} mm) with a distance that you know; if the fetus's left and right "
            "are exchanged, tick 'Volume is mirrored'."
        ).format(spacing=spacing)
    if tuple(volume.GetSpacing()) == (1.0, 1.0, 1.0):
        return _(
            "The volume says that its voxels measure exactly 1 mm on each side, as importers do that do not know it. "
            "All lengths depend on it: check it in the module Volumes."
        )
    return ""


def centreViews(points: np.ndarray) -> None:
    """Move slices and 3D cameras to the middle of a pose, and change nothing else about them."""
    seen = points[np.isfinite(points).all(axis=1)]
    if not len(seen):
        return
    x, y, z = (float(value) for value in (seen.min(axis=0) + seen.max(axis=0)) / 2)
    jumpTo(x, y, z, centred=True)
    extent = float(np.linalg.norm(seen.max(axis=0) - seen.min(axis=0)))
    for i in range(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLCameraNode")):
        camera = slicer.mrmlScene.GetNthNodeByClass(i, "vtkMRMLCameraNode")
        direction = np.subtract(camera.GetPosition(), camera.GetFocalPoint())
        length = np.linalg.norm(direction) or 1.0
        camera.SetFocalPoint(x, y, z)
        camera.SetPosition(*((x, y, z) + direction / length * max(2.2 * extent, 60.0)))
        camera.ResetClippingRange()


def jumpTo(x: float, y: float, z: float, *, centred: bool = False) -> None:
    node = slicer.vtkMRMLSliceNode
    node.JumpAllSlices(slicer.mrmlScene, x, y, z, node.CenteredJumpSlice if centred else node.OffsetJumpSlice)


def estimateOptions(settings, machine: Machine) -> EstimateOptions:
    """What the panel's settings, or the defaults if there are none, ask of the network."""
    library = machine.library
    options = replace(
        DEFAULTS,
        model=machine.weights or DEFAULTS.model,
        device=machine.device,
        libraries=(str(library),) if library is not None and library.is_file() else (),
    )
    if settings is None:
        return options
    return replace(
        options,
        model=machine.weights or settings.model,
        refinement=settings.refinement,
        iterations=settings.iterations,
        k=settings.neighbours,
        spacing_mm=None if settings.spacing == OWN_SPACING else float(settings.spacing),
    )


def pythonExecutable() -> str:
    """The Python that has Slicer's packages: PythonSlicer within Slicer."""
    return slicer_python(getattr(slicer.app, "slicerHome", "") or "")


def workerEnvironment() -> dict[str, str]:
    """So that the process finds FetalPoseLib and the packages that this Python has."""
    return {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def _mirror(voxels) -> np.ndarray:
    """The reflection (4, 4) of the world that leaves the volume's box in place, along the volume's first axis."""
    across = voxels.ijk_to_ras[:3, 0] / np.linalg.norm(voxels.ijk_to_ras[:3, 0])
    middle = (np.array(voxels.array.shape[::-1]) - 1) / 2
    centre = voxels.ijk_to_ras[:3, :3] @ middle + voxels.ijk_to_ras[:3, 3]
    mirror = np.eye(4)
    mirror[:3, :3] -= 2 * np.outer(across, across)
    mirror[:3, 3] = 2 * across * (across @ centre)
    return mirror
