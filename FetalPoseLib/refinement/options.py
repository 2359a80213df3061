"""The options of an estimate and of its refinement. Each default stands here, once; importing this needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from FetalPoseLib.body.pose_library import SUPPORT_SET_SIZE
from FetalPoseLib.errors import FetalPoseError

CONSENSUS = "consensus"  #: the name of the refinement by `ConsensusOptions`


@dataclass(frozen=True)
class ConsensusOptions:
    """Refinement by consensus: the heatmaps of several views are averaged and read together."""

    views: int = 1  #: further views at most; the first is the mirror image, which needs no other frame
    jointly: bool = True  #: choose the peaks of all landmarks together, by the pose library's lengths and atlases


@dataclass(frozen=True)
class OnlineSslOptions:
    """The paper's self-supervised on-line refinement (section 2.2), with the variants that were measured.

    Raises
    ------
    ValueError
        ``parameters`` or ``weighting`` is none of the words below, or ``k`` is below 1.
    """

    k: int = SUPPORT_SET_SIZE  #: atlases in the support set, K of Eq. 1
    learning_rate: float = 5e-4  #: of Adam, section 3
    similarity: bool = False  #: fit one scale per atlas, too; the paper's transform is rigid
    parameters: str = "all"  #: what Adam may change: "all" or "decoder"
    weighting: str = "mean"  #: how the support set is averaged: "mean" as in the paper, or by 1 / "residual"
    hold_confidence: float | None = None  #: landmarks detected with at least this confidence stay; None: none do
    sides: bool = False  #: register each pose with its arms and legs exchanged, too, and keep what fits best

    def __post_init__(self):
        for name, allowed in (("parameters", ("all", "decoder")), ("weighting", ("mean", "residual"))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}, must be one of {allowed}")
        if self.k < 1:
            raise ValueError(f"k is {self.k}, must be at least 1")


RefinementOptions = ConsensusOptions | OnlineSslOptions

#: By name. *holding* is the paper's, and keeps the confident landmarks in place; its values were chosen on validation
#: subjects.
REFINEMENTS: dict[str, RefinementOptions] = {
    CONSENSUS: ConsensusOptions(),
    "paper": OnlineSslOptions(),
    "holding": OnlineSslOptions(hold_confidence=0.2, similarity=True, learning_rate=1e-4),
}


@dataclass(frozen=True)
class EstimateOptions:
    """What a person chooses for an estimate: the same for panel, command line, worker and estimator."""

    model: str = "fetal-frame"  #: a name in the models' manifest, or the path of a safetensors file
    device: str = "auto"  #: one of `network.device.DEVICES`; "auto" takes a GPU if there is one
    refinement: str = CONSENSUS  #: a name in `REFINEMENTS`
    iterations: int = 6  #: steps of refinement at most; 0 is the bare detection; consensus takes `views` of them
    k: int = OnlineSslOptions.k  #: atlases in the support set, for the refinements that have one
    spacing_mm: float | None = None  #: of the network's input, one that the model allows; None: the model's own
    libraries: tuple[str, ...] = ()  #: paths of .npz files with a person's own atlases, beside the bundled ones


def refinement_named(name: str, *, k: int | None = None) -> RefinementOptions:
    """The options that a name stands for, with another K if given; FetalPoseError if there is no such name."""
    if name not in REFINEMENTS:
        raise FetalPoseError(f"There is no refinement '{name}'. Choose one of {', '.join(REFINEMENTS)}.")
    options = REFINEMENTS[name]
    return replace(options, k=k) if k is not None and isinstance(options, OnlineSslOptions) else options


def describe(options: RefinementOptions) -> str:
    """The options as a pose's provenance tells them, ``"holding, K = 3"``: the nearest preset and what differs."""
    presets = {name: preset for name, preset in REFINEMENTS.items() if type(preset) is type(options)}
    name = min(presets, key=lambda name: len(differences(options, presets[name])))
    changes = differences(options, presets[name])
    if isinstance(options, OnlineSslOptions):
        changes = {"K": options.k, **{name: value for name, value in changes.items() if name != "k"}}
    return ", ".join([name, *(f"{name} = {value}" for name, value in changes.items())])


def differences(options: RefinementOptions, preset: RefinementOptions) -> dict:
    """The fields of ``options`` whose values are not those of ``preset``, which is of the same type."""
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    return {name: value for name, value in values.items() if value != getattr(preset, name)}
