"""The bundled volume in Slicer's module *Sample Data*, category *Ultrasound*. It is simulated and says so."""

import slicer
from slicer.i18n import tr as _

from FetalPoseLib import scene
from FetalPoseLib.resources import resource_path

NAME = "SimulatedFetus"


def registerSampleData():
    try:
        import SampleData
    except ImportError:  # an application without that module
        return
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="Ultrasound",
        sampleName=NAME,
        uris=resource_path("sample", "sample.nrrd").as_uri(),
        fileNames="SimulatedFetus.nrrd",
        nodeNames=NAME,
        thumbnailFileName=str(resource_path("sample", "sample.nrrd").with_name("thumbnail.png")),
        customDownloader=loadSample,
    )


def loadSample(source=None):
    """Load the bundled volume and show it; a list of the one node, as the module Sample Data expects."""
    node = scene.read_volume(slicer.mrmlScene, resource_path("sample", "sample.nrrd"))
    node.SetName(slicer.mrmlScene.GenerateUniqueName(NAME))
    node.SetDescription(_("Simulated 3D ultrasound of a fetus. No patient."))
    node.CreateDefaultDisplayNodes()
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return [node]
