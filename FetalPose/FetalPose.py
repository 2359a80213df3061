"""FetalPose for 3D Slicer: estimate, correct, measure and export the pose of a fetus in a 3D ultrasound volume.

A thin shell: Slicer finds the module's classes here by their names; what they do is in FetalPoseModuleLib and, free of
Qt, in FetalPoseLib.
"""

import importlib.util
import sys
from pathlib import Path

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest

# A plain checkout, with this folder among the additional module paths; a folder of that name alone is not the library
if getattr(importlib.util.find_spec("FetalPoseLib"), "origin", None) is None:
    sys.path.append(str(Path(__file__).resolve().parent.parent))

from FetalPoseLib.resources import resource_path  # noqa: E402
from FetalPoseModuleLib.filereader import FetalPoseFileReader  # noqa: E402
from FetalPoseModuleLib.logic import FetalPoseLogic  # noqa: E402
from FetalPoseModuleLib.sampledata import registerSampleData  # noqa: E402
from FetalPoseModuleLib.widget import FetalPoseWidget  # noqa: E402

__all__ = ["FetalPose", "FetalPoseFileReader", "FetalPoseLogic", "FetalPoseTest", "FetalPoseWidget"]

HOMEPAGE = "https://github.com/FetalPose/SlicerFetalPose"


class FetalPose(ScriptedLoadableModule):
    """What the application shows of the module before it is opened."""

    def __init__(self, parent):
        super().__init__(parent)
        parent.title = _("Fetal Pose")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Ultrasound")]
        parent.dependencies = []
        parent.contributors = ["the FetalPose authors"]  # the README says who that is
        parent.helpText = _(
            "Finds the pose of a fetus of 10 to 14 weeks in a 3D ultrasound volume: 16 landmarks, 15 segments and "
            "their lengths. Choose a volume, click <b>Estimate Pose</b>, drag what is wrong, export.<br>"
            "<b>Research use only.</b> The bundled models were trained on simulated volumes and have never seen a "
            "patient. Volumes are processed on this computer and are not sent anywhere.<br>"
            'See the <a href="{url}">tutorial</a>.'
        ).format(url=f"{HOMEPAGE}/blob/main/docs/clinician.md")
        parent.acknowledgementText = _(
            "The method is that of Yang et al., FetusMap: Fetal Pose Estimation in 3D Ultrasound, MICCAI 2019."
        )
        slicer.app.connect("startupCompleted()", registerSampleData)


class FetalPoseTest(ScriptedLoadableModuleTest):
    """*Reload and Test*: a short run through the panel. The full tests are in the folder Testing."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        self.setUp()
        self.test_a_pose_is_shown_measured_and_dragged()

    def test_a_pose_is_shown_measured_and_dragged(self):
        logic = FetalPoseLogic()
        pose = logic.session.import_pose(resource_path("sample", "sample.mrk.json"))
        before = logic.session.lengths(pose)["left_thigh"]
        pose.SetNthControlPointPosition(pose.GetControlPointIndexByLabel("left_knee"), 0.0, 0.0, 0.0)
        self.assertNotAlmostEqual(logic.session.lengths(pose)["left_thigh"], before)
        logic.session.undo(pose)
        self.assertAlmostEqual(logic.session.lengths(pose)["left_thigh"], before)
        logic.close()
