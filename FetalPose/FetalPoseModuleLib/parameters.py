"""What a person chooses: what is saved with the scene, and how it becomes the `Settings` of a session."""

import json
from dataclasses import replace
from functools import cache
from typing import Annotated, Any

import slicer
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper

from FetalPoseLib.refinement.options import REFINEMENTS, EstimateOptions
from FetalPoseLib.resources import resource_path
from FetalPoseLib.session import Settings
from FetalPoseModuleLib.machine import Machine

OWN_SPACING = "the model's own"
SPACINGS = (OWN_SPACING, "1.0", "1.25", "1.5", "2.0")
ITERATIONS, NEIGHBOURS = (0, 50), (1, 100)
DEFAULTS = EstimateOptions()

FetalPoseParameters = Any  # an object of `parameterNodeClass()`


@cache
def models() -> tuple[str, ...]:
    """The names of the bundled models."""
    return tuple(json.loads(resource_path("models", "manifest.json").read_text(encoding="utf-8")))


@cache
def parameterNodeClass() -> type:
    """What is saved with the scene; what belongs to the computer is in `Machine`.

    The class is made when it is first needed, because the names of the models stand in a file.
    """

    @parameterNodeWrapper
    class FetalPoseParameterNode:
        inputVolume: slicer.vtkMRMLScalarVolumeNode
        pose: slicer.vtkMRMLMarkupsFiducialNode
        model: Annotated[str, Choice(list(models()))] = DEFAULTS.model
        spacing: Annotated[str, Choice(list(SPACINGS))] = OWN_SPACING
        iterations: Annotated[int, WithinRange(*ITERATIONS)] = DEFAULTS.iterations
        refinement: Annotated[str, Choice(list(REFINEMENTS))] = DEFAULTS.refinement
        neighbours: Annotated[int, WithinRange(*NEIGHBOURS)] = DEFAULTS.k
        mirrored: bool = False
        showLengths: bool = True
        showNames: bool = False
        showUncertainty: bool = False
        alignViews: bool = True
        showRendering: bool = False
        ageByDates: str = ""

    return FetalPoseParameterNode


def isTrue(parameters: FetalPoseParameters) -> bool:
    """Whether the nodes that wrapped parameters keep are those that the parameter node refers to now."""
    node = parameters.parameterNode
    return all(getattr(parameters, name) is node.GetNodeReference(name) for name in ("inputVolume", "pose"))


def settingsOf(parameters: FetalPoseParameters, machine: Machine) -> Settings:
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
