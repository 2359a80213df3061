"""The module's panel: binds the widgets to the parameter node, and shows what the session tells."""

import sys

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from FetalPoseLib import scene
from FetalPoseLib.session import PoseShown, Question
from FetalPoseModuleLib.actions import Actions
from FetalPoseModuleLib.bindings import Bindings
from FetalPoseModuleLib.dialogs import Dialogs
from FetalPoseModuleLib.installer import Installer
from FetalPoseModuleLib.logic import FetalPoseLogic
from FetalPoseModuleLib.machine import Machine, MachinePanel
from FetalPoseModuleLib.parameters import FetalPoseParameters, settingsOf
from FetalPoseModuleLib.planespanel import PlanesPanel
from FetalPoseModuleLib.posepanel import PosePanel
from FetalPoseModuleLib.protocols import DialogsProtocol, InstallerProtocol, LogicProtocol, RenderingProtocol
from FetalPoseModuleLib.statusline import StatusLine
from FetalPoseModuleLib.views import centreViews, firstVolume
from FetalPoseModuleLib.volumerendering import VolumeRendering


class FetalPoseWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel. Its parts are those of the application where they are left out, as 3D Slicer does.

    Parameters
    ----------
    parent : QWidget
        Where the panel goes.
    logic : LogicProtocol, optional
        The panel closes it.
    installer : InstallerProtocol, optional
    dialogs : DialogsProtocol, optional
    rendering : RenderingProtocol, optional
    """

    def __init__(
        self,
        parent=None,
        *,
        logic: LogicProtocol | None = None,
        installer: InstallerProtocol | None = None,
        dialogs: DialogsProtocol | None = None,
        rendering: RenderingProtocol | None = None,
    ):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic, self.installer, self.dialogs, self.rendering = logic, installer, dialogs, rendering
        self.parameters: FetalPoseParameters | None = None  # while the module is open
        self._bindings: Bindings | None = None
        self._observed: tuple | None = None  # parameter node and the tag of the observer

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        panel = self._panel = slicer.util.loadUI(self.resourcePath("UI/FetalPose.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)

        self.logic = self.logic or FetalPoseLogic()
        self.installer = self.installer or Installer()
        self.dialogs = self.dialogs or Dialogs()
        self.session = self.logic.session
        self.rendering = self.rendering or VolumeRendering()
        self.statusLine = StatusLine(self.ui.statusLabel, self.ui.progressBar)
        self.posePanel = PosePanel(self.ui, self.session)
        self.planesPanel = PlanesPanel(self.ui, self.session)
        self.machinePanel = MachinePanel(self.ui)
        self.actions = Actions(self)

        self.session.status_changed.connect(self.statusLine.show)
        self.session.pose_shown.connect(self._onPoseShown)
        self.session.finished.connect(self.planesPanel.follow)
        self.session.finished.connect(self._onEnded)
        self.session.failed.connect(self._onEnded)
        self.session.cancelled.connect(self._onEnded)
        self.session.devices_known.connect(self.machinePanel.showDevices)
        self.session.asks.connect(self._onQuestion)
        self.session.corrected.connect(self.updateButtons)
        self.posePanel.landmarkSelected.connect(self.updateButtons)
        self.machinePanel.changed.connect(self._updateSettings)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self._onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self._onSceneEnd)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartImportEvent, self._onSceneStartImport)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self._onSceneEnd)
        self._bind()

    def cleanup(self) -> None:
        self.posePanel.close()
        self.planesPanel.close()
        self._unbind()
        self.removeObservers()
        self._panel.setMRMLScene(None)  # after Reload the former widgets are hidden, not deleted
        self.logic.close()

    def onReload(self) -> None:
        """*Reload* of the developer section: read the module's two packages again as well, not FetalPose.py alone."""
        for name in [name for name in sys.modules if name.split(".")[0] in ("FetalPoseLib", "FetalPoseModuleLib")]:
            del sys.modules[name]
        super().onReload()

    def enter(self) -> None:
        self._bind()
        if not self.installer.missing() and not self.session.client.warm and not self.session.running:
            self.logic.warmUp()
            self.logic.askForDevices()

    def exit(self) -> None:
        self._unbind()

    # what is chosen

    @property
    def pose(self):
        """The pose that is shown, or None."""
        return self.posePanel.pose

    @property
    def machine(self) -> Machine:
        """What is chosen for this computer."""
        return self.machinePanel.machine

    @property
    def selectedLandmark(self) -> str | None:
        """The name of the landmark that is selected in the table."""
        return self.posePanel.selectedLandmark

    def _bind(self) -> None:
        if self.parameters is not None:
            return
        self.parameters = self.logic.getParameterNode()
        widgets = {widget.property("SlicerParameterName"): widget for widget in vars(self.ui).values()}
        widgets = {name: widget for name, widget in widgets.items() if name}
        self._bindings = Bindings(self.parameters, widgets)
        node = self.parameters.parameterNode
        self._observed = node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onParameters)
        if self.parameters.inputVolume is None:
            self.parameters.inputVolume = firstVolume()
        self._onParameters()

    def _unbind(self) -> None:
        if self.parameters is None:
            return
        self._bindings.close()
        node, tag = self._observed
        node.RemoveObserver(tag)
        self.parameters = self._bindings = self._observed = None

    def _onParameters(self, _caller=None, _event=None) -> None:
        self._updateSettings()
        self._watch(self.parameters.pose)
        warning = self.session.geometry_warning(self.parameters.inputVolume)
        self.ui.geometryLabel.text = warning
        self.ui.geometryLabel.visible = bool(warning)
        if self.pose is not None:
            self.session.show(self.pose)
        self.rendering.show(self.parameters.inputVolume, self.parameters.showRendering)
        self.updateButtons()

    def _updateSettings(self, _machine=None) -> None:
        self.session.settings = settingsOf(self.logic.getParameterNode(), self.machine)

    def _watch(self, pose) -> None:
        """Show and follow this pose; markups with the 16 names become a pose, others are left alone."""
        if pose is self.pose:
            return
        if pose is not None and not scene.is_pose(pose):
            text = _("'{name}' is not a fetal pose: it lacks the 16 landmarks.")
            self.statusLine.say(text.format(name=pose.GetName()), isWarning=True)
            pose = None
        elif pose is not None and not self.session.running:
            self.session.adopt(pose)
        self.posePanel.watch(pose)
        self.updateButtons()

    def _onSceneStartClose(self, _caller, _event) -> None:
        self._unbind()
        self._watch(None)

    def _onSceneStartImport(self, _caller, _event) -> None:
        self._unbind()  # nodes are still missing, and what a file holds is checked before a widget gets it

    def _onSceneEnd(self, _caller, _event) -> None:
        self._unbind()
        if getattr(self.parent, "isEntered", True):  # a parent of a test's own knows of no entering
            self._bind()
        else:
            self.updateButtons()

    # what the session tells

    def _onPoseShown(self, shown: PoseShown) -> None:
        if shown.recentre and not (self.session.settings.align_views and self.planesPanel.align(shown.points)):
            centreViews(shown.points)
        self.logic.getParameterNode().pose = shown.pose  # another module may be open by now

    def _onQuestion(self, question: Question) -> None:
        """Ask soon: a timer does not fire within its own slot, and the session must be polled while the window is open.

        The run may end meanwhile.
        """
        qt.QTimer.singleShot(0, lambda: self._ask(question))

    def _ask(self, question: Question) -> None:
        if self.session.question is question:
            yes = self.dialogs.confirm(question.text)
            if self.session.question is question:
                self.session.answer(yes)

    def _onEnded(self, _result) -> None:
        self.updateButtons()
        self.posePanel.update()

    def updateSettings(self) -> None:
        """Give the session what is chosen now; a path that is no good is told by no signal."""
        self.machinePanel.save()
        self._updateSettings()

    def updateButtons(self, _what=None) -> None:
        """Let be clicked what can be done now."""
        volume = self.parameters.inputVolume if self.parameters is not None else None
        buttons, ui = self.session.buttons(self.pose, volume, self.selectedLandmark), self.ui
        ui.estimateButton.enabled = buttons.estimate and not self.actions.installing
        ui.estimateButton.toolTip = buttons.estimate_tip
        ui.cancelButton.enabled = buttons.cancel
        ui.undoButton.enabled, ui.redoButton.enabled = buttons.undo, buttons.redo
        ui.resetButton.enabled = buttons.reset
        ui.visibleButton.enabled, ui.visibleButton.checked = buttons.not_visible, buttons.not_visible_checked
        for button in (ui.swapArmsButton, ui.swapLegsButton, ui.swapBodyButton):
            button.enabled = buttons.swap
        ui.refineButton.enabled = buttons.refine and not self.actions.installing
        ui.exportPoseButton.enabled = ui.exportTableButton.enabled = buttons.export
        ui.addToTrainingSetButton.enabled = buttons.export
        ui.addToLibraryButton.enabled = buttons.add_to_library
        ui.importButton.enabled = buttons.import_pose
        self.planesPanel.update(self.pose)
