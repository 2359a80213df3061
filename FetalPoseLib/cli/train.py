"""Train a model, on simulated fetuses or on your own annotated volumes, and write the file that 'estimate' opens.

  fetalpose train --model fetal-frame --output mine.safetensors
  fetalpose train --model fetal-frame --data volumes/ --validation held_out/ --output mine.safetensors
  fetalpose train --model fetal-frame --from fetal-frame --data volumes/ --output mine.safetensors
  fetalpose estimate volume.nrrd --model mine.safetensors --output pose.mrk.json

Without --data, fresh fetuses are simulated by processes in the background while the network trains.

Your own data
  --data and --validation are folders of NRRD, NIfTI or MetaImage volumes, each with its landmarks beside it as
  Slicer saves them, under the same name:
    volumes/patient01.nrrd   volumes/patient01.mrk.json
    volumes/patient02.nii.gz volumes/patient02.mrk.json
  The markups hold the 16 points head, right_shoulder, neck, left_shoulder, left_elbow, left_wrist, spine, sacrum,
  right_elbow, right_wrist, right_hip, right_knee, right_ankle, left_hip, left_knee, left_ankle; left and right are the
  fetus's own. A point without a position is not visible, and is learnt so. Any spacing and direction will do.
  'fetalpose simulate' makes such a pair to look at. Keep all volumes of a patient on one side: in --data or in
  --validation. With --cases N, N simulated fetuses are added to your own, which helps when those are few.

  The layout of FPOSE is read, too: volumes/ID.nii.gz and landmark_anno/ID_landmark.json. Its files do not say whether
  the volumes are mirrored: they are taken as not, unless --mirrored is given.

Adapting to your own scanner
  With --from and --data the model goes on from its weights with 4 to 40 volumes of your own. Simulated ones are mixed
  in, so that it does not forget. A quarter of your patients is held out to check on, unless you give --validation.
  Each network ends when its error there has long not fallen, and stays as it was if no step was better. Each volume
  counts as a patient of its own, unless a table patients.csv beside the volumes (columns volume,patient) says more.

Models
  fetal-frame  three networks: 'locate' finds the fetus in the whole volume, 'orient' sees how it is turned, 'detect'
               finds its landmarks in the fetus's own frame
  r4, gcp      the paper's single network on the whole volume at 1.25 mm, and at 1.0 mm with gradient checkpointing

Recipes
  paper        L2, Adam with learning rate 1e-3 and beta1 0.5, batch size 1 (section 3); the default of r4 and gcp
  shipped      also weighs the maps' peaks, warms up, lowers the learning rate at the end, averages the weights, and
               computes in bfloat16 where the processor can; of the bundled fetal-frame, and its default
  continued    shipped at half the learning rate; the default with --from
  adapted      shipped at a fifth of the learning rate, half of the samples from your own volumes, ended when the error
               on validation has long not fallen; the default with --from and --data
  compared     the paper's, with weighed peaks, warm-up, averaged weights, short gradients and bfloat16; of the bundled
               r4 and gcp

Methods
  With --method, r4 or gcp go on from the detector in --folder for --steps (default 800, one epoch) as one of the
  methods that the paper compares, with a learning rate that falls to 0, each in a folder and an output of its own:
    land  as before      rnn  with a recurrent layer      gan  against a discriminator      pair  with the pair loss
  fetalpose train --model r4 --cases 100 --input-stride 2 --recipe compared --steps 8000 --output r4.safetensors
  fetalpose train --model r4 --cases 100 --input-stride 2 --method gan --output r4-gan.safetensors

Time: 'fetal-frame' takes two to three hours on two CPU cores, while these simulate some 400 fetuses
(5 to 30 seconds each). 'r4' and 'gcp' are for a GPU; on a CPU take --input-stride 2, and --checkpointing off where
memory allows.

Stopping: Ctrl-C ends after the step in hand, and the same command goes on from there. All that is needed lies in
--folder: the cases, and for each network state.pt, best.pt (least error on validation) and log.jsonl, a line for each
validation. --export writes the model from what there is without training any further.
"""

import argparse
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from FetalPoseLib.cli.options import positive, take_defaults
from FetalPoseLib.network.device import DEVICES
from FetalPoseLib.training import adapting
from FetalPoseLib.training.models import MODELS, Model, Pass
from FetalPoseLib.training.options import (
    METHODS,
    PRECISIONS,
    PRESENTATIONS,
    RESUME,
    SIMULATED_CASES,
    VALIDATE_EVERY,
    TrainingOptions,
)
from FetalPoseLib.training.recipes import RECIPES
from FetalPoseLib.training.run import train


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", choices=MODELS, required=True, help="what to train, see above")
    add("--output", metavar="MODEL.safetensors", type=Path, required=True, help="where the trained model goes")
    add("--data", metavar="FOLDER", type=Path, help="your own volumes to train on (default: simulated ones)")
    add(
        "--validation",
        metavar="FOLDER",
        type=Path,
        help="your own volumes to measure the error on (default: those of Sim-152; none with --data)",
    )
    add("--mirrored", action="store_true", help="the volumes of a folder in FPOSE's layout are mirrored, see above")
    add(
        "--folder",
        metavar="FOLDER",
        type=Path,
        help="what the training keeps (default runs/MODEL, runs/MODEL-adapted to adapt)",
    )
    add(
        "--pass",
        dest="only",
        choices=[p.task for p in MODELS["fetal-frame"].passes],
        help="train one of fetal-frame's networks only",
    )
    add(
        "--steps",
        type=positive,
        metavar="N",
        help=f"for each network (default {_by_network(lambda _, p: p.steps)}; to adapt at most "
        f"{', '.join(f'{steps} for {task}' for task, steps in adapting.STEPS.items())})",
    )
    add(
        "--from",
        dest="start",
        metavar="MODEL",
        help="start from the weights of a bundled model or of a file; with --data, adapt it to these volumes",
    )
    add(
        "--without",
        metavar="FACTOR=VALUE",
        action="append",
        default=[],
        help="leave out simulated fetuses, such as family=endocavitary, contact=back, build=random or haze=heavy, and "
        "validate on these instead; may be given several times, and then means those that have all",
    )
    add(
        "--presentation",
        choices=PRESENTATIONS,
        help="how simulated fetuses lie: any way round "
        "(default), or standard, within 70 degrees of head to one side and face to the probe",
    )
    add(
        "--recipe",
        choices=RECIPES,
        help="how to train, see above (default: the model's)",
    )
    add("--method", choices=METHODS, help="go on as a method of the paper's tables, see above")
    add(
        "--checkpointing",
        choices=("on", "off"),
        help=f"of gradients: a third of the memory at 1.4 times the time (default: on for {_with_checkpointing()})",
    )
    add(
        "--width",
        type=positive,
        metavar="W",
        help=f"channels of the first level (default {_by_network(lambda _, p: p.width)})",
    )
    add(
        "--input-stride",
        type=int,
        choices=(1, 2),
        help="2 halves the resolution inside, 1 is the paper's "
        f"(default {_by_network(lambda model, _: model.input_stride)})",
    )
    add("--seed", type=int, metavar="N", help="of weights and augmentation (default %(default)s)")
    add(
        "--cases",
        type=int,
        metavar="N",
        help=f"fetuses to simulate (default {SIMULATED_CASES}; none with --data, "
        f"{adapting.SIMULATED} with --from and --data); "
        "the first 100 are the training subjects of Sim-152",
    )
    add("--workers", type=positive, metavar="N", help="processes that simulate (default: half of the cores)")
    add(
        "--resume",
        choices=RESUME,
        help="automatic (default) goes on with a training in --folder, never refuses to",
    )
    add("--export", action="store_true", help="write the model from what has been trained, and train no further")
    add("--curves", metavar="CURVES.png", type=Path, help="also draw loss and error over the steps")
    add(
        "--precision",
        choices=PRECISIONS,
        help="of the weights in the file: float16 (default), int8 for half the size, int4 for a quarter",
    )
    add(
        "--library",
        metavar="POSES.npz",
        type=Path,
        help="with --data: also write your poses as a library for refinement, with --from beside the bundled ones",
    )
    add(
        "--validate-every",
        type=positive,
        metavar="N",
        help=f"steps between validations (default {VALIDATE_EVERY}, to adapt {adapting.VALIDATE_EVERY})",
    )
    add("--device", choices=DEVICES, help="auto (default) takes a GPU if there is one")
    take_defaults(parser, TrainingOptions)


def run(args: argparse.Namespace) -> None:
    train(TrainingOptions(**{field.name: getattr(args, field.name) for field in fields(TrainingOptions)}))


def _by_network(value: Callable[[Model, Pass], int]) -> str:
    """What differs between the networks, such as "6000 for locate and orient, 9500 for detect"."""
    names: dict[int, list[str]] = {}
    for name, model in MODELS.items():
        for network in model.passes:
            names.setdefault(value(model, network), []).append(name if len(model.passes) == 1 else network.task)
    return ", ".join(f"{value} for {_and(listed)}" for value, listed in names.items())


def _with_checkpointing() -> str:
    return _and([name for name, model in MODELS.items() if model.checkpointing])


def _and(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
