"""Estimate the pose in the bundled sample volume, which is simulated, and compare it with the truth.

Writes pose.mrk.json, lengths.csv and pose.png; open the first in 3D Slicer and look at the last.

  fetalpose demo
  fetalpose demo --output somewhere --iterations 0
"""

import argparse
from pathlib import Path

from FetalPoseLib.cli.options import add_estimator_arguments, estimate_options
from FetalPoseLib.cli.terminal import print_lengths, shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output", metavar="FOLDER", type=Path, default=Path("build/demo"), help="where it goes (default %(default)s)"
    )
    add_estimator_arguments(parser)


def run(args: argparse.Namespace) -> None:
    from FetalPoseLib.session.sample import estimate_sample

    result = shown(estimate_sample, args.output, estimate_options(args))
    print_lengths(result.found.lengths)
    print(f"\nerror against the truth: mean {result.mean_mm:.2f} mm, largest {result.largest_mm:.2f} mm")
    print(f"wrote {', '.join(map(str, result.files))}")
