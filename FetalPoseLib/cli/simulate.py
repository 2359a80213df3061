"""Make a simulated 3D ultrasound volume of a fetus of 10 to 14 weeks, with its true landmarks.

Every seed is another body, pose and scanner setting; the same seed gives the same volume everywhere. The subjects of
the benchmark Sim-152 are made by --split and --subject instead. This is no clinical data.

  fetalpose simulate --seed 7 --output case.nrrd --landmarks case.mrk.json
  fetalpose simulate --seed 7 --output case.nrrd --landmarks case.mrk.json --spacing 1.25
  fetalpose simulate --split test --subject 0 --output test.nrrd --landmarks test.mrk.json
"""

import argparse
from pathlib import Path

from FetalPoseLib.cli.options import count
from FetalPoseLib.simulation import DEFAULT_SPACING_MM


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=count, metavar="N", help="which body, from 0 without end")
    parser.add_argument("--split", metavar="NAME", help="a set of Sim-152, such as test or test2 ...")
    parser.add_argument("--subject", type=count, metavar="K", help="... and the number in it, from 0")
    parser.add_argument("--output", metavar="CASE.nrrd", type=Path, required=True, help="where the volume goes")
    parser.add_argument("--landmarks", metavar="CASE.mrk.json", type=Path, required=True, help="where the truth goes")
    parser.add_argument("--spacing", metavar="MM", type=float, default=DEFAULT_SPACING_MM,
                        help="voxel size (default %(default)s)")  # fmt: skip


def run(args: argparse.Namespace) -> None:
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
