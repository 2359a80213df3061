"""Undo and redo of the module's own: Slicer's covers the whole scene and is switched off by default."""

import slicer
from slicer.util import VTKObservationMixin

from FetalPoseLib.scene.pose import ORIGINAL

_Markups = slicer.vtkMRMLMarkupsNode


class History(VTKObservationMixin):
    """The states of one pose node, whoever changed it: a drag counts once, from press to release.

    `changed` is called after every change of what can be undone.
    """

    LENGTH = 100

    def __init__(self, node, changed=lambda: None):
        super().__init__()
        self.node, self._changed = node, changed
        self._past, self._future = [], []
        self._now = snapshot(node)
        self._waiting = 0  # within a drag or a run of the network
        self.addObserver(node, _Markups.PointModifiedEvent, self._onModified)
        self.addObserver(node, _Markups.PointRemovedEvent, self._onModified)
        self.addObserver(node, _Markups.PointAddedEvent, self._onModified)
        self.addObserver(node, _Markups.PointStartInteractionEvent, self._onStart)
        self.addObserver(node, _Markups.PointEndInteractionEvent, self._onEnd)

    @property
    def canUndo(self) -> bool:
        return bool(self._past)

    @property
    def canRedo(self) -> bool:
        return bool(self._future)

    def undo(self) -> None:
        self._go(self._past, self._future)

    def redo(self) -> None:
        self._go(self._future, self._past)

    def hold(self) -> None:
        """From here to `release`, all changes together are one step."""
        self._waiting += 1

    def release(self) -> None:
        self._waiting = max(self._waiting - 1, 0)
        self._onModified()

    def forget(self) -> None:
        """Begin here: nothing can be undone."""
        self._waiting, self._past, self._future = 0, [], []
        self._now = snapshot(self.node)

    def close(self) -> None:
        self.removeObservers()

    def _go(self, source: list, target: list) -> None:
        if not source or self._waiting:
            return
        target.append(self._now)
        self._now = source.pop()
        self._waiting += 1
        restore(self.node, self._now)
        self._waiting -= 1
        self._changed()

    def _onStart(self, _node, _event) -> None:
        self.hold()

    def _onEnd(self, _node, _event) -> None:
        self.release()

    def _onModified(self, _node=None, _event=None) -> None:
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
    """All of a pose that a correction changes: of each point, by its ID, and what the estimator had said."""
    state = {"": node.GetAttribute(ORIGINAL)}
    for i in range(node.GetNumberOfControlPoints()):
        state[node.GetNthControlPointID(i)] = (
            tuple(node.GetNthControlPointPosition(i)),
            node.GetNthControlPointPositionStatus(i),
            node.GetNthControlPointDescription(i),
        )
    return state


def restore(node, state: dict) -> None:
    modifying = node.StartModify()
    node.SetAttribute(ORIGINAL, state[""])
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
