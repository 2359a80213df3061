"""The pose that the panel shows: its two tables, what to check in it, and the observers that keep both true."""

import qt
import slicer

from FetalPoseLib.body.plausibility import Doubt
from FetalPoseLib.session import PoseSession, Signal
from FetalPoseModuleLib.statusline import ORANGE
from FetalPoseModuleLib.tables import setUpLandmarks, setUpLengths, setUpSizes, showRows, showSizes
from FetalPoseModuleLib.views import jumpTo

DOUBT_MS = 250  # after the last change; comparing with the library is too slow for every step of a drag
_Markups = slicer.vtkMRMLMarkupsNode
_CHANGES = (  # of what is shown: positions, points that come and go, lengths under a transform, locks
    _Markups.PointModifiedEvent,
    _Markups.PointAddedEvent,
    _Markups.PointRemovedEvent,
    _Markups.LockModifiedEvent,
    slicer.vtkMRMLTransformableNode.TransformModifiedEvent,
)


class PosePanel:
    """Follows one pose. A row that is selected moves the slices there; a point that is grabbed selects its row.

    Attributes
    ----------
    pose : vtkMRMLMarkupsFiducialNode
        The pose that is followed, or None.
    landmarkSelected : Signal
        Tells of the name of the landmark that was selected, or None.
    """

    def __init__(self, ui, session: PoseSession):
        self.ui, self.session, self.pose = ui, session, None
        self._tags: list[int] = []  # of the observers of the pose
        self.landmarkSelected: Signal[str | None] = Signal()
        self._doubts: list[Doubt] = []
        self._landmarks = [row.name for row in session.landmark_rows(None)]
        setUpLengths(ui.lengthsTable, session.length_rows(None))
        setUpLandmarks(ui.landmarksTable, session.landmark_rows(None))
        setUpSizes(ui.sizesTable, session.measure_rows(None))
        ui.lengthsTable.itemSelectionChanged.connect(self._onLengthSelected)
        ui.landmarksTable.itemSelectionChanged.connect(self._onLandmarkSelected)
        ui.ageEdit.textChanged.connect(lambda _text: self.updateAge())
        self._doubtTimer = qt.QTimer()
        self._doubtTimer.setSingleShot(True)
        self._doubtTimer.setInterval(DOUBT_MS)
        self._doubtTimer.timeout.connect(self._updateDoubts)

    def close(self) -> None:
        """Follow nothing any more."""
        self._doubtTimer.stop()
        self._doubtTimer.timeout.disconnect(self._updateDoubts)
        self._letGo()

    def watch(self, pose) -> None:
        """Show and follow this pose, or none."""
        self._letGo()
        self.pose, self._doubts = pose, []
        if pose is not None:
            self._tags = [pose.AddObserver(event, self._onPoints) for event in _CHANGES]
            self._tags.append(pose.AddObserver(_Markups.PointStartInteractionEvent, self._onGrabbed))
        self._onPoints()

    def update(self) -> None:
        """Make the tables agree with the pose."""
        showRows(self.ui.lengthsTable, self.session.length_rows(self.pose, self._doubts))
        showRows(self.ui.landmarksTable, self.session.landmark_rows(self.pose, self._doubts))
        showSizes(self.ui.sizesTable, self.session.measure_rows(self.pose))
        self.updateAge()

    def updateAge(self) -> None:
        """Say where the size of the pose and the gestational age by dates contradict each other."""
        text = self.session.age_text(self.pose, self.ui.ageEdit.text)
        self.ui.ageLabel.text = text
        self.ui.ageLabel.visible = bool(text)
        self.ui.ageLabel.styleSheet = f"color: {ORANGE};"

    @property
    def selectedLandmark(self) -> str | None:
        """The name of the landmark that is selected in the table."""
        row = self.ui.landmarksTable.currentRow()
        return self._landmarks[row] if row >= 0 else None

    def _onPoints(self, _node=None, _event=None) -> None:
        self.update()
        self._doubtTimer.start()

    def _letGo(self) -> None:
        for tag in self._tags:
            self.pose.RemoveObserver(tag)
        self._tags = []

    def _onGrabbed(self, node, _event) -> None:
        """Select the landmark that is being dragged; the event does not say which, the display node does."""
        display = node.GetDisplayNode()
        if display is None or display.GetActiveComponentType() != display.ComponentControlPoint:
            return
        index = display.GetActiveComponentIndex()
        name = node.GetNthControlPointLabel(index) if 0 <= index < node.GetNumberOfControlPoints() else ""
        if name in self._landmarks:
            blocked = self.ui.landmarksTable.blockSignals(True)  # the slices are where the hand is
            self.ui.landmarksTable.selectRow(self._landmarks.index(name))
            self.ui.landmarksTable.blockSignals(blocked)
            self.landmarkSelected.emit(name)

    def _updateDoubts(self) -> None:
        if self.session.running:
            self._doubtTimer.start()
            return
        isThere = self.pose is not None and slicer.mrmlScene.IsNodePresent(self.pose)
        self._doubts = self.session.doubts(self.pose) if isThere else []
        self.update()
        notes = self.session.notes(self.pose) if isThere else ()
        text = "\n".join(filter(None, [*notes, self.session.doubts_text(self._doubts)]))
        self.ui.doubtsLabel.text = text
        self.ui.doubtsLabel.visible = bool(text)
        self.ui.doubtsLabel.styleSheet = f"color: {ORANGE};"

    def _onLengthSelected(self) -> None:
        row = self.ui.lengthsTable.currentRow()
        if row >= 0:
            self._jump(self.session.length_rows(self.pose)[row].middle)

    def _onLandmarkSelected(self) -> None:
        row = self.ui.landmarksTable.currentRow()
        if row >= 0:
            self._jump(self.session.landmark_rows(self.pose)[row].position)
        self.landmarkSelected.emit(self.selectedLandmark)

    @staticmethod
    def _jump(point: tuple[float, float, float] | None) -> None:
        if point is not None:
            jumpTo(*point)
