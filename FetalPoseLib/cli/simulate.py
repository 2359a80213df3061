"""Make a simulated 3D ultrasound volume of a fetus of 10 to 14 weeks, with its true landmarks.

Every seed is another body, pose and scanner setting; the same seed gives the same volume everywhere. The subjects of
the benchmark Sim-152 are made by --split and --subject instead. This is no clinical data.

  fetalpose simulate --seed 7 --output case.nrrd --landmarks case.mrk.json
  fetalpose simulate --seed 7 --output case.nrrd --landmarks case.mrk.json --spacing 1.25
  fetalpose simulate --split test --subject 0 --output test.nrrd --landmarks test.mrk.json
"""

import argparse
from pathlib import Path

from FetalPoseLib import __version__
from FetalPoseLib.cli.options import count
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import check_writable
from FetalPoseLib.simulation import DEFAULT_SPACING_MM

_SPACINGS = (0.3, 3.0)  # mm: finer needs more memory than a computer has, coarser shows no limbs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=count, metavar="N", help="which body, from 0 without end")
    parser.add_argument("--split", metavar="NAME", help="a set of Sim-152, such as test or test2 ...")
    parser.add_argument("--subject", type=count, metavar="K", help="... and the number in it, from 0")
    parser.add_argument("--output", metavar="CASE.nrrd", type=Path, required=True, help="where the volume goes")
    parser.add_argument("--landmarks", metavar="CASE.mrk.json", type=Path, required=True, help="where the truth goes")
    parser.add_argument("--spacing", metavar="MM", type=float, default=DEFAULT_SPACING_MM,
                        help="voxel size (default %(default)s)")  # fmt: skip


def run(args: argparse.Namespace) -> None:
    if (args.seed is None) == (args.split is None) or (args.split is None) != (args.subject is None):
        raise FetalPoseError("Give either --seed N, or both --split NAME and --subject K.")
    if not _SPACINGS[0] <= args.spacing <= _SPACINGS[1]:
        low, high = _SPACINGS
        raise FetalPoseError(f"A spacing of {args.spacing:g} mm cannot be simulated. Choose {low:g} to {high:g} mm.")
    check_writable(args.output, ".nrrd", ".nii.gz", ".mha")
    check_writable(args.landmarks, ".mrk.json")

    from FetalPoseLib import scene as mrml
    from FetalPoseLib.network.memory import keep_freed_memory

    keep_freed_memory()
    case = _simulate(args)
    mrml.silence_log()
    scene = mrml.new_scene()
    pose = mrml.create_pose(scene, f"{case.name} (simulated)")
    mrml.set_estimate(pose, case.landmarks, provenance={"Source": f"simulated, {case.name}", "Version": __version__})
    mrml.write_volume(mrml.add_volume(scene, case.volume, f"{case.name} (simulated)"), args.output)
    mrml.save_pose(pose, args.landmarks)
    print(f"{case.name}: {' x '.join(map(str, case.volume.array.shape[::-1]))} voxels of {args.spacing:g} mm")


def _simulate(args: argparse.Namespace):
    from FetalPoseLib.simulation import datasets

    try:
        if args.split is None:
            return datasets.simulate_subject(args.seed, spacing=args.spacing)
        return datasets.simulate(args.split, args.subject, spacing=args.spacing)
    except ValueError as error:  # a number beyond the split
        raise FetalPoseError(str(error)) from error
