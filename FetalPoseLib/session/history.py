"""Undo and redo of FetalPose's own: Slicer's covers the whole scene and is switched off by default."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import slicer

from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.scene.frame import FRAME
from FetalPoseLib.scene.pose import INTERVALS, ORIGINAL

_Markups = slicer.vtkMRMLMarkupsNode
_SAID = (ORIGINAL, INTERVALS, FRAME)  # attributes with what the estimator said


class History:
    """The states of one pose node, whoever changed it: a drag counts once, from press to release.

    Parameters
    ----------
    node : vtkMRMLMarkupsFiducialNode
    changed : called after every change of what can be undone
    """

    LENGTH = 100  # steps that can be undone

    def __init__(self, node, changed: Callable[[], object] = lambda: None):
        self.node, self._changed = node, changed
        self._past: list[dict] = []
        self._future: list[dict] = []
        self._now = snapshot(node)
        self._waiting = 0  # within a drag, a step of several changes or a run of the network
        self._dragging = False
        self._tags = [
            node.AddObserver(event, slot)
            for event, slot in (
                (_Markups.PointModifiedEvent, self._on_modified),
                (_Markups.PointRemovedEvent, self._on_modified),
                (_Markups.PointAddedEvent, self._on_modified),
                (_Markups.PointStartInteractionEvent, self._on_drag_started),
                (_Markups.PointEndInteractionEvent, self._on_drag_ended),
            )
        ]

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether a step was taken back, and nothing changed since."""
        return bool(self._future)

    def undo(self) -> None:
        """Take the last step back. Does nothing within a drag or a run, or if there is none."""
        self._go(self._past, self._future)

    def redo(self) -> None:
        """Do the step again that was taken back last. Does nothing within a drag or a run, or if there is none."""
        self._go(self._future, self._past)

    def hold(self) -> None:
        """From here to `release`, all changes together are one step."""
        self._waiting += 1

    def release(self) -> None:
        """End what `hold` began."""
        self._waiting = max(self._waiting - 1, 0)
        self._on_modified()

    @contextmanager
    def one_step(self) -> Iterator[None]:
        """What happens within is one step of undo."""
        self.hold()
        modifying = self.node.StartModify()
        try:
            yield
        finally:
            self.node.EndModify(modifying)
            self.release()

    def abandon(self) -> None:
        """End a drag whose release never comes, and put the pose back as it was before the drag.

        During a run of the network the drag only ends, because the run decides where the points are.
        """
        if not self._dragging:
            return
        if self._waiting == 1:
            restore(self.node, self._now)
        self._on_drag_ended()

    def forget(self) -> None:
        """Begin here: nothing can be undone."""
        self._waiting, self._dragging, self._past, self._future = 0, False, [], []
        self._now = snapshot(self.node)

    def close(self) -> None:
        """Stop following the node."""
        for tag in self._tags:
            self.node.RemoveObserver(tag)
        self._tags.clear()

    def _go(self, source: list[dict], target: list[dict]) -> None:
        if not source or self._waiting:
            return
        target.append(self._now)
        self._now = source.pop()
        self._waiting += 1
        restore(self.node, self._now)
        self._waiting -= 1
        self._changed()

    def _on_drag_started(self, _node, _event) -> None:
        if not self._dragging:  # the release of an earlier drag may never have come
            self._dragging = True
            self.hold()

    def _on_drag_ended(self, _node=None, _event=None) -> None:
        if self._dragging:
            self._dragging = False
            self.release()

    def _on_modified(self, _node=None, _event=None) -> None:
        if self._waiting:
            return
        state = snapshot(self.node)
        if state == self._now:
            return
        if state.keys() != self._now.keys():  # points were removed or added: earlier states fit no more
            self._past, self._future = [], []
        else:
            self._past = [*self._past, self._now][-self.LENGTH :]
            self._future = []
        self._now = state
        self._changed()


def snapshot(node) -> dict:
    """All of a pose that a correction changes: of each point, by its ID, and what the estimator had said.

    A point that follows the mouse before it is placed (status *preview*) counts as what it was before: not placed.
    """
    state: dict[str, tuple] = {"": tuple(node.GetAttribute(name) for name in _SAID)}
    for i in range(node.GetNumberOfControlPoints()):
        position, status = tuple(node.GetNthControlPointPosition(i)), node.GetNthControlPointPositionStatus(i)
        if status == node.PositionPreview:
            if node.GetNthControlPointLabel(i) not in load_skeleton().landmarks:
                continue
            position, status = (0.0, 0.0, 0.0), node.PositionUndefined
        state[node.GetNthControlPointID(i)] = (position, status, node.GetNthControlPointDescription(i))
    return state


def restore(node, state: dict) -> None:
    """Bring a pose back to a snapshot; points that it does not hold stay."""
    modifying = node.StartModify()
    for name, value in zip(_SAID, state[""], strict=True):
        node.SetAttribute(name, value)
    for i in range(node.GetNumberOfControlPoints()):
        identifier = node.GetNthControlPointID(i)
        if identifier in state:
            put(node, i, state[identifier])
    node.EndModify(modifying)


def put(node, index: int, point: tuple) -> None:
    """Give a control point the position, status and description of a snapshot's point."""
    position, status, description = point
    if status == node.PositionUndefined:
        node.UnsetNthControlPointPosition(index)
    else:
        node.SetNthControlPointPosition(index, *position)
        if status == node.PositionMissing:
            node.SetNthControlPointPositionMissing(index)
    node.SetNthControlPointDescription(index, description)
