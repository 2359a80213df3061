"""What a person chooses: what is saved with the scene, and how it becomes the `Settings` of a session."""

import json
from dataclasses import replace
from typing import Annotated

import slicer
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper

from FetalPoseLib.refinement.options import REFINEMENTS, EstimateOptions
from FetalPoseLib.resources import resource_path
from FetalPoseLib.session import Settings
from FetalPoseModuleLib.machine import Machine

OWN_SPACING = "the model's own"
MODELS = list(json.loads(resource_path("models", "manifest.json").read_text(encoding="utf-8")))
DEFAULTS = EstimateOptions()


@parameterNodeWrapper
class FetalPoseParameterNode:
    """What is saved with the scene. What belongs to the computer is in `Machine`."""

    inputVolume: slicer.vtkMRMLScalarVolumeNode
    pose: slicer.vtkMRMLMarkupsFiducialNode
    model: Annotated[str, Choice(MODELS)] = DEFAULTS.model
    spacing: Annotated[str, Choice([OWN_SPACING, "1.0", "1.25", "1.5", "2.0"])] = OWN_SPACING
    iterations: Annotated[int, WithinRange(0, 50)] = DEFAULTS.iterations
    refinement: Annotated[str, Choice(list(REFINEMENTS))] = DEFAULTS.refinement
    neighbours: Annotated[int, WithinRange(1, 100)] = DEFAULTS.k
    mirrored: bool = False
    showLengths: bool = True
    showNames: bool = False
    showUncertainty: bool = False
    alignViews: bool = True
    showRendering: bool = False
    ageByDates: str = ""


def settingsOf(parameters: FetalPoseParameterNode, machine: Machine) -> Settings:
    """All that was chosen, as one value for the session. A file of weights takes the place of the bundled model."""
    options = replace(
        DEFAULTS,
        model=machine.weights or parameters.model,
        device=machine.device,
        refinement=parameters.refinement,
        iterations=parameters.iterations,
        k=parameters.neighbours,
        spacing_mm=None if parameters.spacing == OWN_SPACING else float(parameters.spacing),
    )
    return Settings(
        options,
        mirrored=parameters.mirrored,
        show_lengths=parameters.showLengths,
        show_names=parameters.showNames,
        show_uncertainty=parameters.showUncertainty,
        align_views=parameters.alignViews,
        library_folder=machine.libraryFolder,
    )
