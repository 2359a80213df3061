"""The volume in the 3D views, by Slicer's module Volume Rendering."""

import slicer

PRESET = "US-Fetal"  # of Slicer's own


class VolumeRendering:
    """Shows volumes with the preset for fetal ultrasound. A display that a person has set up is shown as it is.

    Parameters
    ----------
    logic : vtkSlicerVolumeRenderingLogic, optional
        That of the application where it is left out.
    """

    def __init__(self, logic=None):
        self._logic, self._display = logic, None

    def show(self, volume, visible: bool) -> None:
        """Show the volume, or hide what was shown here; ``volume`` may be None."""
        display = self._displayOf(volume) if visible and volume is not None else None
        if display is self._display:  # what a person does meanwhile in the module Volume Rendering stays
            return
        if self._display is not None and slicer.mrmlScene.IsNodePresent(self._display):
            self._display.SetVisibility(False)
        if display is not None:
            display.SetVisibility(True)
        self._display = display

    def _displayOf(self, volume):
        """The volume's display node, made if there is none; None in an application without that module."""
        if self._logic is None and not hasattr(slicer.modules, "volumerendering"):
            return None
        logic = self._logic or slicer.modules.volumerendering.logic()
        display = logic.GetFirstVolumeRenderingDisplayNode(volume)
        if display is None:
            display = logic.CreateDefaultVolumeRenderingNodes(volume)
            preset = logic.GetPresetByName(PRESET)
            if preset is not None:
                display.GetVolumePropertyNode().Copy(preset)
        return display
