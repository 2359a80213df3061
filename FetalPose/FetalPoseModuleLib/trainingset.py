"""Corrected poses as a training set: the button that writes the volume and its pose into a folder of one's own."""

from slicer.i18n import tr as _


class TrainingSet:
    """Asks for the folder once, and again if nothing could be written there.

    Parameters
    ----------
    panel : FetalPoseWidget
        Of it are used `session`, `dialogs`, `pose` and `parameters`.
    """

    def __init__(self, panel):
        self.panel, self.folder = panel, ""

    def add(self) -> str:
        """Write the pose that is shown with its volume; what to tell the person, "" if no folder was chosen."""
        panel = self.panel
        folder = self.folder or panel.dialogs.folder(_("Folder for your training set"))
        if not folder:
            return ""
        self.folder = ""
        volume = panel.session.volume_of(panel.pose) or panel.parameters.inputVolume
        added = panel.session.add_to_training_set(panel.pose, volume, folder)
        self.folder = folder
        return added.message(_)
