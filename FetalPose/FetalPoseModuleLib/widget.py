"""The module's panel: what is clicked goes to the logic, what the logic says is shown."""

from functools import partial
from pathlib import Path

import ctk
import numpy as np
import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from FetalPoseLib import scene
from FetalPoseLib.body.measurements import segment_lengths
from FetalPoseLib.body.plausibility import LANDMARK_CHECK_CONFIDENCE
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError
from FetalPoseModuleLib.installer import Installer
from FetalPoseModuleLib.logic import FetalPoseLogic, Listener, Machine, geometryWarning, jumpTo

DOUBT_MS = 250  # after the last change; comparing with the library is too slow for every step of a drag
ORANGE = "#e08000"


class Dialogs:
    """All that opens a window; tests put their own in its place."""

    def confirm(self, question: str) -> bool:
        return bool(slicer.util.confirmYesNoDisplay(question, windowTitle=_("Fetal Pose")))

    def error(self, message: str) -> None:
        slicer.util.errorDisplay(message, windowTitle=_("Fetal Pose"))

    def openFile(self, title: str, types: str) -> str:
        return qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), title, "", types)

    def saveFile(self, title: str, name: str, types: str) -> str:
        return qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), title, name, types)

    def folder(self, title: str) -> str:
        return qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title)


class FetalPoseWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel. `logic`, `installer` and `dialogs` may be replaced before `setup`, as tests do."""

    makeLogic = FetalPoseLogic
    makeInstaller = Installer
    makeDialogs = Dialogs

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameters = None
        self._bindings = None
        self._pose = None

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/FetalPose.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)

        self.logic, self.installer, self.dialogs = self.makeLogic(), self.makeInstaller(), self.makeDialogs()
        self.logic.listener = Listener(
            progress=self._onProgress, pose=self._onPose, finished=self._onFinished, failed=self._onFailed,
            cancelled=self._onCancelled, devices=self._fillDevices, confirm=self.dialogs.confirm,
            corrected=self._updateButtons,
        )  # fmt: skip
        self._doubtTimer = qt.QTimer()
        self._doubtTimer.setSingleShot(True)
        self._doubtTimer.setInterval(DOUBT_MS)
        self._doubtTimer.timeout.connect(self._updateDoubts)
        self._doubts = []

        self._setUpTables()
        self._setUpMachine()
        self._connect()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self._onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self._onSceneEnd)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self._onSceneEnd)
        self._bind()

    def cleanup(self) -> None:
        self._doubtTimer.stop()
        self._unbind()
        self.removeObservers()
        self.logic.listener = Listener()
        self.logic.close()

    def enter(self) -> None:
        self._bind()
        if not self.installer.missing() and not self.logic.client.warm and not self.logic.running:
            self.logic.warmUp(self._parameters, self.machine)
            self.logic.askForDevices()

    def exit(self) -> None:
        self._unbind()

    # --- the parameter node

    def _bind(self) -> None:
        if self._parameters is not None:
            return
        self._parameters = self.logic.getParameterNode()
        widgets = {widget.property("SlicerParameterName"): widget for widget in vars(self.ui).values()}
        widgets = {name: widget for name, widget in widgets.items() if name}
        self._bindings = self._parameters.connectParametersToGui(widgets)  # connectGui returns no tag to let go by
        self.addObserver(self._parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParameters)
        if self._parameters.inputVolume is None:
            self._parameters.inputVolume = firstVolume()
        self._onParameters()

    def _unbind(self) -> None:
        if self._parameters is None:
            return
        self._parameters.disconnectGui(self._bindings)
        self.removeObserver(self._parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParameters)
        self._parameters = None

    def _onParameters(self, _caller=None, _event=None) -> None:
        self._watch(self._parameters.pose)
        warning = geometryWarning(self._parameters.inputVolume)
        self.ui.geometryLabel.text = warning
        self.ui.geometryLabel.visible = bool(warning)
        if self._pose is not None:
            self.logic.showPose(self._pose, lengths=self._parameters.showLengths, names=self._parameters.showNames)
        self._updateButtons()

    def _onSceneStartClose(self, _caller, _event) -> None:
        self._unbind()
        self._watch(None)

    def _onSceneEnd(self, _caller, _event) -> None:
        self._unbind()  # what a loaded scene brought for the parameter node came while its other nodes were missing
        self._bind()

    # --- the machine

    @property
    def machine(self) -> Machine:
        device = self.ui.deviceComboBox.currentData or "auto"
        return Machine(device, self.ui.weightsEdit.currentPath, self.ui.libraryEdit.currentPath)

    def _setUpMachine(self) -> None:
        settings = slicer.app.userSettings()
        self._fillDevices([])
        self.ui.libraryEdit.filters = ctk.ctkPathLineEdit.Dirs
        self.ui.weightsEdit.currentPath = settings.value("FetalPose/Weights", "") or ""
        self.ui.libraryEdit.currentPath = settings.value("FetalPose/LibraryFolder", "") or ""

    def _fillDevices(self, devices) -> None:
        box = self.ui.deviceComboBox
        wanted = slicer.app.userSettings().value("FetalPose/Device", "auto")
        blocked = box.blockSignals(True)
        box.clear()
        box.addItem(_("Automatic"), "auto")
        for device in devices:
            free = device.free_bytes
            memory = "" if free is None else _(", {free:.1f} GB free").format(free=free / 1e9)
            box.addItem(f"{device.name}{memory}", device.device)
        box.currentIndex = max(box.findData(wanted), 0)
        box.blockSignals(blocked)

    def _saveMachine(self, *_changed) -> None:
        settings, machine = slicer.app.userSettings(), self.machine
        settings.setValue("FetalPose/Device", machine.device)
        settings.setValue("FetalPose/Weights", machine.weights)
        settings.setValue("FetalPose/LibraryFolder", machine.libraryFolder)

    # --- clicks

    def _connect(self) -> None:
        ui = self.ui
        for button, slot in (
            (ui.estimateButton, self.onEstimate),
            (ui.cancelButton, self.onCancel),
            (ui.undoButton, lambda: self.logic.undo(self._pose)),
            (ui.redoButton, lambda: self.logic.redo(self._pose)),
            (ui.resetButton, lambda: self.logic.resetLandmark(self._pose, self.selectedLandmark())),
            (ui.visibleButton, self.onVisible),
            (ui.swapArmsButton, lambda: self.logic.swapSides(self._pose, "left_arm")),
            (ui.swapLegsButton, lambda: self.logic.swapSides(self._pose, "left_leg")),
            (ui.swapBodyButton, lambda: self.logic.swapSides(self._pose)),
            (ui.refineButton, self.onRefine),
            (ui.exportPoseButton, self.onExportPose),
            (ui.exportTableButton, self.onExportTable),
            (ui.importButton, self.onImport),
            (ui.addToLibraryButton, self.onAddToLibrary),
        ):
            button.clicked.connect(partial(self._try, slot))
        ui.lengthsTable.itemSelectionChanged.connect(self._onLengthSelected)
        ui.landmarksTable.itemSelectionChanged.connect(self._onLandmarkSelected)
        ui.deviceComboBox.currentIndexChanged.connect(self._saveMachine)
        ui.weightsEdit.currentPathChanged.connect(self._saveMachine)
        ui.libraryEdit.currentPathChanged.connect(self._saveMachine)

    def _try(self, slot, *_checked) -> None:
        """Do it; what a user can mend becomes a message, what we got wrong goes through Slicer's error display, too."""
        try:
            slot()
        except FetalPoseError as error:
            self._say(str(error), error=True)
        except Exception:
            with slicer.util.tryWithErrorDisplay(_("FetalPose failed. The details are in the log.")):
                raise
        finally:
            self._updateButtons()

    def onEstimate(self) -> None:
        if self._parameters.inputVolume is None:
            raise FetalPoseError(_("Choose a volume first."))
        self._start(self._parameters.pose, refine=False)

    def onRefine(self) -> None:
        if self._volumeOfPose() is None:
            raise FetalPoseError(_("Choose the volume that the pose belongs to first."))
        self._start(self._pose, refine=True)

    def _start(self, pose, *, refine: bool) -> None:
        if not self._installed():
            return
        volume = self._volumeOfPose() if refine else self._parameters.inputVolume
        self.logic.estimate(volume, pose, settings=self._parameters, machine=self.machine, refine=refine)
        showVolume(volume)
        self.ui.progressBar.visible = True
        self.ui.progressBar.value = 0
        self._say(_("Starting the network ..."))

    def _installed(self) -> bool:
        """Whether what the network needs is there, after asking to install it."""
        missing = self.installer.missing()
        if not missing:
            return True
        if not self.dialogs.confirm(self.installer.question(missing)):
            self._say(_("Nothing was installed. Estimate Pose needs {names}.").format(names=", ".join(missing)))
            return False
        bar = self.ui.progressBar
        bar.maximum, bar.value, bar.visible = len(missing) + 1, 0, True
        try:
            self.installer.install(missing, self._installing)
        finally:
            bar.visible = False
        self._say(_("Installed."))
        return True

    def _installing(self, message: str) -> None:
        """A package is on its way; Slicer shows pip's own lines in its Python console meanwhile."""
        self.ui.progressBar.value += 1
        self._sayNow(message)

    def onCancel(self) -> None:
        self.logic.cancel()

    def onVisible(self) -> None:
        self.logic.setVisible(self._pose, self.selectedLandmark(), not self.ui.visibleButton.checked)

    def onExportPose(self) -> None:
        path = self._askForFile(_("Export pose"), ".mrk.json", _("Pose (*.mrk.json)"))
        if path:
            self.logic.exportPose(self._pose, path)
            self._say(_("Wrote {path}.").format(path=path))

    def onExportTable(self) -> None:
        path = self._askForFile(_("Export table"), ".csv", _("Table (*.csv)"))
        if path:
            self.logic.exportTable(self._pose, path)
            self._say(_("Wrote {path}.").format(path=path))

    def _askForFile(self, title: str, suffix: str, types: str) -> str:
        path = self.dialogs.saveFile(title, f"{self._pose.GetName()}{suffix}", types)
        return path if not path or path.lower().endswith(suffix) else f"{path}{suffix}"

    def onImport(self) -> None:
        path = self.dialogs.openFile(_("Import pose"), _("Pose (*.mrk.json *.json)"))
        if path:
            self._parameters.pose = self.logic.importPose(path)
            self._say(_("Read {name}.").format(name=Path(path).name))

    def onAddToLibrary(self) -> None:
        if not self.machine.libraryFolder:
            self.ui.libraryEdit.currentPath = self.dialogs.folder(_("Folder for your pose library")) or ""
        count = self.logic.addToLibrary(self._pose, self.machine)
        self._say(_("Your library now holds {count} poses. The next refinement uses them.").format(count=count))

    # --- what the logic says

    def _onProgress(self, stage, iteration, iterations, secondsLeft, message) -> None:
        steps = {"open": 0, "locate": 1, "search": 1, "detect": 2, "refine": 2 + iteration}
        self.ui.progressBar.maximum = 2 + iterations
        self.ui.progressBar.value = min(steps.get(stage, 0), 2 + iterations)
        left = "" if secondsLeft is None else _(", about {seconds:.0f} s left").format(seconds=secondsLeft)
        if stage == "refine":
            message = _("Refinement {iteration} of {iterations}").format(iteration=iteration, iterations=iterations)
        self._say(f"{message}{left}")

    def _onPose(self, node) -> None:
        parameters = self._parameters or self.logic.getParameterNode()  # another module may be open by now
        parameters.pose = node

    def _onFinished(self, node, warnings) -> None:
        self._stopped(" ".join(warnings) or _("Done. Check the landmarks; drag what is wrong."), error=bool(warnings))

    def _onFailed(self, message: str) -> None:
        self._stopped(message, error=True)

    def _onCancelled(self) -> None:
        self._stopped(_("Cancelled."))

    def _stopped(self, message: str, *, error: bool = False) -> None:
        self.ui.progressBar.visible = False
        self._say(message, error=error)
        self._updateButtons()
        self._updateTables()

    def _say(self, message: str, *, error: bool = False) -> None:
        self.ui.statusLabel.styleSheet = f"color: {ORANGE};" if error else ""
        self.ui.statusLabel.text = message

    def _sayNow(self, message: str) -> None:
        self._say(message)
        slicer.app.processEvents()

    # --- the pose

    @property
    def pose(self):
        return self._pose

    def _watch(self, pose) -> None:
        """Show and follow this pose; markups with the 16 names become a pose, others are left alone."""
        if pose is self._pose:
            return
        if self._pose is not None:
            self.removeObserver(self._pose, slicer.vtkMRMLMarkupsNode.PointModifiedEvent, self._onPoints)
            self.removeObserver(self._pose, slicer.vtkMRMLMarkupsNode.PointRemovedEvent, self._onPoints)
            self.removeObserver(self._pose, slicer.vtkMRMLMarkupsNode.PointStartInteractionEvent, self._onGrabbed)
        self._pose = None
        if pose is not None and not scene.is_pose(pose):
            text = _("'{name}' is not a fetal pose: it lacks the 16 landmarks.")
            self._say(text.format(name=pose.GetName()), error=True)
        elif pose is not None:
            if not self.logic.running:
                self.logic.adopt(pose)
            self._pose = pose
            self.addObserver(pose, slicer.vtkMRMLMarkupsNode.PointModifiedEvent, self._onPoints)
            self.addObserver(pose, slicer.vtkMRMLMarkupsNode.PointRemovedEvent, self._onPoints)
            self.addObserver(pose, slicer.vtkMRMLMarkupsNode.PointStartInteractionEvent, self._onGrabbed)
        self._doubts = []
        self._updateTables()
        self._updateButtons()
        self._doubtTimer.start()

    def _volumeOfPose(self):
        own = self._pose.GetNodeReference("FetalPose.Volume") if self._pose is not None else None
        return own or self._parameters.inputVolume

    def _onPoints(self, _node=None, _event=None) -> None:
        self._updateTables()
        self._doubtTimer.start()

    @vtk.calldata_type(vtk.VTK_INT)
    def _onGrabbed(self, node, _event, index=-1) -> None:
        name = node.GetNthControlPointLabel(index) if index >= 0 else ""
        if name in load_skeleton().landmarks:
            blocked = self.ui.landmarksTable.blockSignals(True)  # the slices are where the hand is
            self.ui.landmarksTable.selectRow(load_skeleton().index(name))
            self.ui.landmarksTable.blockSignals(blocked)
            self._updateButtons()

    def selectedLandmark(self) -> str:
        row = self.ui.landmarksTable.currentRow()
        if row < 0:
            raise FetalPoseError(_("Select a landmark in the table first."))
        return load_skeleton().landmarks[row]

    # --- the tables

    def _setUpTables(self) -> None:
        skeleton = load_skeleton()
        for table, headers, names in (
            (self.ui.lengthsTable, [_("Segment"), _("Length (mm)"), _("Check")], [s.name for s in skeleton.segments]),
            (self.ui.landmarksTable, [_("Landmark"), _("Confidence"), _("Check")], skeleton.landmarks),
        ):
            table.columnCount = len(headers)
            table.rowCount = len(names)
            table.setHorizontalHeaderLabels(headers)
            table.verticalHeader().hide()
            table.verticalHeader().setDefaultSectionSize(20)
            table.horizontalHeader().setStretchLastSection(True)
            table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
            table.setSelectionMode(qt.QAbstractItemView.SingleSelection)
            table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
            table.minimumHeight = 20 * len(names) + 32
            for row, name in enumerate(names):
                for column in range(len(headers)):
                    table.setItem(row, column, qt.QTableWidgetItem(""))
                table.item(row, 0).setText(words(name))
                table.item(row, 1).setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
            table.setColumnWidth(0, 150)
            table.setColumnWidth(1, 85)
        for row, segment in enumerate(skeleton.segments):
            self.ui.lengthsTable.item(row, 0).setIcon(swatch(segment.color))
        for row, description in enumerate(skeleton.descriptions):
            self.ui.landmarksTable.item(row, 0).setToolTip(description)

    def _updateTables(self) -> None:
        skeleton = load_skeleton()
        points = scene.points_of(self._pose) if self._pose is not None else np.full((len(skeleton), 3), np.nan)
        for row, length in enumerate(segment_lengths(points, skeleton)):
            text = f"{length:.1f}" if np.isfinite(length) else "" if self._pose is None else "-"
            setText(self.ui.lengthsTable.item(row, 1), text)
        moved = scene.moved_landmarks(self._pose) if self._pose is not None else ()
        confidence = scene.confidence_of(self._pose) if self._pose is not None else np.full(len(skeleton), np.nan)
        for row, name in enumerate(skeleton.landmarks):
            seen = np.isfinite(points[row]).all()
            text = f"{confidence[row]:.2f}" if np.isfinite(confidence[row]) else ""
            if self._pose is not None and name in moved:
                text = _("placed by you") if seen else _("hidden by you")
            elif self._pose is not None and not seen:
                text = _("not seen")
            setText(self.ui.landmarksTable.item(row, 1), text)

    def _updateDoubts(self) -> None:
        if self.logic.running:
            self._doubtTimer.start()
            return
        whole = self._pose is not None and slicer.mrmlScene.IsNodePresent(self._pose)
        self._doubts = self.logic.doubts(self._pose, self.machine) if whole else []
        for table, attribute in ((self.ui.lengthsTable, "segments"), (self.ui.landmarksTable, "landmarks")):
            for row in range(table.rowCount):
                reasons = [doubt.reason for doubt in self._doubts if row in getattr(doubt, attribute)]
                item = table.item(row, 2)
                setText(item, "⚠ " + reasons[0] if reasons else "")
                item.setToolTip("\n".join(reasons))
        lines = [doubt.reason for doubt in self._doubts if doubt.exchange or doubt.segments]
        unsure = [d for d in self._doubts if not d.exchange and not d.segments]
        if unsure:
            names = ", ".join(words(load_skeleton().landmarks[d.landmarks[0]]) for d in unsure)
            lines.append(
                _("The model is unsure (confidence below {limit}) of: {names}.").format(
                    limit=LANDMARK_CHECK_CONFIDENCE, names=names
                )
            )
        self.ui.doubtsLabel.text = "\n".join(lines)
        self.ui.doubtsLabel.visible = bool(lines)
        self.ui.doubtsLabel.styleSheet = f"color: {ORANGE};"

    def _onLengthSelected(self) -> None:
        row = self.ui.lengthsTable.currentRow()
        if self._pose is not None and row >= 0:
            segment = load_skeleton().segments[row]
            self._jump(scene.points_of(self._pose)[[segment.start, segment.end]].mean(axis=0))

    def _onLandmarkSelected(self) -> None:
        row = self.ui.landmarksTable.currentRow()
        if self._pose is not None and row >= 0:
            self._jump(scene.points_of(self._pose)[row])
        self._updateButtons()

    @staticmethod
    def _jump(point: np.ndarray) -> None:
        if np.isfinite(point).all():
            jumpTo(*(float(x) for x in point))

    def _updateButtons(self) -> None:
        ui, running, has = self.ui, self.logic.running, self._pose is not None
        volume = self._parameters.inputVolume if self._parameters is not None else None
        ui.estimateButton.enabled = not running and volume is not None
        ui.estimateButton.toolTip = (
            _("Find the 16 landmarks in the volume and refine them against the pose library.")
            if volume is not None
            else _("Choose a volume first.")
        )
        ui.cancelButton.enabled = running
        idle = has and not running
        history = self.logic.history(self._pose) if has else None
        ui.undoButton.enabled = idle and history.canUndo
        ui.redoButton.enabled = idle and history.canRedo
        for button in (ui.swapArmsButton, ui.swapLegsButton, ui.swapBodyButton):
            button.enabled = idle
        for button in (ui.exportPoseButton, ui.exportTableButton, ui.addToLibraryButton):
            button.enabled = idle
        ui.importButton.enabled = not running
        row = ui.landmarksTable.currentRow()
        ui.resetButton.enabled = ui.visibleButton.enabled = idle and row >= 0
        if has:
            self._updateVisibleButton(row)
        ui.refineButton.enabled = bool(idle and volume is not None and scene.moved_landmarks(self._pose))

    def _updateVisibleButton(self, row: int) -> None:
        name = load_skeleton().landmarks[row] if row >= 0 else ""
        index = self._pose.GetControlPointIndexByLabel(name) if name else -1
        missing = self._pose.PositionMissing
        hidden = index >= 0 and self._pose.GetNthControlPointPositionStatus(index) == missing
        self.ui.visibleButton.checked = hidden


def firstVolume():
    """The first scalar volume in the scene that is no label map, or None."""
    for i in range(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")):
        node = slicer.mrmlScene.GetNthNodeByClass(i, "vtkMRMLScalarVolumeNode")
        if node.GetClassName() == "vtkMRMLScalarVolumeNode":
            return node
    return None


def showVolume(volume) -> None:
    """Show the volume in the slice views, unless it is there already: the user's arrangement stays."""
    for i in range(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode")):
        shown = slicer.mrmlScene.GetNthNodeByClass(i, "vtkMRMLSliceCompositeNode")
        if volume.GetID() in (shown.GetBackgroundVolumeID(), shown.GetForegroundVolumeID()):
            return
    slicer.util.setSliceViewerLayers(background=volume, fit=True)


def setText(item, text: str) -> None:
    """Only what has changed is drawn again."""
    if item.text() != text:
        item.setText(text)


def swatch(color) -> "qt.QIcon":
    pixmap = qt.QPixmap(12, 12)
    pixmap.fill(qt.QColor(*(int(round(255 * value)) for value in color)))
    return qt.QIcon(pixmap)


def words(name: str) -> str:
    return name.replace("_", " ")
