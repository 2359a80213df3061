"""Estimate the pose in the bundled sample volume, which is simulated, and compare it with the truth.

Writes pose.mrk.json, lengths.csv and pose.png; open the first in 3D Slicer and look at the last.

  fetalpose demo
  fetalpose demo --output somewhere --iterations 0
"""

import argparse
from pathlib import Path

import numpy as np

from FetalPoseLib.cli.estimate import add_estimator_arguments, estimate
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.resources import resource_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output", metavar="FOLDER", type=Path, default=Path("build/demo"), help="where it goes (default %(default)s)"
    )
    add_estimator_arguments(parser)


def run(args: argparse.Namespace) -> None:
    from FetalPoseLib import scene as mrml
    from FetalPoseLib.evaluation.metrics import landmark_errors

    folder = args.output
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FetalPoseError(f"Cannot make the folder {folder}: {error.strerror}. Choose another.") from error
    points = estimate(
        args,
        resource_path("sample", "sample.nrrd"),
        output=folder / "pose.mrk.json",
        table=folder / "lengths.csv",
        picture=folder / "pose.png",
    )
    truth = mrml.points_of(mrml.load_pose(mrml.new_scene(), resource_path("sample", "sample.mrk.json")))
    errors = landmark_errors(points[None], truth[None])
    found = np.isfinite(errors)
    print(f"\nerror against the truth: mean {errors[found].mean():.2f} mm, largest {errors[found].max():.2f} mm")
    print(f"wrote {', '.join(str(folder / name) for name in ('pose.mrk.json', 'lengths.csv', 'pose.png'))}")
