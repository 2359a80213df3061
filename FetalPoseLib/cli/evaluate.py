"""Compare poses with the truth: error per landmark, mean, AUC, lengths, and limbs taken for the other side's.

PREDICTED and TRUTH are two .mrk.json files, or two folders of them; in folders, files of the same name belong together.
AUC is the area under the PCK curve (the part of landmarks within a distance) from 0 to 10 mm, in percent.

  fetalpose evaluate pose.mrk.json truth.mrk.json
  fetalpose evaluate results/ truths/
"""

import argparse
from pathlib import Path

from FetalPoseLib.cli.terminal import CountBar, print_warning


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("predicted", metavar="PREDICTED", type=Path, help="a pose, or a folder of poses")
    parser.add_argument("truth", metavar="TRUTH", type=Path, help="its truth, or the folder of the truths")


def run(args: argparse.Namespace) -> None:
    from FetalPoseLib import scene as mrml
    from FetalPoseLib.evaluation.report import summary_text
    from FetalPoseLib.session.evaluate_files import EvaluationOptions, evaluate_files

    mrml.silence_log()
    options = EvaluationOptions(predicted=args.predicted, truth=args.truth)
    print(summary_text(evaluate_files(options, progress=CountBar("reading", "pose").show, warn=print_warning)))
