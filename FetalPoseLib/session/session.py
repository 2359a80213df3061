"""The one object that a front end holds: it estimates, corrects, reads and writes the poses of a scene."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import vtk

from FetalPoseLib import scene as mrml
from FetalPoseLib.body import plausibility
from FetalPoseLib.body.clinical import Measure, measure_table
from FetalPoseLib.body.measurements import length_table, segment_lengths, write_csv
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.files import check_writable, replacing
from FetalPoseLib.scene.pose import SKELETON
from FetalPoseLib.session import corrections, panel
from FetalPoseLib.session.estimating import VOLUME_ROLE, Estimating
from FetalPoseLib.session.history import History
from FetalPoseLib.session.notes import notes_of
from FetalPoseLib.session.signal import Signal
from FetalPoseLib.session.sizes import MeasureRow, age_text, measure_rows
from FetalPoseLib.session.training_set import Added, add_to_training_set
from FetalPoseLib.session.user_library import Atlases, OwnLibrary, add_pose, own_library, remove_pose
from FetalPoseLib.session.views import HEAD_PLANES, PlaneRow, PlaneViews, head_turn, plane_rows
from FetalPoseLib.worker.client import WorkerClient

_MARKUPS = "vtkMRMLMarkupsFiducialNode"


class PoseSession(Estimating):
    """Estimates and corrects the poses of one scene. The front end calls `poll` and listens to the signals.

    Parameters
    ----------
    scene : vtkMRMLScene
    client : WorkerClient
        The session closes it.
    translate : callable
        From an English sentence to the user's language.
    instance_file : callable, optional
        From the UID of a DICOM instance to its file, "" where it is not known; for volumes of the module DICOM.

    Attributes
    ----------
    settings : Settings
        A new value replaces the former one and counts from the next request on.
    status : Status
        What the status line says now.
    status_changed, progressed, pose_shown, finished, failed, cancelled, devices_known, asks, corrected : Signal
        Each carries one object.

    Example
    -------
    >>> session = PoseSession(scene, WorkerClient())
    >>> session.finished.connect(lambda result: print(session.lengths(result.pose)))
    >>> session.estimate(volume_node)
    >>> while session.running:
    ...     session.poll()
    """

    def __init__(
        self,
        scene,
        client: WorkerClient,
        translate: Callable[[str], str] = str,
        *,
        instance_file: mrml.InstanceFile | None = None,
    ):
        super().__init__(scene, client, translate)
        self._instance_file = instance_file
        self.corrected: Signal[Any] = Signal()  #: the pose node of which something else can be undone now
        self._histories: dict[Any, History] = {}
        self._atlases = Atlases()
        self._geometry: tuple[tuple, str] = (
            (),
            "",
        )  # the state of the volume that was asked about last, and the answer
        self.plane_views = PlaneViews(scene)  #: the slice views, turned to a standard plane
        self._observer = mrml.PoseObserver(scene)
        self._observer.start()
        self._tags = [
            scene.AddObserver(scene.StartCloseEvent, self._on_scene_close),
            scene.AddObserver(scene.EndImportEvent, self._on_scene_imported),
            scene.AddObserver(scene.NodeRemovedEvent, self._on_node_removed),
        ]

    def close(self) -> None:
        """Let go of everything: the process, the scene, its nodes and views. No signal tells of it."""
        self._run, self._question = None, None
        self._events.clear()
        self.client.close()
        self._observer.stop()
        self.plane_views.back()
        for tag in self._tags:
            self.scene.RemoveObserver(tag)
        self._tags.clear()
        self._close_histories()

    # showing

    def show(self, pose) -> None:
        """Show a pose with its skeleton, and with lengths and names as the settings say."""
        mrml.show_skeleton(pose)
        mrml.show_lengths(pose).GetDisplayNode().SetVisibility(self.settings.show_lengths)
        pose.GetDisplayNode().SetPointLabelsVisibility(self.settings.show_names)
        mrml.show_uncertainty(pose, self.settings.show_uncertainty)

    def lengths(self, pose) -> dict[str, float]:
        """Length in mm of each segment by its name, NaN where an end is not visible."""
        skeleton = load_skeleton()
        values = segment_lengths(mrml.points_of(pose), skeleton)
        return {segment.name: float(value) for segment, value in zip(skeleton.segments, values, strict=True)}

    def measures(self, pose) -> list[Measure]:
        """Crown-rump length, gestational age, posture and long bones, see `body.clinical`."""
        return mrml.measures_of(pose)

    def doubts(self, pose) -> list[plausibility.Doubt]:
        """What should be checked in a pose. Marks its landmarks in the views. Too slow for each step of a drag."""
        landmarks = load_skeleton().landmarks
        placed = [landmarks.index(name) for name in mrml.placed_landmarks(pose)]
        atlases = self._atlases.with_own(self.settings.user_library)
        found = plausibility.doubts(
            mrml.points_of(pose), mrml.confidence_of(pose), atlases, placed=placed, radius_mm=mrml.radius_of(pose)
        )
        doubtful = {landmarks[i] for doubt in found for i in doubt.landmarks}
        for i in range(pose.GetNumberOfControlPoints()):
            certain = pose.GetNthControlPointLabel(i) not in doubtful
            if pose.GetNthControlPointSelected(i) != certain:
                pose.SetNthControlPointSelected(i, certain)
        return found

    def length_rows(self, pose, doubts=()) -> tuple[panel.LengthRow, ...]:
        """The rows of the table of lengths; ``pose`` may be None."""
        return panel.length_rows(pose, doubts)

    def landmark_rows(self, pose, doubts=()) -> tuple[panel.LandmarkRow, ...]:
        """The rows of the table of landmarks; ``pose`` may be None."""
        return panel.landmark_rows(pose, doubts, translate=self.translate)

    def measure_rows(self, pose) -> tuple[MeasureRow, ...]:
        """The rows of the table of size, age and posture; ``pose`` may be None."""
        return measure_rows(pose, translate=self.translate)

    def age_text(self, pose, by_dates: str) -> str:
        """What the gestational age by dates and the size of a pose (or None) say of each other, "" if they agree.

        ``by_dates`` is what a person typed, such as "12w3d"; what is no age is said, too.
        """
        return age_text(pose, by_dates, translate=self.translate)

    def plane_rows(self, pose) -> tuple[PlaneRow, ...]:
        """The standard planes that can be shown, and why others cannot; ``pose`` may be None."""
        return plane_rows(None if pose is None else mrml.points_of(pose), translate=self.translate)

    def show_plane(self, pose, name: str) -> bool:
        """Turn the slice views to a standard plane of a pose; False if the pose does not give it."""
        points = mrml.points_of(pose)
        turn = head_turn(self.volume_of(pose), points) if name in HEAD_PLANES else None
        return self.plane_views.show(points, name, head_turn_deg=turn)

    def doubts_text(self, doubts) -> str:
        """All doubts in a few lines, "" where there are none."""
        return panel.doubts_text(doubts, translate=self.translate)

    def notes(self, pose) -> tuple[str, ...]:
        """What a person has done to a pose in Slicer's own modules and should know of, a sentence each."""
        return notes_of(pose, translate=self.translate)

    def buttons(self, pose, volume, selected: str | None = None) -> panel.Buttons:
        """Which buttons can be clicked while this pose, volume and landmark are chosen; each may be None."""
        history = self.history(pose) if pose is not None else None
        return panel.buttons(
            pose,
            volume,
            selected,
            running=self.running,
            can_undo=history is not None and history.can_undo,
            can_redo=history is not None and history.can_redo,
            translate=self.translate,
        )

    def geometry_warning(self, volume) -> str:
        """What the file of a volume does not confirm, or ""; ``volume`` may be None.

        The file's header is read again only where the volume has changed since the last call.
        """
        if volume is None:
            return ""
        storage = volume.GetStorageNode()
        state = (volume.GetID(), volume.GetMTime(), storage.GetMTime() if storage is not None else 0)
        if self._geometry[0] != state:
            text = panel.geometry_warning(volume, translate=self.translate, instance_file=self._instance_file)
            self._geometry = (state, text)
        return self._geometry[1]

    def volume_of(self, pose):
        """The volume node that a pose was found in, None if it is not known or no longer in the scene."""
        return pose.GetNodeReference(VOLUME_ROLE) if pose is not None else None

    # correcting

    def history(self, pose) -> History:
        """The undo and redo of a pose, from the first time it is asked for until the pose leaves the scene."""
        if pose in self._histories:
            return self._histories[pose]
        history = History(pose, lambda: self.corrected.emit(pose))
        if self.scene.IsNodePresent(pose):
            self._histories[pose] = history
        else:
            history.close()  # nobody would end it
        return history

    def undo(self, pose) -> None:
        """Take the last step back, if there is one."""
        self.history(pose).undo()

    def redo(self, pose) -> None:
        """Do again what was taken back last, if there is something."""
        self.history(pose).redo()

    def abandon(self) -> None:
        """End a drag whose release never comes, such as that of a closed browser: the point goes back to its place."""
        for history in list(self._histories.values()):  # a panel that answers may ask for the history of another pose
            history.abandon()

    def swap_sides(self, pose, limb: str | None = None) -> None:
        """Exchange left and right of a limb ("left_arm": both arms) or, with None, of the whole body."""
        with self.history(pose).one_step():
            corrections.swap_sides(pose, limb)

    def reset_landmark(self, pose, name: str) -> None:
        """Put a landmark back where the estimator, or the file, had it."""
        with self.history(pose).one_step():
            corrections.reset_landmark(pose, name)

    def set_visible(self, pose, name: str, visible: bool) -> None:
        """Mark a landmark as not visible in the volume, or bring it back to its place."""
        with self.history(pose).one_step():
            corrections.set_visible(pose, name, visible)

    # files

    def import_pose(self, path: str | Path):
        """Read a ``.mrk.json`` with the 16 landmarks; the pose node, shown. FetalPoseError if it cannot be read."""
        pose = mrml.load_pose(self.scene, path)
        self._begin(pose)
        return pose

    def adopt(self, pose) -> None:
        """Make a pose of any markups node with the 16 names; FetalPoseError if names are missing or stand twice."""
        if pose.GetAttribute(SKELETON) is None:
            mrml.adopt_pose(pose)
        self._begin(pose)

    def export_pose(self, pose, path: str | Path) -> None:
        """Write a ``.mrk.json``; FetalPoseError if it cannot be written, and the former file is kept."""
        check_writable(path, ".mrk.json")
        mrml.save_pose(pose, path)

    def export_table(self, pose, path: str | Path) -> None:
        """Write the lengths as ``.csv``; FetalPoseError if it cannot be written, and the former file is kept."""
        check_writable(path, ".csv")
        told = mrml.provenance_of(pose).get("Warnings", "")
        checks = plausibility.checks_of_lengths(self.doubts(pose), [told] if told else [])
        rows = length_table(mrml.points_of(pose), interval_mm=mrml.length_intervals_of(pose), checks=checks)
        with replacing(path) as temporary:
            write_csv(temporary, rows)

    def export_measures(self, pose, path: str | Path) -> None:
        """Write the clinical measures as ``.csv``; FetalPoseError if it cannot be written; the former file is kept."""
        check_writable(path, ".csv")
        with replacing(path) as temporary:
            write_csv(temporary, measure_table(self.measures(pose)))

    def add_to_library(self, pose) -> int:
        """Put a pose into the person's own library, which the refinement then uses; how many poses that holds now.

        Raises
        ------
        FetalPoseError
            The settings name no folder; a landmark is not visible; the library cannot be read or written.
        """
        return add_pose(pose, self.settings.user_library, translate=self.translate)

    def add_to_training_set(self, pose, volume, folder: str | Path) -> Added:
        """Write a volume and its corrected pose as a pair into a folder that ``fetalpose train --data`` learns from.

        See `training_set.add_to_training_set`.
        """
        mirrored = self.settings.mirrored
        return add_to_training_set(pose, volume, folder, mirrored=mirrored, translate=self.translate)

    def own_library(self) -> OwnLibrary:
        """What the person's own library holds; FetalPoseError if it cannot be read."""
        return own_library(self.settings.user_library)

    def remove_from_library(self, name: str) -> int:
        """Take a pose out of the person's own library; how many poses that holds now.

        Raises
        ------
        FetalPoseError
            The settings name no folder, there is no such pose, or the library cannot be read or written.
        """
        return remove_pose(self.settings.user_library, name, translate=self.translate)

    def _begin(self, pose) -> None:
        self.show(pose)
        self.history(pose)

    # the scene

    def _on_scene_close(self, _scene, _event) -> None:
        if self.running:
            self.client.cancel()
            self._end_failed(self.translate("The scene was closed, so the run was stopped."))
        self._close_histories()
        self.plane_views.back()  # the views outlive the scene

    def _on_scene_imported(self, _scene, _event) -> None:
        """The labels of the lengths are not saved with a scene: make them again where the skeleton came back."""
        for i in range(self.scene.GetNumberOfNodesByClass(_MARKUPS)):
            node = self.scene.GetNthNodeByClass(i, _MARKUPS)
            if node.GetAttribute(SKELETON) is not None:
                self.show(node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_node_removed(self, _scene, _event, node) -> None:
        history = self._histories.pop(node, None)
        if history is not None:
            history.close()

    def _close_histories(self) -> None:
        for history in self._histories.values():
            history.close()
        self._histories.clear()
