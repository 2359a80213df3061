"""Measure this implementation and write the tables and figures of the README, with where each comes from.

  accuracy     errors, AUC, lengths and sides on Sim-152, before and after refinement, beside the paper's figures
  uncertainty  calibrate a model's radii in mm on the records of accuracy, and test them on those of the other splits
  planes       standard planes, crown-rump length, age and posture against simulated bodies, on the records of accuracy
  sequences    a moving fetus followed over time, against each volume alone, on ten simulated sequences
  methods      the paper's eight methods and ours on test and shifted: its Tables 1 and 2, its Figures 5 and 6
  refinement   options of refinement compared on the validation subjects: refinement_MODEL.csv
  memory       what gradient checkpointing saves
  speed        seconds of each stage of an estimate, cold and warm
  simulator    seconds of a simulated volume
  web          seconds of the page in a browser; needs the extra 'web' and Chromium, and is not part of all
  cohort       volumes an hour on one and two workers, beside a loop, and the memory over a thousand volumes
  pictures     the README's, from the records of accuracy, into the folder docs/pictures
  adapting     errors before and after adapting to 4, 8 and 16 volumes of a scanner that no training saw
  all          all of these but the last

  fetalpose benchmark accuracy
  fetalpose benchmark accuracy --split test shifted
  fetalpose benchmark refinement --vary lr=1e-4,5e-4 --vary k=5,10,20 --full
  fetalpose benchmark sequences --first 3 --subjects 1
  fetalpose benchmark methods --weights runs
  fetalpose benchmark accuracy --split left-out2 --subjects 60 --output build/calibration
  fetalpose benchmark uncertainty --split validation left-out2 --records build/calibration
  fetalpose benchmark adapting --volumes 16 --subjects 24

Choose on validation; run test and shifted once, at the end. Volumes are simulated into build/benchmark/cases the first
time, most of a minute each; what was measured is kept, so a run that was stopped goes on.
"""

import argparse
from dataclasses import fields
from pathlib import Path

from FetalPoseLib.benchmark import run as benchmark
from FetalPoseLib.benchmark.run import ENDLESS_SPLITS, SPLITS, WHAT, BenchmarkOptions
from FetalPoseLib.cli.options import add_estimator_arguments, count, estimate_options, positive, take_defaults


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", metavar="WHAT", choices=(*WHAT, "web", "all"), help=f"{', '.join(WHAT)}, web or all")
    parser.add_argument("--output", metavar="FOLDER", type=Path, help="where it goes (default %(default)s)")
    add_estimator_arguments(parser)
    parser.add_argument(
        "--split", nargs="+", choices=(*SPLITS, *ENDLESS_SPLITS), help="accuracy, uncertainty, planes: which subjects"
    )
    parser.add_argument("--subjects", type=positive, metavar="N", help="only N of each split")
    parser.add_argument("--first", type=count, metavar="I", help="index of the first of them (default %(default)s)")
    parser.add_argument("--spacing", type=float, metavar="MM", help="of the volumes (default %(default)s)")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured before")
    parser.add_argument(
        "--records",
        nargs="+",
        metavar="FOLDER",
        type=Path,
        help="uncertainty: further folders with records of accuracy",
    )
    parser.add_argument(
        "--weights",
        metavar="FOLDER",
        type=Path,
        help="methods: the rivals' "
        "weights, such as r4-rnn.safetensors, where there are no records of them yet (default %(default)s)",
    )
    parser.add_argument("--vary", action="append", metavar="NAME=A,B", help="refinement: an option and its values")
    parser.add_argument("--full", action="store_true", help="refinement: every combination, not one change at a time")
    parser.add_argument("--width", type=positive, help="memory: channels of the first level (default %(default)s)")
    parser.add_argument(
        "--volumes", nargs="+", type=positive, metavar="N", help="adapting: to so many (default 4 8 16)"
    )
    parser.add_argument("--steps", type=positive, metavar="N", help="adapting: of each network (default: train's)")
    parser.add_argument("--threads", type=positive, metavar="N", help="of the CPU (default PyTorch's choice)")
    take_defaults(parser, BenchmarkOptions)


def run(args: argparse.Namespace) -> None:
    if args.what == "web":
        from FetalPoseWeb.measure import measure

        measure(args.output)
        print(f"wrote the results into {args.output}")
        return
    own = {field.name: getattr(args, field.name) for field in fields(BenchmarkOptions) if field.name != "estimate"}
    benchmark.run(args.what, BenchmarkOptions(estimate=estimate_options(args), **own))
