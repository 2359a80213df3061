"""The options of a training, and which of them go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import check_writable
from FetalPoseLib.refinement.options import EstimateOptions


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """What to train, on what, and how; None is the model's own."""

    model: str  #: a key of `MODELS`
    output: Path  #: where the trained model goes, .safetensors
    data: Path | None = None  #: folder of one's own volumes; None: simulated ones
    validation: Path | None = None  #: folder of one's own volumes to measure the error on
    folder: Path | None = None  #: what the training keeps; None: runs/MODEL
    only: str | None = None  #: train one of fetal-frame's networks only: "locate", "orient" or "detect"
    steps: int | None = None  #: for each network
    start: str | None = None  #: a bundled model or a file whose weights to start from
    without: Sequence[str] = ()  #: FACTOR=VALUE of simulated fetuses to leave out and to validate on
    presentation: str = "any"  #: how simulated fetuses lie: "any" or "standard"
    recipe: str | None = None  #: "paper", "shipped", "continued" or "compared"
    method: str | None = None  #: "land", "rnn", "gan" or "pair", of the paper's tables
    checkpointing: str | None = None  #: of gradients: "on" or "off"
    width: int | None = None  #: channels of the first level
    input_stride: int | None = None  #: 2 halves the resolution inside
    seed: int = 1  #: of weights and augmentation
    cases: int | None = None  #: fetuses to simulate; None: 1000, or none with data
    workers: int | None = None  #: processes that simulate; None: half of the cores
    resume: str = "automatic"  #: "automatic" goes on with a training in the folder, "never" refuses to
    export: bool = False  #: write the model from what has been trained, and train no further
    curves: Path | None = None  #: picture of loss and error over the steps
    precision: str = "float16"  #: of the weights in the file: "float16", "int8" or "int4"
    library: Path | None = None  #: with data: also write the poses as a library for refinement
    validate_every: int = 500  #: steps between validations
    device: str = EstimateOptions.device  #: one of `network.device.DEVICES`


def check(options: TrainingOptions) -> None:
    """FetalPoseError where one option does not go with another, or a file cannot be written."""
    if options.method and options.model == "fetal-frame":
        raise FetalPoseError(f"--method {options.method} is a variant of the paper's models. Choose --model r4 or gcp.")
    if options.only and options.model != "fetal-frame":
        raise FetalPoseError(
            f"--pass {options.only} is a part of fetal-frame; {options.model} has one network. Drop it."
        )
    if options.curves:
        check_writable(options.curves, ".png")
    if options.library:
        if not options.data:
            raise FetalPoseError("--library takes the poses from --data. Give that folder, too.")
        check_writable(options.library, ".npz")
    if options.cases is not None and options.cases < (0 if options.data else 1):
        raise FetalPoseError(f"--cases {options.cases} leaves nothing to train on. Give 1 or more, or --data.")
