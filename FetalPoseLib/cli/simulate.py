"""Make a simulated 3D ultrasound volume of a fetus of 10 to 14 weeks, with its true landmarks.

Every seed is another body, pose and scanner setting; the same seed gives the same volume everywhere. The subjects of
the benchmark Sim-152 are made by --split and --subject instead. This is no clinical data.

  fetalpose simulate --seed 7 --output case.nrrd --landmarks case.mrk.json
  fetalpose simulate --seed 7 --output case.nrrd --landmarks case.mrk.json --spacing 1.25
  fetalpose simulate --split test --subject 0 --output test.nrrd --landmarks test.mrk.json

With --count, many volumes go into a folder, on all cores or on a Dask cluster, as 'fetalpose train --data' takes them;
those that are there already stay. It needs the extra: pip install 'FetalPose[cohort]'.

  fetalpose simulate --count 2000 --output volumes
  fetalpose simulate --count 2000 --split fresh2 --output volumes --scheduler tcp://10.0.0.5:8786
"""

import argparse
from pathlib import Path

from FetalPoseLib.cli.cohort import add_cluster_arguments, cluster_options, shown
from FetalPoseLib.cli.options import count, positive
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.simulation import DEFAULT_SPACING_MM


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=count, metavar="N", help="which body, from 0 without end")
    parser.add_argument("--split", metavar="NAME", help="a set of Sim-152, such as test or test2 ...")
    parser.add_argument("--subject", type=count, metavar="K", help="... and the number in it, from 0")
    parser.add_argument("--output", metavar="CASE.nrrd", type=Path, required=True,
                        help="where the volume goes; with --count, the folder of the volumes")  # fmt: skip
    parser.add_argument("--landmarks", metavar="CASE.mrk.json", type=Path, help="where the truth goes")
    parser.add_argument("--count", type=positive, metavar="N",
                        help="so many, from --seed or --subject (default 0) on, into a folder")  # fmt: skip
    parser.add_argument("--spacing", metavar="MM", type=float, default=DEFAULT_SPACING_MM,
                        help="voxel size (default %(default)s)")  # fmt: skip
    add_cluster_arguments(parser)


def run(args: argparse.Namespace) -> None:
    if args.count is not None:
        _many(args)
        return
    if args.landmarks is None:
        raise FetalPoseError("Give --landmarks, where the truth goes, or --count for many volumes in a folder.")
    from FetalPoseLib import scene as mrml
    from FetalPoseLib.simulation.files import SimulationOptions, simulate_files

    mrml.silence_log()
    case = simulate_files(
        SimulationOptions(
            output=args.output, landmarks=args.landmarks, seed=args.seed, split=args.split, subject=args.subject,
            spacing=args.spacing,
        )
    )  # fmt: skip
    print(f"{case.name}: {' x '.join(map(str, case.volume.array.shape[::-1]))} voxels of {args.spacing:g} mm")


def _many(args: argparse.Namespace) -> None:
    from FetalPoseLib.cohort.options import SimulatedOptions
    from FetalPoseLib.cohort.run import run_simulations

    if args.landmarks is not None:
        raise FetalPoseError("With --count the landmarks go beside the volumes. Leave out --landmarks.")
    if (args.seed if args.split is not None else args.subject) is not None:
        raise FetalPoseError("With --count, --seed is the first fresh volume, and --subject the first of a --split.")
    options = SimulatedOptions(
        output=args.output, count=args.count, first=args.seed or args.subject or 0, split=args.split,
        spacing=args.spacing, cluster=cluster_options(args),
    )  # fmt: skip
    summary = shown(run_simulations, options)
    print(f"{summary.done} done, {summary.skipped} done before, {summary.failed} failed: {args.output}")
    if summary.failed:
        raise FetalPoseError(f"{summary.failed} volumes could not be simulated. Give the same command again.")
