"""The options of a training, and which of them go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import check_writable
from FetalPoseLib.refinement.options import EstimateOptions

PRESENTATIONS = ("any", "standard")  #: any way round, or within 70 degrees of head to one side and face to the probe
METHODS = ("land", "rnn", "gan", "pair")  #: of the paper's tables, and of FetusMapV2; see `training.methods`
PRECISIONS = ("float16", "int8", "int4")  #: of the kernels in the file, see `training.export`
RESUME = ("automatic", "never")  #: go on with a training in the folder, or refuse to
VALIDATE_EVERY = 500  #: steps
SIMULATED_CASES = 1000  #: where neither a number of cases nor data are given


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """What to train, on what, and how; None is the model's own."""

    model: str  #: a key of `MODELS`
    output: Path  #: where the trained model goes, .safetensors
    data: Path | None = None  #: folder of one's own volumes; None: simulated ones
    mirrored: bool = False  #: the volumes of a folder in FPOSE's layout are mirrored, which no file says
    validation: Path | None = None  #: folder of one's own volumes to measure the error on
    folder: Path | None = None  #: what the training keeps; None: runs/MODEL
    only: str | None = None  #: train one of fetal-frame's networks only: "locate", "orient" or "detect"
    steps: int | None = None  #: for each network
    start: str | None = None  #: a bundled model or a file whose weights to start from; with `data`, see `adapting`
    without: Sequence[str] = ()  #: FACTOR=VALUE of simulated fetuses to leave out and to validate on
    presentation: str = "any"  #: how simulated fetuses lie, of `PRESENTATIONS`
    recipe: str | None = None  #: a key of `recipes.RECIPES`
    method: str | None = None  #: one of `METHODS`; None: the detector itself
    checkpointing: str | None = None  #: of gradients: "on" or "off"
    width: int | None = None  #: channels of the first level
    input_stride: int | None = None  #: 2 halves the resolution inside
    seed: int = 1  #: of weights and augmentation
    cases: int | None = None  #: fetuses to simulate; None: `SIMULATED_CASES`, none with data, some to adapt
    workers: int | None = None  #: processes that simulate; None: half of the cores
    resume: str = "automatic"  #: one of `RESUME`
    export: bool = False  #: write the model from what has been trained, and train no further
    curves: Path | None = None  #: picture of loss and error over the steps
    precision: str = "float16"  #: of the weights in the file, one of `PRECISIONS`
    library: Path | None = None  #: with data: also write the poses as a library for refinement
    validate_every: int | None = None  #: steps between validations; None: `VALIDATE_EVERY`, or fewer to adapt
    device: str = EstimateOptions.device  #: one of `network.device.DEVICES`


def check(options: TrainingOptions) -> None:
    """FetalPoseError where one option does not go with another, or a file cannot be written."""
    if options.method and options.model == "fetal-frame":
        raise FetalPoseError(f"The method {options.method} is a variant of the paper's models. Choose r4 or gcp.")
    if options.only and options.model != "fetal-frame":
        raise FetalPoseError(
            f"The network {options.only} is a part of fetal-frame; {options.model} has one network. Train that."
        )
    if options.mirrored and not options.data:
        raise FetalPoseError("--mirrored is for your own volumes in FPOSE's layout. Give their folder with --data.")
    if options.curves:
        check_writable(options.curves, ".png")
    if options.library:
        if not options.data:
            raise FetalPoseError("A library is made of the poses of your own data. Give their folder, too.")
        check_writable(options.library, ".npz")
    if options.cases is not None and options.cases < (0 if options.data else 1):
        raise FetalPoseError(
            f"{options.cases} simulated cases leave nothing to train on. Give 1 or more, or data of your own."
        )
