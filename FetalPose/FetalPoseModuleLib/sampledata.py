"""The bundled volume in Slicer's module *Sample Data*, category *Ultrasound*. It is simulated and says so."""

import hashlib

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
    path = resource_path("sample", "sample.nrrd")
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="Ultrasound",
        sampleName=NAME,
        uris=path.as_uri(),
        fileNames="SimulatedFetus.nrrd",
        nodeNames=NAME,
        # downloadSample copies the file into the application's cache, and keeps that copy for good without a checksum
        checksums=f"SHA256:{hashlib.sha256(path.read_bytes()).hexdigest()}",
        thumbnailFileName=str(path.with_name("thumbnail.png")),
        customDownloader=loadSample,
    )


def loadSample(source=None):
    """Load the bundled volume and show it; a list of the one node, as the module Sample Data expects.

    The node does not know its file: *Save* would write into the extension.
    """
    node = scene.read_volume(slicer.mrmlScene, resource_path("sample", "sample.nrrd"))
    slicer.mrmlScene.RemoveNode(node.GetStorageNode())
    node.SetName(slicer.mrmlScene.GenerateUniqueName(NAME))
    node.SetDescription(_("Simulated 3D ultrasound of a fetus. No patient."))
    node.CreateDefaultDisplayNodes()
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return [node]
