"""The run of a session: ask the network, show what it finds step by step, ask a person, end.

Events are handled in their order, one at a time. While a question is open they wait, so a front end may answer within
the signal or much later; only the death of the process is heard, which ends the run. A slot may poll, cancel or answer:
the events that it brings are handled after the one that it was told of.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.estimate import Estimate, Progress
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.measurement.crown_rump import crown_rump_length
from FetalPoseLib.measurement.head_turn import head_turn_deg
from FetalPoseLib.session import corrections, panel
from FetalPoseLib.session.events import Failure, Finished, PoseShown, Question
from FetalPoseLib.session.history import History
from FetalPoseLib.session.run import Run
from FetalPoseLib.session.settings import Settings
from FetalPoseLib.session.signal import Signal
from FetalPoseLib.volume.grid import mirror_matrix
from FetalPoseLib.worker.client import WorkerClient
from FetalPoseLib.worker.protocol import Cancelled, Device, Devices, Done, Event, Failed, ProgressEvent

VOLUME_ROLE = "FetalPose.Volume"  # node reference from the pose to the volume it was found in


class Estimating:
    """The part of `PoseSession` that runs the network; see there."""

    def __init__(self, scene, client: WorkerClient, translate: Callable[[str], str] = str):
        self.scene, self.client, self.translate = scene, client, translate
        self.settings, self.status = Settings(), panel.Status()
        self.status_changed: Signal[panel.Status] = Signal()
        self.progressed: Signal[ProgressEvent] = Signal()
        self.pose_shown: Signal[PoseShown] = Signal()
        self.finished: Signal[Finished] = Signal()
        self.failed: Signal[Failure] = Signal()
        self.cancelled: Signal[Any] = Signal()  #: the pose node as far as the run came, or None
        self.devices_known: Signal[tuple[Device, ...]] = Signal()
        self.asks: Signal[Question] = Signal()
        self._run: Run | None = None
        self._question: Question | None = None
        self._events: deque[Event] = deque()  # not handled yet
        self._handling = False
        self._devices_request: int | None = None

    def history(self, pose) -> History:
        """The undo and redo of a pose."""
        raise NotImplementedError

    def show(self, pose) -> None:
        """Show a pose in the views."""
        raise NotImplementedError

    @property
    def running(self) -> bool:
        """Whether a run is under way; it is while a question waits for its answer, too."""
        return self._run is not None

    @property
    def question(self) -> Question | None:
        """The question that waits for `answer`, None if there is none."""
        return self._question

    @property
    def awaits_events(self) -> bool:
        """Whether the process owes an answer: a front end may poll less often where it does not."""
        return self.running or self.client.running or self._devices_request is not None

    # requests

    def estimate(self, volume, pose=None, *, refine: bool = False) -> None:
        """Ask for the pose in a volume node. The answer comes by the signals, and step by step into the pose node.

        Parameters
        ----------
        volume : vtkMRMLScalarVolumeNode
        pose : vtkMRMLMarkupsFiducialNode, optional
            The pose to write into. Another one is made, under the transform of the volume, if it is None, has
            corrections, lacks landmarks or is under another transform.
        refine : bool
            Keep the landmarks that a person placed in ``pose`` where they are, and let them steer the others.

        Raises
        ------
        FetalPoseError
            The volume is not one to estimate a pose in; a run is under way; nothing was corrected to refine from.
        """
        if self.running:
            raise FetalPoseError(self.translate("A pose is being estimated. Wait for it, or cancel it first."))
        voxels = mrml.volume_from_node(volume)
        mirror = mirror_matrix(voxels) if self.settings.mirrored else np.eye(4)
        run, known = Run(volume, mirror), None
        if refine:
            known = corrections.corrections_of(pose, mirror, translate=self.translate)
            run.pose, run.corrected, run.accepted = pose, known.corrected, True
        elif pose is not None and mrml.is_pose(pose) and mrml.is_whole(pose) and not mrml.placed_landmarks(pose):
            if pose.GetParentTransformNode() is volume.GetParentTransformNode():
                run.pose = pose
        run.makes_pose = run.pose is None
        run.request = self.client.estimate(
            mrml.recorded_volume(volume).moved(mirror),
            self.settings.requested,
            placed=known.placed if known is not None else None,
            start=known.start if known is not None else None,
        )
        if not run.makes_pose:
            self.history(run.pose).hold()
        self._run = run
        self._say(panel.Status(self.translate("Starting the network ..."), steps=1))

    def cancel(self) -> None:
        """Stop the run, within half a second; the pose stays as far as it came."""
        if self._run is not None:
            self.client.cancel()
            self._end_cancelled()

    def answer(self, yes: bool) -> None:
        """Answer the question that `asks` carried. Does nothing if its run has ended meanwhile."""
        if self._question is None or self._run is None:
            return
        self._question = None
        if yes:
            self._run.accepted = True
            self._handle_waiting()
        else:
            self.cancel()

    def warm_up(self) -> None:
        """Start the process and open the model, so that the first estimate need not wait."""
        self.client.warm_up(self.settings.requested)

    def ask_for_devices(self) -> None:
        """Ask which devices there are; `devices_known` tells, with none if the process cannot."""
        self._devices_request = self.client.devices()

    # events

    def poll(self) -> None:
        """Handle what the process has said since the last call. Never waits for it."""
        if self._run is not None:
            self._stop_if_deleted(self._run)
        self._events.extend(self.client.poll())
        if self._run is not None and self._question is not None:
            self._stop_if_lost(self._run)
        self._handle_waiting()

    def _handle_waiting(self) -> None:
        """Handle events until none is left or a question is open."""
        if self._handling:  # a slot polls or has answered at once: the outer call goes on
            return
        self._handling = True
        try:
            while self._events and self._question is None:
                self._handle(self._events.popleft())
        except Exception as error:  # a run must end, whatever went wrong in showing it
            logging.exception("FetalPose")
            self.client.cancel()
            self._end_failed(str(error))
        finally:
            self._handling = False

    def _handle(self, event: Event) -> None:
        if event.request is not None and event.request == self._devices_request:
            self._devices_request = None
            self.devices_known.emit(event.devices if isinstance(event, Devices) else ())
            return
        run = self._run
        if run is None or event.request != run.request:
            return
        if isinstance(event, ProgressEvent):
            step = event.progress
            doubtful = not step.holds_fetus and not run.accepted  # refinement may find it yet; the end decides
            if step.points is None or doubtful or self._shown(run, event, step):
                self._say(panel.progress_status(event, translate=self.translate))
                self.progressed.emit(event)
        elif isinstance(event, Done):
            result = event.estimate
            known = {"radius_mm": result.radius_mm, "length_interval_mm": result.length_interval_mm}
            if self._shown(run, event, result, provenance=result.provenance, **known):
                self._measure(run)
                self._end_finished(tuple(result.warnings))
        elif isinstance(event, Failed):
            if event.details:
                logging.error(event.details)
            self._end_failed(event.message)
        elif isinstance(event, Cancelled):
            self._end_cancelled()

    def _shown(self, run: Run, event: Event, step: Progress | Estimate, **known) -> bool:
        """Put a step of the run into the pose node, which the first one makes.

        False if a person must be asked before, and the event waits; or if the run was ended by who was told.
        """
        assert step.points is not None and step.confidence is not None, "a step without a pose is not shown"
        question = "" if run.accepted else panel.question_before_showing(step, translate=self.translate)
        if question:
            self._events.appendleft(event)
            self._question = Question(question)
            self.asks.emit(self._question)
            return False
        if run.pose is None:
            run.pose = mrml.create_pose(self.scene, self.scene.GenerateUniqueName(f"{run.volume.GetName()} pose"))
            run.pose.SetNodeReferenceID(VOLUME_ROLE, run.volume.GetID())
            run.pose.SetAndObserveTransformNodeID(run.volume.GetTransformNodeID())
        points = step.points @ run.to_world[:3, :3].T + run.to_world[:3, 3]
        mrml.set_estimate(run.pose, points, step.confidence, corrected=run.corrected, **known)
        if not run.shown:
            run.shown = True
            self.show(run.pose)
            self.pose_shown.emit(PoseShown(run.pose, points, recentre=not run.corrected))
        return self._run is run

    def _measure(self, run: Run) -> None:
        """Look for crown, rump and the head's turn in the volume; the pose node keeps what was found."""
        try:
            volume, points = mrml.volume_from_node(run.volume), mrml.points_of(run.pose)
        except FetalPoseError:  # the volume was changed meanwhile: landmarks must do
            return
        mrml.set_crown_rump(run.pose, crown_rump_length(volume, points))
        mrml.set_head_turn(run.pose, head_turn_deg(volume, points))
        mrml.update_derived(run.pose)

    def _stop_if_deleted(self, run: Run) -> None:
        """Stop the run if its volume or its pose was taken out of the scene."""
        if not self.scene.IsNodePresent(run.volume):
            message = self.translate("The volume was deleted, so the run was stopped.")
        elif run.pose is not None and not self.scene.IsNodePresent(run.pose):
            message = self.translate("The pose was deleted, so the run was stopped.")
        else:
            return
        self.client.cancel()
        self._end_failed(message)

    def _stop_if_lost(self, run: Run) -> None:
        """End a run that waits for an answer if its process cannot go on: there is nothing left to answer for."""
        for event in self._events:
            if isinstance(event, Failed | Cancelled) and event.request == run.request:
                self._handle(event)  # what the process said before it counts no more, because the run has ended
                return

    # the end of a run

    def _end_finished(self, warnings: tuple[str, ...]) -> None:
        run = self._ended()
        if run is not None:
            text = " ".join(warnings) or self.translate("Done. Check the landmarks; drag what is wrong.")
            self._say(panel.Status(text, is_warning=bool(warnings)))
            self.finished.emit(Finished(run.pose, warnings))

    def _end_failed(self, message: str) -> None:
        if self._ended() is not None:
            self._say(panel.Status(message, is_warning=True))
            self.failed.emit(Failure(message))

    def _end_cancelled(self) -> None:
        run = self._ended()
        if run is not None:
            self._say(panel.Status(self.translate("Cancelled.")))
            self.cancelled.emit(run.pose)

    def _ended(self) -> Run | None:
        """End the run and its step of undo; None if there was none."""
        run, self._run, self._question = self._run, None, None
        if run is not None and run.pose is not None and self.scene.IsNodePresent(run.pose):
            if run.makes_pose:
                self.history(run.pose).forget()
            else:
                self.history(run.pose).release()
        return run

    def _say(self, status: panel.Status) -> None:
        self.status = status
        self.status_changed.emit(status)
