"""What the panel's buttons do."""

from functools import partial
from itertools import count
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from FetalPoseLib import scene
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.session.user_library import NO_FOLDER
from FetalPoseModuleLib.trainingset import TrainingSet
from FetalPoseModuleLib.views import showVolume


class Actions:
    """Connects each button to what it does. What it acts on is what is chosen in the panel at that moment.

    Parameters
    ----------
    panel : FetalPoseWidget
        Of it are used `ui`, `logic`, `installer`, `dialogs`, `statusLine`, what is chosen (`parameters`, `machine`,
        `pose`, `selectedLandmark`), and `updateButtons` after each click.
    """

    def __init__(self, panel):
        self.panel, self.ui = panel, panel.ui
        self.logic, self.session = panel.logic, panel.logic.session
        self.installing = False
        self.trainingSet = TrainingSet(panel)
        ui = panel.ui
        for button, slot in (
            (ui.estimateButton, self.onEstimate),
            (ui.cancelButton, self.session.cancel),
            (ui.undoButton, lambda: self.session.undo(panel.pose)),
            (ui.redoButton, lambda: self.session.redo(panel.pose)),
            (ui.resetButton, lambda: self.session.reset_landmark(panel.pose, self.selectedLandmark())),
            (ui.visibleButton, self.onVisible),
            (ui.swapArmsButton, lambda: self.session.swap_sides(panel.pose, "left_arm")),
            (ui.swapLegsButton, lambda: self.session.swap_sides(panel.pose, "left_leg")),
            (ui.swapBodyButton, lambda: self.session.swap_sides(panel.pose)),
            (ui.refineButton, self.onRefine),
            (ui.exportPoseButton, self.onExportPose),
            (ui.exportTableButton, self.onExportTable),
            (ui.importButton, self.onImport),
            (ui.addToLibraryButton, self.onAddToLibrary),
            (ui.addToTrainingSetButton, self.onAddToTrainingSet),
            (ui.manageLibraryButton, self.onManageLibrary),
        ):
            button.clicked.connect(partial(self._try, slot))

    def _try(self, slot, *_checked) -> None:
        """Do it; what a user can mend becomes a message, what we got wrong goes through Slicer's error display, too."""
        try:
            slot()
        except FetalPoseError as error:
            self.say(error.translated(_), isWarning=True)
        except Exception:
            with slicer.util.tryWithErrorDisplay(_("FetalPose failed. The details are in the log.")):
                raise
        finally:
            self.panel.updateButtons()

    def say(self, text: str, *, isWarning: bool = False) -> None:
        self.panel.statusLine.say(text, isWarning=isWarning)

    def selectedLandmark(self) -> str:
        """The name of the landmark to act on; FetalPoseError if none is selected."""
        name = self.panel.selectedLandmark
        if name is None:
            raise FetalPoseError(_("Select a landmark in the table first."))
        return name

    # estimating

    def onEstimate(self) -> None:
        volume = self.panel.parameters.inputVolume
        if volume is None:
            raise FetalPoseError(_("Choose a volume first."))
        self._start(volume, self.panel.parameters.pose, refine=False)

    def onRefine(self) -> None:
        volume = self.session.volume_of(self.panel.pose) or self.panel.parameters.inputVolume
        if volume is None:
            raise FetalPoseError(_("Choose the volume that the pose belongs to first."))
        self._start(volume, self.panel.pose, refine=True)

    def _start(self, volume, pose, *, refine: bool) -> None:
        if self.installing:
            raise FetalPoseError(_("The packages are being installed. Wait until that has ended."))
        if not self._installed():
            return
        isThere = slicer.mrmlScene.IsNodePresent  # the application goes on while pip runs
        if not isThere(volume):
            raise FetalPoseError(_("Installed, but the volume is no longer in the scene. Choose one, and click again."))
        if pose is not None and not isThere(pose):
            if refine:
                raise FetalPoseError(
                    _("Installed, but the pose is no longer in the scene. Choose one, and click again.")
                )
            pose = None
        self.panel.updateSettings()
        self.logic.estimate(volume, pose, refine=refine)
        showVolume(volume)

    def _installed(self) -> bool:
        """Whether what the network needs is there, after asking to install it."""
        installer, line = self.panel.installer, self.panel.statusLine
        missing = installer.missing()
        if not missing:
            return True
        if not self.panel.dialogs.confirm(installer.question(missing)):
            self.say(_("Nothing was installed. Estimate Pose needs {names}.").format(names=", ".join(missing)))
            return False
        begun, steps = count(1), len(missing) + 1
        line.showSteps(0, steps)

        def installing(message: str) -> None:  # Slicer shows pip's own lines in its Python console meanwhile
            line.showSteps(next(begun), steps)
            line.sayNow(message)

        self.installing = True
        self.panel.updateButtons()
        try:
            installer.install(missing, installing)
        finally:
            self.installing = False
            line.hideSteps()
        self.say(_("Installed."))
        return True

    # correcting

    def onVisible(self) -> None:
        self.session.set_visible(self.panel.pose, self.selectedLandmark(), not self.ui.visibleButton.checked)

    # files

    def onExportPose(self) -> None:
        path = self._askForFile(_("Export pose"), ".mrk.json", _("Pose (*.mrk.json)"))
        if path:
            self.session.export_pose(self.panel.pose, path)
            self.say(_("Wrote {path}.").format(path=path))

    def onExportTable(self) -> None:
        path = self._askForFile(_("Export table"), ".csv", _("Table (*.csv)"))
        if path:
            self.session.export_table(self.panel.pose, path)
            self.say(_("Wrote {path}.").format(path=path))

    def _askForFile(self, title: str, suffix: str, types: str) -> str:
        """The path of a file to write, "" if none was chosen; the dialog has asked about the name that was typed."""
        path = self.panel.dialogs.saveFile(title, f"{self.panel.pose.GetName()}{suffix}", types)
        if not path or path.lower().endswith(suffix):
            return path
        path = f"{path}{suffix}"
        if Path(path).exists():
            question = _("The file {path} is there already. Replace it?").format(path=path)
            return path if self.panel.dialogs.confirm(question) else ""
        return path

    def onImport(self) -> None:
        path = self.panel.dialogs.openFile(_("Import pose"), _("Pose (*.mrk.json *.json)"))
        if path:
            self.panel.parameters.pose = self.session.import_pose(path)
            message = _("Read {name}.").format(name=Path(path).name)
            absent = self.panel.parameters.pose.GetAttribute(scene.ABSENT)
            if absent:
                message += " " + _("Not in the file, and so not visible: {names}.").format(
                    names=absent.replace(" ", ", ")
                )
            self.say(message)

    def onAddToLibrary(self) -> None:
        if not self.panel.machine.libraryFolder:
            self.ui.libraryEdit.currentPath = self.panel.dialogs.folder(_("Folder for your pose library")) or ""
        self.panel.updateSettings()
        count = self.session.add_to_library(self.panel.pose)
        self.say(_("Your library now holds {count} poses. The next refinement uses them.").format(count=count))

    def onAddToTrainingSet(self) -> None:
        message = self.trainingSet.add()
        if message:
            self.say(message)

    def onManageLibrary(self) -> None:
        if not self.panel.machine.libraryFolder:
            raise FetalPoseError(_(NO_FOLDER))
        self.panel.dialogs.library(self.session.own_library, self.session.remove_from_library)
