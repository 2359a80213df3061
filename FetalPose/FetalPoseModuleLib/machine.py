"""What belongs to this computer: device, weights and library. Kept in the application's settings, not in a scene."""

from collections.abc import Sequence
from dataclasses import dataclass

import ctk
import slicer
from slicer.i18n import tr as _

from FetalPoseLib.refinement.options import EstimateOptions
from FetalPoseLib.session import Signal
from FetalPoseLib.worker.protocol import Device


@dataclass(frozen=True)
class Machine:
    """Settings of this computer."""

    device: str = EstimateOptions().device  #: auto, cpu or cuda
    weights: str = ""  #: file to use instead of a bundled model, or ""
    libraryFolder: str = ""  #: of the person's own atlases, or ""


class MachinePanel:
    """The widgets in which a person chooses what belongs to this computer; each choice is kept at once.

    `changed` tells of it.
    """

    def __init__(self, ui):
        self.ui = ui
        self.changed: Signal[Machine] = Signal()
        settings = slicer.app.userSettings()
        self.showDevices(())
        ui.libraryEdit.filters = ctk.ctkPathLineEdit.Dirs
        ui.weightsEdit.currentPath = settings.value("FetalPose/Weights", "") or ""
        ui.libraryEdit.currentPath = settings.value("FetalPose/LibraryFolder", "") or ""
        ui.deviceComboBox.currentIndexChanged.connect(self.save)
        for edit in (ui.weightsEdit, ui.libraryEdit):
            edit.currentPathChanged.connect(self.save)  # which tells of no empty path
            edit.validInputChanged.connect(self.save)

    @property
    def machine(self) -> Machine:
        """What is chosen now."""
        device = self.ui.deviceComboBox.currentData or "auto"
        return Machine(device, self.ui.weightsEdit.currentPath, self.ui.libraryEdit.currentPath)

    def showDevices(self, devices: Sequence[Device]) -> None:
        """Offer these devices, and select the one that was chosen last."""
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

    def save(self, *_value) -> None:
        """Keep what is chosen, and tell of it."""
        settings, machine = slicer.app.userSettings(), self.machine
        settings.setValue("FetalPose/Device", machine.device)
        settings.setValue("FetalPose/Weights", machine.weights)
        settings.setValue("FetalPose/LibraryFolder", machine.libraryFolder)
        self.changed.emit(machine)
