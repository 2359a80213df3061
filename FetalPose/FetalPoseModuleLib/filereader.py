"""GE Voluson files for Slicer's *Add data*: a scripted file reader, which Slicer finds by its name in FetalPose.py."""

import logging
from pathlib import Path

import slicer
import vtk
from slicer.i18n import tr as _

from FetalPoseLib import scene
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.kretz_wrappers import is_kretz

OTHERS = (".vol", ".v00")  # files that SlicerHeart's reader offers to read
CONFIDENCE = 0.8  # Slicer's readers that judge by the name have 0.54
LESS = 0.3  # than any reader that judges by the name


class FetalPoseFileReader:
    """Offers to load what holds a GE Kretz volume: a file of its own, a DICOM file with one in it, or a .4dv.

    Where SlicerHeart is installed, its reader is the first choice for the files that it reads, and this one the second.

    Parameters
    ----------
    parent : qSlicerScriptedFileReader
    """

    def __init__(self, parent):
        self.parent = parent

    def description(self) -> str:
        return _("GE Voluson ultrasound volume (Fetal Pose)")

    def fileType(self) -> str:
        return "FetalPoseKretz"

    def extensions(self) -> list[str]:
        return [_("GE Voluson ultrasound volume") + " (*.vol *.v00 *.4dv *.dcm)"]

    def canLoadFile(self, filePath: str) -> bool:
        return is_kretz(filePath)

    def canLoadFileConfidence(self, filePath: str) -> float:
        if not is_kretz(filePath):
            return 0.0
        theirs = hasattr(slicer.modules, "kretzfilereader") and filePath.lower().endswith(OTHERS)
        return LESS if theirs else CONFIDENCE

    def load(self, properties) -> bool:
        """Load the file and show it; False with a message in Slicer's own list where it cannot be read."""
        try:
            node = scene.read_volume(slicer.mrmlScene, Path(properties["fileName"]))
        except FetalPoseError as error:
            self.parent.userMessages().AddMessage(vtk.vtkCommand.ErrorEvent, str(error))
            return False
        except Exception:
            logging.exception("FetalPose")
            self.parent.userMessages().AddMessage(
                vtk.vtkCommand.ErrorEvent, _("FetalPose failed. The details are in the log.")
            )
            return False
        node.SetName(slicer.mrmlScene.GenerateUniqueName(properties.get("name") or node.GetName()))
        for doubt in scene.doubts_of(node):
            self.parent.userMessages().AddMessage(vtk.vtkCommand.WarningEvent, doubt.sentence)
        slicer.util.setSliceViewerLayers(background=node, fit=True)
        self.parent.loadedNodes = [node.GetID()]
        return True
